"""Judging bills of materials: each fault is counted and named, and the control is caught."""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import test_sbom_write as samples  # type: ignore[import-not-found]

from truegate.errors import ConfigError, ReportError
from truegate.model import LockedPackage, Measurement
from truegate.sbom import judge, standard
from truegate.sbom.compare import compare_with_lockfiles
from truegate.sbom.judge import judge_control, judge_sbom
from truegate.sbom.read import SbomDocument, by_purl, read_sbom
from truegate.sbom.standard import judge_standard, load_standard
from truegate.sbom.validate import schema_errors

NTIA = load_standard("ntia-2021")
FAULTS = {
    "lockfile_packages_missing",
    "packages_not_in_lockfile",
    "versions_different",
    "hashes_not_in_lockfile",
    "runtime_packages_excluded",
    "components_not_comparable",
    "dangling_references",
    "vulnerability_entries",
    "schema_errors",
    "format_disagreements",
}
NPM: tuple[LockedPackage, ...] = samples.NPM
OWN = (samples.cyclonedx(), samples.spdx())


def sample(path: str) -> SbomDocument:
    return read_sbom((samples.SAMPLES / path).read_bytes(), Path(path).name)


def edited(document: SbomDocument, edit: Callable[[Any], object]) -> SbomDocument:
    record = copy.deepcopy(document.record)
    edit(record)
    return read_sbom(json.dumps(record).encode(), document.name)


def counts(documents: tuple[SbomDocument, ...], packages: tuple[LockedPackage, ...] = NPM) -> dict[str, Any]:
    """Give the faults that are not zero."""
    measurements, _, _ = judge_sbom(documents, packages, NTIA)
    faults = {one.id: one.value for one in measurements if one.unit == "faults"}
    assert faults.keys() == FAULTS
    return {name: value for name, value in faults.items() if value}


def percentages(measurements: list[Measurement]) -> dict[str, float | int | None]:
    return {one.id.split(".", 1)[1]: one.value for one in measurements if one.unit == "percent"}


def test_our_own_pair_is_without_fault_and_meets_ntia() -> None:
    measurements, reasons, notes = judge_sbom(OWN, NPM, NTIA)
    assert {one.id for one in measurements if one.value == 0} >= FAULTS | {"standard_fields_unmet"}
    assert reasons == ()
    assert notes == (
        "2 SBOM files with 30 components against 15 locked packages",
        "bom.cdx.json is of shop 1.2.3",
        "bom.spdx.json is of shop 1.2.3",
    )
    values = {one.id: one.value for one in measurements}
    assert values["ntia-2021.component.supplier_percent"] == 6.25
    assert values["ntia-2021.component.supplier_unknown_percent"] == 93.75
    assert values["ntia-2021.component.name_percent"] == 100


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (("npm/trivy.cdx.json", "npm/trivy.spdx.json"), {}),
        (("npm/npm.cdx.json", "npm/npm.spdx.json"), {"schema_errors": 1}),
        (("npm/cyclonedx-npm.cdx.json",), {}),
        (
            ("pypi/cyclonedx-py.cdx.json",),
            {"lockfile_packages_missing": 15, "packages_not_in_lockfile": 3},
        ),
    ],
)
def test_what_real_tools_made_is_judged(files: tuple[str, ...], expected: dict[str, int]) -> None:
    assert counts(tuple(sample(file) for file in files)) == expected


def test_valid_is_not_complete() -> None:
    [unmet, *rest], problems = judge_standard((sample("npm/trivy.cdx.json"),), NTIA)
    assert (unmet.id, unmet.value) == ("standard_fields_unmet", 4)
    shares = percentages(rest)
    assert shares["component.supplier_percent"] == shares["component.supplier_unknown_percent"] == 0
    assert shares["component.version_percent"] == 88.23  # 15 of 17, rounded down
    assert shares["document.author_percent"] == 0
    assert any(text.startswith("trivy.cdx.json: Version of the component") for text in problems)
    assert any("missing in 2 of 17: (the subject), package-lock.json" in text for text in problems)


