"""Writing bills of materials, and the locked packages that the other SBOM tests share."""

from __future__ import annotations

import base64
import dataclasses
import json
import random
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from truegate.model import LockedPackage
from truegate.sbom.compare import compare_documents, compare_with_lockfiles
from truegate.sbom.read import SbomDocument, by_purl, read_sbom
from truegate.sbom.validate import schema_errors
from truegate.sbom.write import Made, Subject, write_cyclonedx, write_spdx

SAMPLES = Path(__file__).parents[1] / "samples" / "sbom"
SUBJECT = Subject("shop", "1.2.3", "a" * 40)
MADE = Made("2026-11-24T08:00:00Z", "Shop team", "truegate", "0.1.0", complete=True)
PYPI = (
    LockedPackage("pypi", "ruamel-yaml", "0.18.6", "runtime", "requirements.txt", direct=True),
    LockedPackage(
        "pypi", "jinja2", "3.1.4", "dev", "requirements.txt", direct=True, hashes=(("sha256", "ab" * 32), ("x", "1"))
    ),
)


def locked_npm() -> tuple[LockedPackage, ...]:
    """Read the npm sample's lockfile, with nothing of the kit: its nesting is at most one deep."""
    entries: dict[str, Any] = json.loads((SAMPLES / "npm" / "package-lock.json.sample").read_bytes())["packages"]
    own = entries.pop("")
    direct = {f"node_modules/{name}" for key in ("dependencies", "devDependencies") for name in own[key]}
    packages = []
    for place, entry in entries.items():
        needs = [(f"{place}/node_modules/{name}", f"node_modules/{name}") for name in entry.get("dependencies", {})]
        found = [next(path for path in paths if path in entries) for paths in needs]
        algorithm, _, digest = entry["integrity"].partition("-")
        packages.append(
            LockedPackage(
                ecosystem="npm",
                name=place.rpartition("node_modules/")[2],
                version=entry["version"],
                scope="dev" if entry.get("dev") else "runtime",
                lockfile="package-lock.json",
                direct=place in direct,
                depends_on=tuple(f"{path.rpartition('node_modules/')[2]}@{entries[path]['version']}" for path in found),
                hashes=((algorithm, base64.b64decode(digest).hex()),),
                licence=entry.get("license"),
            )
        )
    assert len(packages) == 15
    return tuple(packages)


NPM = locked_npm()


def cyclonedx(packages: tuple[LockedPackage, ...] = NPM, made: Made = MADE, subject: Subject = SUBJECT) -> SbomDocument:
    return read_sbom(write_cyclonedx(packages, subject, made), "bom.cdx.json")


def spdx(packages: tuple[LockedPackage, ...] = NPM, made: Made = MADE, subject: Subject = SUBJECT) -> SbomDocument:
    return read_sbom(write_spdx(packages, subject, made), "bom.spdx.json")


def component(document: SbomDocument, key: str) -> dict[str, Any]:
    return next(part.record for part in document.components if part.key == key)


@pytest.mark.parametrize("write", [write_cyclonedx, write_spdx])
def test_same_content_gives_same_bytes_in_any_order_and_other_content_another_serial(write: Any) -> None:
    shuffled = list(NPM)
    random.Random(7).shuffle(shuffled)
    first = write(NPM, SUBJECT, MADE)
    assert write(tuple(shuffled), SUBJECT, MADE) == first
    others = [
        write(NPM[1:], SUBJECT, MADE),
        write(NPM, dataclasses.replace(SUBJECT, commit=None), MADE),
        write(NPM, SUBJECT, dataclasses.replace(MADE, timestamp="2026-11-24T08:00:01Z")),
    ]
    serials = {re.findall(rb"urn:uuid:[0-9a-f-]{36}", data)[0] for data in (first, *others)}
    assert len(serials) == 4


