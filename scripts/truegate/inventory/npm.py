"""package-lock.json and npm-shrinkwrap.json, lockfile versions 1 to 3, and what all lockfiles of npm share."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any
from urllib.parse import unquote

from truegate.inventory.graph import Graph, Key, Node, place
from truegate.inventory.strict import RefusedError, json_lines, read_json
from truegate.model import Scope

RUNTIME_LISTS = ("dependencies", "optionalDependencies", "peerDependencies")
INSTALLED_LISTS = ("dependencies", "optionalDependencies", "devDependencies")


def read_npm(graph: Graph, text: str) -> None:
    tree, lines = read_json(text), json_lines(text)
    if (version := tree["lockfileVersion"]) not in (1, 2, 3):
        raise RefusedError(f"its lockfileVersion is {version!r}; known are 1, 2 and 3")
    entries: dict[str, Any] = tree["packages"] if version > 1 else {"": {}, **dict(_nested(graph, tree, "", lines))}
    for location, entry in entries.items():
        if "node_modules/" not in location:
            add_folder(graph, location, entry, partial(_resolve, entries, location))
        elif not entry.get("link"):
            name = entry.get("name") or location.rpartition("node_modules/")[2]
            line = entry["line"] if version == 1 else lines[location][0]
            add_release(graph, location, name, entry.get("version") or "", line, entry)
            optional = merge(entry, RUNTIME_LISTS[1:])
            for want in merge(entry, RUNTIME_LISTS):
                graph.link(location, name, want, _resolve(entries, location, want), required=want not in optional)


def merge(manifest: Mapping[str, Any], lists: tuple[str, ...]) -> dict[str, str]:
    return {name: wanted for kind in lists for name, wanted in (manifest.get(kind) or {}).items()}


def add_folder(graph: Graph, location: str, locked: Mapping[str, Any], find: Callable[[str], list[Key]]) -> None:
    """Make roots of what a folder declares in the lockfile or in its manifest; runtime in either is runtime."""
    path = place(graph.folder, location)
    both = (locked, graph.manifest(location, "package.json"))
    graph.local(location, location)
    graph.covers[path] = set()
    runtime = {name for each in both for name in merge(each, RUNTIME_LISTS)}
    installed = {name for each in both for name in merge(each, INSTALLED_LISTS)}
    for name in sorted(runtime | installed):
        scope: Scope = "runtime" if name in runtime else "dev"
        found = find(name)
        graph.roots += [(key, scope) for key in found]
        if not found and name in installed:
            graph.missing.append(f"{name} (wanted by {place(path, 'package.json')})")


def add_release(graph: Graph, key: Key, name: str, version: str, line: int | None, entry: Mapping[str, Any]) -> None:
    """Add a package, noting when its address is not that of this release in a registry or a mirror of one."""
    resolved = entry.get("resolved") or ""
    address = unquote(resolved).partition("#")[0].partition("?")[0]
    released = version[:1].isdigit() and (
        address in {"", f"{name.replace('/', '-')}-{version}.tgz"} or _is_release(address, name, version)
    )
    if address.startswith("file:"):
        graph.local(name, address.removeprefix("file:"))
    elif not released:
        graph.foreign.append(f"{name}@{resolved or version}")
    if version[:1].isdigit():
        pairs = [part.partition("?")[0].partition("-") for part in (entry.get("integrity") or "").split()]
        hashes = tuple((algorithm, base64.b64decode(digest).hex()) for algorithm, _, digest in pairs)
        licence = entry.get("license")
        graph.nodes[key] = Node(name, version, line, hashes, licence if isinstance(licence, str) else None)


def _is_release(address: str, name: str, version: str) -> bool:
    """Tell whether an address ends as those do that registries give: all of them, or one of the kind named."""
    scope, _, base = name.rpartition("/")
    folders = (
        "-/",
        f"-/{scope}/",  # Artifactory
        f"-/{version}/",  # Font Awesome
        f"{version}/",  # the content delivery network of npmmirror
        "download/",  # npmmirror of old
        f"download/{scope}/",
    )
    folder, _, digest = address.rpartition("/")
    on_github = folder.endswith(f"/download/{name}/{version}") and digest.isalnum() and "/releases/" not in folder
    ends = tuple(f"/{name}/{between}{base}-{version}.tgz" for between in folders)
    return address.startswith(("https://", "http://")) and (on_github or address.endswith(ends))


def _resolve(entries: Mapping[str, Any], location: str, name: str) -> list[Key]:
    """Find `name` where Node would, from `location`: in the nearest node_modules on the way up."""
    while (found := f"{location}/node_modules/{name}".lstrip("/")) not in entries:
        if not location:
            return []
        location = location.rpartition("/")[0]
    return [found]


def _nested(graph: Graph, parent: Mapping[str, Any], prefix: str, lines: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Give the entries of version 1, nested in one another, as later versions write them."""
    for name, entry in (parent.get("dependencies") or {}).items():
        location, version = f"{prefix}node_modules/{name}", entry.get("version") or ""
        line = lines[name].popleft() if lines[name] else None
        needs = {"dependencies": entry["requires"] if isinstance(entry.get("requires"), dict) else {}}
        flat = {**entry, **needs, "line": line}
        if version.startswith("npm:"):
            flat["name"], _, flat["version"] = version.removeprefix("npm:").rpartition("@")
        elif version.startswith("file:") and not version.endswith(("gz", ".tar")):
            folder = place(version.removeprefix("file:"))
            yield folder, {} if graph.manifest(folder, "package.json") else needs
            flat["link"] = True
        yield location, flat
        yield from _nested(graph, entry, f"{location}/", lines)
