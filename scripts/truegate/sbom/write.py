"""Write bills of materials from locked packages: the same packages, subject and maker give the same bytes."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

from packageurl import PackageURL

from truegate import jsonio
from truegate.model import LockedPackage
from truegate.sbom.read import UNKNOWN, UNKNOWN_PROPERTY, by_purl

_ALGORITHMS = {"md5": "MD5", "sha1": "SHA-1", "sha256": "SHA-256", "sha384": "SHA-384", "sha512": "SHA-512"}
_CONTEXT = "Source SBOM, made before the build (pre-build) from lockfiles"
Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Subject:
    """What the bill of materials is of."""

    name: str
    version: str | None
    commit: str | None


@dataclass(frozen=True, slots=True)
class Made:
    """Who made it (the owner), when (RFC 3339 UTC), with what; `complete` is false when a lockfile was not read."""

    timestamp: str
    author: str
    tool: str
    tool_version: str
    complete: bool


def write_cyclonedx(packages: tuple[LockedPackage, ...], subject: Subject, made: Made) -> bytes:
    """Give CycloneDX 1.6 JSON; the property `truegate:unknown` names what is unknown, for which it has no word."""
    return _sealed(_cyclonedx(packages, subject, made), "serialNumber")


def write_spdx(packages: tuple[LockedPackage, ...], subject: Subject, made: Made) -> bytes:
    """Give SPDX 2.3 JSON; what is unknown is NOASSERTION. Dev scope is left out: SPDX has no such field."""
    bom = _cyclonedx(packages, subject, made)
    components = [bom["metadata"]["component"], *bom["components"]]
    edges = [("SPDXRef-DOCUMENT", "DESCRIBES", _spdx_id(components[0]["purl"]))]
    for entry in bom["dependencies"]:
        targets = [_spdx_id(purl) for purl in entry["dependsOn"]] or ["NONE"]
        edges += [(_spdx_id(entry["ref"]), "DEPENDS_ON", target) for target in targets]
    for part in bom["compositions"][1:]:  # the first is about the components
        refs = part["dependencies"] if part["aggregate"] != "complete" else []
        edges += [(_spdx_id(ref), "DEPENDS_ON", UNKNOWN) for ref in refs]
    comment = _CONTEXT if made.complete else f"{_CONTEXT}; incomplete, not every lockfile was read"
    creators = [f"Organization: {made.author} ()", f"Tool: {made.tool}-{made.tool_version}"]
    names = ("spdxElementId", "relationshipType", "relatedSpdxElement")
    document = {
        "spdxVersion": "SPDX-2.3",
        "SPDXID": "SPDXRef-DOCUMENT",
        "dataLicense": "CC0-1.0",
        "name": subject.name,
        "creationInfo": {"created": made.timestamp, "creators": creators, "comment": comment},
        "packages": [_spdx_package(component) for component in components],
        "relationships": [dict(zip(names, edge, strict=True)) for edge in edges],
    }
    return _sealed(document, "documentNamespace")


def _cyclonedx(packages: tuple[LockedPackage, ...], subject: Subject, made: Made) -> Record:
    groups = by_purl(packages)
    places = {(package.lockfile, package.key): purl for purl, group in groups.items() for package in group}
    with_graph = {package.lockfile for package in packages if package.depends_on}  # requirements files have none
    overall = "complete" if made.complete else "incomplete"
    root = PackageURL("generic", None, subject.name, subject.version).to_string()
    depends_on = {root: {purl for purl, group in groups.items() if any(package.direct for package in group)}}
    states = {root: overall if depends_on[root] else "unknown"}
    for purl, group in groups.items():
        keys = {(package.lockfile, key) for package in group for key in package.depends_on}
        depends_on[purl] = {places[key] for key in keys & places.keys()}
        states[purl] = "complete" if keys <= places.keys() else "incomplete"
        states[purl] = states[purl] if all(package.lockfile in with_graph for package in group) else "unknown"
    itself = LockedPackage("generic", subject.name, subject.version or UNKNOWN, "runtime", "")
    component = _component(root, [itself], states[root], made.author) | {"type": "application"}
    component["properties"] += [{"name": "truegate:commit", "value": subject.commit or UNKNOWN}]
    tools = {"components": [{"type": "application", "name": made.tool, "version": made.tool_version}]}
    known = {state: [purl for purl in states if states[purl] == state] for state in sorted(set(states.values()))}
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": made.timestamp,
            "lifecycles": [{"phase": "pre-build"}],
            "tools": tools,
            "authors": [{"name": made.author}],
            "component": component,
        },
        "components": [_component(purl, group, states[purl]) for purl, group in groups.items()],
        "dependencies": [
            {"ref": purl, "dependsOn": sorted(depends_on[purl])} for purl in states if states[purl] != "unknown"
        ],
        "compositions": [
            {"aggregate": overall, "assemblies": [root]},
            *({"aggregate": state, "dependencies": purls} for state, purls in known.items()),
        ],
    }


def _component(purl: str, group: list[LockedPackage], graph: str, supplier: str = "") -> Record:
    """Give the component of a package's entries in all lockfiles: runtime wins over dev, hashes add up."""
    licence = min((package.licence.strip() for package in group if package.licence), default="")
    hashes = sorted({pair for package in group for pair in package.hashes if pair[0] in _ALGORITHMS})
    said = {"supplier": supplier, "licence": licence, "hash_algorithm": hashes, "hash_value": hashes}
    unknown = [key for key, value in said.items() if not value] + ["dependencies"] * (graph == "unknown")
    component: Record = {"type": "library", "bom-ref": purl, "purl": purl}
    component |= {"name": group[0].name, "version": group[0].version}
    component["scope"] = "required" if any(package.scope == "runtime" for package in group) else "excluded"
    component["hashes"] = [{"alg": _ALGORITHMS[algorithm], "content": digest} for algorithm, digest in hashes]
    component["properties"] = [{"name": UNKNOWN_PROPERTY, "value": ", ".join(unknown)}]
    component |= {"supplier": {"name": supplier}} if supplier else {}
    return component | ({"licenses": [_licence(licence)]} if licence else {})


