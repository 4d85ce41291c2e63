"""Join what the engines reported with our own reading of the lockfiles. Pure on the run folder."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from truegate import jsonio
from truegate.checks.findings import merge
from truegate.checks.inputs import read_copies
from truegate.checks.listed import differences
from truegate.checks.witness import compare
from truegate.inventory.records import Inventory
from truegate.model import Control, Measurement, Meta, Policy, Reason, Result
from truegate.parsers import osv_scanner, snyk, trivy
from truegate.parsers.engine import EngineReport, moment, take, take_texts, wrong_shape

NOT_LOOKED = (
    "operating system packages",
    "container images",
    "vendored code without a lockfile",
    "code bundled inside packages",
)
NOT_IN = {  # by format: what its lockfiles do not tell
    "requirements": "packages that a requirements file needs and does not name: nothing tells that one is missing",
    "yarn": "packages that others bundle: yarn.lock does not list them",
}
CLOCK_SLACK = timedelta(hours=1)
SERVICE, EXTERNAL = "unverified service", "external"  # sources of advisories that no note of ours tells
PUBLIC = frozenset({"official", "imported", EXTERNAL})  # who accepts a report made elsewhere accepts its data


def derive(folder: Path, meta: Meta, policy: Policy) -> Result:
    """Give the result of a `security.sca` run; raises ReportError when a raw report can't be read."""
    settings = policy.settings or {}
    inventory, problems, left_out = read_copies(folder, settings["inventory.dev_files"])
    controls = jsonio.load(folder / "input" / "control.json")
    reports = [_placed(_PARSERS[engine](folder, meta), meta) for engine in settings["security.sca.engines"]]
    findings, join_notes = merge(reports, inventory)
    looked, unseen, seen_notes = compare(reports, inventory, with_lists=not meta.external)
    odd = [reason for report in reports for reason in differences(report, inventory)]
    age, source, data_problems, data_notes = _advisories(folder, meta, reports)
    steering = (meta.facts or {}).get("steering") or []
    unnamed = [NOT_IN[form] for form in sorted({reading.format for reading in inventory.readings} & NOT_IN.keys())]
    return Result(
        kind="findings",
        looked=looked,
        not_looked=(*NOT_LOOKED, *unnamed, *(f"left out: {path}" for path in left_out)),
        controls=tuple(_controls(reports, controls, inventory)) if not meta.external else (),
        findings=findings,
        measurements=(age, source),
        problems=(
            *_nothing(inventory, problems),
            *problems,
            *inventory.problems,
            *unseen,
            *odd,
            *data_problems,
            *_exit_problems(meta, reports),
        ),
        notes=(
            *data_notes,
            *((meta.facts or {}).get("chosen") or []),
            *join_notes,
            *seen_notes,
            *(f"not obeyed: {name} (move what it means to truegate.toml or waivers.toml)" for name in steering),
            *(f"withdrawn, not counted: {name}" for report in reports for name in report.withdrawn),
        ),
    )


def _nothing(inventory: Inventory, problems: Sequence[Reason]) -> Iterable[Reason]:
    if not inventory.readings and not inventory.problems and not problems:
        step = "go to the repository's root, or name it with --target DIR; what is excluded is not judged"
        yield Reason("no-lockfile", "incomplete", "no lockfile with a package in it was found", step)


def _parse_trivy(folder: Path, _meta: Meta) -> EngineReport:
    return trivy.parse(jsonio.load(folder / trivy.REPORT, trivy.REPORT))


def _parse_osv(folder: Path, meta: Meta) -> EngineReport:
    """Read the report with paths below the folder that was scanned: input/ as it was then, or a place elsewhere."""
    report = jsonio.load(folder / osv_scanner.REPORT, osv_scanner.REPORT)
    files = [row["path"] for row in jsonio.load(folder / "input" / "inventory.json")["files"]]
    part = f"/{meta.run_id}/input/"
    given = [
        argument for step in meta.steps if step.name == "osv-scanner" for argument in step.argv if part in argument
    ]
    if given:
        return osv_scanner.parse(report, given[0].partition(":")[2].partition(part)[0] + part)
    return osv_scanner.parse(report, osv_scanner.common_root(report, [path.removeprefix("target/") for path in files]))


