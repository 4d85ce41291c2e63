"""A verdict in the forms that people and CI hosts read; every one is a pure function of the run's files."""

from __future__ import annotations

from dataclasses import replace

from truegate.model import Meta, Policy, Result, Verdict
from truegate.renderers import html, junit, markdown, sarif, view


def render_all(meta: Meta, policy: Policy, result: Result, verdict: Verdict) -> dict[str, bytes]:
    """Give every report of one run, file name to bytes; the same records give the same bytes."""
    in_order = replace(result, findings=tuple(view.worst_first(result, verdict)))  # sorting again is then cheap
    return {
        "index.html": html.render(meta, policy, in_order, verdict),
        "style.css": html.stylesheet(),
        "summary.md": markdown.render(meta, policy, in_order, verdict),
        "results.sarif": sarif.render(meta, policy, in_order, verdict),
        "junit.xml": junit.render(meta, policy, in_order, verdict),
    }
