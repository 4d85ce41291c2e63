"""Accepted risks: which findings a waiver covers, and which waivers are themselves a fault. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from fnmatch import fnmatchcase

from truegate.model import Exclusion, Finding, Policy, Reason, WaivedFinding, Waiver

WILDCARD = re.compile(r"\[[^\]]*\]?|[*?]")
MIN_LITERAL = 3  # letters that the last part of a pattern must spell out


@dataclass(frozen=True)
class Ledger:
    waived: tuple[WaivedFinding, ...]
    reasons: tuple[Reason, ...]
    warnings: tuple[str, ...]


def apply(policy: Policy, findings: Sequence[Finding], today: date) -> Ledger:
    """Match the policy's waivers with `findings` as of `today`; a faulty waiver covers nothing."""
    waived: dict[str, WaivedFinding] = {}
    longest = max((policy.waiver_max_days or {}).values(), default=0)
    reasons = [reason for exclusion in policy.exclusions for reason in _exclusion_faults(exclusion, longest, today)]
    warnings = []
    for waiver in policy.waivers:
        place = f"{waiver.file}:{waiver.line}"
        matching = [finding for finding in findings if _covers(waiver, finding)]
        if fault := _fault(waiver, matching, policy.waiver_max_days or {}, today):
            reasons.append(
                Reason("waiver", "failed", f"{place}: {fault}", "renew it with its approver, or mend the finding")
            )
        elif matching:
            waived.update((finding.identity, _entry(waiver, finding)) for finding in matching)
        elif policy.unused_waivers == "fail":
            reasons.append(Reason("waiver-unused", "failed", f"{place}: {_name(waiver)} matches nothing", "remove it"))
        else:
            warnings.append(f"{place}: waiver for {_name(waiver)} matches nothing; remove it")
    return Ledger(tuple(waived.values()), tuple(reasons), tuple(warnings))


def _covers(waiver: Waiver, finding: Finding) -> bool:
    names = {name.lower() for name in finding.ids}
    if waiver.id.lower() not in names:
        return False
    place = finding.package or _address(finding)
    if fnmatchcase(place, waiver.package):
        return True
    versions = [f"{place}@{location.version}" for location in finding.locations]
    return bool(versions) and all(fnmatchcase(version, waiver.package) for version in versions)


def _address(finding: Finding) -> str:
    """Give the place of a weakness that is in no package, as a URL."""
    path = finding.locations[0].path if finding.locations else ""
    return path if "://" in path else f"file:///{path}"


def _fault(waiver: Waiver, matching: Sequence[Finding], max_days: dict[str, int], today: date) -> str | None:
    opened, expires = date.fromisoformat(waiver.opened), date.fromisoformat(waiver.expires)
    if _is_broad(waiver):
        return f"waiver for {_name(waiver)} is over-broad: spell out the id and the package"
    if expires < today:
        return f"waiver for {_name(waiver)} expired on {waiver.expires}"
    if opened > today:
        return f"waiver for {_name(waiver)} begins only on {waiver.opened}"
    longest = min((max_days[finding.severity] for finding in matching if finding.severity in max_days), default=None)
    if longest is None:
        longest = max(max_days.values(), default=0)
    if (expires - opened).days > longest:
        return f"waiver for {_name(waiver)} runs {(expires - opened).days} days, longer than the {longest} allowed"
    return None


def _is_broad(waiver: Waiver) -> bool:
    """Tell whether a wildcard stands where the id, the ecosystem, the host or the name of the package should."""
    head, _, last = waiver.package.rstrip("/").rpartition("/")
    name = last.split("@", 1)[0]
    fixed = "/".join(waiver.package.split("/")[:3]) if "://" in waiver.package else head
    literal = WILDCARD.sub("", name).replace("%40", "")
    return (
        bool(WILDCARD.search(waiver.id) or WILDCARD.search(fixed))
        or not head
        or not literal
        or (bool(WILDCARD.search(name)) and len(literal) < MIN_LITERAL)
    )


def _name(waiver: Waiver) -> str:
    return f"{waiver.id} in {waiver.package}"


def _entry(waiver: Waiver, finding: Finding) -> WaivedFinding:
    return WaivedFinding(
        identity=finding.identity,
        ids=finding.ids,
        severity=finding.severity,
        package=finding.package or waiver.package,
        reason=waiver.reason,
        approver=waiver.approver,
        expires=waiver.expires,
        ticket=waiver.ticket,
    )


def _exclusion_faults(exclusion: Exclusion, longest: int, today: date) -> Iterator[Reason]:
    days_left = (date.fromisoformat(exclusion.expires) - today).days
    if 0 <= days_left <= longest:
        return
    what = f"ends in {days_left} days, later than the {longest} allowed"
    what = f"expired on {exclusion.expires}" if days_left < 0 else what
    message = f"{exclusion.origin}: the exclusion of {exclusion.path} {what}"
    yield Reason("exclusion", "failed", message, "renew it with its approver, or take it out")
