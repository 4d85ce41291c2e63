"""Bills of materials in one frozen form: CycloneDX 1.4 to 1.7 and SPDX 2.2 and 2.3, both JSON, whoever made them."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote

from packageurl import PackageURL

from truegate import jsonio
from truegate.errors import ReportError
from truegate.model import LockedPackage

UNKNOWN = "NOASSERTION"  # said to be unknown; an empty text means that nothing is said
UNKNOWN_PROPERTY = "truegate:unknown"  # CycloneDX has no word for it
SUBJECT = "(the subject)"
ECOSYSTEMS = ("npm", "pypi")  # those that our own lockfile readers know
_EXPORT = "export it as CycloneDX 1.4 to 1.7 or SPDX 2.2 or 2.3, as JSON"
_PACKAGE_KINDS = frozenset({"library", "framework", "application", "source", "archive", "install"})
_BACKWARD = re.compile(r"(\w+_)?DEPENDENCY_OF|CONTAINED_BY")  # DEV_DEPENDENCY_OF and its like
Record = dict[str, Any]
Path = tuple[str | int, ...]
Edges = defaultdict[str, set[str]]
Resolved = tuple["SbomComponent | None", tuple["SbomComponent", ...], tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class SbomComponent:
    """One component: `record` is what stands at `path`; `key` is its package URL, or a mere label.

    `obstacle` says why it can't be compared with a lockfile, if so. `hashes` are pairs of algorithm (`sha512`) and
    lower-case hex, `depends_on` keys of other components; `dependencies` is given, UNKNOWN or empty.
    """

    path: Path
    ref: str
    record: Record = field(repr=False)
    hashes: frozenset[tuple[str, str]]
    key: str
    obstacle: str
    scope: str = ""
    depends_on: tuple[str, ...] = ()
    dependencies: str = ""


@dataclass(frozen=True, slots=True)
class SbomDocument:
    """One bill of materials, `cyclonedx` or `spdx`; `dangling` holds references to what is not in it."""

    name: str
    format: str
    version: str
    record: Record = field(repr=False)
    vulnerability_entries: tuple[str, ...]
    subject: SbomComponent | None
    components: tuple[SbomComponent, ...]
    dangling: tuple[str, ...]


def read_sbom(data: bytes, name: str) -> SbomDocument:
    """Read the bill of materials `data`; raises ReportError, naming `name`, on any other format or shape."""
    if data.lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"<", b"SPDXVersion:")):
        raise ReportError(f"{name} is XML or tag-value, which is not supported", _EXPORT)
    record = jsonio.loads(data, name)
    if not isinstance(record, dict):
        raise ReportError(f"{name} is no bill of materials: it holds no JSON object", _EXPORT)
    if "@context" in record:
        raise ReportError(f"{name} is SPDX 3 or other JSON-LD, which is not supported", _EXPORT)
    kind, version, spdx = (str(record.get(key, "")) for key in ("bomFormat", "specVersion", "spdxVersion"))
    try:
        if re.fullmatch(r"CycloneDX1\.[4-7]", kind + version + spdx):
            return _read_cyclonedx(record, name)
        if re.fullmatch(r"SPDX-2\.[23]", kind + version + spdx):
            return _read_spdx(record, name)
    except (
        AttributeError,
        KeyError,
        RecursionError,
        TypeError,
    ) as error:  # a text where an object belongs, and the like
        step = "validate it with the format's own schema, and mend the tool that wrote it"
        raise ReportError(f"{name} has a shape that {kind or spdx} does not allow: {error}", step) from error
    said = " ".join(filter(None, (kind, version, spdx))) or "no bomFormat and no spdxVersion"
    raise ReportError(f"{name} says {said}: that is not supported", _EXPORT)


def read_purl(text: str) -> PackageURL:
    """Read a package URL into its one spelling, without qualifiers and subpath; raises ValueError when it is none."""
    purl = PackageURL.from_string(text)
    name = re.sub(r"[-_.]+", "-", purl.name) if purl.type == "pypi" else purl.name  # PEP 503
    namespace = purl.namespace.lower() if purl.namespace and purl.type == "npm" else purl.namespace
    return PackageURL(purl.type, namespace, name, purl.version)


def make_purl(ecosystem: str, name: str, version: str) -> str:
    return str(read_purl(f"pkg:{ecosystem}/{quote(name)}@{quote(version, safe='')}"))


def by_purl(packages: tuple[LockedPackage, ...]) -> dict[str, list[LockedPackage]]:
    """Group the lockfiles' entries by package URL, version included, in order."""
    groups: defaultdict[str, list[LockedPackage]] = defaultdict(list)
    for package in packages:
        groups[make_purl(package.ecosystem, package.name, package.version)].append(package)
    return dict(sorted(groups.items()))


def listed(texts: list[str], most: int = 10) -> str:
    return ", ".join(texts[:most]) + (f" and {len(texts) - most} more" if len(texts) > most else "")


def _read_cyclonedx(record: Record, name: str) -> SbomDocument:
    place, root = ("metadata", "component"), record.get("metadata", {}).get("component", {})
    found = [_cyclonedx_component(place, root)] if root else []
    found += [_cyclonedx_component(*entry) for entry in (*_nested(record, ()), *_nested(root, place))]
    edges = Edges(set)
    for entry in record.get("dependencies", []):
        edges[entry["ref"]].update(entry.get("dependsOn", []))
    parts = [part for part in record.get("compositions", []) if part.get("aggregate") in {"unknown", "not_specified"}]
    unsaid = {ref for part in parts for ref in part.get("dependencies", [])}
    advisories = tuple(str(entry.get("id", "without an id")) for entry in record.get("vulnerabilities", []))
    resolved = _resolve(found, edges, unsaid, found[0].ref if root else None)
    return SbomDocument(name, "cyclonedx", record["specVersion"], record, advisories, *resolved)


