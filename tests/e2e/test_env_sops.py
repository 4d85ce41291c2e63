"""Encrypted profiles with the real sops and age: what goes in comes out, for its key alone, and nothing lies open."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
import support  # type: ignore[import-not-found]
from env_commands import PAGE, Done, block, inv_on_path, run  # type: ignore[import-not-found]

from truegate.env import read_env

pytestmark = pytest.mark.slow

VALUES = {"POSTGRES_PASSWORD": "two \"words\" # and 'more'", "LINES": "first\nsecond", "DOLLAR": "$HOME", "EMPTY": ""}
PLAIN = "# a remark\nexport POSTGRES_PASSWORD='two \"words\" # and \\'more\\''\n"
PLAIN += 'LINES="first\\nsecond"\nDOLLAR=$HOME\nEMPTY=\n'


@pytest.fixture(scope="module")
def programs() -> Path:
    """Build both tools where they lack, once."""
    support.tool("age-keygen")
    return Path(support.tool("sops")).parent


def task(name: str, folder: Path, env: Mapping[str, str] | None = None) -> Done:
    key = {"XDG_CONFIG_HOME": str(folder / "conf")}
    done: Done = support.inv(name, "--target", "t", cwd=folder, env={**key, **(env or {})})
    return done


@pytest.fixture
def target(tmp_path: Path, programs: Path) -> Path:
    """Make a target whose `.env.staging` was encrypted for a new key, and then removed."""
    assert programs.is_dir()
    folder = tmp_path / "t"
    folder.mkdir()
    (folder / ".env.staging").write_text(PLAIN)
    done = task("env.encrypt", tmp_path)
    key = tmp_path / "conf/sops/age/keys.txt"
    assert (done.returncode, done.stdout.splitlines()) == (
        0,
        ["wrote t/.env.staging.sops.env: it may be committed",
         f"key {key} (made now; keep a copy: nothing decrypts without it)"],
    ), done.stderr  # fmt: skip
    assert key.stat().st_mode & 0o7777 == 0o600
    assert (folder / ".env.staging").read_text() == PLAIN
    (folder / ".env.staging").unlink()
    return folder


def decrypted(target: Path, programs: Path, command: str = "env -0") -> dict[str, str]:
    done = run(
        f"sops exec-env .env.staging.sops.env '{command}'",
        target,
        programs,
        XDG_CONFIG_HOME=str(target.parent / "conf"),
    )
    assert done.returncode == 0, done.stderr
    return dict(line.split("=", 1) for line in done.stdout.split("\0") if "=" in line)


def test_what_goes_in_comes_out_and_nothing_lies_open(target: Path, programs: Path) -> None:
    found = decrypted(target, programs)
    assert {name: found[name] for name in VALUES} == VALUES
    text = (target / ".env.staging.sops.env").read_text()
    names = {entry.name for entry in read_env(target / ".env.staging.sops.env") if not entry.name.startswith("sops_")}
    assert names == VALUES.keys()
    for word in ("words", "more", "first", "second", "$HOME", "remark"):
        assert word not in text
    assert not [path for path in target.iterdir() if path.name != ".env.staging.sops.env"]


def test_another_key_does_not_open_it(target: Path, programs: Path) -> None:
    done = run("sops exec-env .env.staging.sops.env env", target, programs, XDG_CONFIG_HOME=str(target / "other"))
    assert done.returncode != 0
    assert "DOLLAR" not in done.stdout


def test_the_key_that_is_there_serves_the_next_profile(target: Path) -> None:
    (target / ".env.staging").write_text("A=1\n")
    done = task("env.encrypt", target.parent)
    assert done.returncode == 2
    assert "is there already" in done.stderr
    (target / ".env.staging.sops.env").unlink()
    done = task("env.encrypt", target.parent)
    assert done.stdout.splitlines()[1].endswith("(it was there)")
    own = target.parent / "own.txt"
    shutil.move(target.parent / "conf/sops/age/keys.txt", own)
    (target / ".env.staging.sops.env").unlink()
    done = task("env.encrypt", target.parent, {"SOPS_AGE_KEY_FILE": str(own)})
    assert done.stdout.splitlines()[1] == f"key {own} (it was there)"


def test_any_task_runs_with_it_and_keeps_its_exit_code(tmp_path: Path, programs: Path) -> None:
    inv = inv_on_path(tmp_path / "bin")
    assert support.inv("env.init", cwd=tmp_path).returncode == 0
    key = {"XDG_CONFIG_HOME": str(tmp_path / "conf")}
    assert support.inv("env.encrypt", cwd=tmp_path, env=key).returncode == 0
    secret = next(e.value for e in read_env(tmp_path / ".env.staging") if e.name == "REVALIDATE_SECRET") or ""
    (tmp_path / ".env.staging").unlink()
    (tmp_path / "truegate.toml").write_text(f'[target]\nname = "shop-{secret}"\n')
    (tmp_path / ".tools").symlink_to(support.KIT / ".tools")  # the page's PATH starts at the kit
    path, check, show = block("sops")
    done = run(f"{path}\n{check}", tmp_path, inv, **key)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("environment: 11 variables, all sound\n")
    done = run(f"{path}\n{show}", tmp_path, inv, **key)
    assert done.returncode == 0, done.stderr
    assert '"shop-***"' in done.stdout
    assert secret not in done.stdout
    assert programs.joinpath("sops").exists()
    assert run(f"{path}\n{check.replace('staging ', 'prod ')}", tmp_path, inv, **key).returncode == 2


def test_editing(target: Path, programs: Path) -> None:
    inv, key = inv_on_path(target.parent / "bin"), {"XDG_CONFIG_HOME": str(target.parent / "conf")}
    edit = next(line for line in PAGE.splitlines() if line.startswith("eval"))
    done = run(edit, target, inv, programs, EDITOR="sed -i s/DOLLAR=.*/DOLLAR=changed/", **key)
    assert done.returncode == 0, done.stderr
    found = decrypted(target, programs)
    assert {name: found[name] for name in VALUES} == {**VALUES, "DOLLAR": "changed"}
    assert run(edit, target, inv, programs, EDITOR="true", **key).returncode == 200
    (target / ".env.staging.sops.env").unlink()
    done = task("env.edit", target.parent)
    assert (done.returncode, done.stdout) == (2, "")
    assert "inv env.encrypt --profile staging makes it" in done.stderr


@pytest.mark.usefixtures("programs")
@pytest.mark.parametrize(
    ("text", "told"),
    [("A='x\\ny'\n", "sops can't hold A as it stands"), ("A=1\nabc/def==\n", "line 2 is no NAME=value"),
     ("A=1\nMIIEowIBAAK\n", "line 2 is no NAME=value"), ("A='x\n", "line 1 can't be read"), (None, "is no file")],
)  # fmt: skip
def test_what_can_not_be_kept_is_refused(text: str | None, told: str, tmp_path: Path) -> None:
    (tmp_path / "t").mkdir()
    if text is not None:
        (tmp_path / "t/.env.staging").write_text(text)
    done = task("env.encrypt", tmp_path)
    assert done.returncode == 2, done.stderr
    assert told in done.stderr
    assert not (tmp_path / "t/.env.staging.sops.env").exists()


def test_the_rules_of_a_team_say_for_whom(tmp_path: Path, programs: Path) -> None:
    keys = [tmp_path / name for name in ("ada.txt", "ci.txt")]
    for key in keys:
        subprocess.run([support.tool("age-keygen"), "-o", key], check=True, capture_output=True)
    public = [re.search(r"age1\w+", key.read_text()) for key in keys]
    names = ",".join(match[0] for match in public if match)
    target = tmp_path / "t"
    target.mkdir()
    (target / ".env.staging").write_text("A=hidden\nB=shown\n")
    rule = f"creation_rules:\n  - path_regex: \\.env\\.staging\\.sops\\.env$\n    age: {names}\n"
    (target / ".sops.yaml").write_text(f"{rule}    encrypted_regex: ^A$\n")
    done = task("env.encrypt", tmp_path, {"SOPS_AGE_KEY_FILE": str(keys[0])})
    assert done.returncode == 2
    assert "sops can't hold B" in done.stderr
    (target / ".sops.yaml").write_text(rule)
    done = task("env.encrypt", tmp_path, {"SOPS_AGE_KEY_FILE": str(keys[0])})
    assert (done.returncode, done.stdout.splitlines()[1]) == (
        0,
        "for those whom .sops.yaml or SOPS_AGE_RECIPIENTS names",
    )
    for key in keys:
        argv: list[str | Path] = [
            programs / "sops",
            "decrypt",
            "--output-type",
            "json",
            target / ".env.staging.sops.env",
        ]
        env = {"PATH": os.environ["PATH"], "SOPS_AGE_KEY_FILE": str(key)}
        found = subprocess.run(argv, env=env, check=True, capture_output=True)
        assert json.loads(found.stdout) == {"A": "hidden", "B": "shown"}


def test_a_broken_encrypted_file_is_no_environment(target: Path, programs: Path) -> None:
    path = target / ".env.staging.sops.env"
    path.write_text(path.read_text().replace("EMPTY=", "EMPTY=planted"))
    key = {"XDG_CONFIG_HOME": str(target.parent / "conf")}
    done = run("sops exec-env .env.staging.sops.env 'echo reached'", target, programs, **key)
    assert done.returncode != 0
    assert "reached" not in done.stdout
