"""The page over all runs: the latest of each check and target first, then every run, newest first."""

from __future__ import annotations

from collections.abc import Mapping

from truegate.history import Row
from truegate.renderers import view
from truegate.renderers.html import render_page


def render_index(links: Mapping[Row, str | None], older: int = 0) -> bytes:
    """Give reports/index.html over runs with their pages' paths from there, None where there is no page.

    The rows come in any order; `older` runs are not among them. style.css belongs beside the page.
    """

    def cells(row: Row) -> tuple[str, ...]:
        run = view.Link(row.run_id, view.url_path(links[row] or ""))
        return row.status, row.check, f"{row.target} {row.commit}", row.generated_at, run

    newest_first = sorted(links, key=lambda row: (row.generated_at, row.check, row.target, row.run_id), reverse=True)
    decided = [row for row in newest_first if row.decided]
    latest = {(row.check, row.target): row for row in reversed(decided)}
    columns, none = "status|check|target|time (UTC)|run", "No run has finished yet. Start with inv security.sca."
    each = [latest[key] for key in sorted(latest)]
    sections = [
        view.section("Latest of each check and target", "inv evidence.list", columns, each, cells, none),
        view.section("Every run, newest first", "inv evidence.list", columns, newest_first, cells),
    ]
    checks, undecided = len({row.check for row in decided}), len(newest_first) - len(decided)
    return render_page(
        "index.html.j2", sections=sections, checks=checks, undecided=undecided, total=len(newest_first), older=older
    )