def test_each_difference_is_counted_and_named() -> None:
    own = OWN[0]
    extra = {"type": "library", "name": "left-pad", "version": "1.0.0", "purl": "pkg:npm/left-pad@1.0.0"}
    cases: list[tuple[Callable[[Any], object], dict[str, int], str]] = [
        (lambda r: r["components"].pop(0), {"lockfile_packages_missing": 1, "dangling_references": 1}, "code-frame"),
        (lambda r: r["components"].append(extra), {"packages_not_in_lockfile": 1}, "left-pad@1.0.0"),
        (lambda r: r["components"][0]["hashes"][0].update(content="0" * 128), {"hashes_not_in_lockfile": 1}, "sha512"),
        (lambda r: r["components"][0].update(scope="excluded"), {"runtime_packages_excluded": 1}, "code-frame"),
        (lambda r: r.update(vulnerabilities=[{"id": "CVE-1"}]), {"vulnerability_entries": 1}, "CVE-1"),
        (lambda r: r["components"][0].update(surprise=1), {"schema_errors": 1}, "$.components[0]"),
        (lambda r: r["dependencies"].append({"ref": "gone"}), {"dangling_references": 1}, "gone"),
    ]
    for edit, expected, named in cases:
        document = edited(own, edit)
        assert counts((document,)) == expected
        _, _, notes = judge_sbom((document,), NPM, NTIA)
        assert any(named in note for note in notes), (named, notes)


def test_spdx_advisory_references_are_vulnerability_data_and_identifiers_are_not() -> None:
    kinds = ["advisory", "fix", "url", "cpe23Type", "swid"]
    references = [{"referenceCategory": "SECURITY", "referenceType": k, "referenceLocator": f"x:{k}"} for k in kinds]
    document = edited(OWN[1], lambda r: r["packages"][3]["externalRefs"].extend(references))
    assert document.vulnerability_entries == ("x:advisory", "x:fix", "x:url")


def test_two_formats_that_disagree_are_caught_each_way() -> None:
    fewer = edited(OWN[0], lambda r: r["components"][1]["hashes"].clear())
    _, _, notes = judge_sbom((fewer, OWN[1]), NPM, NTIA)
    assert counts((fewer, OWN[1])) == {"format_disagreements": 1}
    assert any("sha512" in note and note.endswith("is only in bom.spdx.json") for note in notes)
    dropped = edited(OWN[1], lambda r: r["relationships"].pop(1))
    assert counts((OWN[0], dropped)) == {"format_disagreements": 1}


def test_one_document_alone_has_no_agreement_to_tell() -> None:
    measurements, _, _ = judge_sbom(OWN[:1], NPM, NTIA)
    [found] = [one for one in measurements if one.id == "format_disagreements"]
    assert (found.value, bool(found.reason)) == (None, True)


def test_what_was_not_seen_is_incomplete_and_never_ignored() -> None:
    hidden = edited(OWN[0], lambda r: r["components"][2].pop("purl"))
    _, reasons, _ = judge_sbom((hidden,), NPM, NTIA)
    assert [(one.code, one.kind) for one in reasons] == [("sbom-not-comparable", "incomplete")]
    assert "@babel/highlight@7.25.9 has no single sound package URL" in reasons[0].message
    assert counts((hidden,))["components_not_comparable"] == 1
    bare = edited(OWN[0], lambda r: r.update(components=[], dependencies=[], compositions=[]))
    _, reasons, _ = judge_sbom((bare,), (), NTIA)
    assert {(one.code, one.kind) for one in reasons} == {
        ("sbom-no-packages", "incomplete"),
        ("sbom-empty", "incomplete"),
    }


def test_a_lockfile_listed_as_a_component_is_known_and_another_file_is_not() -> None:
    trivy = sample("npm/trivy.cdx.json")
    assert counts((trivy,)) == {}
    other = tuple(dataclasses.replace(package, lockfile="web/package-lock.json") for package in NPM)
    assert counts((trivy,), other) == {"components_not_comparable": 1}