def _nested(record: Record, path: Path) -> Iterator[tuple[Path, Record]]:
    for index, child in enumerate(record.get("components", [])):
        yield (*path, "components", index), child
        yield from _nested(child, (*path, "components", index))


def _cyclonedx_component(path: Path, record: Record) -> SbomComponent:
    name = "/".join(filter(None, (record.get("group"), record.get("name"))))
    distributions = [one for one in record.get("externalReferences", []) if one.get("type") == "distribution"]
    hashes = [(one["alg"], one["content"]) for holder in (record, *distributions) for one in holder.get("hashes", [])]
    purls = [record["purl"]] if "purl" in record else []
    identity = _identify(name, record.get("version", ""), purls, record["type"])
    return SbomComponent(path, record.get("bom-ref", ""), record, _hashes(hashes), *identity, record.get("scope", ""))


def _read_spdx(record: Record, name: str) -> SbomDocument:
    edges, described, unsaid = Edges(set), set(record.get("documentDescribes", [])), set()
    for entry in record.get("relationships", []):
        source, kind, target = entry["spdxElementId"], entry["relationshipType"], entry["relatedSpdxElement"]
        if kind == "DESCRIBES" and source == record["SPDXID"]:
            described.add(target)
        elif _BACKWARD.fullmatch(kind):
            edges[target].add(source)
        elif kind in {"DEPENDS_ON", "CONTAINS"} and target == UNKNOWN:
            unsaid.add(source)
        elif kind in {"DEPENDS_ON", "CONTAINS"}:
            edges[source].update({target} - {"NONE"})
    found = [
        _spdx_component((key, i), one) for key in ("packages", "files") for i, one in enumerate(record.get(key, []))
    ]
    references = [one for package in record.get("packages", []) for one in package.get("externalRefs", [])]
    security = [one for one in references if one["referenceCategory"] == "SECURITY"]
    advisories = [
        str(one["referenceLocator"]) for one in security if one["referenceType"] in {"advisory", "fix", "url"}
    ]
    root = described.pop() if len(described) == 1 else None  # who describes every package has no one subject
    resolved = _resolve(found, edges, unsaid, root)
    return SbomDocument(name, "spdx", record["spdxVersion"][5:], record, tuple(advisories), *resolved)


def _spdx_component(path: Path, record: Record) -> SbomComponent:
    purls = [one["referenceLocator"] for one in record.get("externalRefs", []) if one["referenceType"] == "purl"]
    hashes = [(one["algorithm"], one["checksumValue"]) for one in record.get("checksums", [])]
    name, kind = record.get("name") or record["fileName"], record.get("primaryPackagePurpose", "library")
    identity = _identify(name, record.get("versionInfo", ""), purls, kind)
    return SbomComponent(path, record["SPDXID"], record, _hashes(hashes), *identity)


def _identify(name: str, version: str, purls: list[str], kind: str) -> tuple[str, str]:
    """Give the package URL by which a component can be compared, or a label and why it can't be."""
    _must_be_texts(name, version, kind, *purls)
    label = f"{name}@{version}" if version else name
    try:
        [purl] = {read_purl(text) for text in purls}
        own = make_purl(purl.type, name, version)
    except ValueError:
        return label, f"has no single sound package URL ({', '.join(purls) or 'none'})"
    if purl.type not in ECOSYSTEMS or kind.lower() not in _PACKAGE_KINDS:
        return label, f"is {kind} of {purl.type}, which neither lockfile readers nor scanners look at"
    return (own, "") if own == str(purl) else (label, f"contradicts its package URL {purl}")


def _must_be_texts(*values: Any) -> None:
    if strange := [value for value in values if not isinstance(value, str)]:
        raise TypeError(f"{strange[0]!r} stands where a text belongs")


def _hashes(pairs: list[tuple[str, str]]) -> frozenset[tuple[str, str]]:
    return frozenset((algorithm.replace("-", "").lower(), digest.lower()) for algorithm, digest in pairs)


def _resolve(found: list[SbomComponent], edges: Edges, unsaid: set[str], root: str | None) -> Resolved:
    """Turn references into keys: gives the subject, the other components, and what is referred to but not there."""
    subject = next((one for one in found if one.ref == root), None)
    keys = {one.ref: SUBJECT if one is subject else one.key for one in reversed(found)}
    related = edges.keys() | set().union(*edges.values())
    _must_be_texts(*keys, *related, *unsaid)

    def linked(one: SbomComponent) -> SbomComponent:
        targets = edges.get(one.ref, set())
        said = UNKNOWN if one.ref in unsaid and not targets else "given" if one.ref in related else ""
        depends_on = tuple(sorted({keys[ref] for ref in targets if ref in keys}))
        return replace(one, depends_on=depends_on, dependencies=said)

    components = tuple(linked(one) for one in found if one is not subject)
    dangling = tuple(sorted((related | unsaid) - keys.keys()))
    return subject and replace(linked(subject), key=SUBJECT), components, dangling