def test_the_document_says_who_made_it_when_with_what_and_from_what() -> None:
    record = cyclonedx().record
    assert record["specVersion"] == "1.6"
    assert record["metadata"]["authors"] == [{"name": "Shop team"}]
    assert record["metadata"]["timestamp"] == "2026-11-24T08:00:00Z"
    assert record["metadata"]["lifecycles"] == [{"phase": "pre-build"}]
    assert record["metadata"]["tools"]["components"][0] | {"type": ""} == {
        "type": "",
        "name": "truegate",
        "version": "0.1.0",
    }
    properties = record["metadata"]["component"]["properties"]
    assert {"name": "truegate:commit", "value": "a" * 40} in properties
    info = spdx().record["creationInfo"]
    assert info["creators"] == ["Organization: Shop team ()", "Tool: truegate-0.1.0"]
    assert "pre-build" in info["comment"]
    assert "incomplete" not in info["comment"]
    assert "truegate:commit=" + "a" * 40 in spdx().record["packages"][0]["comment"]


def test_dev_is_excluded_and_runtime_wins_when_two_lockfiles_differ() -> None:
    ms = next(package for package in NPM if package.key == "ms@2.0.0")
    assert ms.scope == "dev"
    assert component(cyclonedx(), "pkg:npm/ms@2.0.0")["scope"] == "excluded"
    assert component(cyclonedx(), "pkg:npm/debug@4.3.4")["scope"] == "required"
    other = dataclasses.replace(ms, scope="runtime", lockfile="b/package-lock.json", hashes=(("sha1", "cd" * 20),))
    merged = component(cyclonedx((*NPM, other)), "pkg:npm/ms@2.0.0")
    assert merged["scope"] == "required"
    assert [entry["alg"] for entry in merged["hashes"]] == ["SHA-1", "SHA-512"]
    assert len(cyclonedx((*NPM, other)).components) == 15


@pytest.mark.parametrize(
    ("licence", "in_cyclonedx", "in_spdx"),
    [
        ("MIT", {"license": {"id": "MIT"}}, "MIT"),
        ("mit", {"license": {"id": "MIT"}}, "MIT"),
        ("(MIT OR Apache-2.0)", {"expression": "(MIT OR Apache-2.0)"}, "(MIT OR Apache-2.0)"),
        ("SEE LICENSE IN X", {"license": {"name": "SEE LICENSE IN X"}}, "NOASSERTION"),
        ("MIT OR Nonsense", {"license": {"name": "MIT OR Nonsense"}}, "NOASSERTION"),
    ],
)
def test_a_licence_is_an_id_an_expression_or_a_name(licence: str, in_cyclonedx: Any, in_spdx: str) -> None:
    package = (dataclasses.replace(NPM[0], licence=licence),)
    assert component(cyclonedx(package), cyclonedx(package).components[0].key)["licenses"] == [in_cyclonedx]
    record = spdx(package).record["packages"][1]
    assert record["licenseDeclared"] == in_spdx
    assert (licence in record.get("licenseComments", "")) == (in_spdx == "NOASSERTION")


def test_what_is_unknown_is_said_to_be_unknown() -> None:
    bare = (LockedPackage("pypi", "attrs", "24.1.0", "runtime", "requirements.txt", direct=True),)
    said = component(cyclonedx(bare), "pkg:pypi/attrs@24.1.0")
    unknown = "supplier, licence, hash_algorithm, hash_value, dependencies"
    assert said["properties"] == [{"name": "truegate:unknown", "value": unknown}]
    assert "licenses" not in said
    record = spdx(bare).record["packages"][1]
    assert record["supplier"] == record["licenseDeclared"] == record["downloadLocation"] == "NOASSERTION"
    assert record["comment"] == f"truegate:unknown={unknown}"
    nameless = Subject("shop", None, None)
    assert cyclonedx(subject=nameless).record["metadata"]["component"]["version"] == "NOASSERTION"
    assert schema_errors(cyclonedx(subject=nameless)) == schema_errors(spdx(subject=nameless)) == ()


