"""The page over all runs: the latest of each check first, then every run, newest first."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from truegate.renderers.html import render_page

MAX_RUNS = 1_000
_DECIDED = {"pass", "fail", "inconclusive"}


@dataclass(frozen=True, slots=True)
class IndexRow:
    """One run: `time` is RFC 3339 UTC, `link` the page relative to the index, None where there is none.

    `status` is the verdict's with its qualifier, as in `pass (external, no control)`, or says that there is no
    verdict: `unfinished`, `interrupted`, `unreadable`. Such a run never counts.
    """

    check: str
    run_id: str
    status: str
    target: str
    time: str
    link: str | None


def render_index(rows: Iterable[IndexRow]) -> bytes:
    """Give reports/index.html over `rows`, in whatever order they come; style.css belongs beside it."""
    newest_first = sorted(rows, key=lambda row: (row.time, row.check, row.run_id), reverse=True)
    decided = [row for row in newest_first if row.status.partition(" ")[0] in _DECIDED]
    latest = {row.check: row for row in reversed(decided)}
    return render_page(
        "index.html.j2",
        latest=[latest[check] for check in sorted(latest)],
        rows=newest_first[:MAX_RUNS],
        total=len(newest_first),
        undecided=len(newest_first) - len(decided),
    )
