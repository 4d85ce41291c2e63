"""poetry.lock, uv.lock and Pipfile.lock."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from packaging.utils import canonicalize_name

from truegate.inventory.graph import Graph, Key, Node, digests, place
from truegate.inventory.manifests import group_scope, needs
from truegate.inventory.strict import RefusedError, json_lines, read_json, read_toml
from truegate.model import Scope

OWN = {"virtual", "editable", "directory"}  # kinds of source in uv.lock that are folders, not releases
EXTRA = re.compile(r"\s*([\w.-]+)\s*(?:\[([^]]*)\])?")  # versions in poetry.lock may be of a form of its own
PIPFILE_SPEC = 6
POETRY_VERSIONS = ("1.0", "1.1", "2.0", "2.1")


class _Table:
    """The rows of a lockfile by name. A package is the key (row, ""), one of its extras (row, extra)."""

    def __init__(self, graph: Graph, text: str, rows: list[dict[str, Any]]) -> None:
        self.graph, self.rows = graph, rows
        self.lines = [number for number, line in enumerate(text.split("\n"), 1) if line.startswith("[[package]]")]
        if len(self.lines) != len(rows):
            raise RefusedError("its packages do not begin with [[package]] on a line each")
        self.by_name: dict[str, list[int]] = defaultdict(list)
        for index, row in enumerate(rows):
            self.by_name[canonicalize_name(row["name"])].append(index)

    def find(self, name: str, extras: Iterable[str] = (), version: str | None = None) -> list[Key]:
        found = self.by_name.get(canonicalize_name(name), [])
        indexes = [index for index in found if version in {None, self.rows[index].get("version")}]
        return [(index, extra) for index in indexes for extra in ("", *map(canonicalize_name, extras))]

    def add(self, index: int, extras: Iterable[str], hashes: Iterable[str], address: str = "") -> None:
        row = self.rows[index]
        node = Node(canonicalize_name(row["name"]), row["version"], self.lines[index], digests(hashes))
        if address:
            self.graph.foreign.append(f"{node.key} from {address}")
        for extra in ("", *map(canonicalize_name, extras)):
            self.graph.nodes[index, extra] = node
            self.graph.edges[index, extra] += [(index, "")] if extra else []

    def add_folder(self, index: int, path: str) -> None:
        self.graph.local(self.rows[index]["name"], path)
        self.graph.covers[place(self.graph.folder, path)] |= self.by_name.keys()


def read_poetry(graph: Graph, text: str) -> None:
    tree = read_toml(text)
    metadata = tree["metadata"]
    if metadata["lock-version"] not in POETRY_VERSIONS or not metadata["content-hash"]:
        raise RefusedError(f"its lock-version is {metadata['lock-version']}; known are {', '.join(POETRY_VERSIONS)}")
    table = _Table(graph, text, tree.get("package", []))
    for index, row in enumerate(table.rows):
        source, extras = row.get("source", {}), row.get("extras", {})
        if source.get("type") == "directory":
            table.add_folder(index, source["url"])
        else:
            files = row.get("files") or metadata.get("files", {}).get(row["name"], [])
            foreign = source["url"] if source.get("type") in {"git", "url", "file"} else ""
            table.add(index, extras, (each["hash"] for each in files), foreign)
        for name, wanted in row.get("dependencies", {}).items():
            for spec in wanted if isinstance(wanted, list) else [wanted]:
                keys = spec if isinstance(spec, dict) else {}
                if not keys.get("optional"):  # reached through its extra
                    found = table.find(name, keys.get("extras", ()))
                    graph.link((index, ""), row["name"], name, found, required="markers" not in keys)
        for extra, wanted in extras.items():
            for name, more in (EXTRA.match(each).groups("") for each in wanted):  # type: ignore[union-attr]
                found = table.find(name, re.findall(r"[\w.-]+", more))
                graph.link((index, canonicalize_name(extra)), row["name"], name, found, required=False)
    graph.covers[graph.folder] |= table.by_name.keys()
    for need in needs("pyproject.toml", graph.manifest("pyproject.toml")):
        graph.roots += [(key, need.scope) for key in table.find(need.name, need.extras)]


def read_uv(graph: Graph, text: str) -> None:
    tree = read_toml(text)
    if tree["version"] != 1:
        raise RefusedError(f"its version is {tree['version']!r}; known is 1")
    table = _Table(graph, text, tree["package"])
    for index, row in enumerate(table.rows):
        source, extras = row["source"], row.get("optional-dependencies", {})
        folder = next((source[kind] for kind in OWN if kind in source), None)
        parts: list[tuple[str, Scope, Any]] = [("", "runtime", row.get("dependencies", []))]
        parts += [(canonicalize_name(extra), "runtime", wanted) for extra, wanted in extras.items()]
        parts += [("", group_scope(group), wanted) for group, wanted in row.get("dev-dependencies", {}).items()]
        if folder is None:
            files = [row.get("sdist", {}), *row.get("wheels", [])]
            address = "" if "registry" in source else next(iter(source.values()))
            table.add(index, extras, [each["hash"] for each in files if "hash" in each], address)
        else:
            table.add_folder(index, folder)
        for extra, scope, wanted in parts:
            for need in wanted:
                found = table.find(need["name"], need.get("extra", ()), need.get("version"))
                if folder is not None:  # a project of the target: what it declares is direct
                    graph.roots += [(key, scope) for key in found]
                graph.link((index, extra if folder is None else "declared"), row["name"], need["name"], found)
    if not any(OWN & row["source"].keys() for row in table.rows):
        raise RefusedError("it has no project in it, so it was cut short")


def read_pipenv(graph: Graph, text: str) -> None:
    tree, lines = read_json(text), json_lines(text)
    if (version := tree["_meta"]["pipfile-spec"]) != PIPFILE_SPEC:
        raise RefusedError(f"its pipfile-spec is {version!r}; known is {PIPFILE_SPEC}")
    direct = {need.name for need in needs("Pipfile", graph.manifest("Pipfile"))}
    for group, rows in tree.items():
        scope = group_scope(group)  # `default` is no name of a dev group
        graph.roots.append((group, scope))
        for name, row in rows.items() if group != "_meta" else ():
            line, key = lines[name].popleft(), (group, canonicalize_name(name))
            graph.covers[graph.folder].add(key[1])
            if row.get("version", "").startswith("=="):
                graph.nodes[key] = Node(key[1], row["version"][2:], line, digests(row.get("hashes", [])))
                graph.edges[group].append(key)
                graph.roots += [(key, scope)] if key[1] in direct else []
            elif "path" in row:
                graph.local(name, row["path"])
            else:
                graph.foreign.append(f"{name} from {row.get('git') or row.get('file')}")
