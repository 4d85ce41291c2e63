"""security.sbom end to end: what it writes is valid, complete and true, and what others hand in is judged alike."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import support  # type: ignore[import-not-found]

from truegate.checks.pipeline import Finished
from truegate.verify import verify

pytestmark = pytest.mark.slow

CYCLONEDX, SPDX = "bom.cdx.json", "bom.spdx.json"


def files() -> dict[str, str]:
    web = support.sample_files("npm3-old-dev")
    api = support.sample_files("pip-compile-fixed-runtime")
    return {f"web/{name}": text for name, text in web.items()} | {f"api/{name}": text for name, text in api.items()}


def sbom(target: Path, **overrides: Any) -> Finished:
    done: Finished = support.judge(target, "security.sbom", inventory_dev_files=["*/requirements-dev.txt"], **overrides)
    assert verify(done.run_folder).state == "sound"
    return done


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    return sbom(support.write(tmp_path_factory.mktemp("sbom") / "shop", files()))


def boms(done: Finished) -> tuple[Any, Any]:
    cyclonedx, spdx = (json.loads((done.run_folder / "raw" / name).read_bytes()) for name in (CYCLONEDX, SPDX))
    return cyclonedx, spdx


def test_what_is_written_passes_and_lies_beside_the_report(written: Finished) -> None:
    assert written.verdict.status == "pass", support.messages(written)
    assert {outcome.measured for outcome in written.verdict.criteria} == {0}
    assert {control.id: control.seen for control in written.result.controls} == {
        "sbom-component-removed": 1,
        "sbom-version-altered": 1,
    }
    for name in (CYCLONEDX, SPDX):
        kept, shown = (folder / name for folder in (written.run_folder / "raw", written.report.parent))
        assert kept.read_bytes() == shown.read_bytes()


def test_it_is_valid_by_the_formats_own_libraries(written: Finished) -> None:
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator
    from spdx_tools.spdx.parser.parse_anything import parse_file
    from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

    text = (written.run_folder / "raw" / CYCLONEDX).read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    assert validate_full_spdx_document(parse_file(str(written.run_folder / "raw" / SPDX))) == []


def test_it_holds_exactly_what_the_lockfiles_pin_with_scope_and_graph(written: Finished) -> None:
    expected: dict[str, str] = {}
    for sample in ("npm3-old-dev", "pip-compile-fixed-runtime"):
        expected |= json.loads((support.LOCKFILES / sample / "expected.json").read_text())["packages"]
    cyclonedx, spdx = boms(written)
    scopes = {f"{part['name']}@{part['version']}": part["scope"] for part in cyclonedx["components"]}
    assert scopes == {key: {"runtime": "required", "dev": "excluded"}[scope] for key, scope in expected.items()}
    assert {"required", "excluded"} <= set(scopes.values())
    listed = {f"{part['name']}@{part['versionInfo']}" for part in spdx["packages"]}
    assert listed - {"shop@1.0.0"} == set(expected)
    edges = {row["ref"]: row["dependsOn"] for row in cyclonedx["dependencies"]}
    assert edges["pkg:npm/mkdirp@0.5.1"] == ["pkg:npm/minimist@0.0.8"]
    assert cyclonedx["metadata"]["tools"]["components"][0]["name"] == "truegate"
    assert cyclonedx["metadata"]["authors"] == [{"name": "the Payments team"}]
    assert cyclonedx["compositions"][0]["aggregate"] == "complete"
    assert all(part["hashes"] for part in cyclonedx["components"])
    assert "vulnerabilities" not in cyclonedx


Mutate = Callable[[Any, Any], None]


def without(cyclonedx: Any, spdx: Any) -> None:
    purl = cyclonedx["components"].pop()["purl"]
    cyclonedx["dependencies"] = [
        {**row, "dependsOn": [ref for ref in row["dependsOn"] if ref != purl]}
        for row in cyclonedx["dependencies"]
        if row["ref"] != purl
    ]
    for part in cyclonedx["compositions"]:
        part["dependencies"] = [ref for ref in part.get("dependencies", []) if ref != purl]
    [gone] = [part for part in spdx["packages"] if part["externalRefs"][0]["referenceLocator"] == purl]
    spdx["packages"].remove(gone)
    spdx["relationships"] = [row for row in spdx["relationships"] if gone["SPDXID"] not in row.values()]


def altered(cyclonedx: Any, spdx: Any) -> None:
    for part in cyclonedx["components"]:
        if part["name"] == "lodash":
            part["version"], part["purl"] = "4.17.99", "pkg:npm/lodash@4.17.99"
    for part in spdx["packages"]:
        if part["name"] == "lodash":
            part["versionInfo"] = "4.17.99"
            part["externalRefs"][0]["referenceLocator"] = "pkg:npm/lodash@4.17.99"


def extra(cyclonedx: Any, spdx: Any) -> None:
    part = copy.deepcopy(cyclonedx["components"][0])
    part |= {"name": "left", "version": "1.0.0", "purl": "pkg:npm/left@1.0.0", "bom-ref": "left"}
    cyclonedx["components"].append(part)
    package = copy.deepcopy(spdx["packages"][-1])
    package |= {"name": "left", "versionInfo": "1.0.0", "SPDXID": "SPDXRef-left"}
    package["externalRefs"][0]["referenceLocator"] = "pkg:npm/left@1.0.0"
    spdx["packages"].append(package)


def vulnerable(cyclonedx: Any, spdx: Any) -> None:
    cyclonedx["vulnerabilities"] = [{"id": "CVE-2019-10744"}]
    advisory = {
        "referenceCategory": "SECURITY",
        "referenceType": "advisory",
        "referenceLocator": "https://example.org/a",
    }
    spdx["packages"][-1]["externalRefs"].append(advisory)


def forged(cyclonedx: Any, spdx: Any) -> None:
    for part in cyclonedx["components"]:
        part["hashes"] = [{**row, "content": "0" * len(row["content"])} for row in part["hashes"]]
    for part in spdx["packages"]:
        part["checksums"] = [{**row, "checksumValue": "0" * len(row["checksumValue"])} for row in part["checksums"]]


def intact(_cyclonedx: Any, _spdx: Any) -> None:
    return


FAULTS: dict[str, tuple[Mutate, set[str]]] = {
    "intact": (intact, set()),
    "a component removed": (without, {"lockfile_packages_missing"}),
    "a version altered": (altered, {"versions_different"}),
    "an extra component": (extra, {"packages_not_in_lockfile"}),
    "vulnerabilities inside": (vulnerable, {"vulnerability_entries"}),
    "forged hashes": (forged, {"hashes_not_in_lockfile"}),
}


@pytest.mark.parametrize("given", [[CYCLONEDX], [SPDX], [CYCLONEDX, SPDX]], ids=" ".join)
@pytest.mark.parametrize(("mutate", "faults"), FAULTS.values(), ids=FAULTS)
def test_what_is_handed_in_is_judged_by_the_lockfiles(
    mutate: Mutate, faults: set[str], given: list[str], written: Finished, tmp_path: Path
) -> None:
    pair = boms(written)
    mutate(*pair)
    for name, record in zip((CYCLONEDX, SPDX), pair, strict=True):
        (tmp_path / name).write_text(json.dumps(record))
    limit = {} if len(given) == 2 else {"security_sbom_criteria_format_disagreements": "none"}
    target = written.run_folder.parents[3]
    done = sbom(target, security_sbom_files=[str(tmp_path / name) for name in given], **limit)
    if not faults:
        assert done.verdict.status == "pass", support.messages(done)
        return
    assert done.verdict.status == "fail"
    failed = {outcome.id for outcome in done.verdict.criteria if outcome.status == "fail"}
    assert faults <= failed
    assert all(control.seen == control.expected for control in done.result.controls)
    assert any(name in note for note in done.result.notes for name in faults)


def test_two_formats_that_disagree_are_told(written: Finished, tmp_path: Path) -> None:
    cyclonedx, spdx = boms(written)
    _, other = copy.deepcopy((cyclonedx, spdx))
    altered(copy.deepcopy(cyclonedx), other)
    (tmp_path / CYCLONEDX).write_text(json.dumps(cyclonedx))
    (tmp_path / SPDX).write_text(json.dumps(other))
    target = written.run_folder.parents[3]
    done = sbom(target, security_sbom_files=[str(tmp_path / CYCLONEDX), str(tmp_path / SPDX)])
    assert support.criteria(done)["format_disagreements"] > 0
    assert done.verdict.status == "fail"


def test_two_files_of_one_name_are_two_files(written: Finished, tmp_path: Path) -> None:
    cyclonedx, _ = boms(written)
    worse = copy.deepcopy(cyclonedx)
    without(worse, copy.deepcopy(boms(written)[1]))
    for folder, record in (("a", cyclonedx), ("b", worse)):
        support.write(tmp_path, {f"{folder}/bom.json": json.dumps(record)})
    given = [str(tmp_path / folder / "bom.json") for folder in ("b", "a")]
    done = sbom(written.run_folder.parents[3], security_sbom_files=given)
    assert done.verdict.status == "fail"
    assert support.criteria(done)["lockfile_packages_missing"] == 1


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ("", "is empty"),
        ("{", "is not sound JSON"),
        ("{}", "not supported"),
        ("<bom/>", "is XML"),
        ("[]", "no JSON object"),
        ('{"bomFormat": "CycloneDX", "specVersion": "1.6", "components": [7]}', "shape"),
    ],
)
def test_what_is_no_bill_of_materials_is_no_pass(data: str, sentence: str, written: Finished, tmp_path: Path) -> None:
    (tmp_path / "bom.json").write_text(data)
    done = sbom(written.run_folder.parents[3], security_sbom_files=[str(tmp_path / "bom.json")])
    assert done.verdict.status == "inconclusive"
    assert sentence in support.messages(done)


@pytest.mark.parametrize("standard", ["ntia-2021", "cisa-2026", "bsi-tr-03183-2.1"])
def test_each_standard_judges_and_says_what_is_lacking(standard: str, written: Finished, tmp_path: Path) -> None:
    done = sbom(written.run_folder.parents[3], security_sbom_standard=standard)
    unmet = support.criteria(done)["standard_fields_unmet"]
    assert isinstance(unmet, int)
    assert any(m.id.startswith(f"{standard}.") and m.unit == "percent" for m in done.result.measurements)
    assert (done.verdict.status == "pass") is (unmet == 0)
    assert unmet == 0 or any(
        "missing in" in note or "unknown in" in note or "can't meet" in note for note in done.result.notes
    )
    anonymous = support.write(tmp_path, files())
    worse = sbom(anonymous, security_sbom_standard=standard, target_owner="unknown")
    assert support.criteria(worse)["standard_fields_unmet"] >= max(1, unmet)
    assert any("1 of 1: the document" in note and ("uthor" in note or "reator" in note) for note in worse.result.notes)
    assert worse.verdict.status == "fail"


def test_without_lockfiles_there_is_no_true_bill(tmp_path: Path) -> None:
    done = sbom(support.write(tmp_path, {"README": "x"}))
    assert done.verdict.status == "inconclusive"
    broken = sbom(support.write(tmp_path / "b", {"requirements.txt": support.FLASK_FIXED, "package-lock.json": "{"}))
    assert broken.verdict.status == "inconclusive"
    cyclonedx, _ = boms(broken)
    assert cyclonedx["compositions"][0]["aggregate"] == "incomplete"


@pytest.mark.parametrize(
    "lockfile", ["pipenv-old-dev", "pnpm8-old-dev", "yarn4-workspace", "uv-workspace", "poetry2-old-dev"]
)
def test_every_package_managers_lockfile_can_have_a_true_bill(lockfile: str, tmp_path: Path) -> None:
    done = sbom(support.sample(lockfile, tmp_path))
    assert done.verdict.status == "pass", support.messages(done)


def test_the_command_line_writes_and_judges(tmp_path: Path) -> None:
    target = support.write(tmp_path, {**files(), "truegate.toml": support.toml()})
    done = support.inv("security.sbom", cwd=target)
    assert done.returncode == 0, done.stdout + done.stderr
    report = target / done.stdout.splitlines()[-1].removeprefix("report ")
    one = report.with_name(CYCLONEDX)
    assert support.inv("security.sbom", "--file", str(one), cwd=target).returncode == 0
    both = ("--file", str(one), "--file", str(report.with_name(SPDX)))
    assert support.inv("security.sbom", *both, "--standard", "cisa-2026", cwd=target).returncode in {0, 3}
    for wrong in (("--file", "nowhere.json"), ("--standard", "iso-9001")):
        refused = support.inv("security.sbom", *wrong, cwd=target)
        assert refused.returncode == 2
        assert "Traceback" not in refused.stderr
    assert support.inv("evidence.verify", cwd=target).returncode == 0


def damaged(folder: Path) -> Iterator[tuple[str, int]]:
    """Give places in every file of a run folder: its ends and its middle."""
    for path in support.files_below(folder):
        size = path.stat().st_size
        for position in sorted({0, size // 3, size // 2, size - 1} if size else set()):
            yield str(path.relative_to(folder)), position


@pytest.mark.parametrize("check", ["security.sca", "security.sbom"])
def test_one_byte_changed_in_any_file_is_noticed_and_named(check: str, tmp_path: Path) -> None:
    done = support.judge(support.write(tmp_path / "t", files()), check)
    folder = Path(shutil.copytree(done.run_folder, tmp_path / Path(*check.split(".")) / done.run_folder.name))
    assert verify(folder).state == "sound"
    places = list(damaged(folder))
    assert len(places) > 40
    for name, position in places:
        before = (folder / name).read_bytes()
        (folder / name).write_bytes(before[:position] + bytes([before[position] ^ 1]) + before[position + 1 :])
        verified = verify(folder)
        assert verified.state == "altered", (name, position)
        assert any(name in fault for fault in verified.faults), (name, position, verified.faults)
        (folder / name).write_bytes(before)
    assert verify(folder).state == "sound"
