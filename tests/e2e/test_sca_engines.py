"""One engine, two engines, an unverified one, and reports that were made elsewhere."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import support  # type: ignore[import-not-found]

from truegate import gate
from truegate.advisories import bbolt
from truegate.verify import verify

pytestmark = pytest.mark.slow

OLD = {"requirements.txt": support.FLASK_OLD}
FIXED = {"requirements.txt": support.FLASK_FIXED}
BOTH = ["trivy", "osv-scanner"]
SECRET = "snyk-token-0f8e2d41c9"


@pytest.mark.parametrize("engines", [["trivy"], ["osv-scanner"], BOTH], ids=" and ".join)
def test_each_choice_of_engines_sees_old_fail_and_fixed_pass(engines: list[str], tmp_path: Path) -> None:
    old = support.judge(support.write(tmp_path / "old", OLD), security_sca_engines=engines)
    assert old.verdict.status == "fail"
    [finding] = old.result.findings
    assert finding.ids == ("CVE-2023-30861", "GHSA-m2qf-hxjv-5gpq")
    assert finding.identity == "CVE-2023-30861 pkg:pypi/flask runtime"
    assert finding.tools == tuple(sorted(engines))
    assert finding.upgrade_to == "2.2.5"
    fixed = support.judge(support.write(tmp_path / "fixed", FIXED), security_sca_engines=engines)
    assert fixed.verdict.status == "pass"
    assert [control.id for control in fixed.result.controls] == [f"{engine}: pypi" for engine in engines]
    for done in (old, fixed):
        assert verify(done.run_folder).state == "sound"


def test_every_lockfile_of_the_package_managers_is_judged_alike_by_both(tmp_path: Path) -> None:
    """The matrix of real lockfiles: the same findings in the same places, whichever engine looks."""
    for sample in support.LOCKFILES.iterdir():
        support.sample(sample.name, tmp_path / sample.name)
    files = ["*/requirements-dev.txt"]
    seen = {}
    for engine in BOTH:
        done = support.judge(tmp_path, security_sca_engines=[engine], inventory_dev_files=files)
        assert done.verdict.status == "fail"
        assert "disagree" not in support.codes(done)
        seen[engine] = {
            (finding.identity, place.path, place.version)
            for finding in done.result.findings
            for place in finding.locations
        }
    assert seen["trivy"] == seen["osv-scanner"]
    wanted = {
        (path.parent.name, scope)
        for path in support.LOCKFILES.glob("*/expected.json")
        for key, scope in json.loads(path.read_text())["packages"].items()
        if key == "lodash@4.17.4"
    }
    lodash = {
        (place.partition("/")[0], identity.split()[2]) for identity, place, _ in seen["trivy"] if "lodash" in identity
    }
    assert lodash == wanted
    assert len(wanted) > 25


@pytest.mark.parametrize("spelt", ["zope.interface", "zope-interface", "Zope_Interface"])
def test_a_python_name_is_found_under_each_spelling(spelt: str, tmp_path: Path) -> None:
    """The public database keeps the spelling of the advisory, and Trivy looks for that of the lockfile."""
    also = support.advisories(also=(support.record("ACME-2", "zope.interface", ecosystem="PyPI"),))
    data = Path(shutil.copytree(also, tmp_path / "data"))
    path = data / "trivy/db/trivy.db"
    tree: Any = bbolt.load(path.read_bytes(), "trivy.db")
    names = tree[b"pip::GitHub Security Advisory pip"]
    assert {b"zope.interface", b"zope-interface"} <= names.keys()
    del names[b"zope-interface"]
    path.write_bytes(bbolt.dump(tree))
    done = support.judge(support.write(tmp_path / "t", {"requirements.txt": f"{spelt}==1.0\n"}), data=data)
    assert done.verdict.status == "fail"
    [finding] = done.result.findings
    assert (finding.package, finding.locations[0].line) == ("pkg:pypi/zope-interface", 1)
    assert "disagree" not in support.codes(done)


def test_where_the_engines_disagree_the_report_says_so(tmp_path: Path) -> None:
    osv_only = support.advisories(also=(support.record("ACME-1"),))
    data = tmp_path / "data"
    data.mkdir()
    (data / "trivy").symlink_to(support.advisories() / "trivy")
    (data / "osv").symlink_to(osv_only / "osv")
    files = {"package-lock.json": support.npm_lock({"left": "1.0.0"})}
    done = support.judge(support.write(tmp_path / "t", files), data=data, security_sca_engines=BOTH)
    assert done.verdict.status == "fail"
    assert "only osv-scanner reports ACME-1 in pkg:npm/left" in done.result.notes
    assert done.result.notes[0] == "rests on private and seed advisories alone, not on the public data"


def test_one_engine_without_its_data_stops_the_check(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "trivy").symlink_to(support.advisories() / "trivy")
    for files in (OLD, FIXED):
        done = support.judge(support.write(tmp_path / "t", files), data=data, security_sca_engines=BOTH)
        assert done.verdict.status == "inconclusive"
        assert "osv-scanner has no advisory data in" in support.messages(done)


@pytest.mark.parametrize("engine", BOTH)
def test_data_without_an_ecosystem_says_nothing_about_it(engine: str, tmp_path: Path) -> None:
    data = Path(shutil.copytree(support.advisories(), tmp_path / "data"))
    if engine == "trivy":
        path = data / "trivy/db/trivy.db"
        tree: Any = bbolt.load(path.read_bytes(), "trivy.db")
        del tree[b"pip::GitHub Security Advisory pip"]
        path.write_bytes(bbolt.dump(tree))
    else:
        (data / "osv/osv-scalibr/PyPI/all.zip").unlink()
    files = {**FIXED, "package-lock.json": support.npm_lock({"lodash": "4.17.21"})}
    done = support.judge(support.write(tmp_path / "t", files), data=data, security_sca_engines=[engine])
    assert done.verdict.status == "inconclusive"
    if engine == "trivy":
        assert f"control {engine}: pypi was missed: 0 of at least 4 planted flaws seen" in support.messages(done)
        assert {control.id: control.seen for control in done.result.controls} == {"trivy: npm": 5, "trivy: pypi": 0}


def test_data_dated_after_the_run_means_that_a_clock_is_wrong(tmp_path: Path) -> None:
    tomorrow = f"{support.today() + timedelta(days=1):%Y-%m-%dT%H:%M:%SZ}"
    data = support.advisories(also=(support.record("ACME-1", modified=tomorrow),))
    for engine in BOTH:
        done = support.judge(support.write(tmp_path / engine, FIXED), data=data, security_sca_engines=[engine])
        assert done.verdict.status == "inconclusive"
        assert "clock" in support.codes(done)


def test_a_kept_run_can_be_verified_elsewhere(tmp_path: Path) -> None:
    done = support.judge(support.write(tmp_path / "t", OLD), security_sca_engines=BOTH)
    moved = Path(shutil.move(done.run_folder, tmp_path / "archive/security/sca" / done.run_folder.name))
    shutil.rmtree(tmp_path / "t")
    assert verify(moved).state == "sound"


def snyk(folder: Path, files: Any, stand_in: str, engines: list[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("SNYK_TOKEN", SECRET)
    monkeypatch.setenv("SNYK_CFG_ORG", "somebody")
    programs = {"snyk": str(support.KIT / "tests/fakebin" / stand_in), "trivy": support.tool("trivy")}
    return support.judge(support.write(folder, files), security_sca_engines=engines, tools=programs)


def test_snyk_alone_can_fail_and_never_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = snyk(tmp_path / "old", OLD, "snyk-documented", ["snyk"], monkeypatch)
    assert done.verdict.status == "fail"
    assert "CVE-2023-30861" in support.named(done)
    fixed = snyk(tmp_path / "fixed", FIXED, "snyk-clean", ["snyk"], monkeypatch)
    assert fixed.verdict.status == "inconclusive"
    assert support.codes(fixed) >= {"unlisted", "advisory_age_hours_max"}
    assert any("unverified" in note for note in fixed.result.notes)
    for path in support.files_below(fixed.run_folder, fixed.report.parent):
        assert SECRET.encode() not in path.read_bytes(), path


def test_snyk_beside_trivy_adds_what_it_sees_and_no_public_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engines = ["trivy", "snyk"]
    fixed = snyk(tmp_path / "fixed", FIXED, "snyk-clean", engines, monkeypatch)
    assert fixed.verdict.status == "pass"
    assert fixed.result.notes[0] == "rests on seed and unverified service advisories alone, not on the public data"
    worse = snyk(tmp_path / "worse", FIXED, "snyk-documented", engines, monkeypatch)
    assert worse.verdict.status == "fail"
    assert "only snyk reports CVE-2023-30861 in pkg:pypi/flask" in worse.result.notes
    broken = snyk(tmp_path / "broken", FIXED, "snyk-error", engines, monkeypatch)
    assert broken.verdict.status == "inconclusive"
    assert "Authentication failed" in support.messages(broken)


def elsewhere(folder: Path, files: Any) -> tuple[Path, Path]:
    """Give a target, and a folder with the reports that plain runs of the tools made of it."""
    target, reports = support.write(folder / "target", files), folder / "reports"
    reports.mkdir()
    data, trivy, osv = support.advisories(), support.tool("trivy"), support.tool("osv-scanner")
    scan = (
        f"fs --cache-dir {data}/trivy --skip-db-update --offline-scan --list-all-pkgs --include-dev-deps --format json"
    )
    source = "scan source --offline --all-packages --format json"
    runs: list[tuple[list[str], dict[str, str]]] = [
        ([trivy, *scan.split(), "--output", f"{reports}/trivy.json", "."], {}),
        (
            [osv, *source.split(), "--output-file", f"{reports}/osv-scanner.json", "-r", "."],
            {"OSV_SCALIBR_LOCAL_DB_CACHE_DIRECTORY": f"{data}/osv"},
        ),
    ]
    for argv, env in runs:
        plain = {"PATH": os.environ["PATH"], "HOME": str(folder)}
        subprocess.run(argv, cwd=target, env={**plain, **env}, capture_output=True, check=False)
    told = subprocess.run(
        [trivy, "--version", "--format", "json", "--cache-dir", f"{data}/trivy"], capture_output=True, check=True
    )
    (reports / "trivy-version.json").write_bytes(told.stdout)
    return target, reports


@pytest.mark.parametrize("accept", [False, True])
@pytest.mark.parametrize("engine", BOTH)
def test_a_report_made_elsewhere_can_fail(engine: str, accept: bool, tmp_path: Path) -> None:  # noqa: FBT001
    files = {"web/requirements.txt": support.FLASK_OLD, "api/requirements.txt": support.FLASK_FIXED}
    target, reports = elsewhere(tmp_path, files)
    done = support.judge(target, report=reports, accept_external=accept, security_sca_engines=[engine])
    assert done.verdict.status == "fail"
    [finding] = done.result.findings
    assert [place.path for place in finding.locations] == ["web/requirements.txt"]
    assert done.verdict.qualifier == "external, no control"
    assert verify(done.run_folder).state == "sound"


def test_a_report_made_elsewhere_passes_only_when_accepted_and_young(tmp_path: Path) -> None:
    target, reports = elsewhere(tmp_path, FIXED)
    done = support.judge(target, report=reports)
    assert done.verdict.status == "inconclusive"
    assert support.codes(done) == {"external"}
    given = {"report": reports, "accept_external": True}
    accepted = support.judge(target, **given, security_sca_criteria_accept_private_advisories=False)
    assert (accepted.verdict.status, accepted.verdict.qualifier) == ("pass", "external, no control")
    old = support.judge(target, **given, security_sca_criteria_advisory_age_hours_max=48)
    assert (old.verdict.status, support.codes(old)) == ("inconclusive", {"advisory_age_hours_max"})
    (reports / "trivy-version.json").unlink()
    assert support.codes(support.judge(target, **given)) == {"advisory_age_hours_max"}
    (reports / "trivy.json").unlink()
    gone = support.judge(target, **given)
    assert gone.verdict.status == "inconclusive"
    assert "raw/trivy.json is missing" in support.messages(gone)


def test_an_old_report_is_no_younger_for_a_new_date_beside_it(tmp_path: Path) -> None:
    target, reports = elsewhere(tmp_path, FIXED)
    now = f"{support.today():%Y-%m-%dT%H:%M:%SZ}"
    (reports / "trivy-version.json").write_text(json.dumps({"VulnerabilityDB": {"UpdatedAt": now}}))
    given = {"report": reports, "accept_external": True, "security_sca_criteria_advisory_age_hours_max": 48}
    assert support.judge(target, **given).verdict.status == "pass"
    report = json.loads((reports / "trivy.json").read_bytes())
    (reports / "trivy.json").write_text(json.dumps({**report, "CreatedAt": "2025-01-01T00:00:00Z"}))
    done = support.judge(target, **given)
    assert (done.verdict.status, support.codes(done)) == ("inconclusive", {"advisory_age_hours_max"})


def test_a_report_of_another_state_of_the_target_is_incomplete(tmp_path: Path) -> None:
    target, reports = elsewhere(tmp_path, FIXED)
    (target / "requirements.txt").write_text(support.FLASK_OLD)
    done = support.judge(target, report=reports, accept_external=True)
    assert done.verdict.status == "inconclusive"
    assert "package-unseen" in support.codes(done)


def test_the_screen_says_that_the_report_is_external(tmp_path: Path) -> None:
    target, reports = elsewhere(tmp_path, FIXED)
    (target / "truegate.toml").write_text(support.toml())
    done = support.inv("security.sca", "--from-report", str(reports), "--accept-external", cwd=target)
    assert done.returncode == 0, done.stdout
    assert done.stdout.splitlines()[-2].startswith("security.sca pass (external, no control) ")
    assert support.inv("security.sca", "--from-report", str(reports), cwd=target).returncode == 4
    assert support.inv("security.sca", "--from-report", "nowhere", cwd=target).returncode == 2


def test_no_reason_at_all_is_the_only_way_to_a_pass(tmp_path: Path) -> None:
    done = support.judge(support.write(tmp_path, FIXED))
    assert (done.verdict.status, done.verdict.reasons) == ("pass", ())
    assert gate.status_of(()) == "pass"
