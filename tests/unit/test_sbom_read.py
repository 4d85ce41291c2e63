"""Reading bills of materials that real tools made, and refusing what they don't hold."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
import test_sbom_write as samples  # type: ignore[import-not-found]

from truegate.errors import ReportError
from truegate.sbom.read import SUBJECT, SbomDocument, by_purl, make_purl, read_sbom

NPM_FILES = ["trivy.cdx.json", "trivy.spdx.json", "npm.cdx.json", "npm.spdx.json", "cyclonedx-npm.cdx.json"]


def sample(path: str) -> SbomDocument:
    return read_sbom((samples.SAMPLES / path).read_bytes(), path)


def read(record: Any) -> SbomDocument:
    return read_sbom(json.dumps(record).encode(), "bom.json")


def minimal(*components: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"bomFormat": "CycloneDX", "specVersion": "1.6", "components": list(components), **more}


def library(purl: str, name: str = "ms", version: str = "2.0.0", kind: str = "library") -> dict[str, Any]:
    return {"type": kind, "name": name, "version": version, "purl": purl, "bom-ref": purl}


def package(ref: str, *purls: str, **more: Any) -> dict[str, Any]:
    references = [
        {"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": p} for p in purls
    ]
    return {"SPDXID": ref, "name": "ms", "versionInfo": "2.0.0", "externalRefs": references, **more}


@pytest.mark.parametrize("file", NPM_FILES)
def test_every_tool_s_npm_sample_holds_the_lockfile_s_packages_and_its_edges(file: str) -> None:
    document = sample(f"npm/{file}")
    keys = [part.key for part in document.components if not part.obstacle]
    assert sorted(keys) == list(by_purl(samples.NPM))
    assert document.subject is not None
    assert document.subject.key == SUBJECT
    edges = {part.key: part.depends_on for part in document.components}
    assert edges["pkg:npm/debug@4.3.4"] == ("pkg:npm/ms@2.1.2",)
    assert edges["pkg:npm/%40babel/code-frame@7.22.5"] == ("pkg:npm/%40babel/highlight@7.25.9",)
    assert document.dangling == document.vulnerability_entries == ()
    strangers = {part.key for part in document.components if part.obstacle}
    assert strangers == ({"package-lock.json"} if "trivy" in file else set())


@pytest.mark.parametrize("file", ["npm.cdx.json", "npm.spdx.json"])
def test_hashes_are_the_lockfile_s(file: str) -> None:
    hashes = {part.key: part.hashes for part in sample(f"npm/{file}").components}
    assert hashes == {purl: frozenset(group[0].hashes) for purl, group in by_purl(samples.NPM).items()}


def test_nested_components_and_hashes_of_distributions_are_read() -> None:
    nested = sample("npm/cyclonedx-npm.cdx.json")
    assert max(len(part.path) for part in nested.components) == 4
    python = {part.key: part for part in sample("pypi/cyclonedx-py.cdx.json").components}
    assert sorted(python) == ["pkg:pypi/jinja2@3.1.4", "pkg:pypi/markupsafe@2.1.5", "pkg:pypi/ruamel-yaml@0.18.6"]
    assert [name for name, _ in python["pkg:pypi/jinja2@3.1.4"].hashes] == ["sha256"]
    assert python["pkg:pypi/ruamel-yaml@0.18.6"].record["name"] == "ruamel.yaml"


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "is empty"),
        (b"<?xml version='1.0'?><bom/>", "XML"),
        (b"\xef\xbb\xbf <bom/>", "XML"),
        (b"SPDXVersion: SPDX-2.3\n", "tag-value"),
        (b"[]", "no JSON object"),
        (b'{"@context": "https://spdx.org/rdf/3.0.1/spdx-context.jsonld", "@graph": []}', "SPDX 3"),
        (b'{"bomFormat": "CycloneDX", "specVersion": "1.3"}', "CycloneDX 1.3"),
        (b'{"bomFormat": "CycloneDX", "specVersion": "2.0"}', "CycloneDX 2.0"),
        (b'{"bomFormat": "CycloneDX"}', "CycloneDX"),
        (b'{"spdxVersion": "SPDX-2.1"}', "SPDX-2.1"),
        (b'{"spdxVersion": "SPDX-3.0"}', "SPDX-3.0"),
        (b'{"bomFormat": "CycloneDX", "specVersion": "1.6", "spdxVersion": "SPDX-2.3"}', "CycloneDX 1.6 SPDX-2.3"),
        (b'{"artifacts": []}', "no bomFormat"),
        (b'{"bomFormat": "CycloneDX", "bomFormat": "CycloneDX", "specVersion": "1.6"}', "stands twice"),
        (b'{"bomFormat": "CycloneDX", "specVersion": "1.6", "version": NaN}', "NaN"),
    ],
)
def test_other_formats_and_unsound_json_are_named_and_refused(data: bytes, says: str) -> None:
    with pytest.raises(ReportError, match=says) as caught:
        read_sbom(data, "bom.json")
    assert "bom.json" in caught.value.message
    assert caught.value.next_step


@pytest.mark.parametrize("version", ["1.4", "1.5", "1.6", "1.7"])
def test_each_supported_cyclonedx_is_read(version: str) -> None:
    document = read(minimal(library("pkg:npm/ms@2.0.0")) | {"specVersion": version})
    assert [(document.version, part.key) for part in document.components] == [(version, "pkg:npm/ms@2.0.0")]


@pytest.mark.parametrize("wrong", ["text", 7, None, ["text"], [None], [[]], True])
@pytest.mark.parametrize("key", ["components", "dependencies", "compositions", "vulnerabilities", "metadata"])
def test_a_part_of_another_shape_is_an_error_and_never_an_empty_list(key: str, wrong: Any) -> None:
    with pytest.raises(ReportError, match=r"bom\.json has a shape that CycloneDX does not allow"):
        read(minimal(library("pkg:npm/ms@2.0.0"), **{key: wrong}) | {key: wrong})


@pytest.mark.parametrize("wrong", ["text", 7, None, ["text"], [None]])
@pytest.mark.parametrize("key", ["packages", "relationships", "files"])
def test_an_spdx_part_of_another_shape_is_an_error_too(key: str, wrong: Any) -> None:
    with pytest.raises(ReportError, match=r"bom\.json has a shape that SPDX-2\.3 does not allow"):
        read({"spdxVersion": "SPDX-2.3", key: wrong})


@pytest.mark.parametrize("wrong", [7, None, ["x"], {"x": 1}])
@pytest.mark.parametrize("key", ["type", "name", "version", "purl", "group"])
def test_a_component_with_a_field_of_another_type_is_refused_or_not_comparable(key: str, wrong: Any) -> None:
    try:
        document = read(minimal(library("pkg:npm/ms@2.0.0") | {key: wrong}))
    except ReportError:
        return
    harmless = key == "group" and wrong is None
    assert harmless or document.components[0].obstacle


@pytest.mark.parametrize(
    ("part", "says"),
    [
        ({"type": "library", "name": "ms", "version": "2.0.0"}, "none"),
        (library(""), "no single sound"),
        (library("ms@2.0.0"), "no single sound"),
        (library("pkg:golang/ms@2.0.0"), "golang"),
        (library("pkg:npm/ms@2.0.0", kind="operating-system"), "operating-system"),
        (library("pkg:npm/ms@2.0.0", kind="hydra"), "hydra"),
        (library("pkg:npm/ms@2.0.1"), "contradicts"),
        (library("pkg:npm/sm@2.0.0"), "contradicts"),
        (library("pkg:npm/%40a/ms@2.0.0"), "contradicts"),
        (library("pkg:npm/ms"), "contradicts"),
        (library("pkg:pypi/ms@2.0.0", name="m.s"), "contradicts"),
    ],
)
def test_what_can_t_be_compared_is_kept_and_says_why(part: dict[str, Any], says: str) -> None:
    [found] = read(minimal(part)).components
    assert says in found.obstacle
    assert not found.key.startswith("pkg:")


@pytest.mark.parametrize(
    ("purl", "name", "key"),
    [
        ("pkg:npm/JSONStream@2.0.0", "JSONStream", "pkg:npm/jsonstream@2.0.0"),
        ("pkg:npm/%40Scope/ms@2.0.0", "@scope/ms", "pkg:npm/%40scope/ms@2.0.0"),
        ("pkg:npm/@scope/ms@2.0.0", "@scope/ms", "pkg:npm/%40scope/ms@2.0.0"),
        ("pkg:pypi/Ruamel.Yaml@2.0.0", "ruamel_yaml", "pkg:pypi/ruamel-yaml@2.0.0"),
        ("pkg:npm/ms@2.0.0?vcs_url=git%2Bssh://x#lib", "ms", "pkg:npm/ms@2.0.0"),
    ],
)
def test_spellings_of_one_package_are_one_key(purl: str, name: str, key: str) -> None:
    [found] = read(minimal(library(purl, name=name))).components
    assert (found.key, found.obstacle) == (key, "")
    assert make_purl(key[4 : key.index("/")], name, "2.0.0") == key


def test_spdx_relations_are_read_in_both_directions_and_unknown_is_not_none() -> None:
    names = ["a", "b", "c", "d", "e"]
    packages = [package(f"SPDXRef-{n}", f"pkg:npm/{n}@2.0.0", name=n) for n in names]
    relations = [
        ("SPDXRef-DOCUMENT", "DESCRIBES", "SPDXRef-a"),
        ("SPDXRef-a", "DEPENDS_ON", "SPDXRef-b"),
        ("SPDXRef-c", "DEV_DEPENDENCY_OF", "SPDXRef-a"),
        ("SPDXRef-b", "DEPENDS_ON", "NONE"),
        ("SPDXRef-d", "DEPENDS_ON", "NOASSERTION"),
        ("SPDXRef-c", "CONTAINS", "SPDXRef-gone"),
        ("SPDXRef-e", "GENERATED_FROM", "SPDXRef-a"),
    ]
    keys = ("spdxElementId", "relationshipType", "relatedSpdxElement")
    entries = [dict(zip(keys, relation, strict=True)) for relation in relations]
    document = read(
        {"spdxVersion": "SPDX-2.2", "SPDXID": "SPDXRef-DOCUMENT", "packages": packages, "relationships": entries}
    )
    assert document.subject is not None
    assert document.subject.depends_on == ("pkg:npm/b@2.0.0", "pkg:npm/c@2.0.0")
    assert {part.key[8]: part.dependencies for part in document.components} == {
        "b": "given",
        "c": "given",
        "d": "NOASSERTION",
        "e": "",
    }
    assert document.dangling == ("SPDXRef-gone",)


def test_an_spdx_document_that_describes_every_package_hides_none_as_its_subject() -> None:
    packages = [package("SPDXRef-a", "pkg:npm/ms@2.0.0"), package("SPDXRef-b", "pkg:npm/ms@2.0.0")]
    record = {"spdxVersion": "SPDX-2.3", "packages": packages, "documentDescribes": ["SPDXRef-a", "SPDXRef-b"]}
    assert (read(record).subject, len(read(record).components)) == (None, 2)


def test_spdx_files_and_packages_with_two_identities_are_components_that_can_t_be_compared() -> None:
    record = {
        "spdxVersion": "SPDX-2.3",
        "packages": [package("SPDXRef-a", "pkg:npm/ms@2.0.0", "pkg:npm/ms@2.0.1")],
        "files": [{"SPDXID": "SPDXRef-f", "fileName": "./x.js", "checksums": []}],
    }
    assert [part.obstacle[:20] for part in read(record).components] == ["has no single sound "] * 2


def test_reading_leaves_what_it_read_as_it_was() -> None:
    record = json.loads((samples.SAMPLES / "npm" / "trivy.spdx.json").read_bytes())
    before = copy.deepcopy(record)
    assert read(record).record == before