def _licence(text: str) -> Record:
    """Tell an SPDX id and an SPDX expression from what is merely a name."""
    from cyclonedx import spdx

    if known := spdx.fixup_id(text):
        return {"license": {"id": known}}
    return {"expression": text} if spdx.is_expression(text) else {"license": {"name": text}}


def _spdx_package(component: Record) -> Record:
    purl, licence = component["purl"], component.get("licenses", [{}])[0]
    licence = licence | licence.get("license", {})
    package = {"SPDXID": _spdx_id(purl), "name": component["name"], "versionInfo": component["version"]}
    package["supplier"] = f"Organization: {component['supplier']['name']} ()" if "supplier" in component else UNKNOWN
    package |= {"downloadLocation": UNKNOWN, "filesAnalyzed": False}  # what is not given is NOASSERTION
    package["licenseDeclared"] = licence.get("expression") or licence.get("id") or UNKNOWN
    if "name" in licence:
        package["licenseComments"] = f"The lockfile says {licence['name']!r}, which is no SPDX expression."
    package["comment"] = "; ".join(f"{one['name']}={one['value']}" for one in component["properties"])
    hashes = [(one["alg"].replace("-", ""), one["content"]) for one in component["hashes"]]
    package["checksums"] = [{"algorithm": algorithm, "checksumValue": digest} for algorithm, digest in hashes]
    reference = {"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": purl}
    return package | {"externalRefs": [reference]}


def _spdx_id(purl: str) -> str:
    return f"SPDXRef-{uuid.uuid5(uuid.NAMESPACE_URL, purl)}"


def _sealed(document: Record, key: str) -> bytes:
    serial = uuid.uuid5(uuid.NAMESPACE_OID, jsonio.dumps(document).decode())
    return jsonio.dumps(document | {key: f"urn:uuid:{serial}"})
