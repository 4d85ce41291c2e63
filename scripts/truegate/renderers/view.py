"""What the reports say of one run, in the same order and words: sections of rows, whose cells are text from outside."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import quote, unquote

from truegate.model import SEVERITIES, CriterionOutcome, Finding, Location, Meta, Policy, Result, Verdict

MAX_SHOWN = 500  # a page or summary with more is not read; the run's JSON files have the rest
MAX_PLACES = 3
FINDINGS, WAIVED = "Findings, worst first", "Waived"
COLUMNS = ("severity", "finding", "package", "remedy", "what", "brought in", "where", "fixed in", "scope", "rated by")
_RANK = {severity: rank for rank, severity in enumerate(SEVERITIES)}
_ADVISORY_ID = re.compile(r"(?:CVE|GHSA|PYSEC|MAL|GO|RUSTSEC)-[0-9A-Za-z-]{4,40}", re.ASCII)


class Link(str):
    """A cell that leads to `href`, or nowhere where that is empty."""

    __slots__ = ("href",)
    href: str

    def __new__(cls, text: str, href: str | None) -> Self:
        link = super().__new__(cls, text)
        link.href = href or ""
        return link


@dataclass(frozen=True, slots=True)
class Section:
    """A table, or a list where it has one column: the first of `total` rows; `source` has them all.

    `empty` tells what it means that there are none, where that has to be said.
    """

    title: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    total: int
    source: str
    empty: str

    def left_out(self, kept: int) -> str:
        """Say how many rows a report that keeps `kept` leaves out, and where they are; "" for none."""
        left = f"{self.total - kept:,} of {self.total:,} are left out here; for all of them see {self.source}."
        return left if kept < self.total else ""


def section(
    title: str, source: str, columns: str, items: Sequence[Any], cells: Callable[[Any], Sequence[Any]], empty: str = ""
) -> Section:
    """Make a section of at most MAX_SHOWN `items`; of `columns`, parted by |, those without a word are dropped."""
    rows = [
        [it if isinstance(it, str) else "" if it is None else str(it) for it in cells(item)]
        for item in items[:MAX_SHOWN]
    ]
    told = [(number, name) for number, name in enumerate(columns.split("|")) if any(row[number] for row in rows)]
    kept = [tuple(row[number] for number, _ in told) for row in rows]
    return Section(title, tuple(name for _, name in told), kept, len(items), source, empty)


def sections(policy: Policy, result: Result, verdict: Verdict) -> list[Section]:
    """Give what page and summary show, most wanted first, without what has nothing to say."""
    judged = {it.id for it in verdict.criteria}
    measured = [it for it in result.measurements if it.id not in judged or it.samples is not None or it.reason]
    excluded = [f"{it.path}: {it.reason} (excluded by {it.approver} until {it.expires}, {it.origin})"
                for it in policy.exclusions]  # fmt: skip
    given = [
        section("Why, and what to do next", "verdict.json", "kind|why|next", verdict.reasons,
                lambda it: (it.kind, it.message, it.next_step)),
        criteria(verdict, policy),
        section("Measurements", "result.json", "measurement|value|unit|samples|window|remark", measured,
                lambda it: (it.id, known(it.value), it.unit, it.samples, it.window, it.reason)),
        *(findings(result, verdict) if result.kind == "findings" or result.findings else ()),
        section("Controls", "result.json", "control|planted|expected|seen|outcome", result.controls,
                lambda it: (it.id, it.planted, it.expected, it.seen, "caught" if it.seen >= it.expected else "missed"),
                "No control was run: nothing shows that the tools would have caught a flaw."),
        section("Proof of looking", "result.json", "what|seen|at least|unit|outcome", result.looked,
                lambda it: (it.id, it.seen, it.minimum, it.unit, "enough" if it.seen >= it.minimum else "too little"),
                "This run left no proof that anything was looked at."),
        section("Not looked at", "result.json and policy.json", "", (*result.not_looked, *excluded), lambda it: (it,),
                "The check names nothing that it leaves out."),
        section("Worth knowing", "verdict.json and result.json", "", (*verdict.warnings, *result.notes[1:]),
                lambda it: (it,)),
    ]  # fmt: skip
    return [it for it in given if it.rows or it.empty]


def criteria(verdict: Verdict, policy: Policy | None = None) -> Section:
    """Give the acceptance criteria; `policy` tells who set each of them."""
    set_by = {it.id: it for it in policy.criteria} if policy else {}

    def cells(it: CriterionOutcome) -> Sequence[Any]:
        by = set_by.get(it.id)
        looser = f"looser than the default ({by.default if by else 'not known'})" if it.looser_than_default else ""
        return it.id, limit_of(it), known(it.measured), status_of(it), by and by.origin, looser

    columns, none = "criterion|limit|measured|status|set by|remark", "No criterion was judged."
    return section("Acceptance criteria", "verdict.json", columns, verdict.criteria, cells, none)


def findings(result: Result, verdict: Verdict) -> list[Section]:
    """Give the findings, and those of them that somebody answers for."""
    none = "None in what was looked at; what that is stands below."
    if verdict.status == "inconclusive":
        none = "None are listed, and in an inconclusive run that proves nothing."
    open_ones = open_findings(result, verdict)
    return [
        section(FINDINGS, "result.json", "|".join(COLUMNS), open_ones, lambda it: tuple(cells_of(it).values()),
                "All are waived, see below." if verdict.waived else none),
        section(WAIVED, "verdict.json", "finding|severity|package|until|approver|reason|ticket", verdict.waived,
                lambda it: (_linked(it.ids, it.identity), it.severity, package_name(it.package), it.expires,
                            it.approver, it.reason, it.ticket)),
    ]  # fmt: skip


def cells_of(finding: Finding) -> dict[str, str]:
    """Give one finding in words by COLUMNS, "" for what does not apply to it."""
    package, fixed = package_name(finding.package), ", ".join(finding.fixed_in)
    upgrade = finding.upgrade_to or fixed
    remedy = "remove it" if finding.malware else f"upgrade to {upgrade}" if upgrade else "no fix known"
    names = list(dict.fromkeys(name for place in finding.locations for name in place.introduced_by))
    way = "directly" if names == [package] else f"by {', '.join(names)}" if names else "not known how"
    places, total = ", ".join(map(place_of, finding.locations[:MAX_PLACES])), len(finding.locations)
    cells = (
        severity_of(finding),
        _linked(finding.ids, finding.identity),
        f"{package} {versions(finding)}" if package else "",
        remedy if package else "",
        finding.title + (f" (also {', '.join(finding.ids[1:4])})" if finding.ids[1:] else ""),
        way if package else "",
        f"{total:,} places: {places} …" if total > MAX_PLACES else places,
        fixed if fixed != upgrade else "",
        "dev" if finding.scope == "dev" else "",
        finding.severity_source,  # two engines may say two things
    )
    return dict(zip(COLUMNS, cells, strict=True))


def worst_first(result: Result, verdict: Verdict) -> list[Finding]:
    """Give the findings worst first: waived ones last, malware ahead of any severity, run time ahead of dev."""
    waived = {waiver.identity for waiver in verdict.waived}

    def key(finding: Finding) -> tuple[bool, bool, int, bool, str, str]:
        rank = _RANK.get(finding.severity, 0)  # a severity that we don't know is taken for the worst
        names = (finding.package or "", finding.identity)
        return finding.identity in waived, not finding.malware, rank, finding.scope == "dev", *names

    return sorted(result.findings, key=key)


def open_findings(result: Result, verdict: Verdict) -> list[Finding]:
    """Give the findings that nobody waived, worst first."""
    waived = {waiver.identity for waiver in verdict.waived}
    return [finding for finding in worst_first(result, verdict) if finding.identity not in waived]


def severity_of(finding: Finding) -> str:
    return "malware" if finding.malware else finding.severity


def package_name(package: str | None) -> str:
    """Give the name in the package URL `package` as its ecosystem writes it: `pkg:npm/%40babel/core` is @babel/core."""
    return unquote((package or "").partition("/")[2]) or package or ""


def versions(finding: Finding) -> str:
    return ", ".join(sorted({place.version for place in finding.locations if place.version}))


def place_of(location: Location) -> str:
    return location.path if location.line is None else f"{location.path}:{location.line}"


def url_path(path: str) -> str:
    """Give the relative URL of the file `path`; a colon or query mark in a name can't make it anything else."""
    return quote(path, safe="/", errors="replace")


