"""A verdict in the forms that people and CI hosts read; every one is a pure function of the run's files."""

from __future__ import annotations

from truegate.model import Meta, Policy, Result, Verdict
from truegate.renderers import html, junit, markdown, sarif, view


def render_all(meta: Meta, policy: Policy, result: Result, verdict: Verdict) -> dict[str, bytes]:
    """Give every report of one run, file name to bytes; the same records give the same bytes."""
    sections = view.sections(policy, result, verdict)
    return {
        "index.html": html.render(meta, result, verdict, sections),
        "style.css": html.stylesheet(),
        "summary.md": markdown.render(meta, result, verdict, sections),
        "results.sarif": sarif.render(meta, result, verdict),
        "junit.xml": junit.render(meta, result, verdict, sections),
    }
