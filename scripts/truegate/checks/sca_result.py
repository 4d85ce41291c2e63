"""Join what the engines reported with our own reading of the lockfiles. Pure on the run folder."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from truegate import jsonio
from truegate.checks.findings import merge
from truegate.checks.inputs import read_copies
from truegate.checks.witness import compare
from truegate.inventory.records import Inventory
from truegate.model import Control, Measurement, Meta, Policy, Reason, Result
from truegate.parsers import osv_scanner, snyk, trivy
from truegate.parsers.engine import EngineReport

NOT_LOOKED = ("operating system packages", "container images", "vendored code without a lockfile", "licences")
CLOCK_SLACK = timedelta(hours=1)


def derive(folder: Path, meta: Meta, policy: Policy) -> Result:
    """Give the result of a `security.sca` run; raises ReportError when a raw report can't be read."""
    settings = policy.settings or {}
    inventory, problems, left_out = read_copies(folder, settings["inventory.dev_files"])
    controls = jsonio.load(folder / "input" / "control.json")
    reports = [_PARSERS[engine](folder, meta) for engine in settings["security.sca.engines"]]
    findings, join_notes = merge(reports, inventory)
    looked, unseen = compare(reports, inventory)
    age, source, data_problems, data_notes = _advisories(folder, meta, reports)
    steering = (meta.facts or {}).get("steering") or []
    return Result(
        kind="findings",
        looked=looked,
        not_looked=(*NOT_LOOKED, *(f"left out: {path}" for path in left_out)),
        controls=tuple(_controls(reports, controls, inventory)) if not meta.external else (),
        findings=findings,
        measurements=(age, source),
        problems=(*problems, *inventory.problems, *unseen, *data_problems, *_exit_problems(meta, reports)),
        notes=(
            *data_notes,
            *join_notes,
            *(f"not obeyed: {name} (move what it means to truegate.toml or waivers.toml)" for name in steering),
            *(f"withdrawn, not counted: {name}" for report in reports for name in report.withdrawn),
        ),
    )


def _parse_trivy(folder: Path, _meta: Meta) -> EngineReport:
    return trivy.parse(jsonio.load(folder / trivy.REPORT, trivy.REPORT))


def _parse_osv(folder: Path, meta: Meta) -> EngineReport:
    step = next((step for step in meta.steps if step.name == "osv-scanner"), None)
    lockfiles = [part for part in step.argv if "/input/" in part] if step else []
    root = lockfiles[0].partition(":")[2].partition("/input/")[0] + "/input" if lockfiles else str(folder / "input")
    return osv_scanner.parse(jsonio.load(folder / osv_scanner.REPORT, osv_scanner.REPORT), root)


def _parse_snyk(folder: Path, _meta: Meta) -> EngineReport:
    return snyk.parse(jsonio.load(folder / snyk.REPORT, snyk.REPORT))


_PARSERS: Mapping[str, Callable[[Path, Meta], EngineReport]] = {
    "trivy": _parse_trivy,
    "osv-scanner": _parse_osv,
    "snyk": _parse_snyk,
}


def _controls(reports: Sequence[EngineReport], controls: Any, inventory: Inventory) -> Iterable[Control]:
    """Count the planted flaws that each engine caught, per ecosystem."""
    used = {reading.ecosystem for reading in inventory.readings}
    for report in reports:
        for ecosystem, row in sorted(controls.items()):
            if ecosystem not in used:
                continue
            caught = {i for hit in report.hits if hit.path == f"control/{row['path']}" for i in hit.ids}
            seen = sum(not caught.isdisjoint(ids) for ids in row["expected"])
            yield Control(f"{report.engine}: {ecosystem}", row["at_least"], seen, len(row["expected"]))


def _advisories(
    folder: Path, meta: Meta, reports: Sequence[EngineReport]
) -> tuple[Measurement, Measurement, list[Reason], list[str]]:
    """Measure how old the advisory data is and whether any of it is public."""
    started = datetime.fromisoformat(meta.generated_at)
    ages, kinds, problems, notes = [], [], [], []
    for report in reports:
        provenance = _provenance(folder, report.engine)
        dated = provenance.get("dated")
        kinds.append(provenance["source"])
        records = provenance.get("records")
        counted = f", {records} records" if records else ""
        notes.append(f"{report.engine} advisories: {provenance['source']}{counted}, dated {dated or 'unknown'}")
        if dated:
            ages.append(started - datetime.fromisoformat(dated))
    if ages and min(ages) < -CLOCK_SLACK:
        message = "the advisory data is dated later than this run: one of the two clocks is wrong"
        problems.append(Reason("clock", "unreliable", message, "set the clock, then run again"))
    known = len(ages) == len(reports)
    hours = round(max(ages) / timedelta(hours=1), 1) if known and ages else None
    age = Measurement(
        "advisory_age_hours_max", hours, "hours", reason=None if known else "an engine does not date its data"
    )
    private = not any(kind == "official" for kind in kinds)
    if private:
        notes.insert(0, f"rests on {' and '.join(sorted(set(kinds)))} advisories alone, not on the public data")
    return age, Measurement("accept_private_advisories", int(private), ""), problems, notes


def _provenance(folder: Path, engine: str) -> dict[str, Any]:
    """Give the data's source from our own note and its date from the tool where the tool tells one."""
    path = folder / "raw" / f"{engine}-advisories.json"
    note: dict[str, Any] = (
        jsonio.load(path) if path.exists() else {"source": "external" if engine != "snyk" else "official"}
    )
    version = folder / "raw" / f"{engine}-version.json"
    if version.exists():
        note["dated"] = trivy.advisories_dated(jsonio.load(version))
    return note


def _exit_problems(meta: Meta, reports: Sequence[EngineReport]) -> Iterable[Reason]:
    """Hold each report against its exit code: findings (the control's at least) go with the code for findings."""
    names = {report.engine: bool(report.hits) for report in reports}
    for step in meta.steps:
        if step.name not in names:
            continue
        says = {"ended with findings": True, "ended, nothing found": False}.get(step.exit_meaning)
        if says is not None and says is not names[step.name]:
            message = f"{step.tool}'s report and its exit code {step.exit_code} ({step.exit_meaning}) disagree"
            yield Reason("disagree", "unreliable", message, f"read {step.stderr} in the run folder")
