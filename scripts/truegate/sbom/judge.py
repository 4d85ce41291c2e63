"""Judge bills of materials: valid, complete by a standard, equal to the lockfiles, and of one mind."""

from __future__ import annotations

import copy
import functools
import operator
from collections import Counter
from typing import Any
from urllib.parse import quote

from truegate import jsonio
from truegate.errors import ReportError
from truegate.model import Control, LockedPackage, Measurement, Reason
from truegate.sbom.compare import compare_documents, compare_with_lockfiles
from truegate.sbom.read import SbomDocument, by_purl, listed, read_sbom
from truegate.sbom.standard import Standard, judge_standard
from truegate.sbom.validate import schema_errors

_ALTERED = "+truegate.control"
_LOOK = "check which folder and which file were given, then run again"
_NAME = "give each component its name, its version and one package URL, or leave it out"
Packages = tuple[LockedPackage, ...]
Judgement = tuple[tuple[Measurement, ...], tuple[Reason, ...], tuple[str, ...]]


def judge_sbom(documents: tuple[SbomDocument, ...], packages: Packages, standard: Standard) -> Judgement:
    """Give the measurements, what was not seen (incomplete), and notes: a summary, then each fault by name."""
    size = sum(len(document.components) for document in documents)
    notes = [f"{len(documents)} SBOM files with {size} components against {len(packages)} locked packages"]
    reasons = [] if packages else [Reason("sbom-no-packages", "incomplete", "no lockfile holds a package", _LOOK)]
    counts: Counter[str] = Counter()
    for document in documents:
        faults = compare_with_lockfiles(document, by_purl(packages))
        faults["schema_errors"] = [reason.message for reason in schema_errors(document)]
        faults["format_disagreements"] = compare_documents(documents[0], document)
        counts.update({name: len(texts) for name, texts in faults.items()})
        notes += [f"{document.name} is of {_subject_of(document)}"]
        notes += [f"{document.name}: {name} {len(texts)}: {listed(texts)}" for name, texts in faults.items() if texts]
        if not document.components:
            reasons.append(Reason("sbom-empty", "incomplete", f"{document.name} has no components", _LOOK))
        if texts := faults["components_not_comparable"]:
            message = f"{document.name}: {len(texts)} components can't be compared: {listed(texts)}"
            reasons.append(Reason("sbom-not-comparable", "incomplete", message, _NAME))
    measurements = {name: Measurement(name, count, "faults") for name, count in counts.items()}
    if len({document.format for document in documents}) == 1:
        reason = f"there is {documents[0].format} only: hand in the other format too"
        measurements["format_disagreements"] = Measurement("format_disagreements", None, "faults", reason=reason)
    fields, lacking = judge_standard(documents, standard)
    return (*measurements.values(), *fields), tuple(reasons), (*notes, *lacking)


def _subject_of(document: SbomDocument) -> str:
    record = document.subject.record if document.subject else {}
    named = (record.get("name"), record.get("version") or record.get("versionInfo"))
    return " ".join(filter(None, named)) or "an unnamed subject"


def judge_control(document: SbomDocument, packages: Packages) -> tuple[bytes, tuple[Control, ...]]:
    """Remove one component and alter one version; gives that SBOM, and whether the same judge names both faults.

    Of a single component the version is altered: then the right one is gone as well. Raises ReportError if none.
    """
    purls = sorted({part.key for part in document.components if not part.obstacle})
    if not purls:
        raise ReportError(f"{document.name} has no component that can be compared", _NAME)
    leaves = {part.key for part in document.components if not part.record.get("components")} & {*purls}
    removed, altered, altered_to = min(leaves or purls), purls[-1], purls[-1] + quote(_ALTERED)
    record: Any = copy.deepcopy(document.record)
    for part in sorted(document.components, key=lambda part: part.path, reverse=True):  # so that indexes keep
        holder = functools.reduce(operator.getitem, part.path[:-1], record)
        if part.key == altered:
            _alter(holder[part.path[-1]], altered_to)
        elif part.key == removed:
            del holder[part.path[-1]]
    data = jsonio.dumps(record)
    locked: dict[str, list[LockedPackage]] = {removed: [], altered: []} | by_purl(packages)
    faults = compare_with_lockfiles(read_sbom(data, "the control"), locked)
    missing, extra = faults["lockfile_packages_missing"], faults["packages_not_in_lockfile"]
    caught = (removed in missing, altered in missing and altered_to in extra)
    names = ("sbom-component-removed", "sbom-version-altered")
    return data, tuple(Control(name, 1, int(seen), 1) for name, seen in zip(names, caught, strict=True))


def _alter(component: dict[str, Any], purl: str) -> None:
    for key in component.keys() & {"version", "versionInfo"}:
        component[key] += _ALTERED
    if "purl" in component:
        component["purl"] = purl
    for reference in component.get("externalRefs", []):
        reference["referenceLocator"] = purl if reference["referenceType"] == "purl" else reference["referenceLocator"]
