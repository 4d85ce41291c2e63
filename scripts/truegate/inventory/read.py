"""Read what discovery found: the packages of each lockfile, and the manifests that none of them covers."""

from __future__ import annotations

import configparser
import posixpath
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from truegate.inventory.formats import matches
from truegate.inventory.graph import CREDENTIALS, Graph, place, problem, some
from truegate.inventory.manifests import needs, parse
from truegate.inventory.npm import INSTALLED_LISTS, merge, read_npm
from truegate.inventory.pnpm import read_pnpm
from truegate.inventory.python_locks import read_pipenv, read_poetry, read_uv
from truegate.inventory.records import FoundFile, Inventory, LockfileReading
from truegate.inventory.requirements import includes, read_requirements
from truegate.inventory.strict import RefusedError, decode
from truegate.inventory.yarn import read_yarn
from truegate.model import Reason, Scope

READERS: Mapping[str, Callable[[Graph, str], None]] = {
    "npm": read_npm,
    "yarn": read_yarn,
    "pnpm": read_pnpm,
    "poetry": read_poetry,
    "uv": read_uv,
    "pipenv": read_pipenv,
    "requirements": read_requirements,
}
SYNTAX_ERRORS = (RefusedError, SyntaxError, ValueError, configparser.Error, yaml.YAMLError)
# Raised by readers on what is sound JSON, YAML or TOML but has another shape than its format.
SHAPE_ERRORS = (AttributeError, LookupError, MemoryError, RecursionError, RuntimeError, TypeError)


def read_inventory(folder: Path, files: Sequence[FoundFile], dev_files: Sequence[str]) -> Inventory:
    """Read the copies of `files` below `folder`; never raises for what is in them.

    Requirements files that match a glob of `dev_files` are dev, unless one that is not includes them.
    """
    problems: list[Reason] = []
    texts, manifests, included = dict[str, str](), dict[str, Any](), dict[str, list[str]]()
    for file in files:
        with _noted(problems, file.path):
            text = decode((folder / file.path).read_bytes())
            if file.role == "manifest":
                manifests[file.path] = parse(file.format, text)
            if file.format == "requirements":
                included[file.path] = includes(text)
            texts[file.path] = text
    scopes = _scopes(included, dev_files)
    graphs, readings = [], []
    for file in files:
        if file.role == "manifest" or file.path not in texts:
            continue
        graph = Graph(file.path, file.ecosystem, manifests, scopes.get(file.path, "runtime"))
        with _noted(problems, file.path):
            READERS[file.format](graph, texts[file.path])
            if file.format in {"yarn", "pnpm"} and place(graph.folder, "package.json") not in manifests:
                graph.missing.append("what a package.json beside it would declare")
            readings.append(LockfileReading(file.path, file.format, file.ecosystem, graph.packages()))
            graphs.append(graph)
            problems += graph.problems()
    for file in files:
        if file.path in manifests:
            with _noted(problems, file.path):
                problems += _uncovered(file, manifests[file.path], graphs)
    return Inventory(tuple(readings), tuple(problems))


@contextmanager
def _noted(problems: list[Reason], path: str) -> Iterator[None]:
    """Turn what a file's content raises into a problem."""
    try:
        yield
    except OSError as error:
        what = error.strerror or "input or output error"
    except SYNTAX_ERRORS as error:
        what = " ".join(CREDENTIALS.sub("//", str(error)).split())[:300]  # a cut could spare half of a password
    except SHAPE_ERRORS as error:
        what = f"it has not the shape of its format ({type(error).__name__}: {CREDENTIALS.sub('//', str(error))[:80]})"
    else:
        return
    problems.append(problem("unreadable", path, f"can't be read: {what}", "mend it, or write it anew with its tool"))


def _scopes(included: Mapping[str, list[str]], dev_files: Sequence[str]) -> dict[str, Scope]:
    scopes: dict[str, Scope] = {path: "dev" if matches(path, dev_files) else "runtime" for path in included}
    waiting = [path for path, scope in scopes.items() if scope == "runtime"]
    while waiting:
        path = waiting.pop()
        for target in (place(posixpath.dirname(path), each) for each in included[path]):
            if scopes.get(target) == "dev":
                scopes[target] = "runtime"
                waiting.append(target)
    return scopes


def _uncovered(file: FoundFile, manifest: Any, graphs: Sequence[Graph]) -> list[Reason]:
    """Tell what a manifest declares that no lockfile holds; readers check what lockfiles of npm cover."""
    stem, ending = posixpath.splitext(file.path)
    folder = posixpath.dirname(file.path)
    covered = f"{stem}.txt" if ending == ".in" else folder
    covers = [item for graph in graphs if graph.ecosystem == file.ecosystem for item in graph.covers.items()]
    locks = [names for path, names in covers if path == covered]
    if ending == ".in" and not locks:  # included by another, and compiled with that
        locks = [names for path, names in covers if posixpath.dirname(path) == folder]
    if file.format == "package.json":
        names = set[str]() if locks else set(merge(manifest, INSTALLED_LISTS))
    else:
        names = {need.name for need in needs(file.format, manifest) if need.sure}.difference(*locks)
    what = f"no lockfile holds {some(sorted(names))}"
    return [problem("not-locked", file.path, what, "lock it with its package manager and commit that")] if names else []
