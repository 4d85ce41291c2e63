"""The profiles of a target judged together: files, names, values, and what one has to do with another."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

import spine  # type: ignore[import-not-found]
from truegate import runner
from truegate.config import load_config
from truegate.env import known_variables, staging_text, write_new
from truegate.env_check import Checked, check_profiles
from truegate.errors import CONFIG, ConfigError

PORT = 18000
PROD_HOSTS = {
    "DATABASE_URL": "postgres://app:kV9xQ2mB7tLw4ZrN8cYpD3hS@db.shop.test:5432/app",
    "REDIS_URL": "rediss://:hS6gJf5aEukV9xQ2mB7tLw4Z@10.0.0.5/0",
    "S3_ENDPOINT": "https://s3.cloud.test",
    "NEXT_PUBLIC_APP_URL": "https://www.shop.test",
    "TRUEGATE_CONTROLS": "0",
}


def sound(**changes: str | None) -> str:
    """Give a sound profile with new secrets, but for `changes`; None takes a name away."""
    lines = [line for line in staging_text(known_variables(), PORT).splitlines() if line and line[0] != "#"]
    values: dict[str, str | None] = {**dict(line.split("=", 1) for line in lines), **changes}
    return "".join(f"{name}={value}\n" for name, value in values.items() if value is not None)


def value_of(text: str, name: str) -> str:
    return dict(line.split("=", 1) for line in text.splitlines())[name]


def judged(folder: Path, profile: str | None = None, *, config: str = "", **files: str) -> Checked:
    """Write `.env.<name>` for each keyword and check them."""
    (folder / "truegate.toml").write_text(config)
    for name, text in files.items():
        (folder / f".env.{name}").unlink(missing_ok=True)
        write_new(folder / f".env.{name}", text)
    return check_profiles(load_config(str(folder)), profile)


def test_two_sound_profiles_leave_nothing_to_say(tmp_path: Path) -> None:
    checked = judged(tmp_path, staging=sound(), prod=sound(**PROD_HOSTS))
    assert checked.faults == checked.notes == ()
    assert checked.sound == {".env.prod": 11, ".env.staging": 11}


def test_what_could_not_be_looked_for_is_said(tmp_path: Path) -> None:
    notes = "\n".join(judged(tmp_path, staging=sound()).notes)
    assert "hosts of production (no .env.prod" in notes
    assert "the same secret in another profile" in notes
    config = '[env]\nproduction_hosts = ["db.shop.test"]\n'
    assert "hosts of production" not in "\n".join(judged(tmp_path, config=config).notes)
    (tmp_path / ".env.staging").unlink()
    assert judged(tmp_path, prod=sound(**PROD_HOSTS)).notes == (
        "the same secret in another profile (no other is here)",
    )


@pytest.mark.parametrize("profile", [None, "staging", "example", "prod"])
def test_nothing_to_judge_is_an_error(profile: str | None, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"is missing|no \.env\.<profile> is in") as caught:
        judged(tmp_path, profile)
    assert "inv env.init writes .env.staging" in caught.value.next_step


def test_a_named_template_is_judged_as_any_other(tmp_path: Path) -> None:
    checked = judged(tmp_path, "example", example=sound(S3_REGION=None))
    assert checked.faults == (".env.example: S3_REGION: is missing",)


def test_a_profile_that_sets_nothing_is_not_sound(tmp_path: Path) -> None:
    every = ", ".join(f'"{name}"' for name in known_variables())
    checked = judged(tmp_path, config=f"[env]\nunused = [{every}]\n", staging="# nothing\n")
    assert checked.faults == (".env.staging: sets no variable",)


def test_all_faults_are_told_at_once_with_their_lines(tmp_path: Path) -> None:
    text = sound(DATABASE_URL=None, S3_BUCKET="", S3_REGION="change-me", REDIS_URL="redis://:abc@h:0", S3_ENDPOIN="a")
    text += "COLOUR=red\nS3_BUCKET=\n"
    faults = judged(tmp_path, staging=text, prod=sound(TRUEGATE_CONTROLS="1", REVALIDATE_SECRET="short")).faults
    lines = {line.split("=")[0]: number for number, line in enumerate(text.splitlines(), 1)}
    wanted = {
        ".env.staging: DATABASE_URL: is missing",
        f".env.staging:{lines['S3_BUCKET']}: S3_BUCKET: is empty",
        f".env.staging:{lines['S3_BUCKET']}: S3_BUCKET: is set more than once; the last one counts",
        f".env.staging:{lines['S3_REGION']}: S3_REGION: holds a placeholder",
        f".env.staging:{lines['S3_ENDPOIN']}: S3_ENDPOIN: is unknown; did you mean S3_ENDPOINT?",
        f".env.staging:{lines['COLOUR']}: COLOUR: is unknown; declare it in [[env.names]] of truegate.toml",
        f".env.staging:{lines['REDIS_URL']}: REDIS_URL: is too short: a secret of at least 24 characters",
        ".env.prod:10: REVALIDATE_SECRET: is too short: a secret of at least 32 characters",
        ".env.prod:11: TRUEGATE_CONTROLS: must be absent or 0 in production",
    }
    assert wanted <= set(faults)
    assert [fault for fault in set(faults) - wanted if "REDIS_URL: has a port" not in fault] == []
    assert len(faults) == 10


@pytest.mark.parametrize("line", ["MIIEowIBAAKCAQEA7", "abc/def+ghi==", "xyz=1", "1A=x", "A" * 65 + "=x"])
def test_a_line_of_a_pasted_secret_is_not_repeated(line: str, tmp_path: Path) -> None:
    text = sound()
    number = len(text.splitlines()) + 1
    faults = judged(tmp_path, staging=f"{text}{line}\n").faults
    assert faults == (f".env.staging:{number}: no NAME=value with a name of A-Z, 0-9 and _",)


def test_own_names_are_known_and_unused_ones_are_not(tmp_path: Path) -> None:
    config = (
        '[env]\nunused = ["REDIS_URL"]\n[[env.names]]\nname = "PAYMENT_KEY"\nsecret = true\nmin_length = 20\n'
        '[[env.names]]\nname = "MAIL_URL"\nschemes = ["smtps"]\nrequired = false\n'
    )
    faults = judged(tmp_path, config=config, staging=sound(PAYMENT_KEY="tooshort", MAIL_URL="http://mail")).faults
    assert [fault.partition(": ")[2] for fault in faults] == [
        "PAYMENT_KEY: is too short: a secret of at least 20 characters",
        "MAIL_URL: is no address that begins with smtps://",
        "REDIS_URL: is unknown; declare it in [[env.names]] of truegate.toml",
    ]


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620, 0o700, 0o666, 0o4600])
def test_a_mode_that_lets_others_in(mode: int, tmp_path: Path) -> None:
    judged(tmp_path, staging=sound())
    (tmp_path / ".env.staging").chmod(mode)
    [fault] = judged(tmp_path).faults
    assert fault == f".env.staging: mode {mode:04o} lets others in (chmod 600 .env.staging)"
    for narrow in (0o600, 0o400):
        (tmp_path / ".env.staging").chmod(narrow)
        assert judged(tmp_path).faults == ()


def git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True)


def test_a_profile_that_git_tracks(tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    (repository / "service").mkdir(parents=True)
    git(repository, "init", "-q")
    service = repository / "service"  # not at its root
    assert judged(service, staging=sound()).faults == ()
    git(repository, "add", "-f", "service/.env.staging")
    [fault] = judged(service, "staging").faults
    assert fault.startswith(".env.staging: git tracks it (git rm --cached .env.staging, then replace every secret")


def test_a_git_that_does_not_answer_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "output", lambda *_, **__: (-1, "", "git can't be started: No such file"))
    assert "whether git tracks a profile (git did not answer)" in judged(tmp_path, staging=sound()).notes


def test_the_same_secret_in_two_profiles_whatever_it_is_called(tmp_path: Path) -> None:
    staging = sound()
    password = value_of(staging, "POSTGRES_PASSWORD")
    prod = sound(**{**PROD_HOSTS, "DATABASE_URL": f"postgres://app:{password}@db.shop.test/app"})
    assert judged(tmp_path, "staging", staging=staging, prod=prod).faults == (
        ".env.staging:2: POSTGRES_PASSWORD: is the same secret as DATABASE_URL in .env.prod",
    )
    assert [fault.partition(": ")[2] for fault in judged(tmp_path).faults] == [
        "DATABASE_URL: is the same secret as POSTGRES_PASSWORD in .env.staging",
        "POSTGRES_PASSWORD: is the same secret as DATABASE_URL in .env.prod",
    ]


def test_values_that_are_no_secret_may_be_equal(tmp_path: Path) -> None:
    same = {"S3_REGION": "eu-west-1", "S3_BUCKET": "shared", "SNYK_TOKEN": ""}
    assert judged(tmp_path, staging=sound(**same), prod=sound(**(PROD_HOSTS | same))).faults == ()


@pytest.mark.parametrize(
    ("name", "value", "owner"),
    [("S3_ENDPOINT", "https://S3.cloud.test.:443/x", "S3_ENDPOINT in .env.prod"),
     ("NEXT_PUBLIC_APP_URL", "http://db.shop.test", "DATABASE_URL in .env.prod"),
     ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://10.0.0.5:4317", "REDIS_URL in .env.prod"),
     ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://otel.internal.shop.test", "[env] production_hosts")],
)  # fmt: skip
def test_a_host_of_production_in_staging(name: str, value: str, owner: str, tmp_path: Path) -> None:
    config = '[env]\nproduction_hosts = ["*.internal.shop.test"]\n'
    files = {"staging": sound(**{name: value}), "prod": sound(**PROD_HOSTS)}
    [fault] = judged(tmp_path, "staging", config=config, **files).faults
    assert fault.endswith(f": {name}: names a host of production, that of {owner}")
    assert judged(tmp_path, "prod", config=config).faults == ()


def test_a_host_that_both_may_name(tmp_path: Path) -> None:
    files = {"staging": sound(S3_ENDPOINT="https://s3.cloud.test"), "prod": sound(**PROD_HOSTS)}
    assert len(judged(tmp_path, **files).faults) == 1
    assert judged(tmp_path, config='[env]\nshared_hosts = ["*.cloud.test"]\n').faults == ()


def test_a_broken_file_hides_no_fault_of_another(tmp_path: Path) -> None:
    faults = judged(tmp_path, staging=sound(S3_REGION=None), prod='A="open\n').faults
    assert faults == (".env.prod: line 1 can't be read (a quote left open?)", ".env.staging: S3_REGION: is missing")


def test_what_the_environment_sets_otherwise_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("S3_REGION", "eu-west-1")
    assert judged(tmp_path, "staging", staging=sound()).faults == (
        ".env.staging:5: S3_REGION: the environment sets it otherwise, and wins (unset it there)",
    )
    assert judged(tmp_path, "staging", staging=sound(S3_REGION="eu-west-1")).faults == ()


def test_a_file_that_is_only_called_encrypted(tmp_path: Path) -> None:
    (tmp_path / ".env.prod.sops.env").write_text("A=ENC[AES256_GCM,data:x]\nB=\nsops_version=3\nC=plain\n#D=x\n")
    assert judged(tmp_path, staging=sound()).faults == (".env.prod.sops.env:4: is not encrypted",)


@pytest.mark.parametrize("name", ["production_hosts", "shared_hosts"])
@pytest.mark.parametrize("host", ["https://db.shop.test", "db.shop.test:5432", "", "a b"])
def test_a_host_with_more_than_a_host_in_it_is_refused(name: str, host: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=rf"env\.{name}\[0\]: .*is not a host"):
        judged(tmp_path, config=f'[env]\n{name} = ["{host}"]\n', staging=sound())


def test_the_task_tells_names_and_no_value(tmp_path: Path) -> None:
    marks = {"POSTGRES_PASSWORD": "Qz7mark", "S3_ENDPOINT": "Qz7mark://x", "Qz7mark": "Qz7mark", "QZ7": "Qz7mark"}
    (tmp_path / ".env.staging").write_text(sound(**marks) + "Qz7mark\n")
    done = spine.inv("env.check", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (CONFIG, "")
    assert done.stderr.startswith("error: 6 fault(s) in the environment:\n  .env.staging: mode 0")
    assert "Qz7mark" not in done.stderr
    assert "QZ7: is unknown" in done.stderr


def test_the_task_says_what_is_sound(tmp_path: Path) -> None:
    judged(tmp_path, staging=sound(), prod=sound(**PROD_HOSTS))
    done = spine.inv("env", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == ".env.prod: 11 variables, all sound\n.env.staging: 11 variables, all sound\n"
    done = spine.inv("env.check", "--profile", "canary", cwd=tmp_path)
    assert done.returncode == CONFIG
    assert ".env.canary is missing" in done.stderr
