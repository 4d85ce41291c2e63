"""The target never steers the judge: what lies in it, in HOME or in the environment is named, and changes nothing."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import support  # type: ignore[import-not-found]

pytestmark = pytest.mark.slow

CVE, GHSA = "CVE-2023-30861", "GHSA-m2qf-hxjv-5gpq"  # of flask 2.2.4
OSV_CONFIG = (
    f'[[IgnoredVulns]]\nid = "{GHSA}"\nreason = "because"\n'
    '[[PackageOverrides]]\nname = "flask"\necosystem = "PyPI"\nignore = true\nreason = "because"\n'
)
PLANTED = {
    "trivy.yaml": 'scan:\n  skip-files: ["**/requirements.txt"]\nseverity: [LOW]\n',
    "trivy.yml": 'scan:\n  skip-files: ["**/requirements.txt"]\n',
    ".trivyignore": f"{CVE}\n{GHSA}\n",
    ".trivyignore.yaml": f"vulnerabilities:\n  - id: {CVE}\n",
    ".trivyignore.yml": f"vulnerabilities:\n  - id: {CVE}\n",
    ".trivyignore.rego": "package trivy\ndefault ignore = true\n",
    "osv-scanner.toml": OSV_CONFIG,
    ".snyk": f"ignore:\n  {CVE}: []\n",
    ".npmrc": "audit-level=none\nomit=prod\n",
    ".yarnrc.yml": 'npmAuditIgnoreAdvisories: ["*"]\n',
}
UNNAMED = {".gitignore": "requirements.txt\n", ".ignore": "*\n"}
VARIABLES = {
    "TRIVY_SEVERITY": "LOW",
    "TRIVY_SKIP_FILES": "**/requirements.txt",
    "TRIVY_SKIP_DIRS": "**/target",
    "TRIVY_SCANNERS": "secret",
    "TRIVY_EXIT_CODE": "0",
    "TRIVY_IGNORE_UNFIXED": "true",
    "TRIVY_FORMAT": "cyclonedx",
    "TRIVY_LIST_ALL_PKGS": "false",
    "TRIVY_QUIET": "true",
    "OSV_SCALIBR_LOCAL_DB_CACHE_DIRECTORY": "/nonexistent",
    "OSV_SCANNER_LOCAL_DB_CACHE_DIRECTORY": "/nonexistent",
    "SNYK_CFG_ORG": "somebody",
}


def judged(target: Path, requirements: str, engines: Sequence[str], **env: str) -> dict[str, Any]:
    """Judge with the real command line; gives the verdict, the notes and the screen."""
    osv = f'osv-scanner = "{support.tool("osv-scanner")}"\n'
    config = support.toml(more=f"[security.sca]\nengines = {json.dumps(list(engines))}\n")
    config = config.replace("[security.db]", osv + "[security.db]")
    for folder in ("", "services/web/"):
        support.write(target, {f"{folder}requirements.txt": requirements, "truegate.toml": config})
    done = support.inv("security.sca", cwd=target, env=env)
    folder = support.run_folder(target)
    assert "Traceback" not in done.stderr
    verdict = json.loads((folder / "verdict.json").read_bytes())
    result = json.loads((folder / "result.json").read_bytes())
    return {
        "code": done.returncode,
        "screen": done.stdout,
        "notes": result["notes"],
        "judged": [verdict["status"], *(reason["code"] for reason in verdict["reasons"])],
        "findings": result["findings"],
    }


@pytest.mark.parametrize(("requirements", "code"), [(support.FLASK_OLD, 3), (support.FLASK_FIXED, 0)])
def test_nothing_planted_changes_the_verdict_and_all_is_named(requirements: str, code: int, tmp_path: Path) -> None:
    engines = ["trivy", "osv-scanner"]
    plain = judged(tmp_path / "plain", requirements, engines)
    assert plain["code"] == code, plain["screen"]
    assert not [note for note in plain["notes"] if note.startswith("not obeyed")]

    target, home = tmp_path / "planted", tmp_path / "home"
    for folder in ("", "services/web/"):
        support.write(target, {folder + name: text for name, text in {**PLANTED, **UNNAMED}.items()})
    support.write(home, {**PLANTED, ".config/trivy.yaml": PLANTED["trivy.yaml"]})
    named = {**VARIABLES, "TRIVY_CONFIG": str(target / "trivy.yaml"), "TRIVY_IGNOREFILE": str(target / ".trivyignore")}
    steered = judged(target, requirements, engines, HOME=str(home), XDG_CONFIG_HOME=str(home / ".config"), **named)
    assert steered["code"] == code
    assert steered["findings"] == plain["findings"]
    assert steered["judged"] == plain["judged"]
    places = {folder + name for name in PLANTED for folder in ("", "services/web/")} | {f"${name}" for name in named}
    told = {note.split()[2] for note in steered["notes"] if note.startswith("not obeyed: ")}
    assert told == places
    assert all("truegate.toml or waivers.toml" in note for note in steered["notes"] if note.startswith("not obeyed"))


def bare(argv: Sequence[str], cwd: Path, **env: str) -> str:
    """Run a tool as people run it, by itself, in the target."""
    plain = {"PATH": os.environ["PATH"], "HOME": str(cwd)}
    done = subprocess.run(argv, cwd=cwd, env={**plain, **env}, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def test_what_was_planted_would_have_steered_the_bare_tools(tmp_path: Path) -> None:
    """Else the test above would hold for plants that nobody obeys."""
    data = support.advisories()
    target = Path(support.write(tmp_path, {"requirements.txt": support.FLASK_OLD}))
    trivy = [support.tool("trivy"), "fs", "--cache-dir", str(data / "trivy"), "--skip-db-update", "--offline-scan", "."]
    osv = [support.tool("osv-scanner"), "scan", "source", "--offline", "--lockfile", "requirements.txt"]
    local = {"OSV_SCALIBR_LOCAL_DB_CACHE_DIRECTORY": str(data / "osv")}
    assert CVE in bare(trivy, target)
    assert GHSA in bare(osv, target, **local)
    for name in ("trivy.yaml", ".trivyignore"):
        (target / name).write_text(PLANTED[name])
        assert CVE not in bare(trivy, target)
        (target / name).unlink()
    for name in ("TRIVY_SEVERITY", "TRIVY_SKIP_FILES", "TRIVY_SCANNERS"):
        assert CVE not in bare(trivy, target, **{name: VARIABLES[name]})
    (target / "osv-scanner.toml").write_text(OSV_CONFIG)
    assert "No issues found" in bare(osv, target, **local)


def test_a_configuration_that_brings_its_own_tools_and_data_is_told(tmp_path: Path) -> None:
    """It is the team's own file, but a change that swaps the judge should be seen by who reads the report."""
    files = {"requirements.txt": support.FLASK_FIXED, "truegate.toml": support.toml()}
    done = support.inv("security.sca", cwd=support.write(tmp_path, files))
    assert done.returncode == 0
    assert "security.db.dir: set by truegate.toml:7" in done.stdout
    assert "tools: set by truegate.toml:4" in done.stdout