def advisory_url(advisory: str) -> str | None:
    """Give the public page of a well-formed advisory id, None for any other text."""
    return f"https://osv.dev/vulnerability/{advisory}" if _ADVISORY_ID.fullmatch(advisory) else None


def _linked(ids: Sequence[str], identity: str) -> Link:
    return Link(ids[0], advisory_url(ids[0])) if ids else Link(identity, None)


def known(value: object) -> str:
    return "not known" if value is None else str(value)


def limit_of(outcome: CriterionOutcome) -> str:
    return "no limit" if outcome.limit is None else f"{outcome.op} {outcome.limit} {outcome.unit}".strip()


def status_of(outcome: CriterionOutcome) -> str:
    return "not gated" if outcome.limit is None else outcome.status


def looser(verdict: Verdict) -> list[str]:
    """Name the criteria that are set looser than the default; what else is so set is among the warnings."""
    loose = [outcome for outcome in verdict.criteria if outcome.looser_than_default]
    return [f"looser than the default: {outcome.id} {limit_of(outcome)}" for outcome in loose]


def status_line(verdict: Verdict) -> str:
    return f"{verdict.status} ({verdict.qualifier})" if verdict.qualifier else verdict.status


def target_of(meta: Meta, verdict: Verdict) -> str:
    """Give the target's name with its version, unless that is only its commit."""
    version = verdict.version if verdict.version != meta.target.commit else None
    return f"{meta.target.name} {version or ''}".strip()


def claims(result: Result, verdict: Verdict) -> list[str]:
    """Give what this run can show for itself, one short sentence each: criteria, controls, looking, findings."""
    gated = [outcome for outcome in verdict.criteria if outcome.limit is not None]
    met = sum(outcome.status == "pass" for outcome in gated)
    caught = sum(control.seen >= control.expected for control in result.controls)
    enough = sum(looked.seen >= looked.minimum for looked in result.looked)
    waived = {waiver.identity for waiver in verdict.waived}
    counts = Counter("waived" if it.identity in waived else severity_of(it) for it in result.findings)
    words = [f"{counts[word]:,} {word}" for word in ("malware", *SEVERITIES, "waived") if counts[word]]
    return [
        f"{met} of {len(gated)} criteria met" if gated else "no criterion was judged",
        f"{caught} of {len(result.controls)} controls caught" if result.controls else "no control was run",
        f"{enough} of {len(result.looked)} proofs of looking hold" if result.looked else "no proof of looking",
        *([f"findings: {', '.join(words)}"] if words else []),
    ]
