"""Tasks under a secrets manager, as docs/secrets.md shows them: what it sets is judged, masked, and never repeated."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import env_commands  # type: ignore[import-not-found]
import pytest
from env_commands import Done, run

from truegate.env import known_variables, read_env, staging_text, write_new

FakeTool = Callable[..., Path]
CHECK = "inv env.check --profile staging --from-environment"


COMMANDS = env_commands.block("managers")


@pytest.fixture
def inv(tmp_path: Path) -> Path:
    """Give a folder with the `inv` that the commands name."""
    folder: Path = env_commands.inv_on_path(tmp_path / "bin")
    return folder


def secrets(folder: Path, **changes: str) -> dict[str, str]:
    """Make a profile with new secrets, give what it sets, and leave no file."""
    write_new(folder / "made", staging_text(known_variables(), 18000))
    values = {entry.name: entry.value or "" for entry in read_env(folder / "made")}
    (folder / "made").unlink()
    return values | changes


def managed(command: str, values: Mapping[str, str], tmp_path: Path, inv: Path, fake_tool: FakeTool) -> Done:
    """Run a documented command in an empty folder, with a stand-in whose store holds `values`."""
    store = tmp_path / "store"
    store.write_text("".join(f"{name}={value}\n" for name, value in values.items()))
    manager = fake_tool(command.split(maxsplit=1)[0], "secrets-manager", STORE=str(store))
    target = tmp_path / "target"
    target.mkdir()
    [agent] = re.findall(r"`(exec \{ command = \[.*\] \})`", env_commands.PAGE)
    (target / "staging.hcl").write_text(f"{agent}\n")
    return run(command, target, inv, manager.parent)


def test_the_page_names_those_managers() -> None:
    assert [command.split()[0] for command in COMMANDS] == ["op", "doppler", "vault"]
    assert all(CHECK in command for command in COMMANDS[:2])


@pytest.mark.parametrize("command", COMMANDS)
def test_what_a_manager_sets_is_sound(command: str, tmp_path: Path, inv: Path, fake_tool: FakeTool) -> None:
    done = managed(command, secrets(tmp_path), tmp_path, inv, fake_tool)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("environment: 11 variables, all sound\n")


@pytest.mark.parametrize("command", COMMANDS)
def test_what_a_manager_sets_badly_is_told_by_name(
    command: str, tmp_path: Path, inv: Path, fake_tool: FakeTool
) -> None:
    values = secrets(tmp_path, REVALIDATE_SECRET="Qz7mark", S3_ENDPOINT="Qz7mark")
    del values["S3_REGION"]
    done = managed(command, values, tmp_path, inv, fake_tool)
    assert (done.returncode, done.stdout) == (2, "")
    assert [line.strip() for line in done.stderr.splitlines()[1:-1]] == [
        "environment: S3_ENDPOINT: is no address that begins with http:// or https://",
        "environment: S3_REGION: is missing",
        "environment: REVALIDATE_SECRET: is too short: a secret of at least 32 characters",
    ]
    assert "Qz7mark" not in done.stderr


def test_the_variables_of_ci_need_no_file(tmp_path: Path, inv: Path) -> None:
    done = run(CHECK, tmp_path, inv, **secrets(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")
    assert run(CHECK, tmp_path, inv).returncode == 2
    assert run("inv env.check --from-environment", tmp_path, inv, **secrets(tmp_path)).returncode == 2


def test_what_is_set_is_masked_in_any_task(tmp_path: Path, inv: Path) -> None:
    values = secrets(tmp_path)
    secret = values["REVALIDATE_SECRET"]
    (tmp_path / "truegate.toml").write_text(f'[target]\nname = "shop-{secret}"\n')
    done = run("inv config.show --profile staging", tmp_path, inv, **values)
    assert done.returncode == 0, done.stderr
    assert '"shop-***"' in done.stdout
    assert secret not in done.stdout


def test_the_environment_is_judged_against_the_files_of_other_profiles(tmp_path: Path, inv: Path) -> None:
    values = secrets(tmp_path)
    prod = values | {"TRUEGATE_CONTROLS": "0", "NEXT_PUBLIC_APP_URL": "https://www.shop.test"}
    write_new(tmp_path / ".env.prod", "".join(f"{name}={value}\n" for name, value in prod.items()))
    values["S3_ENDPOINT"] = "https://www.shop.test"
    done = run(CHECK, tmp_path, inv, **values)
    assert done.returncode == 2
    assert (
        "environment: S3_ENDPOINT: names a host of production, that of NEXT_PUBLIC_APP_URL in .env.prod" in done.stderr
    )
    assert "environment: POSTGRES_PASSWORD: is the same secret as POSTGRES_PASSWORD in .env.prod" in done.stderr
