"""From a lockfile's graph to its packages: who is direct, who brings whom in, what is needed at run time."""

from __future__ import annotations

import posixpath
import re
from collections import defaultdict, deque
from collections.abc import Hashable, Iterable, Mapping
from functools import reduce
from operator import or_
from typing import Any, NamedTuple

from truegate.model import LockedPackage, Reason, Scope

MAX_NAMED = 5  # in one message
MAX_TRACED = 2_000  # with more direct dependencies, nobody reads who brings what in, and it takes too much memory
RUNTIME, REACHED = 1, 2
CREDENTIALS = re.compile(r"//[^/\s]*@")
Key = Hashable


class Node(NamedTuple):
    name: str
    version: str
    line: int | None
    hashes: tuple[tuple[str, str], ...] = ()
    licence: str | None = None

    @property
    def key(self) -> str:
        return f"{self.name}@{self.version}"


class Graph:
    """What a reader collects of the lockfile `path`; `manifests` are the target's parsed manifests by path.

    `scope` is what the file is for as a whole, which only requirements files heed. `nodes` are packages of a
    registry; `edges` may also pass through local folders and extras. `covers` gives the names that are locked for
    the manifests of a folder.
    """

    def __init__(self, path: str, ecosystem: str, manifests: Mapping[str, Any], scope: Scope = "runtime") -> None:
        self.path, self.ecosystem, self.manifests, self.scope = path, ecosystem, manifests, scope
        self.folder = posixpath.dirname(path)
        self.nodes: dict[Key, Node] = {}
        self.edges: dict[Key, list[Key]] = defaultdict(list)
        self.roots: list[tuple[Key, Scope]] = []
        self.covers: dict[str, set[str]] = defaultdict(set)
        self.missing: list[str] = []
        self.foreign: list[str] = []
        self.unpinned: list[str] = []

    def manifest(self, *parts: str) -> Mapping[str, Any]:
        """Give the parsed manifest at a path from the lockfile's folder, or an empty one."""
        return self.manifests.get(place(self.folder, *parts)) or {}

    def link(self, key: Key, who: str, name: str, found: Iterable[Key], *, required: bool = True) -> None:
        """Add edges from `key`, or note that `who` wants a `name` that is not locked."""
        before = len(self.edges[key])
        self.edges[key] += found
        if required and len(self.edges[key]) == before:
            self.missing.append(f"{name} (wanted by {who})")

    def local(self, name: str, path: str) -> None:
        """Note a folder or file that belongs to the target only if it lies in it."""
        if place(self.folder, path).startswith(("/", "..", "~")):
            self.foreign.append(f"{name} in {path} (outside of what is judged)")

    def problems(self) -> list[Reason]:
        missing, foreign = f"it does not lock {some(self.missing)}", f"no registry holds {some(self.foreign)}"
        rows = (
            (self.missing, "not-locked", f"{missing}: it was cut short or is out of date", "lock again"),
            (
                self.foreign,
                "no-advisories",
                f"{foreign}: no advisory can name what is in it",
                "take a release from a registry, one that bundles nothing",
            ),
            (self.unpinned, "unpinned", f"no exact version: {some(self.unpinned)}", "pin each with == and its hash"),
        )
        return [problem(code, self.path, what, step) for names, code, what, step in rows if names]

    def packages(self) -> tuple[LockedPackage, ...]:
        """Give one record per name and version, in that order; what no root reaches counts as run time."""
        direct = {key for key, _ in self.roots} & self.nodes.keys()
        traced = sorted({self.nodes[key].name for key in direct})[:MAX_TRACED]
        bits = {name: 4 << index for index, name in enumerate(traced)}
        reached, names = self._reached(bits), dict[int, tuple[str, ...]]()
        copies: dict[tuple[str, str], list[Key]] = defaultdict(list)
        for key, node in self.nodes.items():
            copies[node[:2]].append(key)
        packages = []
        for (name, version), keys in sorted(copies.items()):
            mask = reduce(or_, (reached.get(key, 0) for key in keys))
            if mask not in names:
                names[mask] = tuple(each for each, bit in bits.items() if mask & bit)
            package = LockedPackage(
                self.ecosystem,
                name,
                version,
                scope="dev" if mask & REACHED and not mask & RUNTIME else "runtime",
                lockfile=self.path,
                line=self.nodes[keys[0]].line,
                direct=not direct.isdisjoint(keys),
                introduced_by=names[mask],
                depends_on=self._wanted([key for key in keys if reached.get(key)] or keys),
                hashes=tuple(sorted({pair for key in keys for pair in self.nodes[key].hashes})),
                licence=next((self.nodes[key].licence for key in keys if self.nodes[key].licence), None),
            )
            packages.append(package)
        return tuple(packages)

    def _wanted(self, keys: list[Key]) -> tuple[str, ...]:
        found = {self.nodes[to].key for key in keys for to in self.edges.get(key, ()) if to in self.nodes}
        return tuple(sorted(found - {self.nodes[keys[0]].key}))

    def _reached(self, bits: Mapping[str, int]) -> dict[Key, int]:
        """Give as bits what reaches each node: any root, a root of the runtime, each direct dependency by name."""
        reached: dict[Key, int] = defaultdict(int)
        for key, scope in self.roots:
            own = bits.get(self.nodes[key].name, 0) if key in self.nodes else 0
            reached[key] |= own | REACHED | (RUNTIME if scope == "runtime" else 0)
        waiting = deque(reached)
        while waiting:
            key = waiting.popleft()
            for to in self.edges.get(key, ()):
                if reached[to] | reached[key] != reached[to]:
                    reached[to] |= reached[key]
                    waiting.append(to)
        return reached


def problem(code: str, path: str, what: str, next_step: str) -> Reason:
    """Name a part that was not seen; addresses in it lose their credentials."""
    return Reason(code, "incomplete", f"{path}: {CREDENTIALS.sub('//', what)}", next_step)


def some(names: Iterable[str]) -> str:
    """Name the first few, and how many more there are."""
    listed = list(dict.fromkeys(names))
    return ", ".join(listed[:MAX_NAMED]) + (f" and {len(listed) - MAX_NAMED} more" if listed[MAX_NAMED:] else "")


def digests(texts: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Split `algorithm:hex`."""
    return tuple((algorithm, digest.lower()) for algorithm, _, digest in (text.partition(":") for text in texts))


def place(*parts: str) -> str:
    """Join paths below the target, which is itself the empty string."""
    joined = posixpath.normpath(posixpath.join("", *parts))
    return "" if joined == "." else joined
