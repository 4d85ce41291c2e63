"""One check from the configuration to the report; each step reads only what the one before it wrote."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from truegate import evidence, gate, jsonio, runner
from truegate.checks import Check, get_check
from truegate.config import Config
from truegate.errors import ReportError
from truegate.history import rows_of, run_folders
from truegate.model import InputRecord, Meta, Policy, Reason, Result, Verdict, from_json, to_json
from truegate.policy import build_policy
from truegate.remembered import sha256_of

INDEX_RUNS = 100  # reading every run that was ever kept would slow each check down


@dataclass(frozen=True)
class Finished:
    """One check that ran: its records, its folders and how long it took."""

    meta: Meta
    policy: Policy
    result: Result
    verdict: Verdict
    run_folder: Path
    report: Path
    seconds: float


def run_check(
    name: str, config: Config, *, from_report: Path | None = None, accept_external: bool = False, quiet: bool = False
) -> Finished:
    """Run the check `name` on the configured target and keep everything.

    `from_report` judges reports made elsewhere instead of running the tools. Raises ConfigError and EvidenceError;
    a tool that is missing or broke is an inconclusive verdict, not an error.
    """
    begin = time.monotonic()
    check = get_check(name)
    policy = build_policy(name, config)
    policy = replace(policy, settings={**(policy.settings or {}), "accept_external": accept_external})
    with evidence.open_run(name, config, policy, from_report=from_report, quiet=quiet) as run:
        check.collect(run, config, policy)
    folder = run.path
    with evidence.writing(folder):
        meta, policy = evidence.read_meta(folder), evidence.read_policy(folder)  # as written: secrets are masked there
        result = derive(check, folder, meta, policy)
        evidence.write_atomic(folder / "result.json", jsonio.dumps(to_json(result)))
        verdict = gate.judge(meta, policy, result, input_records(folder))
        evidence.write_atomic(folder / "verdict.json", jsonio.dumps(to_json(verdict)))
        report = write_reports(config, folder, (meta, policy, result, verdict))
    return Finished(meta, policy, result, verdict, folder, report, time.monotonic() - begin)


def derive(check: Check, folder: Path, meta: Meta, policy: Policy) -> Result:
    """Derive the result from the run folder alone; a report that can't be read is a problem, not an empty list."""
    broken = tuple(_broken_steps(folder, meta))
    if stopped := (meta.facts or {}).get("stopped"):
        return Result("findings", problems=(from_json(Reason, stopped), *broken))
    try:
        result = check.derive(folder, meta, policy)
    except ReportError as error:
        return Result("findings", problems=(*broken, Reason("report", "unreliable", error.message, error.next_step)))
    return replace(result, problems=(*broken, *result.problems))


def _broken_steps(folder: Path, meta: Meta) -> Iterator[Reason]:
    """Name each tool that did not end by itself with an exit code that the tools table calls an end."""
    for step in meta.steps:
        if step.timed_out or not step.exit_meaning.startswith("ended"):
            log = folder / step.stderr
            last = runner.tail(log, 1).strip()[:300] if log.is_file() else ""
            message = f"{step.tool} {step.exit_meaning} (exit code {step.exit_code}){f': {last}' if last else ''}"
            yield Reason("tool", "unreliable", message, f"read {step.stderr} in the run folder, then run again")


def input_records(folder: Path) -> list[InputRecord]:
    """Give the hashes of the three files that a verdict is a function of."""
    return [InputRecord(name, sha256_of(folder / name)) for name in ("meta.json", "policy.json", "result.json")]


def write_reports(config: Config, run_folder: Path, records: tuple[Meta, Policy, Result, Verdict]) -> Path:
    """Write every rendering of one verdict and the index over the newest runs; gives the page's path."""
    from truegate.renderers import render_all
    from truegate.renderers.html import stylesheet
    from truegate.renderers.index import render_index

    reports = config.folder("evidence.reports_dir")
    folder = reports / Path(*run_folder.parts[-3:])
    folder.mkdir(parents=True, exist_ok=True)
    exports = {path.name: path.read_bytes() for path in sorted((run_folder / "raw").glob("bom.*"))}
    for name, data in {**render_all(*records), **exports}.items():
        evidence.write_atomic(folder / name, data)
    kept = sorted(run_folders(config.folder("evidence.dir")), key=lambda path: path.name)
    newest = rows_of(kept[-INDEX_RUNS:])
    pages = {row: f"{row.check.replace('.', '/')}/{row.run_id}/index.html" for row in newest}
    links = {row: page if (reports / page).exists() else None for row, page in pages.items()}
    evidence.write_atomic(reports / "index.html", render_index(links, len(kept) - len(newest)))
    evidence.write_atomic(reports / "style.css", stylesheet())
    return folder / "index.html"
