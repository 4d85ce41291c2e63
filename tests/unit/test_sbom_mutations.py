"""No single mutation of a good bill of materials is ever taken for equal to the lockfiles and to its twin."""

from __future__ import annotations

import copy
import functools
import json
import operator
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import test_sbom_write as samples  # type: ignore[import-not-found]
from hypothesis import example, given, settings
from hypothesis import strategies as st

from truegate.errors import ReportError
from truegate.model import LockedPackage
from truegate.sbom.compare import compare_documents, compare_with_lockfiles
from truegate.sbom.judge import judge_control, judge_sbom
from truegate.sbom.read import SbomDocument, by_purl, read_sbom
from truegate.sbom.standard import load_standard

PACKAGES: tuple[LockedPackage, ...] = (*samples.NPM, *samples.PYPI)
NTIA = load_standard("ntia-2021")
LOCKED = by_purl(PACKAGES)
GOOD = {"cyclonedx": samples.cyclonedx(PACKAGES), "spdx": samples.spdx(PACKAGES)}
TWIN = {"cyclonedx": GOOD["spdx"], "spdx": GOOD["cyclonedx"]}
FORMATS = pytest.mark.parametrize("kind", sorted(GOOD))
Mutation = Callable[[Any], object]


def accepted(data: bytes, kind: str, *, with_twin: bool) -> bool:
    """Tell whether the document is read and found without any difference."""
    try:
        document = read_sbom(data, "bom.json")
    except ReportError:
        return False
    differences = compare_documents(document, TWIN[kind]) if with_twin else []
    return not any(compare_with_lockfiles(document, LOCKED).values()) and not differences


def mutated(kind: str, mutation: Mutation) -> bytes:
    record = copy.deepcopy(GOOD[kind].record)
    mutation(record)
    assert record != GOOD[kind].record, "the mutation changed nothing"
    return json.dumps(record).encode()


def parts(record: Any, kind: str) -> list[dict[str, Any]]:
    """Give the components in their order, without the subject."""
    return list(record["components"] if kind == "cyclonedx" else record["packages"][1:])


def drop(record: Any, kind: str, index: int) -> None:
    del record["components" if kind == "cyclonedx" else "packages"][index + (kind == "spdx")]


def set_purl(part: dict[str, Any], kind: str, change: Callable[[str], str]) -> None:
    holder, key = (part, "purl") if kind == "cyclonedx" else (part["externalRefs"][0], "referenceLocator")
    holder[key] = change(holder[key])


def component_mutations(kind: str, index: int) -> Iterator[tuple[str, Mutation]]:
    """Give every mutation of one component that the lockfiles alone must show."""

    def on(edit: Callable[[dict[str, Any]], object]) -> Mutation:
        return lambda record: edit(parts(record, kind)[index])

    version = "version" if kind == "cyclonedx" else "versionInfo"
    digests = ("hashes", "content") if kind == "cyclonedx" else ("checksums", "checksumValue")
    own = parts(GOOD[kind].record, kind)[index]
    yield "dropped", lambda record: drop(record, kind, index)
    yield "renamed", on(lambda part: part.update(name=part["name"] + "x"))
    yield "name taken away", on(lambda part: part.pop("name"))
    yield "version altered", on(lambda part: part.update({version: part[version] + "1"}))
    yield "version taken away", on(lambda part: part.pop(version))
    yield "package URL renamed", on(lambda part: set_purl(part, kind, lambda purl: purl.replace("@", "x@")))
    yield "package URL's version altered", on(lambda part: set_purl(part, kind, lambda purl: purl + "1"))
    yield (
        "package URL of another ecosystem",
        on(lambda part: set_purl(part, kind, lambda p: p.replace("pkg:", "pkg:x"))),
    )
    yield "package URL blanked", on(lambda part: set_purl(part, kind, lambda _: ""))
    yield "package URL taken away", on(lambda part: part.pop("purl" if kind == "cyclonedx" else "externalRefs"))
    yield "version altered all over", on(lambda part: _repin(part, kind, version))
    yield "kind altered", on(lambda part: part.update({"type": "file", "primaryPackagePurpose": "FILE"}))
    if kind == "cyclonedx" and own["scope"] == "required":
        yield "scope excluded", on(lambda part: part.update(scope="excluded"))
    if own[digests[0]]:
        yield "hash altered", on(lambda part: part[digests[0]][0].update({digests[1]: "0" * 64}))


