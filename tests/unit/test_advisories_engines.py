"""The compiled data in the hands of the real engines: each record found where it affects, and nowhere else."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import spine  # type: ignore[import-not-found]

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
RECORDS = ROOT / "scripts/truegate/advisories/records"
SEED = {record["id"]: record for record in (json.loads(path.read_bytes()) for path in sorted(RECORDS.glob("*.json")))}
LOCKFILES = {"npm": "package-lock.json", "PyPI": "requirements.txt"}
TRIVY_WORDS = {"LOW": "LOW", "MODERATE": "MEDIUM", "HIGH": "HIGH", "CRITICAL": "CRITICAL"}

Seen = dict[str, dict[str, Any]]  # of one lockfile: advisory id -> what the engine says of it


@dataclass(frozen=True)
class Case:
    """A lockfile with one package, and whether the advisory `id` affects it."""

    id: str
    ecosystem: str
    name: str
    version: str
    affected: bool


def edges(ecosystem: str, events: Sequence[dict[str, str]]) -> tuple[list[str], list[str]]:
    """Give versions just inside and just outside one range of the seed, pre-releases of its bounds among them."""
    npm = ecosystem == "npm"
    start = events[0]["introduced"]
    inside, outside = [start if start != "0" else "0.0.1"], []
    if start != "0" and "-" not in start:
        outside.append(start + ("-0" if npm else ".dev0"))
    for ((kind, version),) in (event.items() for event in events[1:]):
        if kind == "fixed":
            inside += [] if "-" in version else [version + ("-zz" if npm else "rc1")]
            outside.append(version)
        else:
            head, _, patch = version.rpartition(".")
            inside.append(version)
            outside.append(f"{head}.{int(patch) + 1}" if npm else f"{version}.1")
    return inside, outside


def seed_cases() -> tuple[list[Case], list[Case]]:
    """Give a case for each version inside, and for each outside, of every range of every record."""
    affected, clear = [], []
    for own, record in SEED.items():
        for entry in record["affected"]:
            ecosystem, name = entry["package"]["ecosystem"], entry["package"]["name"]
            if ecosystem in LOCKFILES:
                assert len(entry["ranges"]) == 1
                inside, outside = edges(ecosystem, entry["ranges"][0]["events"])
                affected += [Case(own, ecosystem, name, version, "withdrawn" not in record) for version in inside]
                clear += [Case(own, ecosystem, name, version, affected=False) for version in outside]
    return affected, clear


def pairs(*bounds: tuple[str, ...]) -> list[dict[str, str]]:
    """Give the events of introduced and fixed versions, in the order in which they stand here."""
    kinds = ("introduced", "fixed")
    return [{kind: version} for pair in bounds for kind, version in zip(kinds, pair, strict=False)]


# Where the engines' comparers differ from each other, or from OSV: ecosystem, name, ranges, single versions, and
# which versions are affected.
PRIVATE: tuple[tuple[str, str, list[list[dict[str, str]]], list[str], dict[str, bool]], ...] = (
    ("npm", "every", [pairs(("0",))], [], {"0.0.0-alpha": True, "9.9.9": True}),
    ("npm", "pre", [pairs(("2.0.0-beta.2", "2"))], [],
     {"2.0.0-beta.1": False, "2.0.0-beta.2": True, "2.0.0-rc.1": True, "2.0.0": False}),
    ("npm", "JSONStream", [pairs(("1", "2.0.0"))], [], {"1.0.0": True, "2.0.0": False}),
    ("npm", "@scope/name", [pairs(("1.0.0",))], [], {"1.0.0": True, "0.9.0": False}),
    ("npm", "overlap", [pairs(("0", "1.2.0")), pairs(("1.0.0", "1.5.0"))], [], {"1.2.0": True, "1.5.0": False}),
    ("npm", "listed", [], ["1.2.3"], {"1.2.3": True, "1.2.4": False}),
    ("PyPI", "every.one_of-it", [pairs(("0",))], [], {"0.dev0": True, "2024.1": True}),
    ("PyPI", "bounds", [pairs(("1.0rc1", "2.0"))], [],
     {"1.0b1": False, "1.0rc1": True, "1.5+local": True, "2.0.dev1": True, "2.0rc1": True,
      "2.0": False, "2.0.0": False, "2.0+local": False, "2.0.post1": False}),
    ("PyPI", "shuffled", [pairs(("2.0", "2.6"), ("0", "1.2"))], [],
     {"1.1": True, "1.2": False, "1.9": False, "2.0": True, "2.6": False}),
    ("PyPI", "listed", [], ["1.0", "2.0-1"],
     {"1.0": True, "1.0.0": True, "1.0.1": False, "2.0": False, "2.0.post1": True}),
    ("PyPI", "epoch", [pairs(("1!2.0", "1!3.0"))], [], {"2.5": False, "1!2.5": True, "1!3.0": False}),
    ("PyPI", "Zope.Interface", [pairs(("0", "5.0"))], [], {"4.9": True, "5.0": False}),
)  # fmt: skip
SPELLINGS = {"Zope.Interface": ("zope.interface", "zope-interface", "zope_interface", "ZOPE-interface")}


def private_cases(folder: Path) -> list[Case]:
    folder.mkdir()
    cases = []
    for number, (ecosystem, name, ranges, versions, verdicts) in enumerate(PRIVATE):
        own = f"ACME-{number}"
        entry = {
            "package": {"ecosystem": ecosystem, "name": name},
            "ranges": [{"type": "ECOSYSTEM", "events": events} for events in ranges],
            "versions": versions,
        }
        record = {"id": own, "modified": "2025-01-01T00:00:00Z", "affected": [entry]}
        (folder / f"{own}.json").write_text(json.dumps(record))
        for spelling in (name, *SPELLINGS.get(name, ())):
            cases += [Case(own, ecosystem, spelling, version, affected) for version, affected in verdicts.items()]
    return cases


def write_lockfiles(cases: Sequence[Case], folder: Path) -> None:
    for number, case in enumerate(cases):
        path = folder / str(number) / LOCKFILES[case.ecosystem]
        path.parent.mkdir(parents=True)
        root = {"name": "root", "version": "1.0.0", "dependencies": {case.name: case.version}}
        packages = {"": root, f"node_modules/{case.name}": {"version": case.version}}
        lock = {"name": "root", "version": "1.0.0", "lockfileVersion": 3, "requires": True, "packages": packages}
        path.write_text(json.dumps(lock) if case.ecosystem == "npm" else f"{case.name}=={case.version}\n")


def run(name: str, variable: str, arguments: Sequence[str], work: Path, **env: str) -> Any:
    """Run an engine with a HOME and a working folder of its own, and give its report and exit code."""
    program = Path(os.environ.get(variable) or ROOT / ".tools" / name / "bin" / name)
    if not program.is_file():
        pytest.fail(f"{name} is needed at {program}: run inv tools.install --name {name}, or set {variable}")
    (work / "home").mkdir(parents=True)
    (work / "cwd").mkdir()
    clean = {"PATH": "/usr/bin:/bin", "HOME": str(work / "home")} | env
    done = subprocess.run(
        [program, *arguments], cwd=work / "cwd", env=clean, capture_output=True, text=True, timeout=300, check=False
    )
    assert (work / "cwd" / "report.json").is_file(), done.stderr
    return json.loads((work / "cwd" / "report.json").read_bytes()), done.returncode


def trivy(cases: Sequence[Case], out: Path, work: Path) -> list[Seen]:
    write_lockfiles(cases, work / "src")
    arguments = ["fs", "--cache-dir", str(out / "trivy"), "--skip-db-update", "--offline-scan", "--skip-version-check"]
    arguments += ["--disable-telemetry", "--scanners", "vuln", "--include-dev-deps", "--format", "json"]
    arguments += ["--output", "report.json", str(work / "src")]
    report, code = run("trivy", "TRUEGATE_TEST_TRIVY", arguments, work)
    assert code == 0
    results = {result["Target"]: result for result in report["Results"]}
    assert len(results) == len(cases)
    seen = []
    for number, case in enumerate(cases):
        result = results[f"{number}/{LOCKFILES[case.ecosystem]}"]
        assert [(package["Name"], package["Version"]) for package in result["Packages"]] == [(case.name, case.version)]
        rows = result.get("Vulnerabilities", [])
        seen.append({own: row for row in rows for own in (row["VulnerabilityID"], *row.get("VendorIDs", []))})
    return seen


def osv_scanner(cases: Sequence[Case], out: Path, work: Path) -> list[Seen]:
    write_lockfiles(cases, work / "src")
    (work / "empty.toml").touch()
    arguments = ["scan", "source", "--offline", "--all-packages", "--no-ignore", "--config", str(work / "empty.toml")]
    arguments += ["--format", "json", "--output-file", "report.json", "--recursive", str(work / "src")]
    place = {"OSV_SCALIBR_LOCAL_DB_CACHE_DIRECTORY": str(out / "osv")}
    report, code = run("osv-scanner", "TRUEGATE_TEST_OSV_SCANNER", arguments, work, **place)
    assert code in {0, 1}
    results = {result["source"]["path"]: result["packages"] for result in report["results"]}
    assert len(results) == len(cases)
    seen = []
    for number, case in enumerate(cases):
        (row,) = results[str(work / "src" / str(number) / LOCKFILES[case.ecosystem])]
        assert row["package"]["version"] == case.version
        seen.append({record["id"]: record for record in row.get("vulnerabilities", [])})
    return seen


@pytest.fixture(scope="module")
def seed_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("seed") / "out"
    spine.compile_into(out, RECORDS)
    return out


ENGINES = pytest.mark.parametrize("engine", [trivy, osv_scanner])
Engine = Callable[[Sequence[Case], Path, Path], list[Seen]]


@ENGINES
def test_each_seed_record_is_found_at_the_edges_of_its_ranges_and_not_beyond(
    engine: Engine, seed_data: Path, tmp_path: Path
) -> None:
    inside, outside = seed_cases()
    assert {case.id for case in inside} == set(SEED)
    found = engine(inside, seed_data, tmp_path / "inside")
    assert [case for case, seen in zip(inside, found, strict=True) if (case.id in seen) is not case.affected] == []
    found = engine(outside, seed_data, tmp_path / "outside")
    assert [case for case, seen in zip(outside, found, strict=True) if case.id in seen] == []


@ENGINES
def test_private_records_are_matched_as_osv_defines_it(engine: Engine, tmp_path: Path) -> None:
    cases = private_cases(tmp_path / "records")
    spine.compile_into(tmp_path / "out", tmp_path / "records")
    found = engine(cases, tmp_path / "out", tmp_path / "work")
    assert [case for case, seen in zip(cases, found, strict=True) if (case.id in seen) is not case.affected] == []


def test_trivy_tells_severity_key_cwe_title_fix_and_source_of_each_record(seed_data: Path, tmp_path: Path) -> None:
    cases = [case for case in seed_cases()[0] if case.affected]
    for case, seen in zip(cases, trivy(cases, seed_data, tmp_path), strict=True):
        row, record = seen[case.id], SEED[case.id]
        assert row["VulnerabilityID"] == (record["aliases"] or [case.id])[0]
        assert row["Severity"] == TRIVY_WORDS[record["database_specific"]["severity"]]
        assert row["SeveritySource"] == row["DataSource"]["ID"] == "ghsa"
        assert row["DataSource"]["Name"] == "OSV records, compiled privately"
        assert row["Title"] == record["summary"]
        assert row["PublishedDate"] == record["published"]
        assert row["CweIDs"] == sorted(record["database_specific"]["cwe_ids"])
        entries = [entry for entry in record["affected"] if entry["package"]["name"] == case.name]
        fixes = [event["fixed"] for e in entries for event in e["ranges"][0]["events"] if "fixed" in event]
        assert row.get("FixedVersion", "") == ", ".join(fixes)
        vectors = {item["score"] for item in record["severity"]}
        assert vectors <= set(row.get("CVSS", {}).get("ghsa", {}).values())


def test_osv_scanner_shows_what_marks_malware_and_the_word_of_each_record(seed_data: Path, tmp_path: Path) -> None:
    cases = [case for case in seed_cases()[0] if case.affected]
    for case, seen in zip(cases, osv_scanner(cases, seed_data, tmp_path), strict=True):
        assert seen[case.id]["database_specific"] == SEED[case.id]["database_specific"]
        assert seen[case.id].get("aliases", []) == SEED[case.id]["aliases"]


def test_a_severity_that_no_record_tells_is_unknown_and_never_dropped(tmp_path: Path) -> None:
    cases = [case for case in private_cases(tmp_path / "records") if case.affected]
    spine.compile_into(tmp_path / "out", tmp_path / "records")
    for case, seen in zip(cases, trivy(cases, tmp_path / "out", tmp_path / "work"), strict=True):
        assert (seen[case.id]["Severity"], seen[case.id].get("SeveritySource")) == ("UNKNOWN", None)
