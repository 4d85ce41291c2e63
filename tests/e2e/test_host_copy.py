"""The kit in a repository of another shape: it judges the host's lockfiles, writes under the host, disturbs nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from subprocess import CompletedProcess

import kits  # type: ignore[import-not-found]
import pytest
import support  # type: ignore[import-not-found]

pytestmark = pytest.mark.slow

CONFTEST = """
import pytest
import scripts.deploy


@pytest.fixture
def hosts():
    return scripts.deploy.HOSTS
"""
HOST = {
    "tasks.py": "from invoke import task\n\n\n@task\ndef build(_context):\n    '''Build the service.'''\n",
    "noxfile.py": "import nox\n\n\n@nox.session\ndef release(session):\n    '''Release the service.'''\n",
    "scripts/__init__.py": "",
    "scripts/deploy.py": "HOSTS = [1]\n",
    "tests/conftest.py": CONFTEST,
    "tests/test_deploy.py": "def test_deploy(hosts):\n    assert hosts == [1]\n",
    "pyproject.toml": '[tool.pytest.ini_options]\npythonpath = ["."]\naddopts = ["--strict-markers"]\n',
    "service/requirements.txt": support.FLASK_FIXED,
    "web/package-lock.json": support.npm_lock({"lodash": "4.17.4"}),
}
JUDGED = {"target/pyproject.toml", "target/service/requirements.txt", "target/web/package-lock.json"}


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make the kit's folder, with public advisory data carried into it."""
    place = tmp_path_factory.mktemp("kit")
    made: Path = kits.lend(kits.copy_kit(place / "ops"))
    (place / "db.tar.gz").write_bytes(kits.public_data())
    done = kits.run([made / "run", "security.db.import", "--file", place / "db.tar.gz"], place)
    assert done.returncode == 0, done.stderr
    return made


@pytest.fixture
def host(tmp_path: Path, kit: Path) -> Path:
    """Make a committed repository with its own kit in `ops`."""
    folder: Path = support.write(tmp_path / "host", HOST)
    subprocess.run(["cp", "-al", kit, folder / "ops"], check=True)
    return Path(kits.commit(folder))


def evidence(host: Path, check: str = "sca") -> Path:
    runs = list((host / "evidence" / "security" / check).iterdir())
    assert len(runs) == 1
    return runs[0]


def judged_the_host(host: Path, status: str = "fail") -> None:
    """Hold that one run is kept under the host, that it saw the host's lockfiles alone, and that it says so."""
    run = evidence(host)
    inventory = json.loads((run / "input" / "inventory.json").read_bytes())
    assert {file["path"] for file in inventory["files"]} == JUDGED
    assert json.loads((run / "verdict.json").read_bytes())["status"] == status
    page = (host / "reports" / "security" / "sca" / run.name / "index.html").read_text()
    told = [place for place in inventory["left_out"] if place.startswith("ops") and place.endswith(" (the kit itself)")]
    assert told
    assert all(place in page for place in told)


def changes(host: Path) -> str:
    done = subprocess.run(["git", "status", "--porcelain"], cwd=host, capture_output=True, text=True, check=True)
    return done.stdout


def test_run_judges_the_host_and_leaves_its_tree_alone(host: Path) -> None:
    done = kits.run(["ops/run", "security.sca"], host)
    assert done.returncode == 3, done.stdout + done.stderr
    assert "CVE-2019-10744  lodash 4.17.4" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("report reports/security/sca/")
    judged_the_host(host)
    assert changes(host) == "?? evidence/\n?? reports/\n"


def test_with_nothing_configured_and_nothing_vulnerable_it_passes(host: Path) -> None:
    (host / "web" / "package-lock.json").write_text(support.npm_lock({"lodash": "4.17.21"}))
    done = kits.run(["ops/run", "security.sca"], host)
    assert done.returncode == 0, done.stdout + done.stderr
    judged_the_host(host, "pass")


def test_all_checks_of_a_phase_run_though_the_first_fails(host: Path) -> None:
    (host / "truegate.toml").write_text('[target]\nowner = "Ada"\n')
    done = kits.run(["ops/run", "security", "--quiet"], host)
    assert done.returncode == 3
    first, _, second, _ = done.stdout.splitlines()
    assert first.startswith("security.sca fail ")
    assert second.startswith("security.sbom pass ")
    verified = kits.run(["ops/run", "evidence.verify"], host)
    assert (verified.returncode, "2 runs: 2 sound" in verified.stdout) == (0, True)


def test_inv_with_a_search_root(host: Path) -> None:
    inv = Path(sys.executable).with_name("inv")
    done = kits.run([inv, "--search-root", "ops", "security.sca"], host)
    assert done.returncode == 3, done.stdout + done.stderr
    judged_the_host(host)
    own = kits.run([inv, "--list"], host)
    assert "Build the service." in own.stdout
    assert "security.sca" not in own.stdout


def test_nox_from_the_host(host: Path) -> None:
    nox = Path(sys.executable).with_name("nox")
    done = kits.run([nox, "-f", "ops/noxfile.py", "-s", "security.sca", "--", "--quiet"], host)
    assert done.returncode == 1, done.stdout + done.stderr  # nox knows no other
    assert done.stdout.splitlines()[0].startswith("security.sca fail ")  # --quiet came through
    assert "exit code 3" in done.stderr
    judged_the_host(host)
    assert changes(host) == "?? evidence/\n?? reports/\n"
    assert "- security" in kits.run([nox, "-f", "ops/noxfile.py", "--list"], host).stdout.replace("*", "-")


def test_a_kit_that_a_link_leads_to(tmp_path: Path, kit: Path) -> None:
    folder = kits.commit(support.write(tmp_path / "host", HOST))
    (folder / "ops").symlink_to(kit)
    done = kits.run(["ops/run", "security.sca"], folder)
    assert done.returncode == 3, done.stdout + done.stderr
    judged_the_host(folder)


def test_the_tests_of_the_host_are_its_own(host: Path) -> None:
    done = kits.run([sys.executable, "-m", "pytest", "-p", "no:cacheprovider"], host)
    assert done.returncode == 0, done.stdout
    assert "collected 1 item" in done.stdout
    assert "tests/test_deploy.py ." in done.stdout


def test_an_inv_that_lacks_our_packages_points_to_run(host: Path, tmp_path: Path) -> None:
    lock = tmp_path / "invoke.txt"
    lock.write_text(kits.locked("invoke"))
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    pip = kits.run([python, "-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes", "-r", lock], tmp_path)
    assert pip.returncode == 0, pip.stderr
    done: CompletedProcess[str] = kits.run([python.with_name("inv"), "--search-root", "ops", "security.sca"], host)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: this `inv` lacks cyclonedx, dotenv, ")
    assert done.stderr.endswith("; use ops/run, which makes its own environment\n")
    assert done.stderr.count("\n") == 1
    assert kits.run([python.with_name("inv"), "build"], host).returncode == 0
