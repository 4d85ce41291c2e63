"""Configuration: every fault at once with its place, every value with its origin, no secret anywhere."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import spine  # type: ignore[import-not-found]
from truegate import tools
from truegate.config import Config, leaves, load_config
from truegate.errors import CONFIG, ConfigError
from truegate.toml import KIT_ROOT, line_of, read_toml, schema, schema_faults

NO_COUNT = 'is not a whole number, 0 or more, or "none" for no limit'
EXCLUSION = '[[exclude]]\npath = "fixtures/**"\nreason = "test fixtures only"\napprover = "Ada"\n'


def load(folder: Path, text: str | bytes, **options: Any) -> Config:
    (folder / "truegate.toml").write_bytes(text if isinstance(text, bytes) else text.encode())
    return load_config(str(folder), **options)


def refused(folder: Path, text: str | bytes, **options: Any) -> str:
    """Load what must be refused and give the message."""
    with pytest.raises(ConfigError) as caught:
        load(folder, text, **options)
    assert caught.value.exit_code == CONFIG
    assert caught.value.next_step
    return caught.value.message


def test_without_a_file_the_defaults_hold_and_are_valid(tmp_path: Path) -> None:
    config = load_config(str(tmp_path))
    assert set(config.origins.values()) == {"default"}
    assert config["security.sca.criteria.runtime_critical_max"] == 0
    assert config["security.db.dir"] == str(KIT_ROOT / ".tools" / "advisories")
    assert config.folder("evidence.dir") == tmp_path / "evidence"
    for key, node in leaves():
        if "default" in node:
            assert list(schema_faults(_nested(key, node["default"]), "config")) == [], key


def _nested(key: str, value: Any) -> Any:
    for part in reversed(key.split(".")):
        value = {part: value}
    return value


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("[target]\nname = \n", "line 2, column 8"),
        ('[target]\nname = "open\n', "line 2, column 13"),
        ("[target\n", "line 1, column 8"),
        ("a b = 1\n", "line 1, column 3"),
        ('[target]\nname = "a"\nname = "b"\n', "line 3, column 11"),
        ("[target]\n[target]\n", "line 2, column 8"),
        ('x = """\nnever closed\n', "end of document"),
        ("\ufeff[target]\n", "line 1, column 1"),
        ("a = " + "[" * 5000, "recursion"),
    ],
)
def test_malformed_toml_names_line_and_column(text: str, place: str, tmp_path: Path) -> None:
    message = refused(tmp_path, text)
    assert message.startswith(f"{tmp_path / 'truegate.toml'} is not TOML: ")
    assert place in message


def test_several_errors_come_at_once_each_with_its_line_and_path(tmp_path: Path) -> None:
    message = refused(tmp_path, (
        '[target]\nownr = "Ada"\nurl = "ftp://x"\n\n[security.sca]\nengines = ["trivvy"]\ntimeout_seconds = 0\n'
        '[security.sca.criteria]\nruntime_critical_max = -1\nadvisory_age_hours_max = "two days"\n'
        'unknown = "ignore"\n[[exclude]]\npath = "a"\n[[exclude]]\npath = "b"\nreason = "short"\napprover = "Ada"\n'
        "expires = 2030-01-31\n"
    ))  # fmt: skip
    first, *rest = message.splitlines()
    assert first == f"{tmp_path / 'truegate.toml'} has 11 error(s):"
    assert sorted(rest, key=lambda line: int(line.split(":")[1])) == [
        "  truegate.toml:2: unknown key 'target.ownr'; did you mean 'owner'?",
        '  truegate.toml:3: target.url: "ftp://x" does not match "^https?://"',
        '  truegate.toml:6: security.sca.engines[0]: "trivvy" is not one of "trivy", "osv-scanner" or "snyk"',
        "  truegate.toml:7: security.sca.timeout_seconds: 0 is less than or equal to the minimum of 0",
        f"  truegate.toml:9: security.sca.criteria.runtime_critical_max: -1 {NO_COUNT}",
        '  truegate.toml:10: security.sca.criteria.advisory_age_hours_max: "two days" is not of type "number"',
        '  truegate.toml:11: security.sca.criteria.unknown: "ignore" is not one of "fail" or "warn"',
        '  truegate.toml:12: exclude[0]: "reason" is a required property',
        '  truegate.toml:12: exclude[0]: "approver" is a required property',
        '  truegate.toml:12: exclude[0]: "expires" is a required property',
        '  truegate.toml:16: exclude[1].reason: "short" is shorter than 10 characters',
    ]  # fmt: skip


