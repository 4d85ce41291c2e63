"""pnpm-lock.yaml, lockfile versions 5.3, 5.4, 6 and 9."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from truegate.inventory.graph import Graph, Key, place
from truegate.inventory.npm import INSTALLED_LISTS, RUNTIME_LISTS, add_folder, add_release, merge
from truegate.inventory.strict import Block, RefusedError, read_yaml

# Lockfile version: what begins a key, and what stands between name and version.
FORMS = {"5.3": "/ /", "5.4": "/ /", "6.0": "/ @", "6.1": "/ @", "9.0": " @"}


def read_pnpm(graph: Graph, text: str) -> None:
    *tools, tree = read_yaml(text)
    for document in tools:  # pnpm 11 locks itself in a document of its own
        _add_packages(graph, document)
        graph.roots += [(key, "dev") for key in graph.nodes]
    find = _add_packages(graph, tree)
    for folder, importer in (tree.get("importers") or {".": tree}).items():
        needs = merge(importer, INSTALLED_LISTS)
        add_folder(graph, folder, importer, partial(find, needs))
        for name, wanted in needs.items():
            if _ref(wanted).startswith("link:"):
                graph.local(name, f"{folder}/{_ref(wanted).removeprefix('link:')}")


def _add_packages(graph: Graph, tree: Block) -> Callable[[Mapping[str, Any], str], list[Key]]:
    """Add the packages of one document; gives what finds the key of a name among needs."""
    if (version := tree["lockfileVersion"]) not in FORMS:
        raise RefusedError(f"its lockfileVersion is {version}; known are {', '.join(FORMS)}")
    begin, between = FORMS[version].split(" ")
    packages = tree.get("packages") or Block([])
    snapshots = packages if begin else tree.get("snapshots") or Block([])

    def find(needs: Mapping[str, Any], name: str) -> list[Key]:
        ref = _ref(needs.get(name))
        keys: tuple[Key, ...] = (f"{begin}{name}{between}{ref}", ref)
        return [key for key in keys if key in snapshots or ref.startswith("link:")][:1]

    for key, snapshot in snapshots.items():
        base = key if begin else key.partition("(")[0]
        _add_package(graph, key, FORMS[version], packages[base], packages.lines[base])
        needs, optional = (merge(snapshot or {}, lists) for lists in (RUNTIME_LISTS[:2], RUNTIME_LISTS[1:2]))
        for name in needs:
            graph.link(key, key, name, find(needs, name), required=name not in optional)
    bases = {key if begin else key.partition("(")[0] for key in snapshots}
    graph.missing += [f"{key} (among its snapshots)" for key in packages if key not in bases]
    return find


def _add_package(graph: Graph, key: str, form: str, entry: Any, line: int) -> None:
    begin, between = form.split(" ")
    base = key.partition("(")[0].removeprefix(begin)
    resolution = entry["resolution"]
    if begin and not key.startswith(begin):
        name, ref = entry["name"], key
    elif between == "/":
        name, _, ref = base.rpartition("/")
        ref = ref.partition("_")[0]
    else:
        at = base.index("@", 1)
        name, ref = base[:at], base[at + 1 :]
    if resolution.get("type") == "directory":
        graph.local(name, resolution["directory"])
        graph.covers[place(graph.folder, resolution["directory"])] = set()
        return
    if entry.get("bundledDependencies"):
        graph.foreign.append(f"what {name}@{ref} bundles")
    released = ref[:1].isdigit()
    address = resolution.get("tarball") or ("" if released else ref)
    if "type" in resolution:  # from git, or a program
        address = f"{resolution['type']} {resolution.get('repo') or ref}"
    source = {"resolved": address, "integrity": resolution.get("integrity")}
    add_release(graph, key, name, ref if released else entry.get("version", ""), line, source)


def _ref(wanted: Any) -> str:
    """Give the reference of a dependency: a text, or since version 6 a mapping with what was asked for."""
    return str(wanted["version"] if isinstance(wanted, dict) else wanted or "")
