"""`run`: makes the environment from any folder, for anyone, again where it was cut short, and says what is wrong."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import kits  # type: ignore[import-not-found]
import pytest

pytestmark = pytest.mark.slow

HELLO = "from invoke import task\n\n\n@task\ndef hello(_context):\n    print('hello')\n"
NOBODY = 65534
COMMANDS = ("sh", "readlink", "uname", "cmp", "ls", "rm", "mkdir", "cp", "flock")


def small(place: Path, *packages: str) -> Path:
    """Make a kit with one task that needs invoke alone: the script under test is the real one."""
    (place / "requirements").mkdir(parents=True)
    (place / "scripts").mkdir()
    (place / "requirements" / "security.txt").write_text(kits.locked("invoke", *packages))
    (place / "tasks.py").write_text(HELLO)
    shutil.copy2(kits.KIT / "run", place / "run")
    return place


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """Make a folder for PATH with the commands that the script needs, and no Python."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in COMMANDS:
        found = shutil.which(name)
        assert found, name
        (folder / name).symlink_to(found)
    return folder


def pretend(folder: Path, name: str, lie: str) -> None:
    """Put a Python into `folder` that answers the script's question after `lie`, a line of Python."""
    code = f"import sys; {lie}; exec(sys.argv[1])"
    (folder / name).write_text(
        f'#!/bin/sh\n[ "$1" = -c ] || exec {sys.executable} "$@"\nexec {sys.executable} -c "{code}" "$2"\n'
    )
    (folder / name).chmod(0o755)


OLD = "sys.version_info = (3, 9, 2)"
NO_VENV = "sys.modules['ensurepip'] = None"


def refused(kit: Path, env: dict[str, str], *said: str) -> None:
    done = kits.run([kit / "run", "hello"], kit, env)
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stderr.startswith("error: ") or "\nerror: " in done.stderr
    for text in said:
        assert text in done.stderr
    assert "Traceback" not in done.stderr


def test_a_fresh_copy_with_spaces_in_its_path_through_a_link_and_without_home(tmp_path: Path) -> None:
    kit = kits.copy_kit(tmp_path / "a b" / "ops")
    (tmp_path / "link").symlink_to(kit / "run")
    env = {"PATH": os.environ["PATH"], **{k: v for k, v in os.environ.items() if k.startswith("PIP_")}}
    for first in (True, False):
        done = subprocess.run(
            [tmp_path / "link", "--list"], cwd=tmp_path, env=env, capture_output=True, text=True, check=True
        )
        assert "security.sca " in done.stdout
        assert ("installing" in done.stderr) is first
    assert "dev" not in {path.name.removeprefix("lock-") for path in (kit / ".venv").glob("lock-*")}


def test_no_python_at_all(tmp_path: Path, bare: Path) -> None:
    kit = small(tmp_path / "kit")
    refused(kit, {"PATH": str(bare)}, "no Python 3.11 or newer was found: none is on PATH; install one", "PYTHON=")
    assert not (kit / ".venv").exists()


def test_what_each_python_lacks_is_said(tmp_path: Path, bare: Path) -> None:
    kit = small(tmp_path / "kit")
    pretend(bare, "python3", OLD)
    pretend(bare, "python3.12", NO_VENV)
    refused(
        kit, {"PATH": str(bare)}, "python3 is 3.9;", "python3.12 has no venv module", "apt-get install python3-venv"
    )
    refused(kit, {"PYTHON": "/nowhere/python"}, "/nowhere/python does not run;")


def test_a_later_python_that_will_do_is_taken_and_one_with_spaces_can_be_named(tmp_path: Path, bare: Path) -> None:
    pretend(bare, "python3", OLD)
    pretend(bare, "python3.13", "pass")
    done = kits.run([small(tmp_path / "kit") / "run", "hello"], tmp_path, {"PATH": str(bare)})
    assert done.stdout == "hello\n", done.stderr
    pretend(bare, "my python", "pass")
    named = kits.run([small(tmp_path / "named") / "run", "hello"], tmp_path, {"PYTHON": str(bare / "my python")})
    assert named.stdout == "hello\n", named.stderr


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    kit = small(tmp_path / "kit")
    for command, folder in {"demo": "examples", "tests": "tests", "bench": "benchmarks"}.items():
        done = kits.run([kit / "run", command], kit)
        assert done.returncode == 2
        assert f"{kit}/{folder} is missing: `./run {command}` is for Truegate's own repository" in done.stderr
    (kit / "requirements" / "security.txt").unlink()
    refused(kit, {}, "requirements/security.txt is missing: copy requirements/")


def test_an_environment_that_someone_else_made_is_left_alone(tmp_path: Path) -> None:
    kit = small(tmp_path / "kit")
    (kit / ".venv" / "bin").mkdir(parents=True)
    (kit / ".venv" / "precious").touch()
    refused(kit, {}, ".venv is not of this script's making: move it away")
    assert (kit / ".venv" / "precious").exists()


