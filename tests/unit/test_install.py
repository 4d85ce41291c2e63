"""Installing a tool: from a lock with hashes, begun again when it was cut short, and never half-done."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import socket
import subprocess
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import spine  # type: ignore[import-not-found]

pytestmark = pytest.mark.slow

WHEEL = "stand_in-1.0-py3-none-any.whl"
FILES = {
    "stand_in-1.0.data/scripts/trivy": '#!/bin/sh\necho "Version: 0.76.0"\n',
    "stand_in-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: stand-in\nVersion: 1.0\n",
    "stand_in-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    "stand_in-1.0.dist-info/RECORD": "",
}
INSTALL = ("tools.install", "--name", "trivy")


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a folder with one wheel, whose program tells Trivy's version."""
    folder = tmp_path_factory.mktemp("wheels")
    with zipfile.ZipFile(folder / WHEEL, "w") as wheel:
        for name, text in FILES.items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr = 0o100755 << 16
            wheel.writestr(entry, text)
    return folder


@pytest.fixture
def kit(tmp_path: Path, wheels: Path) -> Path:
    """Copy the kit, with a lock that asks for that wheel in the place of Trivy's."""
    kit = tmp_path / "kit"
    for name in ("scripts", "schemas"):
        shutil.copytree(spine.KIT / name, kit / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy2(spine.KIT / "tasks.py", kit)
    lock(kit, hashlib.sha256((wheels / WHEEL).read_bytes()).hexdigest())
    return kit


def lock(kit: Path, sha256: str) -> None:
    text = f"stand-in==1.0 --hash=sha256:{sha256}\n"
    (kit / "scripts" / "truegate" / "toolchain" / "trivy" / "requirements.txt").write_text(text)


def offline(wheels: Path) -> dict[str, str]:
    return {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels)}


@pytest.fixture
def silent_index() -> Iterator[socket.socket]:
    """Give an index that takes the call and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(120)
        yield server


def calling(server: socket.socket) -> dict[str, str]:
    address = f"http://127.0.0.1:{server.getsockname()[1]}/simple"
    plain = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    return {**plain, "PIP_INDEX_URL": address, "PIP_RETRIES": "0", "no_proxy": "127.0.0.1"}


def installed(kit: Path) -> Path:
    return kit / ".tools" / "trivy" / "bin" / "trivy"


def test_it_is_installed_once_and_a_wheel_with_another_hash_is_refused(kit: Path, wheels: Path, tmp_path: Path) -> None:
    done = spine.inv(*INSTALL, cwd=tmp_path, env=offline(wheels), kit=kit)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"trivy 0.76.0 {installed(kit)}\n"
    assert f"installing trivy 0.76.0 into {kit}/.tools/trivy" in done.stderr
    again = spine.inv(*INSTALL, cwd=tmp_path, env={"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "/none"}, kit=kit)
    assert (again.returncode, again.stdout, again.stderr) == (0, done.stdout, "")
    lock(kit, "0" * 64)  # another lock: what was installed is not what is asked for
    refused = spine.inv(*INSTALL, cwd=tmp_path, env=offline(wheels), kit=kit)
    assert (refused.returncode, refused.stdout) == (4, "")
    assert "THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE" in refused.stderr
    assert "--require-hashes" in refused.stderr
    assert "it picks up where it stopped" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert not installed(kit).exists()
    assert not (kit / ".tools" / "trivy" / "installed").exists()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_an_installation_that_was_cut_short_is_begun_again(
    number: signal.Signals, kit: Path, wheels: Path, silent_index: socket.socket, tmp_path: Path
) -> None:
    argv = spine.inv_argv(*INSTALL, kit=kit)
    with subprocess.Popen(argv, cwd=tmp_path, env=calling(silent_index), stderr=subprocess.PIPE, text=True) as process:
        call, _ = silent_index.accept()  # pip waits for its answer now
        process.send_signal(number)
        _, errors = process.communicate()
        if number == signal.SIGKILL:
            call.close()  # so that the pip that was left alone ends
        else:
            assert process.returncode == 4
            assert errors.splitlines()[-1].startswith("interrupted: ")
            with call:
                assert b"" in iter(lambda: call.recv(65536), None)  # the other end is closed: pip was ended with us
    silent_index.close()
    assert installed(kit).parent.is_dir()
    assert not installed(kit).exists()
    assert not (kit / ".tools" / "trivy" / "installed").exists()
    missing = spine.inv("tools", cwd=tmp_path, env={"PATH": "/usr/bin:/bin"}, kit=kit)
    assert "trivy was not found on PATH nor under .tools/" in missing.stdout
    done = spine.inv(*INSTALL, cwd=tmp_path, env=offline(wheels), kit=kit)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"trivy 0.76.0 {installed(kit)}\n"


def test_a_tool_that_does_not_run_is_not_taken_for_installed(kit: Path, wheels: Path, tmp_path: Path) -> None:
    path = kit / "scripts" / "truegate" / "tools.toml"
    path.write_text(path.read_text().replace('minimum = "0.58.0"', 'minimum = "9.0.0"'))
    done = spine.inv(*INSTALL, cwd=tmp_path, env=offline(wheels), kit=kit)
    assert done.returncode == 4
    assert f"{installed(kit)} 0.76.0 is older than 9.0.0" in done.stderr
    assert not (kit / ".tools" / "trivy" / "installed").exists()


def test_two_at_once_install_it_once(kit: Path, wheels: Path, tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        runs = list(pool.map(lambda _: spine.inv(*INSTALL, cwd=tmp_path, env=offline(wheels), kit=kit), range(2)))
    assert [done.returncode for done in runs] == [0, 0], [done.stderr for done in runs]
    assert {done.stdout for done in runs} == {f"trivy 0.76.0 {installed(kit)}\n"}


def test_a_kit_that_cannot_be_written_is_told(kit: Path, wheels: Path, tmp_path: Path) -> None:
    before = spine.as_ordinary_user()
    kit.chmod(0o555)
    try:
        done = spine.inv(*INSTALL, cwd=tmp_path, env=offline(wheels), kit=kit, before=before)
    finally:
        kit.chmod(0o755)
    assert done.returncode == 4
    assert f"error: {kit}/.tools can't be written: Permission denied" in done.stderr
    assert "mend the permissions of the kit's folder" in done.stderr
    (kit / ".tools").write_text("a file")
    done = spine.inv(*INSTALL, cwd=tmp_path, env=offline(wheels), kit=kit)
    assert done.returncode == 4
    assert f"{kit}/.tools can't be written: File exists" in done.stderr
    assert "Traceback" not in done.stderr


def test_what_cannot_be_installed_from_here_says_how(tmp_path: Path) -> None:
    done = spine.inv("tools.install", "--name", "snyk", cwd=tmp_path)
    assert done.returncode == 2
    assert "snyk can't be installed from here" in done.stderr
    assert "https://docs.snyk.io" in done.stderr
    done = spine.inv("tools.install", "--name", "trivvy", cwd=tmp_path)
    assert done.returncode == 2
    assert "no tool is named 'trivvy'" in done.stderr


def test_every_lock_of_the_toolchain_pins_with_hashes_and_no_address() -> None:
    locks = sorted((spine.KIT / "scripts" / "truegate" / "toolchain").glob("*/requirements.txt"))
    assert len(locks) >= 2
    for path in locks:
        text = path.read_text()
        assert "==" in text
        assert text.count("--hash=sha256:") >= 1
        assert "://" not in text
