"""What our own reading of a target gives: the files found, and the packages that each lockfile pins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from truegate.model import LockedPackage, Reason

Role = Literal["lockfile", "manifest"]


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A lockfile or manifest: `path` is posix, relative to the target; `ecosystem` a package URL type (`npm`, `pypi`).

    `format` is a name of `formats.FORMATS`, such as `npm`, `yarn`, `poetry` or `package.json`.
    """

    path: str
    format: str
    ecosystem: str
    role: Role


@dataclass(frozen=True, slots=True)
class Discovery:
    """Files in path order; `left_out` names what was not entered, each path with why."""

    files: tuple[FoundFile, ...]
    problems: tuple[Reason, ...]
    left_out: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LockfileReading:
    """The packages of one lockfile that could be read whole; a file refused has no reading but a problem."""

    path: str
    format: str
    ecosystem: str
    packages: tuple[LockedPackage, ...]


@dataclass(frozen=True, slots=True)
class Inventory:
    readings: tuple[LockfileReading, ...]
    problems: tuple[Reason, ...]
