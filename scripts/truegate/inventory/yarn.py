"""yarn.lock of Yarn 1 and of its successors (Berry)."""

from __future__ import annotations

import json
import posixpath
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any
from urllib.parse import parse_qs, unquote

from truegate.inventory.formats import matches
from truegate.inventory.graph import Graph, Key, place
from truegate.inventory.npm import INSTALLED_LISTS, RUNTIME_LISTS, add_folder, add_release, merge
from truegate.inventory.strict import Block, RefusedError, read_yaml

DECLARED = ("peerDependencies", *INSTALLED_LISTS)
BERRY_VERSIONS = {str(version) for version in range(4, 11)}
WORD = r'(?:"(?:[^"\\]|\\.)*"|[^\s",]+)'
LINE = re.compile(rf"( *)({WORD}(?:, {WORD})*)(?: ({WORD}))?")


def read_yarn(graph: Graph, text: str) -> None:
    berry = re.search("^__metadata:", text, re.MULTILINE)
    entries = _berry_entries(text) if berry else _classic_entries(text)
    answers: dict[str, Key] = {pattern: heads for heads in entries for pattern in heads.split(", ")}
    if len(answers) != sum(heads.count(", ") + 1 for heads in entries):
        raise RefusedError("two entries answer to the same range")
    by_name: dict[str, list[Key]] = defaultdict(list)
    for pattern, heads in answers.items():
        by_name[_split(pattern)[0]].append(heads)
    overridden = set(map(_last_name, graph.manifest("package.json").get("resolutions") or {}))
    folders = list(_berry_folders(entries) if berry else _classic_folders(graph))
    siblings = {graph.manifest(folder, "package.json").get("name") for folder, _ in folders} if not berry else set()

    def find(needs: Mapping[str, str], name: str) -> list[Key]:
        wanted = str(needs.get(name))
        found = [answers[key] for key in (f"{name}@{wanted}", f"{name}@npm:{wanted}") if key in answers]
        linked: list[Key] = [wanted] if name in siblings or wanted.startswith("link:") else []
        return found[:1] or (by_name[name] if name in overridden else linked)

    for heads, entry in entries.items():
        (_add_berry if berry else _add_classic)(graph, heads, entry, entries.lines[heads])
        for name in (needs := merge(entry, RUNTIME_LISTS[:2])):
            graph.link(heads, _split(heads)[0], name, find(needs, name))
        for name in merge(entry, RUNTIME_LISTS[2:]):
            graph.link(heads, heads, name, by_name[name], required=False)
    for folder, wants in folders:
        told = merge(graph.manifest(folder, "package.json"), DECLARED)
        untold = {"dependencies": {name: wanted for name, wanted in wants.items() if name not in told}}
        add_folder(graph, folder, untold, partial(find, wants))


def _split(pattern: str) -> tuple[str, str]:
    """Split `name@range`; a scope has an @ of its own, in front."""
    at = pattern.index("@", 1)
    return pattern[:at], pattern[at + 1 :]


def _last_name(path: str) -> str:
    """Give the name that a resolution such as `a/**/@scope/b@1` is about."""
    *_, scope, name = ("", *path.split("/"))
    return _split(f"{scope}/{name}@" if scope.startswith("@") else f"{name}@")[0]


def _classic_entries(text: str) -> Block:
    """Read Yarn 1's own format: indented like YAML, but with a space between key and value."""
    if "# yarn lockfile v1" not in text:
        raise RefusedError("it has neither `# yarn lockfile v1` nor `__metadata:`")
    levels: dict[int, list[Any]] = {0: []}
    for number, line in enumerate(text.split("\n"), 1):
        body = line.rstrip()
        if not body or body.lstrip().startswith("#"):
            continue
        parts = LINE.fullmatch(body.removesuffix(":"))
        if not parts or bool(parts[3]) == body.endswith(":") or len(parts[1]) not in levels:
            raise RefusedError(f"line {number} is not as Yarn 1 writes it")
        value: Any = _word(parts[3]) if parts[3] else []
        levels[len(parts[1])].append((", ".join(map(_word, re.findall(WORD, parts[2]))), value, number))
        levels = {indent: pairs for indent, pairs in levels.items() if indent <= len(parts[1])}
        if not parts[3]:
            levels[len(parts[1]) + 2] = value
    entries = _block(levels[0])
    whole = {"resolved" in entry for heads, entry in entries.items() if not re.search("@(?:file|link):", heads)}
    if len(whole) > 1 or not text.endswith("\n"):
        raise RefusedError("it ends half-way through an entry")
    return entries


def _block(pairs: list[Any]) -> Block:
    return Block([(key, _block(value) if isinstance(value, list) else value, line) for key, value, line in pairs])


def _word(text: str) -> str:
    return str(json.loads(text)) if text.startswith('"') else text


def _add_classic(graph: Graph, heads: str, entry: Any, line: int) -> None:
    patterns = [_split(pattern) for pattern in heads.split(", ")]
    names = {_split(f"{r.removeprefix('npm:')}@")[0] if r.startswith("npm:") else name for name, r in patterns}
    folder = next((r for _, r in patterns if r.startswith(("file:", "link:")) and not r.endswith("gz")), None)
    if len(names) > 1:
        raise RefusedError(f"line {line} stands for more than one package")
    if folder:
        graph.local(heads, folder.partition(":")[2])
        graph.covers[place(graph.folder, folder.partition(":")[2])] = set()
    else:
        add_release(graph, heads, names.pop(), entry["version"], line, entry)


def _classic_folders(graph: Graph) -> Iterator[tuple[str, Mapping[str, str]]]:
    """Give the folders of the root and its workspaces with what they want; the lockfile has no word about them."""
    spaces = graph.manifest("package.json").get("workspaces") or []
    patterns = [place(graph.folder, each) for each in (spaces["packages"] if isinstance(spaces, dict) else spaces)]
    for path, manifest in graph.manifests.items():
        folder, name = posixpath.split(path)
        if name == "package.json" and (folder == graph.folder or matches(folder, patterns)):
            yield posixpath.relpath(folder or ".", graph.folder or "."), merge(manifest, DECLARED)


def _berry_entries(text: str) -> Block:
    (entries,) = read_yaml(text)
    if (version := entries.pop("__metadata")["version"]) not in BERRY_VERSIONS:
        raise RefusedError(f"its __metadata version is {version}; known are 4 to 10")
    return entries


def _add_berry(graph: Graph, heads: str, entry: Any, line: int) -> None:
    name, reference = _split(entry["resolution"])
    kind, _, rest = reference.partition(":")
    while kind == "patch" and _split(rest)[0] == name:  # judged as the release that is patched
        kind, _, rest = unquote(_split(rest.partition("#")[0])[1]).partition(":")
    folder = re.split("::|#", rest)[0]
    if "linkType" not in entry:
        raise RefusedError(f"the entry on line {line} is cut short")
    if kind in {"link", "portal", "workspace"} or (kind == "file" and not folder.endswith("gz")):
        graph.local(name, folder)
    elif kind == "npm":
        addresses = parse_qs(rest.partition("::")[2]).get("__archiveUrl", [])
        add_release(graph, heads, name, folder, line, {"resolved": " ".join(addresses)})
    else:
        add_release(graph, heads, name, entry["version"], line, {"resolved": reference})


def _berry_folders(entries: Block) -> Iterator[tuple[str, Mapping[str, str]]]:
    for entry in entries.values():
        if "@workspace:" in entry["resolution"]:
            yield entry["resolution"].partition("@workspace:")[2], merge(entry, RUNTIME_LISTS[:2])
