"""The variables of a profile: how `.env.<profile>` is read, which there are, and what `inv env.init` writes."""

from __future__ import annotations

import contextlib
import io
import os
import re
import secrets
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from truegate.errors import ConfigError
from truegate.toml import read_text, schema

TEMPLATES = {"example", "sample", "template"}  # files that are committed and hold no value
PLAIN_NAME = re.compile(r"[A-Z_][A-Z0-9_]{0,63}")  # anything else may be a line of a pasted secret: never printed
SECRET_CHARACTERS = 40  # 160 bits; hex needs no escaping in an address or a shell


@dataclass(frozen=True)
class Assignment:
    """One entry of a .env file, with the line where it begins; `value` is None where there is no `=`."""

    name: str
    value: str | None
    line: int


@dataclass(frozen=True)
class Variable:
    """One name that a profile may have. A secret is the value, or the password in it where `format` is url."""

    name: str
    description: str
    required: bool
    secret: bool
    min_length: int
    format: str
    schemes: tuple[str, ...]
    pattern: str
    expects: str
    production: Mapping[str, str]
    staging: str


def read_env(path: Path) -> list[Assignment]:
    """Read a .env file; raises ConfigError for one that is no file of text or has a quote left open."""
    from dotenv.parser import parse_stream

    bindings = list(parse_stream(io.StringIO(read_text(path))))
    bad = [str(_line(binding.original)) for binding in bindings if binding.error]
    if bad:
        raise ConfigError(
            f"{path.name}: line {', '.join(bad)} can't be read (a quote left open?)",
            "close the quote or add NAME=value",
        )
    return [Assignment(binding.key, binding.value, _line(binding.original)) for binding in bindings if binding.key]


def _line(original: Any) -> int:
    """Give the line of an entry; the parser counts the empty lines above it to the entry."""
    text: str = original.string
    return int(original.line) + text[: len(text) - len(text.lstrip())].count("\n")


def open_entries(path: Path) -> list[Assignment]:
    """Give what lies open in a file that is thought to be encrypted; sops keeps empty values as they are."""
    return [
        entry
        for entry in read_env(path)
        if entry.value and not entry.name.startswith("sops_") and not entry.value.startswith("ENC[")
    ]


def profile_file(root: Path, profile: str) -> Path:
    """Give the path of a profile's file; raises ConfigError for what is no name of a profile."""
    if not re.fullmatch(r"[a-z][a-z0-9-]*", profile):
        raise ConfigError(f"the profile {profile!r} is no name", "use lower-case letters, digits and dashes")
    return root / f".env.{profile}"


def profiles(root: Path) -> list[str]:
    """Give the profiles that have a file."""
    names = {path.name.removeprefix(".env.") for path in root.glob(".env.*")} - TEMPLATES
    return sorted(name for name in names if re.fullmatch(r"[a-z][a-z0-9-]*", name))


def is_production(profile: str) -> bool:
    return profile.startswith("prod")


def known_variables(own: Iterable[Mapping[str, Any]] = (), unused: Iterable[str] = ()) -> dict[str, Variable]:
    """Give what a profile may have: the schema's variables less those `unused`, and a team's `own` ([[env.names]]).

    Raises ConfigError for an unused name that the schema lacks, and for one that is declared twice.
    """
    ours = schema("env")
    own, dropped = list(own), set(unused)
    if strangers := sorted(dropped - set(ours["properties"])):
        raise ConfigError(f"env.unused: {', '.join(strangers)} is not in .env.example", "inv env.example prints it")
    counts = Counter(row["name"] for row in own)
    if twice := [name for name, count in counts.items() if count > 1]:
        raise ConfigError(f"env.names: {', '.join(twice)} is declared twice", "join its tables in truegate.toml")
    found = {
        name: _variable({**node, "name": name, "required": name in ours["required"]})
        for name, node in ours["properties"].items()
        if name not in dropped
    }
    return found | {row["name"]: _variable(row) for row in own}


def _variable(row: Mapping[str, Any]) -> Variable:
    row = {key.removeprefix("x-").replace("-", "_"): value for key, value in row.items()}
    return Variable(
        row["name"],
        row.get("description", ""),
        row.get("required", True),
        row.get("secret", False),
        row.get("min_length", 0),
        "url" if row.get("format") == "uri" or row.get("schemes") else row.get("format", "text"),
        tuple(row.get("schemes", ())),
        row.get("pattern", ""),
        row.get("expects", ""),
        {key.removeprefix("x-"): text for key, text in row.get("production", {}).items()},
        row.get("staging", ""),
    )


def example_text(known: Mapping[str, Variable], base_port: int) -> str:
    """Give `.env.example`: every name with its meaning, and no secret."""
    lines = [
        "# What .env.staging and .env.prod hold (never committed; mode 0600); --profile staging loads the first.",
        "# `inv env.init` writes .env.staging with random secrets, `inv env.check` says what is wrong with either.",
        "# `inv env.example` prints this file.",
    ]
    for variable in known.values():
        value = _filled(variable.staging, base_port, lambda _: "change-me") if variable.required else ""
        lines += _described(variable, f"{variable.name}={value}")
    return "\n".join([*lines, ""])


def staging_text(known: Mapping[str, Variable], base_port: int) -> str:
    """Give a profile with new random secrets; what has no value there stays empty, or out of it if it may."""
    lines = ["# Written by `inv env.init`; never commit it."]
    for variable in known.values():
        value = _filled(variable.staging, base_port, lambda count: secrets.token_hex(count)[:count])
        lines += _described(variable, f"{'' if value or variable.required else '#'}{variable.name}={value}")
    return "\n".join([*lines, ""])


def _described(variable: Variable, line: str) -> list[str]:
    remark = variable.description if variable.required else f"{variable.description} (optional)".lstrip()
    return ["", *(f"# {text}" for text in remark.splitlines()), line]


def _filled(template: str, base_port: int, secret: Callable[[int], str]) -> str:
    def fill(match: re.Match[str]) -> str:
        if match["offset"]:
            return str(base_port + int(match["offset"]))
        return secret(int(match["count"] or SECRET_CHARACTERS))

    return re.sub(r"\{(?:port\+(?P<offset>\d+)|secret(?::(?P<count>\d+))?)\}", fill, template)


def init_profile(root: Path, profile: str, known: Mapping[str, Variable], base_port: int) -> tuple[Path, list[str]]:
    """Write `.env.<profile>`; gives its path and the names that only a person can fill in.

    Raises ConfigError for production, whose secrets no checkout should make, and where the file is there.
    """
    path = profile_file(root, profile)
    if is_production(profile):
        raise ConfigError(
            f"{path.name} is not written: production's secrets come from its secrets manager", "see docs/secrets.md"
        )
    write_new(path, staging_text(known, base_port))
    return path, [variable.name for variable in known.values() if variable.required and not variable.staging]


def write_new(path: Path, text: str) -> None:
    """Write a file that only its owner may read, from its first moment; raises ConfigError where one is there."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise ConfigError(f"{path} is there already", "edit it, or move it away: its secrets may be in use") from error
    except OSError as error:
        raise ConfigError(f"{path} can't be written: {error.strerror}", "mend the folder's permissions") from error
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
    except OSError as error:
        with contextlib.suppress(OSError):
            path.unlink()
        raise ConfigError(f"{path} can't be written: {error.strerror}", "make room") from error
