"""Compile advisories into what the engines read offline: a database for Trivy, archives for osv-scanner."""

from __future__ import annotations

import io
import zipfile
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name

from truegate import jsonio
from truegate.advisories import bbolt
from truegate.advisories.osv import ECOSYSTEMS, Advisory, Interval, is_affected, load_advisories
from truegate.errors import ConfigError, ReportError

BUCKETS = {"npm": b"npm::GitHub Security Advisory npm", "PyPI": b"pip::GitHub Security Advisory pip"}
SEVERITIES = (None, "LOW", "MODERATE", "HIGH", "CRITICAL")  # GitHub's words, in the order of Trivy's numbers
SEVERITY_NAMES = ("UNKNOWN", "LOW", "MEDIUM", "HIGH", "CRITICAL")  # Trivy's
CVSS_FIELDS = {"CVSS_V2": "V2Vector", "CVSS_V3": "V3Vector", "CVSS_V4": "V40Vector"}
OSV_KEYS = ("id", "modified", "published", "aliases", "summary", "database_specific")


@dataclass(frozen=True, slots=True)
class CompiledAdvisories:
    """The engines' files by path, `trivy/…` and `osv/…`; `dated` is the newest `modified` among what went in."""

    dated: str
    records: int
    by_ecosystem: dict[str, int]
    withdrawn: tuple[str, ...]
    skipped: tuple[str, ...]
    files: dict[str, bytes]


def compile_advisories(source: Path) -> CompiledAdvisories:
    """Compile the OSV records in `source`; the same records give the same bytes.

    Raises ConfigError for unsound records, and for none that can be compiled.
    """
    loaded = load_advisories(source)
    usable = [advisory for advisory in loaded if advisory.affected and "withdrawn" not in advisory.record]
    if not usable:
        raise ConfigError(f"{source}: all {len(loaded)} records are withdrawn or skipped", "add records that can match")
    dated = max((advisory.record["modified"] for advisory in usable), key=datetime.fromisoformat)
    parts = {name: [a for a in usable if any(owner == name for owner, _ in a.affected)] for name in ECOSYSTEMS}
    files = {f"osv/osv-scalibr/{name}/all.zip": _zip(part, name) for name, part in parts.items() if part}
    return CompiledAdvisories(
        dated=dated,
        records=len(usable),
        by_ecosystem={name: len(part) for name, part in parts.items()},
        withdrawn=tuple(advisory.id for advisory in loaded if "withdrawn" in advisory.record),
        skipped=tuple(f"{item.id}: {reason}" for item in loaded for reason in item.skipped),
        files=files | _trivy_files(usable, dated),
    )


