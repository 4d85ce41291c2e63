"""What manifests declare."""

from __future__ import annotations

import ast
import configparser
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from truegate.inventory.formats import table
from truegate.inventory.requirements import statements
from truegate.inventory.strict import RefusedError, read_json, read_toml
from truegate.model import Scope


class Need(NamedTuple):
    """One declared dependency; `sure` ones must be locked, others may not apply."""

    name: str
    extras: tuple[str, ...]
    scope: Scope
    sure: bool


def parse(kind: str, text: str) -> Any:
    """Read a manifest; raises RefusedError, or the error of its format's reader."""
    if kind == "package.json":
        return read_json(text)
    if kind in {"pyproject.toml", "Pipfile"}:
        return read_toml(text)
    if kind == "setup.cfg":
        parser = configparser.ConfigParser(interpolation=None)
        parser.read_string(text)
        lines = parser.get("options", "install_requires", fallback="").split("\n")
        return [line for line in lines if not line.strip().startswith("file:")]  # that file is judged itself
    if kind == "setup.py":
        return _install_requires(text)
    return [each.text for each in statements(text) if each.text[0] not in "-./" and "://" not in each.text]


def needs(kind: str, data: Any) -> Iterator[Need]:
    if kind == "pyproject.toml":
        project, tool = data.get("project", {}), data.get("tool", {})
        poetry, own = tool.get("poetry", {}), canonicalize_name(project.get("name", ""))
        for lines in (project.get("dependencies", []), *project.get("optional-dependencies", {}).values()):
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
        yield from requirement_needs(data, "runtime")


def group_scope(name: str) -> Scope:
    return "dev" if name.lower() in table()["dev_groups"] else "runtime"


def requirement_needs(lines: Iterable[str], scope: Scope) -> Iterator[Need]:
    for line in filter(None, map(str.strip, lines)):
        try:
            wanted = Requirement(line.partition(" #")[0])
        except InvalidRequirement as error:
            raise RefusedError(f"{line[:80]!r} is no requirement") from error
        sure = wanted.marker is None or wanted.marker.evaluate(table()["machine"])
        yield Need(canonicalize_name(wanted.name), tuple(wanted.extras), scope, sure)


def _tabled(table: Mapping[str, Any], scope: Scope) -> Iterator[Need]:
    for name, wanted in table.items():
        for spec in wanted if isinstance(wanted, list) else [wanted]:
            keys = spec if isinstance(spec, dict) else {}
            if name != "python":
                sure = keys.keys().isdisjoint({"markers", "platform", "python", "sys_platform"})
                yield Need(canonicalize_name(name), tuple(keys.get("extras", ())), scope, sure)


def _group(groups: Mapping[str, Any], name: str, above: tuple[str, ...] = ()) -> Iterator[str]:
    """Give the requirements of a dependency group and of those it includes (PEP 735)."""
    names = {canonicalize_name(each): each for each in groups}
    for item in groups[names[canonicalize_name(name)]] if name not in above else ():
        if isinstance(item, str):
            yield item
        else:
            yield from _group(groups, item["include-group"], (*above, name))


def _install_requires(text: str) -> list[str]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.keyword) and node.arg == "install_requires":
            try:
                value = ast.literal_eval(node.value)
            except ValueError as error:
                raise RefusedError("its install_requires is computed, not a list") from error
            return value.split("\n") if isinstance(value, str) else list(value)
    return []