def test_the_graph_is_complete_incomplete_or_unknown_and_both_formats_say_so() -> None:
    holed = (dataclasses.replace(NPM[0], depends_on=("gone@1.0.0",)), *NPM[1:])
    made = dataclasses.replace(MADE, complete=False)
    document = cyclonedx((*holed, *PYPI), made)
    stated = {entry["aggregate"]: entry.get("dependencies") for entry in document.record["compositions"][1:]}
    assert document.record["compositions"][0] == {"aggregate": "incomplete", "assemblies": ["pkg:generic/shop@1.2.3"]}
    assert stated["incomplete"] == ["pkg:generic/shop@1.2.3", "pkg:npm/%40babel/code-frame@7.22.5"]
    assert stated["unknown"] == ["pkg:pypi/jinja2@3.1.4", "pkg:pypi/ruamel-yaml@0.18.6"]
    assert len(stated["complete"]) == 14
    for one in (document, spdx((*holed, *PYPI), made)):
        said = {part.key: part.dependencies for part in one.components}
        assert said["pkg:pypi/jinja2@3.1.4"] == "NOASSERTION"
        assert said["pkg:npm/ms@2.0.0"] == "given"
        edges = {part.key: part.depends_on for part in one.components}
        assert edges["pkg:npm/debug@4.3.4"] == ("pkg:npm/ms@2.1.2",)
        assert one.subject is not None
        assert "pkg:npm/ms@2.0.0" in one.subject.depends_on
    assert "incomplete" in spdx(holed, made).record["creationInfo"]["comment"]


def test_without_direct_packages_the_subject_has_no_graph() -> None:
    loose = tuple(dataclasses.replace(package, direct=False) for package in NPM)
    for document in (cyclonedx(loose), spdx(loose)):
        assert document.subject is not None
        assert document.subject.dependencies == "NOASSERTION"
        assert schema_errors(document) == ()


NAMES = st.from_regex(r"[a-z0-9]([a-z0-9._-]{0,8}[a-z0-9])?", fullmatch=True)
VERSIONS = st.from_regex(r"[0-9]{1,3}(\.[0-9]{1,3}){0,2}([-+][a-z0-9.]{1,6})?", fullmatch=True)
TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Zl", "Zp", "Cs"]), max_size=20)
PACKAGES = st.builds(
    LockedPackage,
    ecosystem=st.just("npm"),
    name=NAMES | NAMES.map("@scope/{}".format),
    version=VERSIONS,
    scope=st.sampled_from(["runtime", "dev"]),
    lockfile=st.sampled_from(["package-lock.json", "b/yarn.lock"]),
    direct=st.booleans(),
    depends_on=st.lists(st.sampled_from(["left@1.0.0", "right@2.0.0"]), max_size=2, unique=True).map(tuple),
    hashes=st.lists(st.tuples(st.just("sha1"), st.from_regex(r"[0-9a-f]{40}", fullmatch=True)), max_size=2).map(tuple),
    licence=st.none() | TEXTS | st.sampled_from(["MIT", "mit AND mit", "GPL-2.0+", "UNLICENSED", "BSD", "NONE"]),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(PACKAGES, max_size=6).map(tuple), TEXTS.filter(str.strip), TEXTS.filter(str.strip))
def test_whatever_the_lockfiles_hold_both_formats_are_valid_and_equal_to_them(
    packages: tuple[LockedPackage, ...], name: str, author: str
) -> None:
    subject, made = Subject(name, None, None), dataclasses.replace(MADE, author=author)
    pair = [cyclonedx(packages, made, subject), spdx(packages, made, subject)]
    for document in pair:
        assert schema_errors(document) == ()
        assert not any(compare_with_lockfiles(document, by_purl(packages)).values())
    assert compare_documents(*pair) == []
