"""What manifests declare."""

from __future__ import annotations

import ast
import configparser
import io
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from truegate.inventory.formats import table
from truegate.inventory.requirements import declared, includes
from truegate.inventory.strict import RefusedError, quoted, read_json, read_toml
from truegate.model import Scope

SETUP_LISTS = {"install_requires", "extras_require"}


class Need(NamedTuple):
    """One declared dependency; `sure` ones must be locked, others may not apply."""

    name: str
    extras: tuple[str, ...]
    scope: Scope
    sure: bool


class Declared(NamedTuple):
    """The requirements of a manifest without tables, and the files that hold more of them."""

    lines: list[str]
    files: list[str]


def parse(kind: str, text: str) -> Any:
    """Read a manifest; raises RefusedError, or the error of its format's reader."""
    if kind == "package.json":
        return read_json(text)
    if kind in {"pyproject.toml", "Pipfile"}:
        return read_toml(text)
    if kind == "setup.cfg":
        return _setup_cfg(text)
    return Declared(_setup_py(text), []) if kind == "setup.py" else Declared(declared(text), includes(text))


def included_files(kind: str, data: Any) -> list[str]:
    """Name the files, seen from the manifest's folder, that hold more of what the parsed manifest `data` declares.

    Each is a manifest of the format `requirements.in` unless its own name says more: nothing says that it pins.
    Raises LookupError, TypeError or AttributeError where `data` has not the shape of its format.
    """
    if kind != "pyproject.toml":
        return data.files if isinstance(data, Declared) else []
    dynamic = data.get("tool", {}).get("setuptools", {}).get("dynamic", {})
    tables = [dynamic[name] for name in ("dependencies",) if name in dynamic]
    files = [table["file"] for table in (*tables, *dynamic.get("optional-dependencies", {}).values())]
    return [name for each in files for name in ([each] if isinstance(each, str) else each)]


def needs(kind: str, data: Any) -> Iterator[Need]:
    if kind == "pyproject.toml":
        project, tool = data.get("project", {}), data.get("tool", {})
        poetry, own = tool.get("poetry", {}), canonicalize_name(project.get("name", ""))
        flit = tool.get("flit", {}).get("metadata", {})
        _refuse_computed(data)
        extras = (*project.get("optional-dependencies", {}).values(), *flit.get("requires-extra", {}).values())
        for lines in (project.get("dependencies", ()), flit.get("requires", ()), *extras):
            yield from (need for need in requirement_needs(lines, "runtime") if need.name != own)
        yield from requirement_needs(tool.get("uv", {}).get("dev-dependencies", ()), "dev")
        groups = data.get("dependency-groups", {})
        for name in groups:
            yield from requirement_needs(_group(groups, name), group_scope(name))
        yield from _tabled(poetry.get("dependencies", {}), "runtime")
        yield from _tabled(poetry.get("dev-dependencies", {}), "dev")
        for name, group in poetry.get("group", {}).items():
            yield from _tabled(group.get("dependencies", {}), group_scope(name))
    elif kind == "Pipfile":
        for name, group in data.items():
            if name not in {"source", "requires", "scripts", "pipenv"}:
                yield from _tabled(group, group_scope(name))
    else:
        yield from requirement_needs(data.lines, "runtime")


def group_scope(name: str) -> Scope:
    return "dev" if name.lower() in table()["dev_groups"] else "runtime"


def requirement_needs(lines: Iterable[str], scope: Scope) -> Iterator[Need]:
    pieces = (
        f" {piece}".partition(" #")[0].strip() for line in lines for piece in line.splitlines()
    )  # as setuptools does
    for line in filter(None, pieces):
        try:
            wanted = Requirement(line)
        except InvalidRequirement as error:
            raise RefusedError(f"{quoted(line)} is no requirement") from error
        sure = wanted.marker is None or wanted.marker.evaluate(table()["machine"])
        yield Need(canonicalize_name(wanted.name), tuple(map(canonicalize_name, wanted.extras)), scope, sure)


