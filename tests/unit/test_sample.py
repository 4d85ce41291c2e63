"""The samples are made from the schemas: they say every key, and taken as they stand they change nothing."""

from __future__ import annotations

import re
import tomllib
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import spine  # type: ignore[import-not-found]
from truegate.config import leaves, load_config
from truegate.policy import build_policy
from truegate.sample import sample_toml
from truegate.toml import read_toml, schema


def uncommented(text: str) -> str:
    """Take the mark away from every line that can be edited: those without a blank behind it."""
    return re.sub(r"^#(?! )", "", text, flags=re.MULTILINE)


def values(table: Any) -> list[Any]:
    """Give what is set in any table of a TOML file."""
    return [leaf for node in table.values() for leaf in values(node)] if isinstance(table, dict) else [table]


def names(node: dict[str, Any]) -> set[str]:
    """Give every key of a schema, at any depth."""
    found = set(node.get("properties", {}))
    for child in node.get("properties", {}).values():
        found |= names(child) | names(child.get("items", {}))
    return found


@pytest.mark.parametrize("name", ["config", "waivers"])
def test_a_sample_is_valid_as_printed_and_uncommented(name: str, tmp_path: Path) -> None:
    path = tmp_path / "sample.toml"
    path.write_text(sample_toml(name))
    assert values(read_toml(path, name)) == []
    path.write_text(uncommented(sample_toml(name)))
    assert read_toml(path, name)


@pytest.mark.parametrize("name", ["config", "waivers"])
def test_a_sample_names_every_key_with_its_meaning(name: str) -> None:
    text = sample_toml(name)
    for key in names(schema(name)):
        assert re.search(rf"^#?(\[.*\b)?{re.escape(key)}\b", text, re.MULTILINE), key
    lines = text.splitlines()
    assert max(map(len, lines)) <= 120
    for above, line in pairwise(lines):
        if re.match(r"#[\w-]+ = ", line):
            assert above.startswith("# ") or " # " in line, line


def test_the_sample_uncommented_is_the_defaults(tmp_path: Path) -> None:
    defaults = load_config(str(tmp_path))
    text = uncommented(sample_toml("config"))
    (tmp_path / "truegate.toml").write_text(text)
    edited = load_config(str(tmp_path))
    has_default = {key for key, node in leaves() if "default" in node and key not in {"exclude", "tools"}}
    assert len(has_default) > 30
    assert {key: edited.values[key] for key in has_default} == {key: defaults.values[key] for key in has_default}
    assert {key for key, _ in leaves()} == edited.values.keys()
    for key in has_default:
        number = int(edited.origins[key].removeprefix("truegate.toml:"))
        assert re.match(rf"{re.escape(key.rsplit('.', 1)[1])} = ", text.splitlines()[number - 1]), key


@pytest.mark.parametrize("check", ["security.sca", "security.sbom"])
def test_the_sample_uncommented_makes_no_criterion_looser(check: str, tmp_path: Path) -> None:
    defaults = build_policy(check, load_config(str(tmp_path)))
    (tmp_path / "truegate.toml").write_text(uncommented(sample_toml("config")))
    (tmp_path / "waivers.toml").write_text(uncommented(sample_toml("waivers")))
    policy = build_policy(check, load_config(str(tmp_path)))
    assert [(c.id, c.limit) for c in policy.criteria] == [(c.id, c.limit) for c in defaults.criteria]
    assert not any(criterion.looser_than_default for criterion in policy.criteria)
    assert len(policy.waivers) == (1 if check == "security.sca" else 0)
    assert [exclusion.path for exclusion in policy.exclusions] == ["fixtures/**"]


def test_the_task_prints_it_and_it_can_be_taken_as_it_is(tmp_path: Path) -> None:
    printed = spine.inv("config.sample", cwd=tmp_path)
    assert printed.stdout == sample_toml("config")
    (tmp_path / "truegate.toml").write_text(printed.stdout)
    assert spine.inv("config.show", cwd=tmp_path).returncode == 0
    assert tomllib.loads(printed.stdout).keys() >= {"target", "security"}
