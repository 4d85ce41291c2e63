"""npm, Yarn and pnpm: real names, scopes from the graph, and what no registry can answer for."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from truegate.inventory.discover import discover
from truegate.inventory.read import read_inventory
from truegate.inventory.records import Inventory
from truegate.model import LockedPackage

SHA512 = base64.b64encode(bytes(64)).decode()


def read(folder: Path, files: dict[str, Any]) -> Inventory:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content, indent=2), encoding="utf-8")
    found = discover(folder, leave_out=[], excluded=[])
    assert found.problems == ()
    return read_inventory(folder, found.files, [])


def npm_lock(packages: dict[str, Any], version: int = 3) -> dict[str, Any]:
    return {"name": "app", "lockfileVersion": version, "requires": True, "packages": packages}


def by_key(inventory: Inventory) -> dict[str, LockedPackage]:
    return {package.key: package for reading in inventory.readings for package in reading.packages}


def test_a_dev_flag_that_lies_is_not_believed(tmp_path: Path) -> None:
    manifest = {"dependencies": {"a": "1"}, "devDependencies": {"d": "1"}}
    lock = npm_lock(
        {
            "": manifest,
            "node_modules/a": {"version": "1.0.0", "dev": True, "dependencies": {"b": "1"}},
            "node_modules/b": {"version": "1.0.0", "dev": True},
            "node_modules/d": {"version": "1.0.0", "dependencies": {"b": "1"}},
            "node_modules/orphan": {"version": "1.0.0", "dev": True},
        }
    )
    inventory = read(tmp_path, {"package.json": manifest, "package-lock.json": lock})
    found = by_key(inventory)
    scopes = {key: package.scope for key, package in found.items()}
    assert scopes == {"a@1.0.0": "runtime", "b@1.0.0": "runtime", "d@1.0.0": "dev", "orphan@1.0.0": "runtime"}
    assert found["b@1.0.0"].introduced_by == ("a", "d")
    assert found["a@1.0.0"].depends_on == ("b@1.0.0",)
    assert not found["b@1.0.0"].direct
    assert found["d@1.0.0"].direct
    assert inventory.problems == ()


def test_package_json_outweighs_the_lists_of_the_lockfile(tmp_path: Path) -> None:
    lock = npm_lock({"": {"devDependencies": {"a": "1"}}, "node_modules/a": {"version": "1.0.0", "dev": True}})
    inventory = read(tmp_path, {"package.json": {"dependencies": {"a": "1"}}, "package-lock.json": lock})
    assert by_key(inventory)["a@1.0.0"].scope == "runtime"


@pytest.mark.parametrize("kind", ["dependencies", "optionalDependencies", "peerDependencies"])
def test_what_production_may_load_is_runtime(tmp_path: Path, kind: str) -> None:
    manifest = {"dependencies": {"a": "1"}, "devDependencies": {"b": "1", "c": "1"}}
    lock = npm_lock(
        {
            "": manifest,
            "node_modules/a": {"version": "1.0.0", kind: {"b": "1"}},
            "node_modules/b": {"version": "1.0.0", "dev": True},
            "node_modules/c": {"version": "1.0.0", "dev": True},
        }
    )
    found = by_key(read(tmp_path, {"package.json": manifest, "package-lock.json": lock}))
    assert (found["b@1.0.0"].scope, found["c@1.0.0"].scope) == ("runtime", "dev")


def test_names_are_resolved_as_node_resolves_them(tmp_path: Path) -> None:
    manifest = {"dependencies": {"a": "1"}, "devDependencies": {"b": "2"}}
    lock = npm_lock(
        {
            "": manifest,
            "node_modules/a": {"version": "1.0.0", "dependencies": {"b": "1"}},
            "node_modules/a/node_modules/b": {"version": "1.0.0", "dependencies": {"@s/c": "1"}},
            "node_modules/b": {"version": "2.0.0"},
            "node_modules/@s/c": {"version": "1.0.0"},
        }
    )
    found = by_key(read(tmp_path, {"package.json": manifest, "package-lock.json": lock}))
    assert {key: package.scope for key, package in found.items()} == {
        "@s/c@1.0.0": "runtime",
        "a@1.0.0": "runtime",
        "b@1.0.0": "runtime",
        "b@2.0.0": "dev",
    }


def test_everything_that_npm_notes_of_a_package_is_kept(tmp_path: Path) -> None:
    manifest = {"dependencies": {"old": "npm:lodash@4.17.4"}}
    entry = {"name": "lodash", "version": "4.17.4", "integrity": f"sha512-{SHA512}", "license": "MIT"}
    lock = npm_lock({"": manifest, "node_modules/old": entry})
    (package,) = by_key(read(tmp_path, {"package.json": manifest, "package-lock.json": lock})).values()
    assert package == LockedPackage(
        ecosystem="npm",
        name="lodash",
        version="4.17.4",
        scope="runtime",
        lockfile="package-lock.json",
        line=11,
        direct=True,
        introduced_by=("lodash",),
        hashes=(("sha512", "00" * 64),),
        licence="MIT",
    )


@pytest.mark.parametrize(
    "entry",
    [
        {"version": "1.0.0", "resolved": "git+ssh://git@example.invalid/x/a.git#0123"},
        {"version": "1.0.0", "resolved": "https://example.invalid/a.tgz"},
        {"version": "1.0.0", "resolved": "https://registry.invalid/lodash/-/lodash-1.0.0.tgz"},
        {"version": "1.0.0", "resolved": "https://registry.invalid/a/-/a-1.0.1.tgz"},
        {"version": "1.0.0", "resolved": "file:../../a-1.0.0.tgz"},
        {"version": "github:x/a#0123"},
        {},
    ],
)
def test_what_is_no_release_of_a_registry_is_a_problem(tmp_path: Path, entry: dict[str, str]) -> None:
    manifest = {"dependencies": {"a": "*"}}
    lock = npm_lock({"": manifest, "node_modules/a": entry})
    (reason,) = read(tmp_path, {"package.json": manifest, "package-lock.json": lock}).problems
    assert reason.code == "no-advisories"
    assert reason.kind == "incomplete"
    assert reason.message.startswith("package-lock.json: no registry holds a")


def test_an_entry_of_version_1_that_npm_left_empty_is_a_problem_and_the_rest_is_read(tmp_path: Path) -> None:
    entries = {
        "a": {"version": "1.0.0", "dependencies": {"b": {"dev": True, "optional": True}}},
        "c": {"version": "git+ssh://git@example.invalid/x/c.git#0123", "from": "c@github:x/c"},
    }
    lock = {"lockfileVersion": 1, "requires": True, "dependencies": entries}
    inventory = read(tmp_path, {"package.json": {"dependencies": {"a": "1", "c": "x/c"}}, "package-lock.json": lock})
    assert list(by_key(inventory)) == ["a@1.0.0"]
    (reason,) = inventory.problems
    assert "holds b@, c@git+ssh://" in reason.message


@pytest.mark.parametrize(
    "resolved",
    [
        "https://registry.npmjs.org/@s/a/-/a-1.0.0.tgz",
        "https://mirror.invalid/api/npm/all/@s/a/-/a-1.0.0.tgz?cache=1#0123",
        "https://mirror.invalid/@s%2fa/-/a-1.0.0.tgz",
        "https://npm.pkg.github.com/download/@s/a/1.0.0/0123",
        "file:vendor/a-1.0.0.tgz",
    ],
)
def test_releases_of_registries_and_mirrors_are_fine(tmp_path: Path, resolved: str) -> None:
    manifest = {"dependencies": {"@s/a": "*"}}
    lock = npm_lock({"": manifest, "node_modules/@s/a": {"version": "1.0.0", "resolved": resolved}})
    inventory = read(tmp_path, {"package.json": manifest, "package-lock.json": lock})
    assert list(by_key(inventory)) == ["@s/a@1.0.0"]
    assert inventory.problems == ()


def test_messages_hold_no_password_of_an_address(tmp_path: Path) -> None:
    manifest = {"dependencies": {"a": "*"}}
    entry = {"version": "1.0.0", "resolved": "git+https://user:secret@example.invalid/a.git"}
    lock = npm_lock({"": manifest, "node_modules/a": entry})
    (reason,) = read(tmp_path, {"package.json": manifest, "package-lock.json": lock}).problems
    assert "secret" not in reason.message
    assert "git+https://example.invalid/a.git" in reason.message


def test_a_link_inside_is_ours_and_one_outside_is_a_problem(tmp_path: Path) -> None:
    manifest = {"dependencies": {"inside": "file:lib", "outside": "file:../lib"}}
    lock = npm_lock(
        {
            "": manifest,
            "node_modules/inside": {"resolved": "lib", "link": True},
            "node_modules/outside": {"resolved": "../lib", "link": True},
            "lib": {"version": "1.0.0", "dependencies": {"a": "1"}},
            "../lib": {"version": "1.0.0"},
            "node_modules/a": {"version": "1.0.0"},
        }
    )
    files = {"package.json": manifest, "package-lock.json": lock, "lib/package.json": {"dependencies": {"a": "1"}}}
    inventory = read(tmp_path, files)
    assert list(by_key(inventory)) == ["a@1.0.0"]
    (reason,) = inventory.problems
    assert "../lib" in reason.message


def test_a_lockfile_in_a_subfolder_may_link_to_its_sibling(tmp_path: Path) -> None:
    manifest = {"dependencies": {"lib": "file:../lib"}}
    lock = npm_lock({"": manifest, "node_modules/lib": {"resolved": "../lib", "link": True}, "../lib": {}})
    files = {"svc/package.json": manifest, "svc/package-lock.json": lock, "lib/package.json": {"name": "lib"}}
    assert read(tmp_path, files).problems == ()


@pytest.mark.parametrize("version", [2, 3])
def test_a_dependency_that_is_not_locked_is_a_problem(tmp_path: Path, version: int) -> None:
    manifest = {"dependencies": {"a": "1", "gone": "1"}}
    packages = {
        "": {"dependencies": {"a": "1"}},
        "node_modules/a": {"version": "1.0.0", "dependencies": {"b": "1"}, "optionalDependencies": {"c": "1"}},
    }
    files = {"package.json": manifest, "package-lock.json": npm_lock(packages, version)}
    (reason,) = read(tmp_path, files).problems
    assert reason.code == "not-locked"
    assert "gone (wanted by package.json), b (wanted by a)" in reason.message
    assert " c " not in reason.message


def test_a_manifest_without_lockfile_is_a_problem_unless_it_declares_nothing(tmp_path: Path) -> None:
    inventory = read(
        tmp_path,
        {
            "package.json": {"name": "app", "peerDependencies": {"p": "1"}},
            "web/package.json": {"devDependencies": {"z": "1", "a": "1"}},
        },
    )
    assert [(reason.code, reason.message) for reason in inventory.problems] == [
        ("not-locked", "web/package.json: no lockfile holds a, z")
    ]


def test_a_lockfile_above_covers_only_its_workspaces(tmp_path: Path) -> None:
    root = {"workspaces": ["packages/*"], "dependencies": {"a": "1"}}
    lock = npm_lock(
        {
            "": root,
            "packages/in": {"dependencies": {"a": "1"}},
            "node_modules/in": {"resolved": "packages/in", "link": True},
            "node_modules/a": {"version": "1.0.0"},
        }
    )
    inventory = read(
        tmp_path,
        {
            "package.json": root,
            "package-lock.json": lock,
            "packages/in/package.json": {"dependencies": {"a": "1"}},
            "elsewhere/package.json": {"dependencies": {"a": "1"}},
        },
    )
    assert [reason.message for reason in inventory.problems] == ["elsewhere/package.json: no lockfile holds a"]


def test_two_lockfiles_of_one_manifest_are_both_read(tmp_path: Path) -> None:
    manifest = {"dependencies": {"a": "1"}}
    lock = npm_lock({"": manifest, "node_modules/a": {"version": "1.0.0"}})
    yarn = '# yarn lockfile v1\n\n\na@1:\n  version "1.0.1"\n'
    inventory = read(tmp_path, {"package.json": manifest, "package-lock.json": lock, "yarn.lock": yarn})
    assert sorted(by_key(inventory)) == ["a@1.0.0", "a@1.0.1"]
    assert inventory.problems == ()


def test_yarn_1_follows_resolutions_links_and_local_folders(tmp_path: Path) -> None:
    manifest = {
        "workspaces": {"packages": ["libs/*"]},
        "dependencies": {"a": "1", "linked": "link:./x", "part": "^1", "folder": "file:./folder"},
        "resolutions": {"**/@s/b": "2.0.0"},
    }
    yarn = (
        "# yarn lockfile v1\n\n\n"
        '"@s/b@2.0.0":\n  version "2.0.0"\n\n'
        'a@1, a@^1.0.0:\n  version "1.0.0"\n  dependencies:\n    "@s/b" "1"\n\n'
        '"folder@file:./folder":\n  version "0.0.0"\n'
    )
    part = {"name": "part", "devDependencies": {"a": "^1.0.0"}}
    inventory = read(tmp_path, {"package.json": manifest, "yarn.lock": yarn, "libs/part/package.json": part})
    assert {key: package.scope for key, package in by_key(inventory).items()} == {
        "@s/b@2.0.0": "runtime",
        "a@1.0.0": "runtime",
    }
    assert inventory.problems == ()


@pytest.mark.parametrize(
    ("name", "text"), [("yarn.lock", "# yarn lockfile v1\n"), ("pnpm-lock.yaml", "lockfileVersion: '9.0'\n")]
)
def test_without_its_package_json_nobody_can_tell_that_it_is_whole(tmp_path: Path, name: str, text: str) -> None:
    (reason,) = read(tmp_path, {name: text}).problems
    assert "a package.json beside it" in reason.message


def test_berry_reads_what_is_fetched_and_patches(tmp_path: Path) -> None:
    manifest = {
        "dependencies": {
            "x": "npm:lodash@4",
            "p": "patch:p@npm%3A1.0.0#~/p.patch",
            "g": "git@x:y.git",
            "l": "link:../l",
        }
    }
    tail = "  languageName: node\n  linkType: hard\n\n"
    wants = "".join(f'    {name}: "{wanted}"\n' for name, wanted in manifest["dependencies"].items())
    yarn = (
        "__metadata:\n  version: 8\n\n"
        f'"app@workspace:.":\n  version: 0.0.0\n  resolution: "app@workspace:."\n  dependencies:\n{wants}{tail}'
        f'"g@git@x:y.git":\n  version: 1.0.0\n  resolution: "g@git@x:y.git#commit=0123"\n{tail}'
        f'"l@link:../l":\n  version: 0.0.0-use.local\n  resolution: "l@link:../l::locator=app"\n{tail}'
        f'"p@npm:1.0.0":\n  version: 1.0.0\n  resolution: "p@npm:1.0.0"\n{tail}'
        f'"p@patch:p@npm%3A1.0.0#~/p.patch":\n  version: 1.0.0\n  resolution: "p@patch:p@npm%3A1.0.0#~/p.patch"\n{tail}'
        f'"x@npm:lodash@4":\n  version: 9.9.9\n  resolution: "lodash@npm:4.17.4"\n{tail}'
    )
    inventory = read(tmp_path, {"package.json": manifest, "yarn.lock": yarn})
    assert list(by_key(inventory)) == ["g@1.0.0", "lodash@4.17.4", "p@1.0.0"]
    (reason,) = inventory.problems
    assert "g@git@x:y.git#commit=0123" in reason.message
    assert "l in ../l" in reason.message


def test_pnpm_reads_the_document_with_its_own_version_as_dev(tmp_path: Path) -> None:
    lock = (
        "---\nlockfileVersion: '9.0'\nimporters:\n  .:\n    packageManagerDependencies:\n      pnpm:\n"
        "        specifier: 12.0.0\n        version: 12.0.0\n"
        "packages:\n  pnpm@12.0.0:\n    resolution: {integrity: sha512-AAAA}\nsnapshots:\n  pnpm@12.0.0: {}\n"
        "---\nlockfileVersion: '9.0'\nimporters:\n  .:\n    dependencies:\n      a:\n"
        "        specifier: ^1\n        version: 1.0.0(@s/b@2.0.0)\n"
        "packages:\n  a@1.0.0:\n    resolution: {integrity: sha512-AAAA}\n"
        "snapshots:\n  a@1.0.0(@s/b@2.0.0): {}\n"
    )
    inventory = read(tmp_path, {"package.json": {"dependencies": {"a": "^1"}}, "pnpm-lock.yaml": lock})
    scopes = {key: package.scope for key, package in by_key(inventory).items()}
    assert scopes == {"a@1.0.0": "runtime", "pnpm@12.0.0": "dev"}
    assert inventory.problems == ()


def test_pnpm_names_what_is_from_git_or_outside(tmp_path: Path) -> None:
    lock = (
        "lockfileVersion: '9.0'\nimporters:\n  .:\n    dependencies:\n"
        "      g:\n        specifier: x/g\n        version: https://codeload.github.com/x/g/tar.gz/0123\n"
        "      l:\n        specifier: link:../l\n        version: link:../l\n"
        "packages:\n  g@https://codeload.github.com/x/g/tar.gz/0123:\n"
        "    resolution: {tarball: https://codeload.github.com/x/g/tar.gz/0123}\n    version: 1.2.3\n"
        "snapshots:\n  g@https://codeload.github.com/x/g/tar.gz/0123: {}\n"
    )
    inventory = read(
        tmp_path, {"package.json": {"dependencies": {"g": "x/g", "l": "link:../l"}}, "pnpm-lock.yaml": lock}
    )
    assert list(by_key(inventory)) == ["g@1.2.3"]
    (reason,) = inventory.problems
    assert "g@https://codeload.github.com" in reason.message
    assert "l in ./../l" in reason.message


def test_a_lockfile_of_50_megabytes_is_read_whole(tmp_path: Path) -> None:
    names = [f"p{number}" for number in range(20_000)]
    filler = {f"bin{number}": "x" * 100 for number in range(20)}
    packages: dict[str, Any] = {"": {"dependencies": dict.fromkeys(names, "1")}}
    packages |= {f"node_modules/{name}": {"version": "1.0.0", "bin": filler} for name in names}
    text = json.dumps(npm_lock(packages)).ljust(50_000_000)
    assert len(text) == 50_000_000
    inventory = read(tmp_path, {"package.json": packages[""], "package-lock.json": text})
    assert len(by_key(inventory)) == len(names)
    assert inventory.problems == ()
