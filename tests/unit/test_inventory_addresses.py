"""A package counts as a release only at an address that registries give; what else is in a lockfile is a problem."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from truegate.inventory.discover import discover
from truegate.inventory.read import read_inventory
from truegate.inventory.records import Inventory


def read(folder: Path, name: str, text: str, wanted: dict[str, str]) -> Inventory:
    (folder / "package.json").write_text(json.dumps({"dependencies": wanted}))
    (folder / name).write_text(text)
    found = discover(folder, leave_out=[], excluded=[])
    return read_inventory(folder, found.files, [])


def npm(folder: Path, resolved: str, name: str = "is-odd") -> Inventory:
    entry = {"version": "3.0.1", "resolved": resolved}
    rows: dict[str, Any] = {"": {"dependencies": {name: "3"}}, f"node_modules/{name}": entry}
    return read(folder, "package-lock.json", json.dumps({"lockfileVersion": 3, "packages": rows}), {name: "3"})


def berry(folder: Path, resolution: str) -> Inventory:
    tail = "  languageName: node\n  linkType: hard\n\n"
    text = (
        "__metadata:\n  version: 8\n\n"
        '"app@workspace:.":\n  version: 0.0.0-use.local\n  resolution: "app@workspace:."\n'
        f'  dependencies:\n    is-odd: "npm:3"\n{tail}'
        f'"is-odd@npm:3":\n  version: 3.0.1\n  resolution: "{resolution}"\n{tail}'
    )
    return read(folder, "yarn.lock", text, {"is-odd": "npm:3"})


def pnpm(folder: Path, fields: str) -> Inventory:
    text = (
        "lockfileVersion: '9.0'\nimporters:\n  .:\n    dependencies:\n      is-odd:\n"
        "        specifier: '3'\n        version: 3.0.1\n"
        f"packages:\n  is-odd@3.0.1:\n{fields}snapshots:\n  is-odd@3.0.1: {{}}\n"
    )
    return read(folder, "pnpm-lock.yaml", text, {"is-odd": "3"})


def keys(inventory: Inventory) -> list[str]:
    return [package.key for reading in inventory.readings for package in reading.packages]


def the_problem(inventory: Inventory) -> str:
    (reason,) = inventory.problems
    assert (reason.code, reason.kind) == ("no-advisories", "incomplete")
    return reason.message


@pytest.mark.parametrize(
    "address",
    [
        "https://mirror.invalid/is-odd/3.0.1/../../lodash/-/lodash-4.17.4.tgz",
        "https://mirror.invalid/is-odd/-/%2e%2e/lodash-4.17.4.tgz",
        "https://mirror.invalid/is-odd/-/x/is-odd-3.0.1.tgz",
        "https://mirror.invalid/x.tgz?/is-odd/-/is-odd-3.0.1.tgz",
        "https://mirror.invalid/x.tgz#/is-odd/-/is-odd-3.0.1.tgz",
        "git+ssh://git@github.com/evil/is-odd/3.0.1/x.git",
        "git+https://example.invalid/is-odd/-/is-odd-3.0.1.tgz",
        "ftp://example.invalid/is-odd/-/is-odd-3.0.1.tgz",
        "https://codeload.github.com/evil/is-odd/3.0.1/tar.gz",
        "https://codeload.github.com/evil/is-odd/tar.gz/3.0.1",
        "https://github.com/evil/x/releases/download/is-odd/3.0.1/x",
        "https://npm.pkg.github.com/download/is-odd/3.0.1/../../x",
        "https://npm.pkg.github.com/download/is-odd/3.0.1/..",
    ],
)
def test_an_address_that_only_looks_like_a_release_is_a_problem(tmp_path: Path, address: str) -> None:
    assert "is-odd@" in the_problem(npm(tmp_path, address))
    (tmp_path / "package-lock.json").unlink()
    assert "is-odd@" in the_problem(berry(tmp_path, f"is-odd@npm:3.0.1::__archiveUrl={quote(address, safe='')}"))
    (tmp_path / "yarn.lock").unlink()
    assert "is-odd@" in the_problem(pnpm(tmp_path, f"    resolution: {{tarball: '{address}'}}\n"))


@pytest.mark.parametrize(
    "address",
    [
        "https://registry.npmjs.org/@s/is-odd/-/is-odd-3.0.1.tgz",
        "http://artifactory.invalid/api/npm/all/@s/is-odd/-/@s/is-odd-3.0.1.tgz",
        "https://npm.fontawesome.com/@s/is-odd/-/3.0.1/is-odd-3.0.1.tgz",
        "https://cdn.npmmirror.com/packages/@s/is-odd/3.0.1/is-odd-3.0.1.tgz",
        "https://registry.npm.taobao.org/@s/is-odd/download/@s/is-odd-3.0.1.tgz?cache=0",
        "https://npm.pkg.github.com/download/@s/is-odd/3.0.1/0123abcd",
    ],
)
def test_the_addresses_of_real_registries_are_fine(tmp_path: Path, address: str) -> None:
    inventory = npm(tmp_path, address, "@s/is-odd")
    assert (keys(inventory), inventory.problems) == (["@s/is-odd@3.0.1"], ())


@pytest.mark.parametrize(
    "resolution",
    [
        "is-odd@npm:3.0.1::__archiveUrl=https%3A%2F%2Fnpm.pkg.github.com%2Fdownload%2Fis-odd%2F3.0.1%2F0123",
        "is-odd@npm:3.0.1::__archiveUrl=https%3A%2F%2Fx.invalid%2Fis-odd%2F-%2Fis-odd-3.0.1.tgz%23",
        "is-odd@patch:is-odd@npm%3A3.0.1#~/x.patch::version=3.0.1&hash=0123",
        "is-odd@patch:is-odd@patch%3Ais-odd@npm%253A3.0.1%23a.patch%3A%3Aversion=3.0.1#b.patch::version=3.0.1",
    ],
)
def test_berry_may_take_a_release_from_an_archive_or_patch_it(tmp_path: Path, resolution: str) -> None:
    inventory = berry(tmp_path, resolution)
    assert (keys(inventory), inventory.problems) == (["is-odd@3.0.1"], ())


@pytest.mark.parametrize(
    "resolution",
    [
        "is-odd@patch:lodash@npm%3A4.17.4#~/x.patch::version=3.0.1",
        "is-odd@patch:is-odd@npm%3A3.0.1%3A%3A__archiveUrl=https%253A%252F%252Fx.invalid%252Fx.tgz#~/x.patch",
        "is-odd@npm:3.0.1::x=1&__archiveUrl=https%3A%2F%2Fx.invalid%2Fx.tgz",
    ],
)
def test_berry_may_not_take_another_package_under_the_name(tmp_path: Path, resolution: str) -> None:
    assert "is-odd@" in the_problem(berry(tmp_path, resolution))


def test_pnpm_names_git_under_the_key_of_a_release(tmp_path: Path) -> None:
    fields = "    resolution: {type: git, repo: 'https://x.invalid/is-odd/-/is-odd-3.0.1.tgz', commit: '0123'}\n"
    assert "is-odd@git https://x.invalid" in the_problem(pnpm(tmp_path, fields))


@pytest.mark.parametrize("bundled", ["\n      - abbrev\n      - glob", " true"])
def test_pnpm_names_what_bundles_packages_that_no_lockfile_lists(tmp_path: Path, bundled: str) -> None:
    message = the_problem(pnpm(tmp_path, f"    resolution: {{integrity: ''}}\n    bundledDependencies:{bundled}\n"))
    assert message == (
        "pnpm-lock.yaml: no registry holds what is-odd@3.0.1 bundles: no advisory can name what is in it"
    )


@pytest.mark.parametrize("login", ["user:secret", "user:p@secret", "secret"])
def test_messages_hold_no_password_of_an_address(tmp_path: Path, login: str) -> None:
    message = the_problem(npm(tmp_path, f"git+https://{login}@example.invalid/a.git"))
    assert "git+https://example.invalid/a.git" in message