def _zip(advisories: Sequence[Advisory], ecosystem: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:  # stored, not deflated: the same bytes with every zlib
        for advisory in advisories:
            archive.writestr(zipfile.ZipInfo(f"{advisory.id}.json"), jsonio.dumps(_osv_record(advisory, ecosystem)))
    return buffer.getvalue()


def _osv_record(advisory: Advisory, ecosystem: str) -> dict[str, Any]:
    """Give the plainest form of a record: osv-scanner drops one with a field that it doesn't know, without a word."""
    return {key: advisory.record[key] for key in OSV_KEYS if key in advisory.record} | {
        "severity": [{"type": kind, "score": vector} for kind, vector in _cvss(advisory).items()],
        "affected": [
            {
                "package": {"ecosystem": ecosystem, "name": _names(ecosystem, name)[0]},
                "ranges": [
                    {"type": "ECOSYSTEM", "events": [{k: v} for k, v in asdict(i).items() if v]} for i in intervals
                ],
            }
            for (owner, name), intervals in advisory.affected.items()
            if owner == ecosystem
        ],
    }


def _cvss(advisory: Advisory) -> dict[str, str]:
    return {item["type"]: item["score"] for item in advisory.record.get("severity", []) if item["type"] in CVSS_FIELDS}


def _names(ecosystem: str, name: str) -> list[str]:
    """Give the registry's name, then the others under which Trivy looks: it lower-cases, and keeps dots as spelt."""
    official = canonicalize_name(name) if ecosystem == "PyPI" else name
    spelt = {official.lower(), name.lower().replace("_", "-"), official.replace("-", ".")}
    return [official, *sorted(spelt if ecosystem == "PyPI" else {name.lower()})]


def _trivy_files(usable: Sequence[Advisory], dated: str) -> dict[str, bytes]:
    tree = _trivy_tree(usable)
    database = bbolt.dump(tree)
    if bbolt.load(database, "trivy.db") != tree:
        raise ReportError("trivy.db does not hold what was put into it", "report this: it is a bug of the kit")
    next_update = (datetime.fromisoformat(dated) + timedelta(days=1)).isoformat().replace("+00:00", "Z")
    metadata = {"Version": 2, "UpdatedAt": dated, "DownloadedAt": dated, "NextUpdate": next_update}
    return {"trivy/db/metadata.json": jsonio.dumps(metadata), "trivy/db/trivy.db": database}


def _trivy_tree(usable: Sequence[Advisory]) -> bbolt.Tree:
    """Give the buckets that Trivy's detector reads; advisories under one key are merged, so none hides another."""
    origin = "ghsa" if all(advisory.id.startswith("GHSA-") for advisory in usable) else "osv"
    groups: dict[str, list[Advisory]] = defaultdict(list)
    places: dict[tuple[str, str, str], list[Interval]] = defaultdict(list)
    for advisory in usable:
        key = _ids([advisory])[0]
        groups[key].append(advisory)
        for (ecosystem, spelt), intervals in advisory.affected.items():
            for name in _names(ecosystem, spelt)[1:]:
                places[ecosystem, name, key] += intervals
    tree: dict[bytes, dict[bytes, Any]] = defaultdict(dict)
    for key, group in groups.items():
        tree[b"vulnerability"][key.encode()] = jsonio.dumps(_vulnerability(group, origin))
    for (ecosystem, name, key), intervals in places.items():
        tree[b"data-source"][BUCKETS[ecosystem]] = jsonio.dumps(
            {"ID": origin, "Name": "OSV records, compiled privately"}
        )
        fixes = [i.fixed for i in intervals if i.fixed and not is_affected(ecosystem, intervals, i.fixed)]
        matches = {
            "VendorIDs": _ids(groups[key])[1:],
            "VulnerableVersions": list(dict.fromkeys(_constraint(ecosystem, interval) for interval in intervals)),
            "PatchedVersions": list(dict.fromkeys(fixes)),  # Trivy clears these whatever the ranges say
        }
        tree[BUCKETS[ecosystem]].setdefault(name.encode(), {})[key.encode()] = jsonio.dumps(matches)
    return dict(tree)


def _ids(group: Sequence[Advisory]) -> list[str]:
    """Give all ids of advisories that share one; the first is Trivy's key: a CVE, else a GitHub id, else their own."""
    own = {advisory.id for advisory in group}
    every = own.union(*(advisory.record.get("aliases", []) for advisory in group))
    return sorted(every, key=lambda i: (not i.startswith("CVE-"), not i.startswith("GHSA-"), i not in own, i))


def _vulnerability(group: Sequence[Advisory], origin: str) -> dict[str, Any]:
    specifics = [advisory.record.get("database_specific", {}) for advisory in group]
    severity = max(SEVERITIES.index(specific.get("severity")) for specific in specifics)
    vectors = {CVSS_FIELDS[kind]: vector for advisory in group for kind, vector in _cvss(advisory).items()}
    first = group[0].record
    return {
        "Title": first.get("summary", ""),
        "Severity": SEVERITY_NAMES[severity],
        "VendorSeverity": {origin: severity} if severity else {},
        "CVSS": {origin: vectors} if vectors else {},
        "CweIDs": sorted({cwe for specific in specifics for cwe in specific.get("cwe_ids", [])}),
        "PublishedDate": first.get("published"),
        "LastModifiedDate": first["modified"],
    }


def _constraint(ecosystem: str, interval: Interval) -> str:
    """Give Trivy's form of an interval; PEP 440's `<2` leaves out `2rc1`, and an empty one matches every version."""
    if interval.introduced == interval.last_affected:
        return f"={interval.introduced}"
    bounds = [f">={interval.introduced}"] if interval.introduced != "0" else []
    if interval.fixed:
        bounds.append(f"<={interval.fixed}, !={interval.fixed}" if ecosystem == "PyPI" else f"<{interval.fixed}")
    return ", ".join([*bounds, *([f"<={interval.last_affected}"] if interval.last_affected else [])])
