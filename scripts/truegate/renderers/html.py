"""The page of one run: HTML and a sibling style sheet, readable without JavaScript under a strict content policy."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from truegate.model import Finding, Meta, Policy, Result, Verdict
from truegate.renderers import view
from truegate.renderers.safe import clean

if TYPE_CHECKING:
    from jinja2 import Environment

MAX_ROWS = 500  # of steps, files and the like: a page with more is not read, and the JSON files have them all
MAX_TEXT = 2_000
_TEMPLATES = Path(__file__).parent / "templates"


def render(meta: Meta, policy: Policy, result: Result, verdict: Verdict) -> bytes:
    """Give index.html of one run; what it leaves out it says, and where that is."""
    findings = view.worst_first(result, verdict)
    return render_page(
        "run.html.j2",
        meta=meta,
        policy=policy,
        result=result,
        verdict=verdict,
        groups=_group(findings[: view.MAX_SHOWN]),
        shown=min(len(findings), view.MAX_SHOWN),
        waivers={waiver.identity: waiver for waiver in verdict.waived},
        origins={criterion.id: criterion for criterion in policy.criteria},
        counts=view.count_by_severity(result, verdict),
        claims=view.claims(result, verdict),
        not_looked=(*result.not_looked, *view.exclusions(policy)),
        facts=_flatten(meta.facts or {}),
        settings=_flatten(policy.settings or {}),
        max_rows=MAX_ROWS,
    )


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
        finalize=lambda value: value if isinstance(value, Markup) else clean(_known(value), MAX_TEXT),
    )
    environment.filters.update(
        command=shlex.join, short=clean, url=view.url_path, name=view.package_name, at=view.place_of
    )
    environment.globals.update(view=view)
    return environment


def _known(value: object) -> object:
    return "not known" if value is None else value


def _group(findings: Iterable[Finding]) -> list[list[Finding]]:
    """Put together what one change would clear: the same package, scope and places."""
    groups: dict[object, list[Finding]] = {}
    for finding in findings:
        key = (finding.package, finding.scope, finding.locations) if finding.package else finding.identity
        groups.setdefault(key, []).append(finding)
    return list(groups.values())


def _flatten(facts: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for key, value in sorted(facts.items()):
        if isinstance(value, dict) and value:
            rows += _flatten(value, f"{prefix}{key}.")
        else:
            text = value if isinstance(value, str) else json.dumps(value, sort_keys=True, ensure_ascii=False)
            rows.append((f"{prefix}{key}", text))
    return rows
