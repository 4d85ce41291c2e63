"""Every ecosystem that has a reader has all the other parts too: docs/add-an-ecosystem.md."""

from __future__ import annotations

import json
from typing import Any

import pytest

from truegate.advisories import compile as compiler
from truegate.advisories import osv
from truegate.advisories.stores import SEED
from truegate.checks.listed import LISTS
from truegate.checks.sca import CONTROLS, OSV_PARSERS
from truegate.inventory import formats
from truegate.inventory.read import READERS
from truegate.parsers import osv_scanner, trivy
from truegate.sbom import read as sbom_read

ROWS: list[dict[str, Any]] = formats.table()["format"]
ECOSYSTEMS = sorted({row["ecosystem"] for row in ROWS})
LOCKFILES = {row["name"]: row["ecosystem"] for row in ROWS if row["role"] == "lockfile"}
CONTROL: dict[str, Any] = json.loads((CONTROLS / "expected.json").read_text())
SEED_RECORDS = [json.loads(path.read_text()) for path in SEED.glob("*.json")]
SEED_IDS = {name for record in SEED_RECORDS for name in (record["id"], *record["aliases"])}


def test_each_lockfile_format_has_a_reader_and_a_name_with_osv_scanner() -> None:
    assert LOCKFILES.keys() == READERS.keys() == OSV_PARSERS.keys()


@pytest.mark.parametrize("ecosystem", ECOSYSTEMS)
def test_each_ecosystem_is_known_to_the_lists_the_engines_and_the_sbom(ecosystem: str) -> None:
    assert LOCKFILES[LISTS[ecosystem][1]] == ecosystem
    assert ecosystem in trivy.ECOSYSTEMS.values()
    assert ecosystem in osv_scanner.ECOSYSTEMS.values()
    assert ecosystem in sbom_read.ECOSYSTEMS


@pytest.mark.parametrize("ecosystem", ECOSYSTEMS)
def test_each_ecosystem_has_a_control_whose_flaws_the_seed_knows(ecosystem: str) -> None:
    row = CONTROL[ecosystem]
    assert (CONTROLS / row["source"]).is_file()
    assert not any(formats.find_format(f"{folder}{row['source']}") for folder in ("", "requirements/"))
    assert LOCKFILES[row["format"]] == ecosystem
    assert 0 < row["at_least"] <= len(row["expected"])
    assert [ids for ids in row["expected"] if SEED_IDS.isdisjoint(ids)] == []


def test_each_name_of_an_ecosystem_in_osv_records_has_its_bucket() -> None:
    assert set(osv.ECOSYSTEMS) == compiler.BUCKETS.keys() == osv_scanner.ECOSYSTEMS.keys()
    assert {name.lower() for name in osv.ECOSYSTEMS} == set(ECOSYSTEMS)