def _parse_snyk(folder: Path, _meta: Meta) -> EngineReport:
    return snyk.parse(jsonio.load(folder / snyk.REPORT, snyk.REPORT))


def _placed(report: EngineReport, meta: Meta) -> EngineReport:
    """Refuse a report about other places than those shown; one made elsewhere has paths of the target alone."""
    paths = {*(report.packages or ()), *(hit.path for hit in report.hits)}
    odd = sorted(path for path in paths if not path.startswith(("target/", "control/", "listed/")))
    if odd and not meta.external:
        raise wrong_shape(f"raw/{report.engine}.json", f"it is about {odd[0]}, which was not shown")
    if not odd:
        return report
    packages = {f"target/{path}": names for path, names in report.packages.items()} if report.packages else None
    return replace(
        report, packages=packages, hits=tuple(replace(hit, path=f"target/{hit.path}") for hit in report.hits)
    )


_PARSERS: Mapping[str, Callable[[Path, Meta], EngineReport]] = {
    "trivy": _parse_trivy,
    "osv-scanner": _parse_osv,
    "snyk": _parse_snyk,
}


def _controls(reports: Sequence[EngineReport], controls: Any, inventory: Inventory) -> Iterable[Control]:
    """Count the planted flaws that each engine caught, per ecosystem."""
    used = {reading.ecosystem for reading in inventory.readings} or set(controls)
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
    ages: dict[str, timedelta | None] = {}
    kinds, problems, notes = [], [], []
    for report in reports:
        source, described, withdrawn, dates = _provenance(folder, report)
        kinds.append(source)
        dated = min(dates).isoformat().replace("+00:00", "Z") if dates else "unknown"
        notes.append(f"{report.engine} advisories: {described}, dated {dated}")
        notes += [f"withdrawn, not counted: {name}" for name in withdrawn]
        if source != SERVICE:
            ages[report.engine] = started - min(dates) if dates else None
        if dates and max(dates) - started > CLOCK_SLACK:
            message = "the advisory data is dated later than this run: one of the two clocks is wrong"
            problems.append(Reason("clock", "unreliable", message, "set the clock, then run again"))
        if len(set(dates)) > 1 and not meta.external:
            message = f"{report.engine} tells another date of its advisory data than was noted when that was fetched"
            problems.append(Reason("disagree", "unreliable", message, "inv security.db.update, then run again"))
    known = [age for age in ages.values() if age is not None]
    hours = round(max(known) / timedelta(hours=1), 1) if known and len(known) == len(ages) else None
    undated = [report.engine for report in reports if ages.get(report.engine) is None]
    why = f"{' and '.join(undated)} does not date its data" if hours is None else None
    if why and meta.external:
        why += "; trivy-version.json (`trivy version --format json`) beside the report tells it"
    age = Measurement("advisory_age_hours_max", hours, "hours", reason=why)
    private = PUBLIC.isdisjoint(kinds)
    if private:
        notes.insert(0, f"rests on {' and '.join(sorted(set(kinds)))} advisories alone, not on the public data")
    return age, Measurement("accept_private_advisories", int(private), ""), problems, notes


def _provenance(folder: Path, report: EngineReport) -> tuple[str, str, list[str], list[datetime]]:
    """Give the data's source, that in more words, its withdrawn records, and its dates: as noted, as the tool tells.

    Data that was read elsewhere is as old as the report, at least.
    """
    path, version = (folder / "raw" / f"{report.engine}-{name}.json" for name in ("advisories", "version"))
    if report.packages is None:
        return SERVICE, SERVICE, [], []
    note = jsonio.load(path, path.name) if path.exists() else {"source": EXTERNAL}
    source = take(note, "source", str, path.name, "unknown")
    told = trivy.advisories_dated(jsonio.load(version, version.name)) if version.exists() else None
    created = report.created if source == EXTERNAL and told else None
    dates = [moment(text, path.name) for text in (take(note, "dated", str, path.name, None), told, created) if text]
    records, why = take(note, "records", int, path.name, 0), take(note, "why", str, path.name, "")
    described = source + (f" ({why})" if why else "") + (f", {records} records" if records else "")
    return source, described, take_texts(note, "withdrawn", path.name), dates


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
