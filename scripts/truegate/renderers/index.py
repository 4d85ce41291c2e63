"""The page over all runs: the latest of each check and target first, then every run, newest first."""

from __future__ import annotations

from collections.abc import Mapping

from truegate.history import Row
from truegate.renderers.html import render_page

MAX_RUNS = 1_000


def render_index(links: Mapping[Row, str | None]) -> bytes:
    """Give reports/index.html over runs with their pages' paths from there, None where there is no page.

    The rows come in any order; style.css belongs beside the page.
    """
    newest_first = sorted(links, key=lambda row: (row.generated_at, row.check, row.target, row.run_id), reverse=True)
    decided = [row for row in newest_first if row.decided]
    latest = {(row.check, row.target): row for row in reversed(decided)}
    return render_page(
        "index.html.j2",
        latest=[latest[key] for key in sorted(latest)],
        checks=len({row.check for row in decided}),
        rows=newest_first[:MAX_RUNS],
        links=links,
        total=len(newest_first),
        undecided=len(newest_first) - len(decided),
    )