@pytest.mark.parametrize("value", ["-1", "1.5", '"1"', "true", "inf", "-inf", "nan", "[]", "{}", "1e400", "2030-01-31"])
@pytest.mark.parametrize("key", ["security.sca.criteria.runtime_high_max", "security.sbom.criteria.schema_errors"])
def test_a_limit_that_is_no_number_of_things_is_refused(key: str, value: str, tmp_path: Path) -> None:
    message = refused(tmp_path, f"{key} = {value}\n")
    assert f"truegate.toml:1: {key}: " in message
    assert NO_COUNT in message


@pytest.mark.parametrize("value", ["0", "-48", "inf", "-inf", "nan", '"48"', "true"])
@pytest.mark.parametrize("key", ["security.sca.criteria.advisory_age_hours_max", "security.sca.timeout_seconds"])
def test_a_limit_that_is_no_positive_number_is_refused(key: str, value: str, tmp_path: Path) -> None:
    assert f"truegate.toml:1: {key}: " in refused(tmp_path, f"{key} = {value}\n")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[securty]\n", ":1: unknown key 'securty'; did you mean 'security'?"),
        ("[security.scaa]\n", ":1: unknown key 'security.scaa'; did you mean 'sca'?"),
        ("[security.sca.criteria]\nruntime_critcal_max = 1\n", "did you mean 'runtime_critical_max'?"),
        ('[tools]\ntrivvy = "/x"\n', ":2: unknown key 'tools.trivvy'; did you mean 'trivy'?"),
        ("zzz = 1\n", ":1: unknown key 'zzz'; known: target, "),
        ('["target"]\n"nme" = "x"\n', ":2: unknown key 'target.nme'; did you mean 'name'?"),
        ('target.nme = "x"\n', ":1: unknown key 'target.nme'; did you mean 'name'?"),
        ('target = { nme = "x" }\n', ":1: unknown key 'target.nme'; did you mean 'name'?"),
        ("# [target]\n\n[ target ]\r\nnme = 1\r\n", ":4: unknown key 'target.nme'; did you mean 'name'?"),
        (EXCLUSION + "expires = 2030-01-31\nexpire = 2030-01-31\n", ":6: unknown key 'exclude[0].expire'; did you"),
    ],
)  # fmt: skip
def test_an_unknown_key_is_told_with_the_nearest_name(text: str, told: str, tmp_path: Path) -> None:
    assert told in refused(tmp_path, text)


def test_every_tool_of_the_table_can_be_configured_and_no_other() -> None:
    assert schema("config")["properties"]["tools"]["properties"].keys() == tools.table().keys()


@pytest.mark.parametrize("expires", ["2030-01-31", '"2030-01-31"'])
def test_a_date_of_toml_is_a_date(expires: str, tmp_path: Path) -> None:
    assert load(tmp_path, EXCLUSION + f"expires = {expires}\n")["exclude"][0]["expires"] == "2030-01-31"


@pytest.mark.parametrize(
    "expires", ["2030-01-31T00:00:00", "2030-01-31T00:00:00Z", "12:00:00", '"31.1.2030"', '"20300131"', '"2030-02-30"',
                '"2030-01-31\\n"', '""', "20300131"]
)  # fmt: skip
def test_what_is_no_date_is_refused(expires: str, tmp_path: Path) -> None:
    assert "truegate.toml:5: exclude[0].expires: " in refused(tmp_path, EXCLUSION + f"expires = {expires}\n")


@pytest.mark.parametrize("data", [b"\xff", '[target]\nname = "ä"\n'.encode("latin-1"), "[target]\n".encode("utf-16")])
def test_a_file_that_is_not_utf_8_is_named(data: bytes, tmp_path: Path) -> None:
    assert "truegate.toml: byte" in refused(tmp_path, data)


@pytest.mark.parametrize("name", ["truegate.toml", ".env.staging"])
def test_a_folder_or_a_link_to_nowhere_is_no_file(name: str, tmp_path: Path) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(ConfigError, match="is no file"):
        load_config(str(tmp_path), "staging")
    (tmp_path / name).rmdir()
    for nowhere in ("nowhere", "/dev/zero"):
        (tmp_path / name).symlink_to(nowhere)
        with pytest.raises(ConfigError, match="is no file"):
            load_config(str(tmp_path), "staging")
        (tmp_path / name).unlink()
    (tmp_path / name).write_bytes(b"#" * 1_000_001)
    with pytest.raises(ConfigError, match="has more than 1,000,000 bytes"):
        load_config(str(tmp_path), "staging")


@pytest.mark.parametrize(
    "text", ['[tools]\ntrivy = "a\\u0000b"\n', f"[security.sca]\ntimeout_seconds = {'9' * 5000}\n"]
)
def test_what_no_path_or_number_can_be_is_refused(text: str, tmp_path: Path) -> None:
    assert "is not TOML" in refused(tmp_path, text)