def _tabled(table: Mapping[str, Any], scope: Scope) -> Iterator[Need]:
    for name, wanted in table.items():
        for spec in wanted if isinstance(wanted, list) else [wanted]:
            keys = spec if isinstance(spec, dict) else {}
            if name != "python":
                sure = keys.keys().isdisjoint({"markers", "platform", "python", "sys_platform"})
                extras = tuple(map(canonicalize_name, keys.get("extras", ())))
                yield Need(canonicalize_name(name), extras, scope, sure)


def _group(groups: Mapping[str, Any], name: str, above: tuple[str, ...] = ()) -> Iterator[str]:
    """Give the requirements of a dependency group and of those it includes (PEP 735)."""
    names = {canonicalize_name(each): each for each in groups}
    for item in groups[names[canonicalize_name(name)]] if name not in above else ():
        if isinstance(item, str):
            yield item
        else:
            yield from _group(groups, item["include-group"], (*above, name))


def _refuse_computed(data: Mapping[str, Any]) -> None:
    """Refuse a pyproject.toml of which only its build backend knows what it needs."""
    dynamic = {"dependencies", "optional-dependencies"}.intersection(data.get("project", {}).get("dynamic", ()))
    backend = data.get("build-system", {}).get("build-backend", "setuptools")
    if dynamic and not backend.startswith(("setuptools", "poetry")):  # those two say it in files that are read
        raise RefusedError(f"only {backend} knows its {min(dynamic)}, which are dynamic")
    included_files("pyproject.toml", data)


def _setup_cfg(text: str) -> Declared:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_file(io.StringIO(text, newline=None))
    options, extras = (dict(parser[name]) if name in parser else {} for name in ("options", "options.extras_require"))
    found = Declared([], [])
    for value in (options.get("install_requires", ""), options.get("install-requires", ""), *extras.values()):
        if value.strip().startswith("file:"):
            found.files.extend(filter(None, map(str.strip, value.strip()[5:].split(","))))
        else:
            found.lines.append(value)
    return found


def _setup_py(text: str) -> list[str]:
    """Give the requirements that stand in a setup.py; computed ones are refused."""
    tree, lines, keys = list(ast.walk(ast.parse(text))), list[str](), set[ast.expr | None]()
    setup = {"setup"} | {each.asname for each in tree if isinstance(each, ast.alias) and each.name == "setup"}
    for node in tree:
        pairs: list[tuple[Any, ast.expr]] = []
        if isinstance(node, ast.keyword):
            pairs = [(node.arg, node.value)]
        elif isinstance(node, ast.Dict):
            keys.update(node.keys)
            pairs = [(_constant(key), value) for key, value in zip(node.keys, node.values, strict=True)]
        elif isinstance(node, ast.Constant) and node.value in SETUP_LISTS and node not in keys:
            raise RefusedError(f"its {node.value} is computed, not a list")
        elif isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) in setup:
            unpacked = [each.value for each in node.keywords if each.arg is None]
            if not all(isinstance(each, ast.Dict) and all(map(_constant, each.keys)) for each in unpacked):
                raise RefusedError("what it calls setup() with is computed")
        for name, value in pairs:
            lines += _literal(name, value) if name in SETUP_LISTS else ()
    return lines


def _constant(key: ast.expr | None) -> Any:
    return key.value if isinstance(key, ast.Constant) else None


def _literal(name: str, node: ast.expr) -> Iterator[str]:
    try:
        value = ast.literal_eval(node)
    except ValueError as error:
        raise RefusedError(f"its {name} is computed, not a list") from error
    for extra, wanted in value.items() if isinstance(value, dict) else [("", value)]:
        condition = extra.partition(":")[2]
        for line in filter(str.strip, wanted.splitlines() if isinstance(wanted, str) else wanted):
            yield f"{line}; {condition}" if condition and ";" not in line else line
