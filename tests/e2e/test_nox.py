"""The noxfile: a session for each check and each phase, in the words of `inv --list`, and nothing of ours imported."""

from __future__ import annotations

import ast
import json
import sys
from pathlib import Path
from typing import Any

import kits  # type: ignore[import-not-found]
import pytest

from truegate.checks import MODULES

KIT: Path = kits.KIT
OWN = {"lint", "tests"}


def nox(*arguments: str, cwd: Path = KIT, file: Path = KIT / "noxfile.py") -> Any:
    return kits.run([Path(sys.executable).with_name("nox"), "-f", file, *arguments], cwd)


def listed(*arguments: str, file: Path = KIT / "noxfile.py") -> dict[str, str]:
    """Give the sessions that a command line selects, with their descriptions."""
    rows = json.loads(nox("--list", "--json", *arguments, file=file).stdout)
    return {row["name"]: row["description"] for row in rows}


def inv_tasks() -> dict[str, str]:
    """Give what `inv --list` says of each task; a phase goes by the name of its default task too."""
    inv = Path(sys.executable).with_name("inv")
    top = json.loads(kits.run([inv, "--list", "--list-format", "json"], KIT).stdout)
    found: dict[str, str] = {}
    for phase in top["collections"]:
        tasks = {task["name"]: task["help"] for task in phase["tasks"]}
        found |= {f"{phase['name']}.{name}": text for name, text in tasks.items()}
        found[phase["name"]] = tasks[phase["default"]]
    return found


def test_a_session_for_each_check_and_each_phase_in_the_words_of_inv() -> None:
    names = set(MODULES) | {name.split(".")[0] for name in MODULES}
    assert listed("-s", *sorted(names)) == {name: text for name, text in inv_tasks().items() if name in names}
    everything = {line.split()[1] for line in nox("--list").stdout.splitlines() if line[:2] in {"* ", "- "}}
    assert everything == names | OWN


def test_bare_nox_is_lint_and_tests_here_and_the_checks_in_a_copy(tmp_path: Path) -> None:
    assert set(listed()) == OWN
    copy = kits.copy_kit(tmp_path / "ops")
    assert set(listed(file=copy / "noxfile.py")) == {"security"}


def test_it_imports_nothing_of_ours_and_names_no_interpreter() -> None:
    tree = ast.parse((KIT / "noxfile.py").read_text())
    imports = [node for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom))]
    names = {alias.name for node in imports if isinstance(node, ast.Import) for alias in node.names}
    names |= {str(node.module) for node in imports if isinstance(node, ast.ImportFrom)}
    assert names == {"nox", "pathlib"}
    keywords = {keyword.arg for node in ast.walk(tree) if isinstance(node, ast.Call) for keyword in node.keywords}
    assert "name" in keywords
    assert "python" not in keywords


@pytest.mark.slow
def test_a_missing_interpreter_is_an_error_not_a_skip() -> None:
    done = nox("-s", "security.sca", "--force-python", "3.99")
    assert done.returncode == 1
    assert "3.99" in done.stderr
    assert "not found" in done.stderr