def test_a_value_of_any_length_makes_a_short_message(tmp_path: Path) -> None:
    assert len(refused(tmp_path, f'[target]\nurl = "{"x" * 900_000}"\n')) < 1000


def test_a_target_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for target in (tmp_path / "file", tmp_path / "absent", "~no-such-user/x"):
        with pytest.raises(ConfigError, match="is not a folder"):
            load_config(str(target))


def test_later_sources_win_and_say_where_they_are(tmp_path: Path) -> None:
    text = '[target]\nowner = "Ada"\n\n[security.sca.criteria]\n# a remark\nruntime_high_max = 3\n'
    overrides = {"security.sca.engines": ["osv-scanner"], "target.url": "https://staging.example.org"}
    config = load(tmp_path, text, overrides=overrides)
    assert config["target.owner"] == "Ada"
    assert config.origins["target.owner"] == "truegate.toml:2"
    assert config["security.sca.criteria.runtime_high_max"] == 3
    assert config.origins["security.sca.criteria.runtime_high_max"] == "truegate.toml:6"
    assert config["security.sca.engines"] == ["osv-scanner"]
    assert config.origins["security.sca.engines"] == "command line"
    assert config.origins["security.sca.timeout_seconds"] == "default"


@pytest.mark.parametrize(
    ("overrides", "told"),
    [({"security.sbom.standard": "ntia"}, 'command line: security.sbom.standard: "ntia" is not one of "ntia-2021"'),
     ({"target.url": "localhost"}, 'command line: target.url: "localhost" does not match'),
     ({"security.sca.timeout_seconds": 0}, "command line: security.sca.timeout_seconds: 0 is less")],
)  # fmt: skip
def test_what_the_command_line_sets_is_held_to_the_schema(overrides: dict[str, Any], told: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(str(tmp_path), None, overrides)
    assert told in caught.value.message


def test_paths_start_at_the_target_and_home_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    text = '[evidence]\ndir = "~/kept"\nreports_dir = "../out"\n[tools]\ntrivy = "bin/trivy"\ngo = "/go"\n'
    config = load(tmp_path, text)
    assert config.folder("evidence.dir") == Path("/home/ada/kept")
    assert config.folder("evidence.reports_dir") == tmp_path / "../out"
    assert config["tools"] == {"trivy": f"{tmp_path}/bin/trivy", "go": "/go"}
    text = '[evidence]\ndir = "~no-such-user/kept"\n'
    assert load(tmp_path, text).folder("evidence.dir") == tmp_path / "~no-such-user/kept"


@pytest.mark.parametrize(
    ("text", "line"),
    [('A=1\nB="open\n', "2"), ("A='open\nB=2\n", "1"), ('A="x\nB="y\n', "1"), ('A="a" b\n', "1"), ("=x\n", "1"),
     ('A="ok"\n\nB=\'x\nC="z', "3, 4")],
)  # fmt: skip
def test_a_profile_with_a_quote_left_open_is_refused(text: str, line: str, tmp_path: Path) -> None:
    (tmp_path / ".env.staging").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_config(str(tmp_path), "staging")
    assert f".env.staging: line {line}" in caught.value.message
    assert "a quote left open?" in caught.value.message
    assert not {"A", "B", "C"} & os.environ.keys()


@pytest.mark.parametrize("profile", ["../prod", "Prod", "1", "a b", "prod\n", "a/b", ".", "-x", "ä", "a_b"])
def test_a_profile_with_a_bad_name_is_refused(profile: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is no name"):
        load_config(str(tmp_path), profile)


def test_a_profile_without_its_file_is_refused_unless_ci_may_set_its_variables(tmp_path: Path) -> None:
    (tmp_path / ".env.canary").write_text("")
    with pytest.raises(ConfigError, match=r"\.env\.stagin is missing") as caught:
        load_config(str(tmp_path), "stagin")
    assert caught.value.next_step == "write it, or choose a profile: canary, prod, staging"
    assert [load_config(str(tmp_path), name).profile for name in ("canary", "prod")] == ["canary", "prod"]


def test_a_profile_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    (tmp_path / ".env.staging").write_bytes(b"A=\xff\n")
    with pytest.raises(ConfigError, match=r"\.env\.staging: byte 2 is not UTF-8"):
        load_config(str(tmp_path), "staging")


def test_a_profile_fills_the_environment_and_what_is_set_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both values are secrets: the one in force reaches the tools, the other lies in a file."""
    monkeypatch.setenv("API_TOKEN", "from-the-environment")
    lines = ['API_TOKEN="from-the-file"', "export DB_PASSWORD='p4ss word'", "PLAIN=visible", "EMPTY", "LITERAL=$HOME"]
    (tmp_path / ".env.staging").write_text("\n".join(lines))
    config = load_config(str(tmp_path), "staging")
    assert os.environ["API_TOKEN"] == "from-the-environment"
    assert (os.environ["DB_PASSWORD"], os.environ["PLAIN"], os.environ["LITERAL"]) == ("p4ss word", "visible", "$HOME")
    assert config.secrets["API_TOKEN"] == "from-the-environment"
    assert config.secrets["API_TOKEN (.env.staging)"] == "from-the-file"
    assert config.secrets["DB_PASSWORD"] == "p4ss word"
    assert not {"PLAIN", "EMPTY"} & config.secrets.keys()


@pytest.mark.parametrize(
    ("name", "value", "secret"),
    [
        ("GITHUB_TOKEN", "ghp_0123456789", "ghp_0123456789"),
        ("aws_secret_access_key", "x/y+z==", "x/y+z=="),
        ("SENTRY_DSN", "https://abc@sentry.example.org/1", "https://abc@sentry.example.org/1"),
        ("HTTPS_PROXY", "http://ada:p%40ss@proxy.example.org:3128", "p%40ss"),
        ("HTTPS_PROXY", "http://ada:p%40ss@proxy.example.org:3128", "p@ss"),
        ("DATABASE_URL", "postgres://app:s3cr3t@db/app", "s3cr3t"),
        ("HOSTNAME", "build-7", None),
        ("SSH_AUTH_SOCK", "/", None),
        ("LONG_TOKEN", "x" * 10_000, "x" * 10_000),
        ("GPG_PASSPHRASE", "correct horse", "correct horse"),
        ("GITHUB_PAT", "ghp_9876543210", "ghp_9876543210"),
        ("SLACK_WEBHOOK_URL", "https://hooks.example.org/T0/B0", "https://hooks.example.org/T0/B0"),
        ("DB_CONNECTION_STRING", "Server=db;Uid=app", "Server=db;Uid=app"),
    ],
)
def test_which_variables_are_secrets(
    name: str, value: str, secret: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    assert (secret in load_config(str(tmp_path)).secrets.values()) == (secret is not None)


def test_passwords_in_configured_addresses_are_secrets(tmp_path: Path) -> None:
    config = load(tmp_path, '[target]\nurl = "https://bot:s3cr3t@staging.example.org"\n')
    assert config.secrets["target.url (password)"] == "s3cr3t"


def test_config_show_tells_origins_and_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_TOKEN", "t0k3n-value")
    (tmp_path / ".env.staging").write_text("DB_PASSWORD=p4ssw0rd\n")
    text = '[target]\nname = "shop-p4ssw0rd"\nowner = "t0k3n-value"\nurl = "https://bot:s3cr3t@example.org"\n'
    (tmp_path / "truegate.toml").write_text(text)
    done = spine.inv("config.show", "--profile", "staging", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    rows = {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines() if line}
    assert rows["target.owner"] == ['"***"', "truegate.toml:3"]
    assert rows["target.name"] == ['"shop-***"', "truegate.toml:2"]
    assert rows["security.sca.criteria.runtime_high_max"] == ["0", "default"]
    assert rows["target.version"] == ["null", "not", "set"]
    assert {key for key, _ in leaves()} <= rows.keys()
    for secret in ("t0k3n-value", "p4ssw0rd", "s3cr3t"):
        assert secret not in done.stdout + done.stderr


def test_an_error_message_holds_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_TOKEN", "t0k3n-value")
    (tmp_path / "truegate.toml").write_text('[target]\nurl = "t0k3n-value"\n')
    done = spine.inv("config.show", cwd=tmp_path)
    assert done.returncode == CONFIG
    assert 'truegate.toml:2: target.url: "***" does not match' in done.stderr
    assert "Traceback" not in done.stderr


@given(st.text(max_size=60), st.sampled_from([("target", "name"), ("exclude", 0, "path"), ("a", "b", "c")]))
def test_finding_a_line_never_stumbles(text: str, path: tuple[str | int, ...]) -> None:
    number = line_of(text, path)
    assert number is None or 1 <= number <= len(text.splitlines())


def test_a_missing_schema_says_what_to_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("truegate.toml.KIT_ROOT", tmp_path)
    (tmp_path / "x.toml").write_text("")
    with pytest.raises(ConfigError, match=r"other\.schema\.json is missing") as caught:
        read_toml(tmp_path / "x.toml", "other")
    assert "copy the folder schemas/" in caught.value.next_step
