"""Requirements files: lockfiles when each line has one exact version."""

from __future__ import annotations

import posixpath
import re
from collections import defaultdict
from dataclasses import dataclass, field

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from truegate.inventory.graph import Graph, Node, digests, place
from truegate.inventory.strict import RefusedError, quoted

# Options as pip reads them, but for quotes, abbreviations and two of them on a line: such a line is named, not read.
VALUE = r"([^\s\"'\\=-][^\s\"'\\]*)"
INCLUDE = re.compile(rf"(?:-r[ \t]*|--requirement(?:=|[ \t]+)){VALUE}")
EDITABLE = re.compile(rf"(?:-e[ \t]*|--editable(?:=|[ \t]+)){VALUE}(?:[ \t]+;[^-]*)?")
VALUED = "constraint|extra-index-url|find-links|index-url|no-binary|only-binary|pypi-url|trusted-host|use-feature"
NAMELESS = re.compile(
    rf"(?:(?:--(?:no-index|pre|prefer-binary|require-hashes)|(?:-[cfi][ \t]*|--(?:{VALUED})(?:=|[ \t]+)){VALUE})"
    r"(?:[ \t]+|$))+"
)
OPTIONS = re.compile(r"\s--(?=[a-z])")
ARCHIVE = re.compile(r"\.(?:whl|zip|egg|tar|t?gz|bz2|tbz|t?xz|t?lz|lzma)(?![\w./-])", re.IGNORECASE)
CODING = re.compile(r"#.*?coding[:=]\s*(?!utf[-_]?8(?![\w.-]))[\w.-]", re.IGNORECASE)
COMMENT = re.compile(r"(?:^|\s)#")
# In comments of pip-compile and uv: `-r x.in`, `app (setup.py)`.
FROM_OUTSIDE = re.compile(r"(?<!\S)(?:-[rc] \S+|\S+ \([^()]{0,200}\))")
MAX_LINES = 50  # for one package: its versions for other machines are few


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
    """Split and join lines as pip does; raises RefusedError when the last one goes on, or for another encoding."""
    if any(map(CODING.match, text.split("\n", 2)[:2])):
        raise RefusedError("its first lines declare an encoding other than UTF-8")
    found, parts = list[Statement](), list[str]()
    for number, line in enumerate(text.splitlines(), 1):
        is_comment = line.lstrip().startswith("#")
        goes_on = line.endswith("\\") and not is_comment
        parts.append(line.strip("\\") if goes_on else f" {line}" if is_comment else line)
        if goes_on:
            continue
        code, *comment = COMMENT.split("".join(parts), maxsplit=1)
        if code.strip():
            found.append(Statement(number + 1 - len(parts), code.strip()))
        if found:
            found[-1].comments += (each.strip() for each in comment)
        parts.clear()
    if parts:
        raise RefusedError("its last line says that it goes on, so it was cut short")
    return found


def includes(text: str) -> list[str]:
    return [match[1] for each in statements(text) if (match := INCLUDE.fullmatch(each.text))]


def declared(text: str) -> list[str]:
    """Give the requirements of a file that need not pin them, but for folders, which have manifests of their own."""
    wanted = [_wanted(each.text)[0] for each in _named(text)]
    return [each for each in wanted if each.startswith("/") or not _folder(each)]


def read_requirements(graph: Graph, text: str) -> None:
    pinned: list[Statement] = []
    lines: dict[str, list[int]] = defaultdict(list)
    for statement in _named(text):
        _add(graph, statement)
        if node := graph.nodes.get(statement.line):
            pinned.append(statement)
            lines[node.name].append(statement.line)
    if text[-1] != "\n":
        graph.missing.append("what may follow its last line (no line feed)")
    if many := [name for name, numbers in lines.items() if len(numbers) > MAX_LINES]:
        raise RefusedError(f"more than {MAX_LINES} lines name {quoted(many[0])}")
    compiled = all(each.via for each in pinned)  # if not, all we know is that the file asks for each
    for statement in pinned if compiled else ():
        for parent in set(re.findall(r"[\w.-]+", FROM_OUTSIDE.sub("", statement.via))):
            for line in lines.get(canonicalize_name(parent), ()):
                graph.edges[line].append(statement.line)
    graph.roots += ((each.line, graph.scope) for each in pinned if not compiled or FROM_OUTSIDE.search(each.via))
    graph.roots.append(("file", graph.scope))
    graph.edges["file"] += graph.nodes
    beside = posixpath.dirname(graph.folder) if posixpath.basename(graph.folder) == "requirements" else graph.folder
    for covered in (graph.path, graph.folder, beside, *graph.covers):
        graph.covers[covered] |= lines.keys()


def _named(text: str) -> list[Statement]:
    """Give the statements that name a package, or may do so."""
    return [each for each in statements(text) if not (INCLUDE.fullmatch(each.text) or NAMELESS.fullmatch(each.text))]


def _wanted(text: str) -> list[str]:
    """Split a statement: what is wanted, then the options for it."""
    editable = EDITABLE.fullmatch(text)
    return [editable[1]] if editable else [text] if text.startswith("-") else OPTIONS.split(text)


def _add(graph: Graph, statement: Statement) -> None:
    body, *options = _wanted(statement.text)
    try:
        wanted = Requirement(body)
    except InvalidRequirement:
        _add_path(graph, statement.line, body)
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
    if target.startswith("-"):
        graph.unpinned.append(f"{quoted(target)} on line {line}, which is no known option alone on its line")
    elif folder := _folder(target):
        graph.local(f"line {line}", folder)
        graph.covers[place(graph.folder, folder)] = set()
    else:
        names = graph.foreign if _is_address(target) else graph.unpinned
        names.append(f"{quoted(target)} on line {line}")


def _folder(target: str) -> str | None:
    """Give the path of the folder that a requirement is, if it is one."""
    path = re.split(r"[\[#;]", target.removeprefix("file:"))[0].strip()
    return path if re.match(r"\.|[\w.-]*/", path) and not _is_address(target) else None


def _is_address(target: str) -> bool:
    return "://" in target.removeprefix("file:") or target.startswith("git+") or bool(ARCHIVE.search(target))
