"""The variables' schema and what is made from it: `.env.example`, a new profile; reading a .env file."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest

import spine  # type: ignore[import-not-found]
from truegate import env
from truegate.config import load_config, secrets_among
from truegate.env import example_text, init_profile, known_variables, profiles, read_env, staging_text, write_new
from truegate.env_check import check_profiles
from truegate.errors import CONFIG, ConfigError
from truegate.toml import KIT_ROOT, schema

NAMES: dict[str, dict[str, Any]] = schema("env")["properties"]


def test_each_variable_of_the_schema_is_told_in_full() -> None:
    for name, node in NAMES.items():
        assert env.PLAIN_NAME.fullmatch(name)
        assert node["description"], name
        assert ("x-min-length" in node) == bool(node.get("x-secret")), name
        assert ("x-schemes" in node) == (node.get("format") == "uri"), name
        for rule in (node, node.get("x-production", {})):
            assert ("pattern" in rule) == ("x-expects" in rule), name
    assert set(schema("env")["required"]) <= NAMES.keys()
    assert {name for name in schema("env")["required"] if "x-staging" not in NAMES[name]} == set()


def test_what_is_a_secret_by_the_schema_is_masked() -> None:
    seen = 0
    for name, node in NAMES.items():
        if node.get("x-secret"):
            value = f"{node['x-schemes'][0]}://app:p4ss-word@host/x" if "x-schemes" in node else "p4ss-word"
            assert "p4ss-word" in secrets_among({name: value}).values(), name
            seen += 1
    assert seen >= 7


def test_what_truegate_toml_calls_a_secret_is_masked(tmp_path: Path) -> None:
    (tmp_path / "truegate.toml").write_text('[[env.names]]\nname = "LICENCE"\nsecret = true\n')
    (tmp_path / ".env.staging").write_text("LICENCE=abcdef-123456\nPLAIN=visible\n")
    secrets = load_config(str(tmp_path), "staging").secrets
    assert secrets["LICENCE"] == "abcdef-123456"
    assert "PLAIN" not in secrets


def test_the_example_is_the_schemas() -> None:
    text = (KIT_ROOT / ".env.example").read_text()
    assert text == example_text(known_variables(), 18000)
    assert set(re.findall(r"^([A-Z_0-9]+)=", text, re.MULTILINE)) == NAMES.keys()
    for name, node in NAMES.items():
        assert re.search(rf"^# {re.escape(node['description'])}( \(optional\))?\n{name}=", text, re.MULTILINE), name


def test_the_example_taken_as_it_stands_is_refused(tmp_path: Path) -> None:
    write_new(tmp_path / ".env.staging", (KIT_ROOT / ".env.example").read_text())
    faults = "\n".join(check_profiles(load_config(str(tmp_path))).faults)
    secret = [name for name in schema("env")["required"] if NAMES[name].get("x-secret")]
    assert faults.count("\n") + 1 == len(secret)
    assert [name for name in secret if f"{name}: holds a placeholder" not in faults] == []


@pytest.mark.parametrize("base_port", [18000, 1024, 65000])
def test_a_new_profile_is_sound_and_its_own(base_port: int, tmp_path: Path) -> None:
    (tmp_path / "truegate.toml").write_text(f"[staging]\nbase_port = {base_port}\n")
    seen: set[str] = set()
    for profile in ("staging", "canary"):
        path, lacking = init_profile(tmp_path, profile, known_variables(), base_port)
        assert lacking == []
        values = {entry.name: entry.value or "" for entry in read_env(path)}
        assert values["S3_ENDPOINT"] == f"http://127.0.0.1:{base_port + 10}"
        assert values["DATABASE_URL"].endswith(f"@127.0.0.1:{base_port + 8}/app")
        assert values["TRUEGATE_CONTROLS"] == "1"
        random = re.findall(r"[0-9a-f]{20,}", path.read_text())
        assert len(random) == 6
        assert not seen & set(random)
        seen |= set(random)
    checked = check_profiles(load_config(str(tmp_path)))
    assert checked.faults == ()
    assert checked.sound == {".env.canary": 11, ".env.staging": 11}


@pytest.mark.parametrize("profile", ["prod", "production"])
def test_no_profile_of_production_is_written(profile: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="secrets manager"):
        init_profile(tmp_path, profile, known_variables(), 18000)
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_its_owners_alone_from_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    modes: list[int] = []
    fdopen = os.fdopen

    def watched(descriptor: int, *arguments: Any, **options: Any) -> Any:
        modes.append(os.fstat(descriptor).st_mode & 0o7777)
        return fdopen(descriptor, *arguments, **options)

    monkeypatch.setattr(os, "fdopen", watched)
    before = os.umask(0)
    try:
        write_new(tmp_path / "x", "A=1\n")
    finally:
        os.umask(before)
    assert modes == [0o600]
    assert (tmp_path / "x").stat().st_mode & 0o7777 == 0o600


def test_what_is_there_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    (tmp_path / "link").symlink_to("nowhere")
    (tmp_path / "folder").mkdir()
    for name in ("file", "link", "folder"):
        with pytest.raises(ConfigError, match="is there already"):
            write_new(tmp_path / name, "new")
    assert (tmp_path / "file").read_text() == "old"
    assert not (tmp_path / "nowhere").exists()
    with pytest.raises(ConfigError, match="can't be written: No such file"):
        write_new(tmp_path / "absent" / "x", "new")


def test_a_full_disk_leaves_no_half_profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fdopen = os.fdopen

    def full(descriptor: int, *arguments: Any, **options: Any) -> Any:
        os.close(descriptor)
        return fdopen(os.open("/dev/full", os.O_WRONLY), *arguments, **options)

    monkeypatch.setattr(os, "fdopen", full)
    with pytest.raises(ConfigError, match="No space left"):
        write_new(tmp_path / "x", "A=1\n")
    assert list(tmp_path.iterdir()) == []


def test_reading_gives_lines_and_tells_names_without_a_value(tmp_path: Path) -> None:
    (tmp_path / "x").write_text(
        "# remark\n\nA=1\nexport B='two\nlines'\nBARE\nC=\"q # no remark\" # remark\nD=$HOME\r\n"
    )
    assert [(entry.name, entry.value, entry.line) for entry in read_env(tmp_path / "x")] == [
        ("A", "1", 3), ("B", "two\nlines", 4), ("BARE", None, 6), ("C", "q # no remark", 7), ("D", "$HOME", 8),
    ]  # fmt: skip


def test_which_files_are_profiles(tmp_path: Path) -> None:
    for name in ("staging", "prod", "eu-1", "example", "sample", "template", "staging.sops.env", "Staging", "staging~"):
        (tmp_path / f".env.{name}").write_text("")
    (tmp_path / ".env").write_text("")
    assert profiles(tmp_path) == ["eu-1", "prod", "staging"]


def test_a_team_names_its_own_variables_and_drops_ours() -> None:
    own = [
        {"name": "PAYMENT_KEY", "secret": True, "min_length": 16, "description": "Payments"},
        {"name": "MAIL_PORT", "format": "port", "required": False},
        {"name": "DATABASE_URL", "schemes": ["mysql"], "secret": True, "min_length": 12},
    ]
    known = known_variables(own, ["REDIS_URL", "S3_BUCKET"])
    assert set(known) == (NAMES.keys() | {"PAYMENT_KEY", "MAIL_PORT"}) - {"REDIS_URL", "S3_BUCKET"}
    assert (known["DATABASE_URL"].schemes, known["DATABASE_URL"].format) == (("mysql",), "url")
    text = staging_text(known, 18000)
    assert "\n# Payments\nPAYMENT_KEY=\n" in text
    assert "\n#MAIL_PORT=\n" in text
    with pytest.raises(ConfigError, match=r"env\.unused: REDIS is not in \.env\.example"):
        known_variables((), ["REDIS"])
    with pytest.raises(ConfigError, match="PAYMENT_KEY is declared twice"):
        known_variables([own[0], own[0]])


def test_the_tasks_write_say_and_refuse(tmp_path: Path) -> None:
    (tmp_path / "truegate.toml").write_text('[[env.names]]\nname = "PAYMENT_KEY"\nsecret = true\nmin_length = 16\n')
    done = spine.inv("env.init", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (
        0, "wrote .env.staging (mode 0600)\nto be filled in: PAYMENT_KEY\n",
    )  # fmt: skip
    text = (tmp_path / ".env.staging").read_text()
    assert spine.inv("env.init", cwd=tmp_path).returncode == CONFIG
    assert (tmp_path / ".env.staging").read_text() == text
    assert spine.inv("env.init", "--profile", "prod", cwd=tmp_path).returncode == CONFIG
    done = spine.inv("env.example", cwd=tmp_path)
    assert "\nPAYMENT_KEY=\n" in done.stdout
    assert done.stdout.startswith("# What .env.staging and .env.prod hold")