def test_no_network_then_network(tmp_path: Path) -> None:
    kit = small(tmp_path / "kit")
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    offline = {"PIP_INDEX_URL": f"http://127.0.0.1:{port}/simple", "PIP_RETRIES": "0", "PIP_EXTRA_INDEX_URL": ""}
    refused(kit, offline, "could not be installed: see above (does this machine reach a package index?)")
    done = kits.run([kit / "run", "hello"], kit)
    assert done.stdout == "hello\n", done.stderr
    assert "making" in done.stderr  # begun again, not mended


def test_a_changed_lock_gives_that_lock_and_nothing_beside_it(tmp_path: Path) -> None:
    kit = small(tmp_path / "kit", "tabulate")
    assert kits.run([kit / "run", "hello"], kit).stdout == "hello\n"
    assert list((kit / ".venv").glob("lib/*/site-packages/tabulate"))
    (kit / "requirements" / "security.txt").write_text(kits.locked("invoke"))
    moved = kit.rename(tmp_path / "moved kit")  # its programs' first lines lead nowhere now
    done = kits.run([moved / "run", "hello"], moved)
    assert done.stdout == "hello\n", done.stderr
    assert list((moved / ".venv").glob("lib/*/site-packages/invoke"))
    assert not list((moved / ".venv").glob("lib/*/site-packages/tabulate"))
    again = moved.rename(tmp_path / "moved again")
    done = kits.run([again / "run", "hello"], again)
    assert (done.stdout, done.stderr) == ("hello\n", "")


def test_two_at_the_same_time(tmp_path: Path) -> None:
    kit = small(tmp_path / "kit")
    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(lambda _: kits.run([kit / "run", "hello"], kit), range(2)))
    assert [one.stdout for one in done] == ["hello\n"] * 2, [one.stderr for one in done]
    assert sum("making" in one.stderr for one in done) == 1


def test_killed_while_it_installs_and_another_waits(tmp_path: Path) -> None:
    kit = small(tmp_path / "kit")
    with socket.create_server(("127.0.0.1", 0)) as silent:  # an index that takes the call and says nothing
        silent.settimeout(120)
        env = {**os.environ, "PIP_INDEX_URL": f"http://127.0.0.1:{silent.getsockname()[1]}/simple"}
        first = subprocess.Popen([kit / "run", "hello"], env=env, stderr=subprocess.DEVNULL, start_new_session=True)
        with silent.accept()[0]:
            second = subprocess.Popen([kit / "run", "hello"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            assert second.stderr
            assert second.stderr.readline() == f"waiting for another ./run that makes {kit}/.venv\n"
            os.killpg(first.pid, signal.SIGKILL)
            first.wait()
        said, told = second.communicate()
    assert said == "hello\n", told
    assert "making" in told


def test_the_host_shadows_nothing(tmp_path: Path) -> None:
    """Neither modules in the working directory nor what PYTHONPATH and pip's settings add reach the kit."""
    kit, host = small(tmp_path / "kit"), tmp_path / "host"
    (host / "invoke").mkdir(parents=True)
    (host / "invoke" / "__init__.py").write_text("raise SystemExit('the host was imported')\n")
    done = kits.run([kit / "run", "hello"], host, {"PYTHONPATH": str(host), "PYTHONHOME": "/nowhere", "PIP_USER": "1"})
    assert done.stdout == "hello\n", done.stderr


@pytest.fixture
def public() -> Iterator[Path]:
    """Make a folder that every user can read."""
    folder = Path(tempfile.mkdtemp(prefix="truegate-public-"))
    folder.chmod(0o755)
    yield folder
    for path in (folder / "kit", folder / "kit" / ".venv"):
        path.chmod(0o755)  # a test may have made them read-only
    shutil.rmtree(folder)


def ordinary_user() -> tuple[int | None, str]:
    """Give a user that is not root, None for the present one, and a Python that this user can start."""
    user = NOBODY if os.geteuid() == 0 else None
    for name in (sys.executable, "/usr/bin/python3", "/usr/local/bin/python3"):
        question = "import ensurepip, sys; sys.exit(sys.version_info < (3, 11))"
        try:
            if kits.run([name, "-c", question], Path("/"), user=user).returncode == 0:
                return user, name
        except PermissionError:
            continue
    pytest.skip("no Python 3.11 or newer that an ordinary user can start")


def test_an_ordinary_user(public: Path) -> None:
    user, python = ordinary_user()
    kit = small(public / "kit")
    env = {"HOME": "/nonexistent", "PYTHON": python}
    kit.chmod(0o555)
    done = kits.run([kit / "run", "hello"], public, env, user=user)
    assert done.returncode == 2
    assert done.stderr.endswith(f"{kit}/.venv can't be written: mend the permissions of {kit}, or copy the kit to a "
                                "folder of your own\n")  # fmt: skip
    kit.chmod(0o777)
    done = kits.run([kit / "run", "hello"], public, env, user=user)
    assert done.stdout == "hello\n", done.stderr
    for folder in (kit, kit / ".venv"):
        folder.chmod(0o555)
    done = kits.run([kit / "run", "hello"], public, env, user=user)  # read-only, but complete
    assert (done.stdout, done.stderr) == ("hello\n", "")
