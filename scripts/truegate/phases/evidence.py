"""Evidence: list, show, verify and prune the runs that were kept."""

from __future__ import annotations

from typing import Any

from invoke import Context, task

HELP = {
    "target": "folder that was judged (default: the working directory)",
    "evidence": "folder of the run folders, where it is another than configured",
    "run": "run id or run folder; repeat it for several (default: all)",
}


def _runs(target: str, evidence: str, wanted: list[str] | None = None) -> list[Any]:
    """Give the run folders that `wanted` names (ids or paths), or all; raises EvidenceError for an unknown one."""
    from pathlib import Path

    from truegate.config import load_config
    from truegate.errors import EvidenceError
    from truegate.history import run_folders

    folder = Path(evidence).absolute() if evidence else load_config(target).folder("evidence.dir")
    known = run_folders(folder)
    if not wanted and not known:
        raise EvidenceError(f"no run is kept in {folder}", "run a check first, or name the folder with --evidence DIR")
    if not wanted:
        return known
    chosen = []
    for name in wanted:
        matching = [path for path in known if path.name == name] or [p for p in [Path(name).absolute()] if p.is_dir()]
        if not matching:
            raise EvidenceError(f"no run {name!r} in {folder}", "inv evidence.list shows the runs")
        chosen += matching
    return chosen


@task(name="list", default=True, help={k: HELP[k] for k in ("target", "evidence")})
def list_(_context: Context, target: str = ".", evidence: str = "") -> None:
    """List the kept runs, newest first."""
    from truegate.finish import user_errors
    from truegate.history import rows_of
    from truegate.tables import show_table

    with user_errors():
        rows = rows_of(_runs(target, evidence))
        show_table([[r.check, r.run_id, r.status, r.generated_at, f"{r.target} {r.commit}"] for r in rows],
                   ["check", "run", "status", "when", "target"])  # fmt: skip


@task(iterable=["run"], help={**HELP, "json": "print the verdict as JSON instead"})
def show(_context: Context, run: list[str], target: str = ".", evidence: str = "", json: bool = False) -> None:
    """Show a kept run's verdict (default: newest)."""
    from truegate.finish import show_kept, user_errors
    from truegate.history import rows_of

    with user_errors():
        folders = _runs(target, evidence, run)
        newest = rows_of(folders)[0].run_id
        for folder in folders if run else [path for path in folders if path.name == newest]:
            show_kept(folder, as_json=json)


@task(iterable=["run"], help=HELP)
def verify(_context: Context, run: list[str], target: str = ".", evidence: str = "") -> None:
    """Check all hashes; derive verdicts again.

    From the run folders alone; exit code 5 where anything is missing or altered.
    """
    from truegate.errors import EVIDENCE, INCONCLUSIVE, PASS
    from truegate.finish import leave, near, user_errors, worst
    from truegate.verify import verify as verify_run

    codes = {"sound": PASS, "unfinished": PASS, "other-version": INCONCLUSIVE, "altered": EVIDENCE}
    with user_errors():
        done = [verify_run(folder) for folder in _runs(target, evidence, run)]
        for one in done:
            print(f"{one.state:13} {one.check} {one.status} {near(one.run_folder)}")
            for fault in one.faults:
                print(f"    {fault}")
        counted = ", ".join(f"{sum(one.state == state for one in done)} {state}" for state in codes)
        print(f"{len(done)} runs: {counted}")
        sound = any(one.state == "sound" for one in done)
        leave(worst([*(codes[one.state] for one in done), PASS if sound else INCONCLUSIVE]))


PRUNE_HELP = {
    "target": HELP["target"],
    "evidence": HELP["evidence"],
    "older-than": "age in days, such as 90d",
    "keep-last": "newest runs of each check that stay",
    "yes": "remove them (default: only say which)",
}


@task(help=PRUNE_HELP)
def prune(
    _context: Context,
    older_than: str = "90d",
    keep_last: str = "5",
    target: str = ".",
    evidence: str = "",
    yes: bool = False,
) -> None:
    """Name the old runs; --yes removes them."""
    from truegate.finish import near, user_errors
    from truegate.history import old_runs, remove

    with user_errors():
        for folder in (old := old_runs(_runs(target, evidence), older_than, keep_last)):
            print(f"{'removed' if yes else 'would remove'} {near(folder)}")
            if yes:
                remove(folder)
        if not old:
            print(f"no run is older than {older_than} and not among the newest {keep_last} of its check")