@pytest.mark.parametrize("file", ["npm/trivy.cdx.json", "npm/npm.spdx.json", "npm/cyclonedx-npm.cdx.json"])
def test_the_control_is_caught_in_every_format_even_if_the_document_is_of_something_else(file: str) -> None:
    document = sample(file)
    for packages in (NPM, samples.PYPI, ()):
        data, controls = judge_control(document, packages)
        assert [(one.id, one.expected, one.seen) for one in controls] == [
            ("sbom-component-removed", 1, 1),
            ("sbom-version-altered", 1, 1),
        ]
    faults = counts((read_sbom(data, "control"),))
    assert (faults["lockfile_packages_missing"], faults["packages_not_in_lockfile"]) == (2, 1)
    assert faults["versions_different"] == 1
    assert counts((document,)).keys() <= {"schema_errors"}  # the document itself was left as it was


def test_the_control_of_a_single_component_and_of_none() -> None:
    data, controls = judge_control(samples.cyclonedx(NPM[:1]), NPM[:1])
    assert [one.seen for one in controls] == [1, 1]
    assert b"7.22.5+truegate.control" in data
    with pytest.raises(ReportError, match="no component that can be compared"):
        judge_control(samples.cyclonedx(()), NPM)


def test_a_judge_that_does_not_look_misses_the_control(monkeypatch: pytest.MonkeyPatch) -> None:
    clean = compare_with_lockfiles(OWN[0], by_purl(NPM))
    monkeypatch.setattr(judge, "compare_with_lockfiles", lambda *_: clean)
    _, controls = judge_control(OWN[0], NPM)
    assert [one.seen for one in controls] == [0, 0]


def test_the_cisa_draft_asks_for_a_signature_which_we_do_not_write() -> None:
    cisa = load_standard("cisa-2026")
    assert (cisa.status, len(cisa.fields)) == ("draft", 17)
    [unmet, *rest], problems = judge_standard(OWN, cisa)
    assert unmet.value == 1
    assert problems == ["bom.cdx.json: SBOM author signature (CISA 2026, SBOM data): missing in 1 of 1: the document"]
    assert percentages(rest)["component.hash_value_percent"] == 93.75
    signed = edited(OWN[0], lambda r: r.update(signature={"algorithm": "ES256", "value": "x"}))
    assert judge_standard((signed, OWN[1]), cisa)[0][0].value == 0
    [unmet, *rest], problems = judge_standard(OWN[1:], cisa)
    assert unmet.value == 1
    assert percentages(rest)["document.author_signature_percent"] is None
    assert problems == ["SBOM author signature (CISA 2026, SBOM data): no SBOM here can carry it"]


def test_bsi_can_t_be_met_in_spdx_2_and_can_be_in_cyclonedx() -> None:
    bsi = load_standard("bsi-tr-03183-2.1")
    [unmet, *rest], problems = judge_standard(OWN[1:], bsi)
    assert unmet.value == len(bsi.fields) == 13
    assert {one.value for one in rest} == {None}
    assert problems[0] == "bom.spdx.json: spdx 2.3 can't meet bsi-tr-03183-2.1, which takes 3.0.1"

    def complete(record: Any) -> None:
        record["metadata"]["manufacturer"] = {"name": "Shop", "url": ["https://shop.example"]}
        said = {"filename": "x.tgz", "executable": "non-executable", "archive": "archive", "structured": "structured"}
        for part in (record["metadata"]["component"], *record["components"]):
            part["manufacturer"] = {"name": "X", "contact": [{"email": "x@example.com"}]}
            part["licenses"] = [{"license": {"id": "MIT", "acknowledgement": "concluded"}}]
            part["properties"] = [{"name": f"bsi:component:{key}", "value": value} for key, value in said.items()]
            hashes = [{"alg": "SHA-512", "content": "0" * 128}]
            reference = {"type": "distribution", "url": "https://example.com/x.tgz", "hashes": hashes}
            part["externalReferences"] = [reference]

    full = edited(OWN[0], complete)
    assert schema_errors(full) == ()
    assert judge_standard((full,), bsi)[0][0].value == 0
    sloppy = edited(full, lambda r: r["components"][0]["properties"][1].update(value="perhaps"))
    [unmet, *_], problems = judge_standard((sloppy,), bsi)
    assert unmet.value == 1
    assert problems[0].endswith("missing in 1 of 16: pkg:npm/%40babel/code-frame@7.22.5")


