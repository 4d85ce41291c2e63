"""Compiling advisories: what is in the database, the archives and the manifest; all or nothing; the same bytes."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

import spine  # type: ignore[import-not-found]
from truegate import jsonio
from truegate.advisories import bbolt
from truegate.advisories import compile as compiler
from truegate.advisories.compile import compile_advisories
from truegate.advisories.stores import compile_private
from truegate.errors import ConfigError, ReportError

RECORDS = Path(compiler.__file__).with_name("records")
NPM, PIP = compiler.BUCKETS["npm"], compiler.BUCKETS["PyPI"]


def record(own: str, *packages: tuple[str, str, str], **more: Any) -> dict[str, Any]:
    """Give a record that affects each package (ecosystem, name, fixed version) from the first version on."""
    affected = [
        {
            "package": {"ecosystem": ecosystem, "name": name},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": fix}]}],
        }
        for ecosystem, name, fix in packages
    ]
    return {"id": own, "modified": "2025-01-02T03:04:05Z", "affected": affected} | more


def put(folder: Path, *records: dict[str, Any]) -> Path:
    folder.mkdir(exist_ok=True)
    for content in records:
        (folder / f"{content['id']}.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


def database(out: Path) -> dict[str, Any]:
    """Give trivy.db as text and JSON."""

    def plain(node: Any) -> Any:
        if isinstance(node, bytes):
            return json.loads(node)
        return {key.decode(): plain(value) for key, value in node.items()}

    tree: dict[str, Any] = plain(bbolt.load((out / "trivy/db/trivy.db").read_bytes(), "trivy.db"))
    return tree


def archive(out: Path, ecosystem: str) -> dict[str, Any]:
    with zipfile.ZipFile(out / "osv/osv-scalibr" / ecosystem / "all.zip") as bundle:
        return {name: json.loads(bundle.read(name)) for name in bundle.namelist()}


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def every_file(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_seed_compiles_and_its_manifest_tells_what_is_in_it(tmp_path: Path) -> None:
    made = spine.compile_into(tmp_path / "out", RECORDS)
    assert (made.records, made.dated) == (49, "2025-06-24T00:00:00Z")
    assert made.by_ecosystem == {"npm": 33, "PyPI": 16}
    assert made.withdrawn == ("GHSA-27h2-hvpr-p74q",)
    assert [text.rsplit(":", 1)[0] for text in made.skipped] == [
        "GHSA-45x7-px36-x8w8: golang.org/x/crypto",
        "GHSA-45x7-px36-x8w8: russh",
        "GHSA-8hfj-j24r-96c4: Moment.js",
    ]
    assert json.loads(made.files["trivy/db/metadata.json"]) == {
        "Version": 2,
        "UpdatedAt": "2025-06-24T00:00:00Z",
        "DownloadedAt": "2025-06-24T00:00:00Z",
        "NextUpdate": "2025-06-25T00:00:00Z",
    }
    assert (len(archive(tmp_path / "out", "npm")), len(archive(tmp_path / "out", "PyPI"))) == (33, 16)
    assert len(database(tmp_path / "out")["vulnerability"]) == 49


def test_the_seed_records_are_canonical_and_named_by_their_id() -> None:
    paths = sorted(RECORDS.glob("*.json"))
    assert len(paths) == 50
    for path in paths:
        content = jsonio.load(path)
        assert path.read_bytes() == jsonio.dumps(content)
        assert path.stem == content["id"]
        assert content["database_specific"]["github_reviewed"] is True
        assert len({(item["type"], item["score"]) for item in content["severity"]}) == len(content["severity"])


def test_the_same_records_give_the_same_bytes(tmp_path: Path) -> None:
    spine.compile_into(tmp_path / "a", RECORDS)
    with zipfile.ZipFile(tmp_path / "records.zip", "w") as bundle:
        for path in sorted(RECORDS.iterdir(), reverse=True):
            bundle.write(path, f"deep/er/{path.name}")
    spine.compile_into(tmp_path / "b", tmp_path / "records.zip")
    spine.compile_into(tmp_path / "a", RECORDS)
    assert every_file(tmp_path / "a") == every_file(tmp_path / "b")


def test_one_record_in_trivys_form(tmp_path: Path) -> None:
    content = record(
        "GHSA-aaaa-bbbb-cccc",
        ("npm", "Left.Pad", "1.2"),
        ("PyPI", "Zope_Interface.X", "5.0"),
        aliases=["PYSEC-1", "CVE-2024-2", "CVE-2024-1"],
        summary="Bad",
        published="2024-05-06T07:08:09.1Z",
        severity=[
            {"type": "CVSS_V3", "score": "CVSS:3.1/AV:N"},
            {"type": "CVSS_V4", "score": "CVSS:4.0/AV:N"},
            {"type": "Ubuntu", "score": "medium"},
        ],
        database_specific={"severity": "MODERATE", "cwe_ids": ["CWE-506"]},
    )
    spine.compile_into(tmp_path / "out", put(tmp_path / "records", content))
    tree = database(tmp_path / "out")
    origin = {"ID": "ghsa", "Name": "OSV records, compiled privately"}
    assert tree["data-source"] == {NPM.decode(): origin, PIP.decode(): origin}
    assert tree["vulnerability"] == {
        "CVE-2024-1": {
            "Title": "Bad",
            "Severity": "MEDIUM",
            "VendorSeverity": {"ghsa": 2},
            "CVSS": {"ghsa": {"V3Vector": "CVSS:3.1/AV:N", "V40Vector": "CVSS:4.0/AV:N"}},
            "CweIDs": ["CWE-506"],
            "PublishedDate": "2024-05-06T07:08:09.1Z",
            "LastModifiedDate": "2025-01-02T03:04:05Z",
        }
    }
    others = ["CVE-2024-2", "GHSA-aaaa-bbbb-cccc", "PYSEC-1"]
    npm = {"VendorIDs": others, "VulnerableVersions": ["<1.2.0"], "PatchedVersions": ["1.2.0"]}
    pip = {"VendorIDs": others, "VulnerableVersions": ["<=5.0, !=5.0"], "PatchedVersions": ["5.0"]}
    assert tree[NPM.decode()] == {"left.pad": {"CVE-2024-1": npm}}
    assert tree[PIP.decode()] == {
        name: {"CVE-2024-1": pip} for name in ("zope-interface-x", "zope-interface.x", "zope.interface.x")
    }


def test_one_record_in_osv_scanners_form_has_no_field_that_it_could_stumble_over(tmp_path: Path) -> None:
    content = record("ACME-1", ("npm", "JSONStream", "2.0.0"), ("PyPI", "Zope_Interface.X", "5.0"))
    content |= {"details": "long", "field_of_tomorrow": 1, "severity": [{"type": "Ubuntu", "score": "medium"}]}
    content["affected"][0] |= {"field_of_tomorrow": 1, "versions": ["3.0.0"]}
    content["affected"][1]["ranges"].append({"type": "GIT", "repo": "r", "events": [{"introduced": "0"}]})
    spine.compile_into(tmp_path / "out", put(tmp_path / "records", content))
    plain = {"id": "ACME-1", "modified": "2025-01-02T03:04:05Z", "severity": []}
    ranges = [[{"introduced": "0"}, {"fixed": "2.0.0"}], [{"introduced": "3.0.0"}, {"last_affected": "3.0.0"}]]
    npm = {
        "package": {"ecosystem": "npm", "name": "JSONStream"},
        "ranges": [{"type": "ECOSYSTEM", "events": events} for events in ranges],
    }
    pip = {
        "package": {"ecosystem": "PyPI", "name": "zope-interface-x"},
        "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "5.0"}]}],
    }
    assert archive(tmp_path / "out", "npm") == {"ACME-1.json": plain | {"affected": [npm]}}
    assert archive(tmp_path / "out", "PyPI") == {"ACME-1.json": plain | {"affected": [pip]}}


def test_records_that_share_a_cve_are_merged_and_the_worst_severity_counts(tmp_path: Path) -> None:
    mild = record("GHSA-1", ("npm", "a", "1.0.0"), aliases=["CVE-1"], database_specific={"severity": "LOW"})
    bare = record("MAL-2", ("npm", "a", "3.0.0"), ("npm", "b", "1.0.0"), aliases=["CVE-1"])
    worst = record("X-3", ("npm", "c", "1.0.0"), aliases=["CVE-1"])
    worst["database_specific"] = {"severity": "CRITICAL", "cwe_ids": ["CWE-912"]}
    spine.compile_into(tmp_path / "out", put(tmp_path / "records", mild, bare, worst))
    tree = database(tmp_path / "out")
    assert tree["vulnerability"]["CVE-1"]["VendorSeverity"] == {"osv": 4}
    assert tree["vulnerability"]["CVE-1"]["CweIDs"] == ["CWE-912"]
    merged = tree[NPM.decode()]["a"]["CVE-1"]
    assert merged["VendorIDs"] == ["GHSA-1", "MAL-2", "X-3"]
    assert merged["VulnerableVersions"] == ["<1.0.0", "<3.0.0"]
    assert merged["PatchedVersions"] == ["3.0.0"]  # 1.0.0 is still affected by the other record


@pytest.mark.parametrize(
    ("own", "aliases", "key"),
    [
        ("GHSA-1", [], "GHSA-1"),
        ("MAL-2024-1", [], "MAL-2024-1"),
        ("MAL-2024-1", ["GHSA-2"], "GHSA-2"),
        ("ACME-9", ["AAA-1"], "ACME-9"),
        ("GHSA-1", ["PYSEC-1", "CVE-2", "CVE-1"], "CVE-1"),
        ("CVE-5", ["GHSA-1"], "CVE-5"),
    ],
)
def test_trivys_key_is_the_cve_else_the_github_id_and_no_id_is_lost(
    own: str, aliases: list[str], key: str, tmp_path: Path
) -> None:
    spine.compile_into(tmp_path / "out", put(tmp_path / "r", record(own, ("npm", "a", "1.0.0"), aliases=aliases)))
    ((found, advisory),) = database(tmp_path / "out")[NPM.decode()]["a"].items()
    assert found == key
    assert sorted([found, *advisory["VendorIDs"]]) == sorted([own, *aliases])


def test_an_ecosystem_without_records_has_no_archive_and_only_what_went_in_dates_the_data(tmp_path: Path) -> None:
    records = [record("A-1", ("npm", "a", "1.0.0")), record("A-2", ("npm", "b", "1.0.0"))]
    records[0]["modified"], records[1]["modified"] = "2024-01-02T00:00:00.5Z", "2024-01-02T00:00:00Z"
    records += [record("A-3", ("npm", "c", "1.0.0"), modified="2025-01-01T00:00:00Z", withdrawn="2025-01-01T00:00:00Z")]
    records += [record("A-4", ("Go", "d", "1.0.0"), modified="2025-01-01T00:00:00Z")]
    made = spine.compile_into(tmp_path / "out", put(tmp_path / "records", *records))
    assert (made.dated, made.records, made.by_ecosystem) == ("2024-01-02T00:00:00.5Z", 2, {"npm": 2, "PyPI": 0})
    assert (made.withdrawn, [text.split(":")[0] for text in made.skipped]) == (("A-3",), ["A-4"])
    assert names(tmp_path / "out/osv/osv-scalibr") == ["npm"]
    assert PIP.decode() not in database(tmp_path / "out")


def test_a_database_that_does_not_read_back_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bbolt, "load", lambda *_: {})
    with pytest.raises(ReportError, match="does not hold what was put into it"):
        compile_advisories(RECORDS)


def test_a_record_that_is_unsound_leaves_the_old_data_whole(tmp_path: Path) -> None:
    records, root = put(tmp_path / "records", record("A-1", ("npm", "a", "1.0.0"))), tmp_path / "data"
    compile_private(records, root)
    before = every_file(root)
    put(records, record("A-2", ("npm", "b", "latest")))
    with pytest.raises(ConfigError, match=r"A-2\.json"):
        compile_private(records, root)
    assert every_file(root) == before
    put(records, record("A-2", ("npm", "b", "1.0.0")))
    compile_private(records, root)
    assert every_file(root) != before
