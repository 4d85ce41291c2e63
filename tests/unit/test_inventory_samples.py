"""Every lockfile that a real package manager made, against what that manager itself says is in it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from truegate.inventory.discover import discover
from truegate.inventory.read import read_inventory
from truegate.inventory.records import Inventory

SAMPLES = Path(__file__).parents[1] / "samples" / "lockfiles"
CASES = json.loads((Path(__file__).parents[1] / "lockfiles" / "cases.json").read_text())
NAMES = sorted(
    f"{manager}-{case}" for family in CASES.values() for manager, cases in family["managers"].items() for case in cases
)
# Where we differ. Berry leaves out a peer that only a dev dependency provides, though code that runs may ask for it.
# Yarn 1 keeps it, but its lockfile has no word about peers, so it counts as what package.json calls it.
PEERS = {"yarn4-peer": {"acorn@8.8.0": "runtime"}, "yarn1-peer": {"acorn@8.8.0": "dev"}}


def unpack(name: str, folder: Path) -> Path:
    """Put a sample's files under their real names."""
    for path in (SAMPLES / name).rglob("*.sample"):
        copy = folder / path.relative_to(SAMPLES / name).with_suffix("")
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    return folder


def read(folder: Path) -> Inventory:
    found = discover(folder, leave_out=[], excluded=[])
    assert found.problems == ()
    return read_inventory(folder, found.files, ["requirements-dev.txt"])


def test_a_sample_stands_for_each_case_and_manager() -> None:
    assert sorted(path.name for path in SAMPLES.iterdir()) == NAMES
    assert len(NAMES) >= 90


@pytest.mark.parametrize("name", NAMES)
def test_packages_and_scopes_are_those_that_the_manager_names(name: str, tmp_path: Path) -> None:
    inventory = read(unpack(name, tmp_path))
    expected = json.loads((SAMPLES / name / "expected.json").read_text())["packages"]
    scopes: dict[str, str] = {}
    for reading in inventory.readings:
        for package in reading.packages:
            if scopes.get(package.key) != "runtime":
                scopes[package.key] = package.scope
    assert scopes == expected | PEERS.get(name, {})
    assert inventory.problems == ()
    assert inventory.readings


@pytest.mark.parametrize("name", NAMES)
def test_each_package_stands_on_its_line(name: str, tmp_path: Path) -> None:
    for reading in read(unpack(name, tmp_path)).readings:
        lines = (tmp_path / reading.path).read_text().splitlines()
        for package in reading.packages:
            assert package.line is not None
            here = "\n".join(lines[package.line - 1 : package.line + 3]).lower()
            assert package.name.replace("-", "") in here.replace("-", "").replace("_", "") or package.version in here


@pytest.mark.parametrize("name", NAMES)
def test_direct_dependencies_and_who_brings_in_the_others(name: str, tmp_path: Path) -> None:
    for reading in read(unpack(name, tmp_path)).readings:
        direct = {package.name for package in reading.packages if package.direct}
        assert direct
        for package in reading.packages:
            assert set(package.introduced_by) <= direct
            if package.direct:
                assert package.name in package.introduced_by
            elif reading.format != "pipenv":  # the lockfile has no graph
                assert package.introduced_by


@pytest.mark.parametrize("name", [name for name in NAMES if not name.startswith(("yarn3", "yarn4"))])
def test_hashes_are_hex_of_the_right_length(name: str, tmp_path: Path) -> None:
    hashes = [
        pair for each in read(unpack(name, tmp_path)).readings for package in each.packages for pair in package.hashes
    ]
    assert hashes
    for algorithm, digest in hashes:
        assert len(bytes.fromhex(digest)) == {"sha1": 20, "sha256": 32, "sha512": 64}[algorithm]