@pytest.mark.parametrize("word", ["NOASSERTION", "unknown", " Unknown ", "N/A"])
def test_a_word_for_unknown_is_not_a_value_and_a_blank_is_missing(word: str) -> None:
    vague = edited(OWN[0], lambda r: r["components"][0].update(supplier={"name": word}))
    shares = percentages(judge_standard((vague,), NTIA)[0])
    assert shares["component.supplier_percent"] == 6.25
    for address in ("", " ()", " (who@example.com)"):
        said = f"Organization: {word}{address}"
        vague = edited(OWN[1], lambda r, who=said: r["creationInfo"].update(creators=[who]))  # type: ignore[misc]
        [unmet, *rest], problems = judge_standard((vague,), NTIA)
        assert (unmet.value, percentages(rest)["document.author_unknown_percent"]) == (1, 100)
        assert "Author of SBOM data (NTIA 2021, data fields): unknown in 1 of 1" in problems[0]
        vague = edited(OWN[1], lambda r, who=said: r["packages"][0].update(supplier=who))  # type: ignore[misc]
        assert percentages(judge_standard((vague,), NTIA)[0])["component.supplier_unknown_percent"] == 100
    nobody = edited(OWN[1], lambda r: r["packages"][0].update(supplier="Organization: ()"))
    assert "missing in 1 of 16: (the subject)" in judge_standard((nobody,), NTIA)[1][0]
    blank = edited(OWN[0], lambda r: r["metadata"].update(authors=[{"name": "  "}]))
    assert percentages(judge_standard((blank,), NTIA)[0])["document.author_percent"] == 0


def test_stated_unknowns_above_what_the_standard_allows_are_unmet() -> None:
    strict = dataclasses.replace(NTIA.fields[0], unknown_percent_allowed=93.0)
    [unmet, *_], problems = judge_standard(OWN, dataclasses.replace(NTIA, fields=(strict,)))
    assert unmet.value == 1
    assert "unknown in 15 of 16" in problems[0]
    enough = dataclasses.replace(strict, unknown_percent_allowed=93.75)
    assert judge_standard(OWN, dataclasses.replace(NTIA, fields=(enough,)))[0][0].value == 0


def test_the_standards_are_sound_data() -> None:
    names = ["bsi-tr-03183-2.1", "cisa-2026", "ntia-2021"]
    assert sorted(path.stem for path in standard._FOLDER.glob("*.json")) == sorted([*names, "fields"])
    places = json.loads((standard._FOLDER / "fields.json").read_bytes())
    used = set()
    for name in names:
        found = load_standard(name)
        assert found.id == name
        assert found.formats.keys() == {"cyclonedx", "spdx"}
        assert all(field.source and 0 <= field.unknown_percent_allowed <= 100 for field in found.fields)
        used |= {field.id for field in found.fields}
    assert used == places.keys()
    assert all(entry.keys() == {"cyclonedx", "spdx"} and any(entry.values()) for entry in places.values())
    with pytest.raises(ConfigError, match="no SBOM standard 'fields'"):
        load_standard("fields")


def test_schema_errors_name_the_place_and_are_capped() -> None:
    spdx = edited(OWN[1], lambda r: r["packages"][2].update(downloadLocation="nowhere at all"))
    assert [error.message[:29] for error in schema_errors(spdx)] == ["bom.spdx.json: $.packages[2]:"]
    refused = edited(OWN[1], lambda r: r.update(annotations=7))
    stumbled = edited(OWN[1], lambda r: r.update(annotations=[7]))
    assert "bom.spdx.json: $: Error" in schema_errors(refused)[0].message
    assert "bom.spdx.json: $: can't be parsed" in schema_errors(stumbled)[0].message
    loud = edited(OWN[0], lambda r: r.update(components=[{"type": "x" * 999, "name": "a"}] * 300))
    errors = schema_errors(loud)
    assert len(errors) == 100
    assert all(len(error.message) < 300 for error in errors)