def _repin(part: dict[str, Any], kind: str, version: str) -> None:
    part[version] = "9.9.9"
    set_purl(part, kind, lambda purl: purl.rpartition("@")[0] + "@9.9.9")


@FORMATS
def test_the_good_ones_are_accepted(kind: str) -> None:
    for with_twin in (False, True):
        assert accepted(json.dumps(GOOD[kind].record).encode(), kind, with_twin=with_twin)
    assert len(GOOD[kind].components) == len(parts(GOOD[kind].record, kind)) == len(LOCKED) == 17


@FORMATS
@pytest.mark.parametrize("index", range(17))
def test_no_mutation_of_a_component_passes_the_lockfiles(kind: str, index: int) -> None:
    passed = [
        name
        for name, mutation in component_mutations(kind, index)
        if accepted(mutated(kind, mutation), kind, with_twin=False)
    ]
    assert passed == []


def pop_at(*path: Any) -> Mutation:
    return lambda record: functools.reduce(operator.getitem, path[:-1], record).pop(path[-1])


def put_at(value: Any, *path: Any) -> Mutation:
    return lambda record: functools.reduce(operator.getitem, path[:-1], record).__setitem__(path[-1], value)


def _cyclonedx_graph() -> Iterator[tuple[str, Mutation]]:
    record = GOOD["cyclonedx"].record
    for index, entry in enumerate(record["dependencies"]):
        for edge in range(len(entry["dependsOn"])):
            yield f"edge {index} {edge} dropped", pop_at("dependencies", index, "dependsOn", edge)
            yield f"edge {index} {edge} bent", put_at("gone", "dependencies", index, "dependsOn", edge)
        yield f"edges {index} bent", put_at("gone", "dependencies", index, "ref")
    for index, part in enumerate(record["components"]):
        if part["hashes"]:
            yield f"hash {index} dropped", pop_at("components", index, "hashes", 0)


def _spdx_graph() -> Iterator[tuple[str, Mutation]]:
    record = GOOD["spdx"].record
    for index, entry in enumerate(record["relationships"]):
        if entry["relatedSpdxElement"].startswith("SPDXRef-"):
            yield f"edge {index} dropped", pop_at("relationships", index)
            yield f"edge {index} bent at its source", put_at("SPDXRef-x", "relationships", index, "spdxElementId")
            yield f"edge {index} bent at its end", put_at("SPDXRef-x", "relationships", index, "relatedSpdxElement")
            yield f"edge {index} of another kind", put_at("GENERATES", "relationships", index, "relationshipType")
    for index, part in enumerate(record["packages"]):
        if part["checksums"]:
            yield f"hash {index} dropped", pop_at("packages", index, "checksums", 0)


@pytest.mark.parametrize(("kind", "mutations"), [("cyclonedx", _cyclonedx_graph), ("spdx", _spdx_graph)])
def test_no_mutation_of_the_graph_or_the_hashes_passes_the_twin(
    kind: str, mutations: Callable[[], Iterator[tuple[str, Mutation]]]
) -> None:
    cases = list(mutations())
    assert len(cases) > 40
    assert [name for name, change in cases if accepted(mutated(kind, change), kind, with_twin=True)] == []


@FORMATS
def test_no_file_cut_short_is_read(kind: str) -> None:
    data = json.dumps(GOOD[kind].record).encode()
    for length in range(0, len(data), 7):
        assert not accepted(data[:length], kind, with_twin=False)
    assert not accepted(data[:-1], kind, with_twin=False)


