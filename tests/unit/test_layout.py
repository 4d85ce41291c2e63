"""What holds the parts together: locks, links, the list of tasks, and documents that name what there is."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest
from invoke import Collection, Task
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from truegate.phases import namespace
from truegate.toml import read_toml
from truegate_staging import tasks as staging_tasks

KIT = Path(__file__).resolve().parents[2]
PAGES = [KIT / "README.md", *sorted((KIT / "docs").glob("*.md"))]
GROUPS: dict[str, list[Any]] = tomllib.loads((KIT / "pyproject.toml").read_text())["dependency-groups"]
HEAVY = {"cyclonedx", "jinja2", "jsonschema_rs", "packageurl", "rich", "spdx_tools", "tabulate", "urllib3", "yaml"}
# Folders that a run makes or a host has, one that a later version brings, and the files that the recipe tells to write.
WRITTEN = re.compile(r"(evidence|reports|input|raw|ops|\.tools|staging)/|.*(gitleaks|secrets|cargo)")


def direct(group: str) -> set[str]:
    """Give the distributions that a group names, those of the groups that it includes too."""
    names: set[str] = set()
    for row in GROUPS[group]:
        names |= direct(row["include-group"]) if isinstance(row, dict) else {Requirement(row).name}
    return names


def pins(group: str) -> dict[str, set[str]]:
    """Give name and version of each locked distribution, with its hashes."""
    text = (KIT / "requirements" / f"{group}.txt").read_text()
    rows = re.findall(r"^(\S+==\S+)[^\n]*\\\n((?:    --hash=\S+(?: \\)?\n)+)", text, re.MULTILINE)
    assert len(rows) == len(re.findall(r"^\w", text, re.MULTILINE)), "each pin has its hashes"
    return {name: set(re.findall(r"sha256:[0-9a-f]{64}", hashes)) for name, hashes in rows}


def test_locks_hold_what_the_groups_name_and_no_address() -> None:
    for group in ("security", "staging", "dev"):
        assert direct(group) <= {name.split("==")[0] for name in pins(group)}
        assert "://" not in (KIT / "requirements" / f"{group}.txt").read_text()
    assert pins("security").items() <= pins("staging").items() <= pins("dev").items(), "one environment serves all"


def test_tasks_ask_for_every_package_that_they_may_need() -> None:
    needed = re.search(r'NEEDED = \(\s*"([^"]+)"', (KIT / "tasks.py").read_text())
    assert needed
    modules = packages_distributions()
    named = {canonicalize_name(distribution) for name in needed[1].split() for distribution in modules[name]}
    own = {"invoke", "nox"}  # they start us
    assert named == {canonicalize_name(name) for name in direct("security")} - own


def test_each_dependency_has_its_line_of_reason() -> None:
    text = (KIT / "docs" / "dependencies.md").read_text()
    assert set(re.findall(r"^\| ([a-z][\w.-]+) \|.*\|.*\|$", text, re.MULTILINE)) - {"package"} == direct("security")
    assert [name for name in direct("dev") if not re.search(rf"^\| .*\b{name}\b.* \|", text, re.MULTILINE)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_paths_lead_somewhere(page: Path) -> None:
    text = page.read_text()
    links = [link for link in re.findall(r"\]\(([^)#]+)", text) if "://" not in link]
    assert links or "`" in text
    assert [link for link in links if not (page.parent / link).exists()] == []
    roots = [KIT, KIT / "scripts" / "truegate"]
    paths = [path for path in re.findall(r"`([\w.-]+/[\w./-]*)`", text) if not WRITTEN.match(path)]
    assert [path for path in paths if not any((root / path).exists() for root in roots)] == []


def test_each_toml_block_of_the_documents_is_valid(tmp_path: Path) -> None:
    seen = 0
    for page in PAGES:
        for info, body in re.findall(r"^```toml ?(.*)\n((?:.*\n)*?)```$", page.read_text(), re.MULTILINE):
            path = tmp_path / f"{page.stem}.toml"
            path.write_text(body)
            assert read_toml(path, info or "config")
            seen += 1
    assert seen >= 2


def tasks(collection: Collection) -> dict[str, Task[Any]]:
    return {name: collection[name] for name in collection.task_names}


def test_each_task_and_each_option_has_help() -> None:
    found = tasks(namespace) | tasks(Collection.from_module(staging_tasks))
    assert {"security.sca", "up"} <= found.keys()
    for name, task in found.items():
        assert (task.__doc__ or "").strip(), name
        assert [f"{name} --{argument.name}" for argument in task.get_arguments() if not argument.help] == []


def test_the_list_of_tasks_fits_eighty_columns_a_line_each() -> None:
    listed = inv("--list").splitlines()
    lines = [line for line in listed[1:] if line]
    assert len(lines) == len(tasks(namespace)) + len(tasks(Collection.from_module(staging_tasks)))
    assert [line for line in lines if not re.fullmatch(r"  [a-z.]+(?: \([a-z.]+\))?  +[A-Z].*\.", line)] == []


def test_listing_the_tasks_loads_nothing_heavy() -> None:
    code = (
        "import json, sys, invoke; before = set(sys.modules); sys.path.insert(0, sys.argv[1]); import tasks;"
        "print(json.dumps(list(set(sys.modules) - before)))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(KIT)], capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in json.loads(done.stdout)}
    assert "truegate" in loaded
    assert loaded & HEAVY == set()


def inv(*arguments: str) -> str:
    argv = [sys.executable, "-m", "invoke", "--search-root", str(KIT), *arguments]
    return subprocess.run(argv, capture_output=True, text=True, check=True, env={"PATH": "/usr/bin:/bin"}).stdout
