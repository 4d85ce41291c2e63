"""The pipelines to paste: sound by their linters, and their steps run as the hosts would run them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import kits  # type: ignore[import-not-found]
import pytest
import support  # type: ignore[import-not-found]
import yaml

import advisory_servers  # type: ignore[import-not-found]

CI = kits.KIT / "ci"
GITHUB: dict[str, Any] = yaml.safe_load((CI / "github" / "security.yml").read_text())
GITLAB: dict[str, Any] = yaml.safe_load((CI / "gitlab" / "security.yml").read_text())
SARIF: dict[str, Any] = yaml.safe_load((CI / "gitlab" / "sarif.yml").read_text())["security-sarif"]
FILES = sorted(CI.rglob("*.yml"))
SUMMARY_LIMIT_BYTES = 2**20


def steps() -> dict[str, str]:
    """Give the scripts of the GitHub job by the names of their steps."""
    return {step["name"]: step["run"] for step in GITHUB["jobs"]["security"]["steps"] if "run" in step}


def gitlab_script(job: dict[str, Any]) -> str:
    return "\n".join([*job.get("before_script", []), *job["script"]])


def program(name: str, *arguments: str | Path, text: str | None = None) -> CompletedProcess[str]:
    path = Path(sys.executable).with_name(name)
    return subprocess.run([path, *arguments], input=text, capture_output=True, text=True, check=False)


def test_the_github_workflow_has_no_known_weakness(tmp_path: Path) -> None:
    command = ["--offline", "--persona=pedantic", "--no-progress"]
    done = program("zizmor", *command, CI / "github" / "security.yml")
    assert done.returncode == 0, done.stdout
    loose = tmp_path / ".github" / "workflows" / "loose.yml"
    loose.parent.mkdir(parents=True)
    loose.write_text(re.sub(r"@[0-9a-f]{40} # v7\.0\.1", "@main", (CI / "github" / "security.yml").read_text()))
    found = program("zizmor", *command, loose)  # the linter does look
    assert found.returncode != 0
    assert "unpinned-uses" in found.stdout


def test_every_action_is_pinned_to_a_commit_and_says_its_version() -> None:
    text = (CI / "github" / "security.yml").read_text()
    uses = re.findall(r"uses: (.*)", text)
    assert len(uses) == 4
    assert [line for line in uses if not re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line)] == []


@pytest.mark.parametrize(
    ("dialect", "script"),
    [
        *(pytest.param("bash", text, id=name) for name, text in steps().items()),
        pytest.param("sh", gitlab_script(GITLAB["security"]), id="gitlab"),
        pytest.param("sh", gitlab_script(SARIF), id="gitlab sarif"),
    ],
)
def test_shell_steps_are_sound(dialect: str, script: str) -> None:
    known = "KIT=ops\nGITHUB_STEP_SUMMARY=summary\nexport KIT GITHUB_STEP_SUMMARY\n"
    done = program("shellcheck", f"--shell={dialect}", "-", text=known + script)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_paths_into_the_kit_exist(path: Path) -> None:
    text = path.read_text()
    named = re.findall(r"(?:\$KIT|\bops|\{0\})/([\w./*-]+)", text)
    assert named or path.stem == "sarif"
    for name in named:
        assert name.rstrip("/") == ".tools" or any(kits.KIT.glob(name)), name
    assert "allow_failure" not in text
    assert "continue-on-error" not in text


def test_every_task_that_a_pipeline_names_is_there() -> None:
    named = {task for path in FILES for task in re.findall(r'\$KIT/run" ([\w.]+)', path.read_text())}
    assert named == {"tools.install", "security.db.update", "security"}
    inv = Path(sys.executable).with_name("inv")
    listed = kits.run([inv, "--list"], kits.KIT).stdout
    assert all(re.search(rf"[ (]{re.escape(task)}[ )]", listed) for task in named)


@pytest.fixture(scope="module")
def mirror() -> Iterator[str]:
    with advisory_servers.serving(advisory_servers.registry(kits.public_data())) as server:
        yield f"{server.host}/db:2"


@pytest.fixture
def checkout(tmp_path: Path, mirror: str) -> Path:
    """Make a service with an old lodash, the kit in `ops`, and a mirror for the advisory data."""
    settings = f'[target]\nowner = "Ada"\n[security.db]\ntrivy_repositories = ["{mirror}"]\n'
    lock = support.npm_lock({"lodash": "4.17.4"})
    folder = support.write(tmp_path / "service", {"package-lock.json": lock, "truegate.toml": settings})
    kits.lend(kits.copy_kit(folder / "ops"))
    return Path(kits.commit(folder))


def github(checkout: Path, name: str, summary: Path) -> CompletedProcess[str]:
    """Run a step as a runner does."""
    env = {"KIT": "ops", "GITHUB_STEP_SUMMARY": str(summary), "CI": "true", "GITHUB_ACTIONS": "true"}
    return CompletedProcess(name, *_ran(kits.run(["bash", "-e", "-c", steps()[name]], checkout, env)))


def _ran(done: CompletedProcess[str]) -> tuple[int, str, str]:
    return done.returncode, done.stdout, done.stderr


@pytest.mark.slow
def test_github_steps(checkout: Path, tmp_path: Path) -> None:
    summary = tmp_path / "summary.md"
    installed = github(checkout, "Install the scanner and fetch the advisory data", summary)
    assert installed.returncode == 0, installed.stderr
    gate = github(checkout, "Gate", summary)
    assert gate.returncode == 3, gate.stdout + gate.stderr
    first, *middle, last = gate.stdout.splitlines()
    assert re.fullmatch(r"::stop-commands::[0-9a-f]{32}", first)
    assert last == f"::{first.removeprefix('::stop-commands::')}::"
    assert any(line.startswith("security.sca fail ") for line in middle)
    assert github(checkout, "Summary", summary).returncode == 0
    text = summary.read_text()
    assert "security.sca: fail" in text
    assert "CVE-2019-10744" in text
    assert "security.sbom: pass" in text
    patterns = next(step for step in GITHUB["jobs"]["security"]["steps"] if "upload-artifact" in step.get("uses", ""))
    assert all((checkout / name).is_dir() for name in patterns["with"]["path"].split())


@pytest.mark.slow
def test_a_gate_without_advisory_data_stays_inconclusive(checkout: Path, tmp_path: Path) -> None:
    gate = github(checkout, "Gate", tmp_path / "summary.md")
    assert gate.returncode == 4
    assert "Trivy has no advisory data" in gate.stdout


def test_summaries_beyond_the_limit_are_left_out_and_named(tmp_path: Path) -> None:
    for check, size in {"sbom": 900 * 1024, "sca": 900 * 1024, "small": 100}.items():
        support.write(tmp_path, {f"reports/security/{check}/20260101_0000-abcdef/summary.md": "é" * (size // 2)})
    summary = tmp_path / "summary.md"
    assert github(tmp_path, "Summary", summary).returncode == 0
    written = summary.read_bytes()
    assert 900 * 1024 < len(written) < SUMMARY_LIMIT_BYTES
    assert "reports/security/sca/20260101_0000-abcdef/summary.md is in the artefact" in written.decode()
    assert written.decode().count("artefact") == 1


def test_a_summary_step_without_reports_is_no_failure(tmp_path: Path) -> None:
    assert github(tmp_path, "Summary", tmp_path / "summary.md").returncode == 0
    assert not (tmp_path / "summary.md").exists()


@pytest.mark.slow
def test_gitlab_jobs(checkout: Path) -> None:
    gate = kits.run(["sh", "-e", "-c", gitlab_script(GITLAB["security"])], checkout, {"KIT": "ops", "CI": "true"})
    assert gate.returncode == 3, gate.stdout + gate.stderr
    kept = GITLAB["security"]["artifacts"]
    assert kept["when"] == "always"
    assert all((checkout / path).is_dir() for path in kept["paths"])
    assert len(list(checkout.glob(kept["reports"]["junit"]))) == 2

    assert SARIF["needs"] == [{"job": "security", "artifacts": True}]
    published = kits.run(["sh", "-e", "-c", gitlab_script(SARIF)], checkout)
    assert published.returncode == 0, published.stderr
    report = json.loads((checkout / SARIF["artifacts"]["reports"]["sarif"]).read_bytes())
    assert {result["ruleId"] for run in report["runs"] for result in run["results"]}


@pytest.mark.slow
def test_gitlab_publishes_nothing_of_an_inconclusive_run(checkout: Path) -> None:
    gate = kits.run(["ops/run", "security"], checkout)
    assert gate.returncode == 4, gate.stdout
    published = kits.run(["sh", "-e", "-c", gitlab_script(SARIF)], checkout)
    assert published.returncode == 1
    assert published.stderr == "inconclusive: nothing is published\n"
    assert not (checkout / SARIF["artifacts"]["reports"]["sarif"]).exists()
