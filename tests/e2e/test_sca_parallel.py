"""Runs at the same time in one target: each has its folder, its verdict and its page, and none disturbs another."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from subprocess import CompletedProcess

import pytest
import support  # type: ignore[import-not-found]

pytestmark = pytest.mark.slow


def test_four_runs_at_once_in_one_target(tmp_path: Path) -> None:
    files = {"requirements.txt": support.FLASK_OLD, "truegate.toml": support.toml()}
    target = support.write(tmp_path, files)
    checks = ["security.sca", "security.sbom", "security.sca", "security.sca"]

    def start(check: str) -> CompletedProcess[str]:
        done: CompletedProcess[str] = support.inv(check, cwd=target)
        return done

    with ThreadPoolExecutor(len(checks)) as pool:
        done = list(pool.map(start, checks))
    assert [one.returncode for one in done] == [3, 0, 3, 3], "\n".join(one.stdout + one.stderr for one in done)
    assert not any("Traceback" in one.stderr for one in done)
    reports = [target / one.stdout.splitlines()[-1].removeprefix("report ") for one in done]
    assert len(set(reports)) == len(checks)
    index = (target / "reports/index.html").read_text()
    assert all(path.is_file() for path in reports)
    assert sum(path.parent.name in index for path in reports) >= 1
    verdicts = [path.parent for path in support.files_below(target / "evidence") if path.name == "verdict.json"]
    assert {json.loads((path / "verdict.json").read_bytes())["run_id"] for path in verdicts} == {
        p.parent.name for p in reports
    }
    assert not [path for path in support.files_below(tmp_path) if path.name.startswith(".") and "json" in path.name]
    verified = support.inv("evidence.verify", cwd=target)
    assert verified.returncode == 0
    assert "4 runs: 4 sound" in verified.stdout


def test_a_run_that_others_share_the_minute_with_keeps_its_name(tmp_path: Path) -> None:
    target = support.write(tmp_path, {"requirements.txt": support.FLASK_FIXED})
    names = {support.judge(target).run_folder.name for _ in range(3)}
    assert len(names) == 3


def test_advisory_data_replaced_during_a_run_is_no_silent_pass(tmp_path: Path) -> None:
    """While runs go on, `security.db.advisories` may put new data in place of the old."""
    data = tmp_path / "data"
    target = support.write(tmp_path / "t", {"requirements.txt": support.FLASK_OLD})
    code = (
        "import sys; from pathlib import Path\n"
        "from truegate.advisories.stores import SEED, compile_private\n"
        "for _ in range(15): compile_private(SEED, Path(sys.argv[1]), 'seed')\n"
    )
    argv = [sys.executable, "-c", code, str(data)]
    env = {"PYTHONPATH": str(support.KIT / "scripts")}
    subprocess.run([*argv], env=env, check=True, capture_output=True)
    with subprocess.Popen(argv, env=env) as other:
        statuses = [support.judge(target, data=data).verdict.status for _ in range(4)]
        assert other.wait() == 0
    assert set(statuses) <= {"fail", "inconclusive"}
    assert support.judge(target, data=data).verdict.status == "fail"
