"""The effective configuration: defaults of the schema, `truegate.toml`, `.env.<profile>`, then the command line."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from truegate.errors import ConfigError
from truegate.toml import KIT_ROOT, line_of, read_toml, schema

FILE_NAME = "truegate.toml"
SECRET_NAME = re.compile(r"KEY|TOKEN|SECRET|PASSW|_PWD|CREDENTIAL|AUTH|PRIVATE|DSN", re.IGNORECASE)


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
        return self.target_dir / Path(self.values[key]).expanduser()

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
    root = Path(target or ".").expanduser()
    if not root.is_dir():
        raise ConfigError(f"the target {root} is not a folder", "name an existing folder with --target DIR")
    root = root.resolve()
    values = {key: node["default"] for key, node in leaves() if "default" in node}
    values["security.db.dir"] = str(KIT_ROOT / ".tools" / "advisories")
    origins = dict.fromkeys(values, "default")
    path = root / FILE_NAME
    if path.exists():
        text = path.read_text(encoding="utf-8", errors="replace")
        for key, value in _flat(read_toml(path, "config"), ()):
            values[key] = value
            origins[key] = f"{FILE_NAME}:{line_of(text, tuple(key.split('.'))) or '?'}"
    for key, value in (overrides or {}).items():
        values[key], origins[key] = value, origin
    from_env = _load_profile(root, profile)
    secrets = {name: value for name, value in {**os.environ, **from_env}.items() if _is_secret(name, value)}
    secrets |= _url_passwords({**os.environ, **from_env})
    return Config(root, profile, values, origins, secrets)


def leaves(node: Mapping[str, Any] | None = None, prefix: tuple[str, ...] = ()) -> Iterator[tuple[str, dict[str, Any]]]:
    """Give every key of the configuration schema with its node, in the schema's order."""
    for name, child in (node or schema("config"))["properties"].items():
        if "properties" in child:
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
    path = root / f".env.{profile}"
    if not re.fullmatch(r"[a-z][a-z0-9-]*", profile):
        raise ConfigError(f"the profile {profile!r} is no name", "use lower-case letters, digits and dashes")
    if not path.exists():
        return {}
    from dotenv.parser import parse_stream

    with path.open(encoding="utf-8") as stream:
        bindings = list(parse_stream(stream))
    bad = [str(binding.original.line) for binding in bindings if binding.error]
    if bad:
        raise ConfigError(
            f"{path.name}: line {', '.join(bad)} can't be read (a quote left open?)",
            "close the quote or add NAME=value",
        )
    read = {b.key: b.value or "" for b in bindings if b.key}
    for name, value in read.items():
        os.environ.setdefault(name, value)
    return read


def _is_secret(name: str, value: str) -> bool:
    """Tell by its name whether a variable holds a secret; the path of a file that holds one is none."""
    return bool(SECRET_NAME.search(name)) and not os.path.exists(value)  # noqa: PTH110  Path refuses a long secret


def _url_passwords(variables: Mapping[str, str]) -> dict[str, str]:
    found = {name: re.search(r"://[^/\s:@]*:([^/\s@]+)@", value) for name, value in variables.items()}
    return {f"{name} (password)": match.group(1) for name, match in found.items() if match}