@pytest.mark.parametrize("name", ["osv-scanner.toml", ".trivyignore", "trivy.yaml"])
def test_a_requirements_file_that_includes_a_tools_configuration_gains_nothing(name: str, tmp_path: Path) -> None:
    """What is included is copied beside the lockfile, where osv-scanner would look for its configuration."""
    requirements = f"{support.FLASK_OLD}-r {name}\n"
    target = support.write(tmp_path, {"requirements.txt": requirements, name: PLANTED[name]})
    done = support.judge(target, security_sca_engines=["trivy", "osv-scanner"])
    assert done.verdict.status in {"fail", "inconclusive"}
    [flask] = [finding for finding in done.result.findings if finding.package == "pkg:pypi/flask"]
    assert CVE in flask.ids
    assert f"not obeyed: {name} (move what it means to truegate.toml or waivers.toml)" in done.result.notes


def test_a_package_called_like_a_folder_that_trivy_skips_is_judged(tmp_path: Path) -> None:
    folders = ("proc", "sys", "dev", "vendor", "test/fixtures", ".hidden", "dist", "target", "control", "listed")
    target = support.write(tmp_path, {f"{folder}/requirements.txt": support.FLASK_OLD for folder in folders})
    done = support.judge(target)
    assert done.verdict.status == "fail"
    [finding] = done.result.findings
    assert {location.path for location in finding.locations} == {f"{folder}/requirements.txt" for folder in folders}
    assert "package-unseen" not in support.codes(done)
