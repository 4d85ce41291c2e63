"""The effective configuration: defaults of the schema, `truegate.toml`, `.env.<profile>`, then the command line."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from truegate import env
from truegate.errors import ConfigError
from truegate.toml import KIT_ROOT, line_of, read_toml, schema, schema_faults

FILE_NAME = "truegate.toml"
USUAL_PROFILES = ("prod", "staging")  # these need no file: CI sets their variables itself
SECRET_NAME = re.compile(
    r"KEY|TOKEN|SECRET|PASS|_PWD|_PAT$|CREDENTIAL|AUTH|PRIVATE|DSN|COOKIE|WEBHOOK|CONN\w*STR", re.IGNORECASE
)
_declared: set[str] = set()  # what truegate.toml calls a secret, so that error messages hide it too


@dataclass(frozen=True)
class Config:
    """Effective values by dotted key, where each came from, and the secrets that nothing may write."""

    target_dir: Path
    profile: str | None
    values: Mapping[str, Any]
    origins: Mapping[str, str]
    secrets: Mapping[str, str]

    def __getitem__(self, key: str) -> Any:
        return self.values[key]

    def get(self, key: str) -> Any:
        return self.values.get(key)

    def folder(self, key: str) -> Path:
        """Give the folder that `key` names, taken from the target's root."""
        return self.target_dir / expanded(self.values[key])

    @property
    def target_name(self) -> str:
        return self.values.get("target.name") or self.target_dir.name or "target"


def load_config(
    target: str | None = None,
    profile: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    origin: str = "command line",
) -> Config:
    """Load and check the configuration of `target` (default: the working directory).

    `overrides` (dotted key -> value) win over the file and are marked `origin`. Raises ConfigError with all
    faults of a file at once.
    """
    root = expanded(target or ".")
    if not root.is_dir():
        raise ConfigError(f"the target {root} is not a folder", "name an existing folder with --target DIR")
    root = root.resolve()
    values = {key: node["default"] for key, node in leaves() if "default" in node}
    values["security.db.dir"] = str(KIT_ROOT / ".tools" / "advisories")
    origins = dict.fromkeys(values, "default")
    path = root / FILE_NAME
    if os.path.lexists(path):
        table = read_toml(path, "config")
        text = path.read_text(encoding="utf-8")
        for key, value in _flat(table, ()):
            values[key] = value
            origins[key] = f"{FILE_NAME}:{line_of(text, tuple(key.split('.'))) or '?'}"
    for key, value in (overrides or {}).items():
        values[key], origins[key] = value, origin
    if faults := [fault for _, fault in schema_faults(_nested(overrides or {}), "config")]:
        raise ConfigError(f"{origin}: {'; '.join(faults)}", "inv config.sample prints every key")
    _declared.update(row["name"] for row in values.get("env.names", ()) if row.get("secret"))
    values["tools"] = {name: str(root / expanded(tool)) for name, tool in values["tools"].items()}
    from_file = secrets_among(_load_profile(root, profile))
    secrets = secrets_among(os.environ)  # the file's are in there, but for those that the environment sets otherwise
    secrets |= {f"{name} (.env.{profile})": text for name, text in from_file.items() if secrets.get(name) != text}
    secrets |= _url_passwords({key: value for key, value in values.items() if isinstance(value, str)})
    return Config(root, profile, values, origins, secrets)


def secrets_among(variables: Mapping[str, str]) -> dict[str, str]:
    """Give what nothing may write: what is a secret by name or by truegate.toml, and passwords in addresses."""
    return {name: text for name, text in variables.items() if _is_secret(name, text)} | _url_passwords(variables)


def expanded(path: str) -> Path:
    """Give a path with `~` replaced where it can be told whose home that is."""
    return Path(os.path.expanduser(path))  # noqa: PTH111  Path's own raises where it can't


def _nested(dotted_keys: Mapping[str, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for key, value in dotted_keys.items():
        *tables, name = key.split(".")
        node = tree
        for table in tables:
            node = node.setdefault(table, {})
        node[name] = value
    return tree


def leaves(node: Mapping[str, Any] | None = None, prefix: tuple[str, ...] = ()) -> Iterator[tuple[str, dict[str, Any]]]:
    """Give every key of the configuration schema with its node, in the schema's order.

    A table with a default of its own is one value.
    """
    for name, child in (node or schema("config"))["properties"].items():
        if "properties" in child and "default" not in child:
            yield from leaves(child, (*prefix, name))
        else:
            yield ".".join((*prefix, name)), child


def _flat(table: Mapping[str, Any], prefix: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    known = {key for key, _ in leaves()}
    for name, value in table.items():
        key = ".".join((*prefix, name))
        if isinstance(value, dict) and key not in known:
            yield from _flat(value, (*prefix, name))
        else:
            yield key, value


def _load_profile(root: Path, profile: str | None) -> dict[str, str]:
    """Load `.env.<profile>` into the process environment, once and here only; variables already set win."""
    if not profile:
        return {}
    path = env.profile_file(root, profile)
    if not os.path.lexists(path):
        if profile not in USUAL_PROFILES:
            known = sorted({*USUAL_PROFILES, *env.profiles(root)})
            raise ConfigError(f"{path} is missing", f"write it, or choose a profile: {', '.join(known)}")
        return {}
    read = {assignment.name: assignment.value or "" for assignment in env.read_env(path)}
    for name, value in read.items():
        os.environ.setdefault(name, value)
    return read


def _is_secret(name: str, value: str) -> bool:
    """Tell by its name whether a variable holds a secret; the path of a file that holds one is none."""
    return (bool(SECRET_NAME.search(name)) or name in _declared) and not os.path.exists(value)  # noqa: PTH110  Path refuses a long secret


def _url_passwords(variables: Mapping[str, str]) -> dict[str, str]:
    found = {name: re.search(r"://[^/\s:@]*:([^/\s@]+)@", value) for name, value in variables.items()}
    written = {f"{name} (password)": match.group(1) for name, match in found.items() if match}
    decoded = {f"{name}, decoded": unquote(text) for name, text in written.items() if unquote(text) != text}
    return written | decoded  # a server that refuses a password names it as it read it
