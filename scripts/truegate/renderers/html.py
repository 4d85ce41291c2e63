"""The pages: HTML and a sibling style sheet, readable without JavaScript under a strict content policy."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from truegate.model import Meta, Result, Step, Verdict
from truegate.renderers import view
from truegate.renderers.safe import clean

if TYPE_CHECKING:
    from jinja2 import Environment

MAX_TEXT = 2_000
_TEMPLATES = Path(__file__).parent / "templates"


def render(meta: Meta, result: Result, verdict: Verdict, sections: list[view.Section]) -> bytes:
    """Give index.html of one run; what it leaves out it says, and where that is."""
    none = "No tool was started: the reports were made elsewhere." if meta.external else "No tool was started."
    steps = view.section("Steps", "meta.json", "step|tool|came to|seconds|command", meta.steps, _step, none)
    facts = view.section("This run", "meta.json", "fact|detail", _facts(meta, verdict), tuple)
    values = {"meta": meta, "result": result, "verdict": verdict, "sections": [*sections, steps, facts]}
    return render_page("run.html.j2", claims=view.claims(result, verdict), **values)


def _step(step: Step) -> tuple[object, ...]:
    ended = f"{step.exit_meaning} (exit code {view.known(step.exit_code)})"
    tool = f"{step.tool} {step.tool_version}, {step.tool_source}"
    return step.name, tool, f"timed out, {ended}" if step.timed_out else ended, step.seconds, shlex.join(step.argv)


def _facts(meta: Meta, verdict: Verdict) -> list[tuple[str, object]]:
    masked = ", ".join(f"{name} {count} times" for name, count in sorted((meta.redactions or {}).items()))
    rows: list[tuple[str, object]] = [
        ("run", f"{meta.run_id} ({meta.state})"),
        ("URL", meta.target.url),
        ("commit", view.known(meta.target.commit)),
        ("profile", meta.profile),
        ("started", meta.generated_at),
        ("finished", view.known(meta.finished_at)),
        ("kit", f"Truegate {meta.kit_version}"),
        ("masked", masked),
        *((f"sha256 of {record.path}", record.sha256) for record in verdict.inputs),
    ]
    return [row for row in rows if row[1]]


def render_page(template: str, **values: Any) -> bytes:
    """Fill `template`; every value that reaches the page is cleaned, cut and escaped on its way."""
    return _environment().get_template(template).render(values).encode()


def stylesheet() -> bytes:
    """Give style.css, which lies beside every page."""
    return (_TEMPLATES / "style.css").read_bytes()


def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: value if isinstance(value, Markup) else clean(view.known(value), MAX_TEXT),
    )
    environment.globals.update(view=view)
    return environment