def essence(record: Any, kind: str) -> list[tuple[Any, ...]]:
    """Give what is compared (identities, hashes, edges), read from the JSON alone and not by the kit."""
    if kind == "cyclonedx":
        parts = [(p["name"], p["version"], p["purl"], p["hashes"]) for p in record["components"]]
        return [*parts, *((e["ref"], e["dependsOn"]) for e in record["dependencies"] if e.get("dependsOn"))]
    purls = [p["externalRefs"][0]["referenceLocator"] for p in record["packages"][1:]]
    rest = [(p["name"], p["versionInfo"], p["checksums"]) for p in record["packages"][1:]]
    edges = [(e["spdxElementId"], e["relatedSpdxElement"]) for e in record["relationships"]]
    return [*zip(purls, rest, strict=True), *(edge for edge in edges if edge[1].startswith("SPDXRef-"))]


@FORMATS
@settings(max_examples=400, deadline=None)
@given(start=st.floats(0, 1), length=st.integers(1, 400), filler=st.sampled_from([b"", b" ", b"0", b'"', b"\xff"]))
@example(start=0.0, length=1, filler=b"")
def test_a_file_with_bytes_cut_out_is_accepted_only_if_nothing_that_counts_was_cut(
    kind: str, start: float, length: int, filler: bytes
) -> None:
    data = json.dumps(GOOD[kind].record, indent=1).encode()
    place = int(start * (len(data) - 1))
    cut = data[:place] + filler + data[place + length :]
    if accepted(cut, kind, with_twin=True):
        assert essence(json.loads(cut), kind) == essence(GOOD[kind].record, kind)


def test_an_unreadable_document_is_an_error_and_not_an_empty_one() -> None:
    with pytest.raises(ReportError):
        read_sbom(b"{", "bom.json")
    empty: SbomDocument = read_sbom(b'{"bomFormat": "CycloneDX", "specVersion": "1.6"}', "bom.json")
    assert len(compare_with_lockfiles(empty, LOCKED)["lockfile_packages_missing"]) == 17


ODD: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, 0, -1, 1.5, "", "x", "\ud800", "NOASSERTION", "pkg:npm/%ZZ@1", [], {}, [None], ["x"]]
)


def _paths(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, child in items:
        yield (*path, key)
        yield from _paths(child, (*path, key))


PLACES = {kind: list(_paths(document.record)) for kind, document in GOOD.items()}


@FORMATS
@settings(max_examples=150, deadline=None)
@given(data=st.data(), odd=ODD)
def test_anything_anywhere_is_judged_or_refused_and_never_a_traceback(kind: str, data: st.DataObject, odd: Any) -> None:
    path = data.draw(st.sampled_from(PLACES[kind]))
    record = copy.deepcopy(GOOD[kind].record)
    functools.reduce(operator.getitem, path[:-1], record)[path[-1]] = odd
    try:
        document = read_sbom(json.dumps(record).encode(), "bom.json")
    except ReportError:
        return
    measurements, _, notes = judge_sbom((document,), PACKAGES, NTIA)
    assert measurements
    assert notes
    if all(part.obstacle for part in document.components):
        with pytest.raises(ReportError, match="no component that can be compared"):
            judge_control(document, PACKAGES)
    else:
        assert all(control.seen for control in judge_control(document, PACKAGES)[1])


@pytest.mark.parametrize("wrong", [0, None, 1.5, True, ["x"]])
def test_a_reference_that_is_no_text_is_refused(wrong: Any) -> None:
    for kind, path in (
        ("cyclonedx", ("dependencies", 0, "dependsOn", 0)),
        ("spdx", ("relationships", 2, "spdxElementId")),
    ):
        with pytest.raises(ReportError, match="has a shape"):
            read_sbom(mutated(kind, put_at(wrong, *path)), "bom.json")
