"""Annotated samples of the files that a team owns, made from their schemas so that they can't drift apart."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from typing import Any

from truegate.toml import schema


def sample_toml(name: str) -> str:
    """Give the sample of the schema `name`: every key, its meaning, and its default as a comment to edit."""
    top = schema(name)
    return "\n".join([*_comment(f"{top['title']}: {top['description']}"), *_table(top, ()), ""])


def _table(node: dict[str, Any], path: tuple[str, ...]) -> Iterator[str]:
    keys = {key: child for key, child in node["properties"].items() if _is_leaf(child)}
    if keys and path:
        yield from ("", *_comment(node.get("description", "")), f"[{'.'.join(path)}]")
    for key, child in keys.items():
        yield from _comment(_meaning(child))
        yield f"#{key} = {_value(child)}"
    for key, child in node["properties"].items():
        if "properties" in child:
            yield from _table(child, (*path, key))
        elif child.get("type") == "array" and "properties" in child.get("items", {}):
            yield from ("", *_comment(child["description"]), f"#[[{'.'.join((*path, key))}]]")
            for inner, leaf in child["items"]["properties"].items():
                yield f"#{inner} = {_value(leaf)}  # {_meaning(leaf)}"


def _is_leaf(node: dict[str, Any]) -> bool:
    return node.get("type") != "object" and "properties" not in node.get("items", {})


def _meaning(node: dict[str, Any]) -> str:
    criterion = node.get("x-criterion")
    unit = f", in {criterion['unit']}" if criterion and criterion["unit"] not in {"", "findings"} else ""
    choice = f" ({' | '.join(map(str, node['enum']))})" if "enum" in node else ""
    return f"{node.get('description', '')}{unit}{choice}"


def _value(node: dict[str, Any]) -> str:
    return json.dumps(node["examples"][0] if "examples" in node else node["default"])


def _comment(text: str) -> list[str]:
    return [f"# {line}" for line in textwrap.wrap(text, 100)]
