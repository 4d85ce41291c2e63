"""Requirements files: lockfiles when each line has one exact version."""

from __future__ import annotations

import posixpath
import re
from collections import defaultdict
from dataclasses import dataclass, field

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from truegate.inventory.graph import Graph, Node, digests, place
from truegate.inventory.strict import RefusedError

INCLUDE = re.compile(r"(?:-r|--requirement)[ =]*(\S.*)")
EDITABLE = re.compile(r"(?:-e|--editable)[ =]*")
OPTIONS = re.compile(r"\s--(?=[a-z])")
# In comments of pip-compile and uv: `-r x.in`, `app (setup.py)`.
FROM_OUTSIDE = re.compile(r"(?<!\S)(?:-[rc] \S+|\S+ \([^)]*\))")


@dataclass
class Statement:
    """One requirement or option, its lines joined, with the comments beside and below it."""

    line: int
    text: str
    comments: list[str] = field(default_factory=list)

    @property
    def via(self) -> str:
        """Who wants it, as pip-compile and uv write."""
        return " ".join(self.comments).partition("via ")[2]


def statements(text: str) -> list[Statement]:
    """Join continued lines as pip does; raises RefusedError when the last one goes on."""
    found: list[Statement] = []
    goes_on = False
    for number, line in enumerate(text.split("\n"), 1):
        code, *comment = re.split(r"(?:^|\s)#", line, maxsplit=1) if "#" in line else [line]
        if goes_on and code.strip():
            found[-1].text += " " + code.strip().rstrip("\\")
        elif code.strip():
            found.append(Statement(number, code.strip().rstrip("\\")))
        if found:
            found[-1].comments += (each.strip() for each in comment)
        goes_on = code.rstrip().endswith("\\")
    if goes_on:
        raise RefusedError("its last line says that it goes on, so it was cut short")
    return found


def includes(text: str) -> list[str]:
    return [match[1].strip() for each in statements(text) if (match := INCLUDE.fullmatch(each.text))]


def read_requirements(graph: Graph, text: str) -> None:
    pinned: list[Statement] = []
    lines: dict[str, list[int]] = defaultdict(list)
    for statement in statements(text):
        if EDITABLE.match(statement.text) or not statement.text.startswith("-"):
            _add(graph, statement)
        if node := graph.nodes.get(statement.line):
            pinned.append(statement)
            lines[node.name].append(statement.line)
    if text[-1] != "\n":
        graph.missing.append("what may follow its last line (no line feed)")
    compiled = all(each.via for each in pinned)  # if not, all we know is that the file asks for each
    for statement in pinned if compiled else ():
        for parent in re.findall(r"[\w.-]+", FROM_OUTSIDE.sub("", statement.via)):
            for line in lines.get(canonicalize_name(parent), ()):
                graph.edges[line].append(statement.line)
    graph.roots += ((each.line, graph.scope) for each in pinned if not compiled or FROM_OUTSIDE.search(each.via))
    graph.roots.append(("file", graph.scope))
    graph.edges["file"] += graph.nodes
    beside = posixpath.dirname(graph.folder) if posixpath.basename(graph.folder) == "requirements" else graph.folder
    for covered in (graph.path, graph.folder, beside, *graph.covers):
        graph.covers[covered] |= lines.keys()


def _add(graph: Graph, statement: Statement) -> None:
    body, *options = OPTIONS.split(statement.text)
    try:
        wanted = Requirement(body)
    except InvalidRequirement:
        _add_path(graph, statement.line, EDITABLE.sub("", body))
        return
    name = canonicalize_name(wanted.name)
    pins = [each.version for each in wanted.specifier if each.operator in {"==", "==="} and "*" not in each.version]
    if wanted.url:
        _add_path(graph, statement.line, wanted.url)
    elif len(pins) != 1:
        graph.unpinned.append(f"{name} on line {statement.line}")
    else:
        hashes = digests(each[5:].strip() for each in options if each.startswith(("hash=", "hash ")))
        graph.nodes[statement.line] = Node(name, pins[0], statement.line, hashes)


def _add_path(graph: Graph, line: int, target: str) -> None:
    path = re.split(r"[\[#]", target)[0].removeprefix("file:")
    if "://" in path or path.startswith("git+") or path.endswith((".whl", "gz", ".zip")):
        graph.foreign.append(f"{target} on line {line}")
    elif "/" in path or path.startswith("."):
        graph.local(f"line {line}", path)
        graph.covers[place(graph.folder, path)] = set()
    else:
        graph.unpinned.append(f"{target[:80]!r} on line {line}")
