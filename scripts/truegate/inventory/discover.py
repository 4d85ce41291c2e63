"""Find every lockfile and manifest below a folder, whatever `.gitignore` says."""

from __future__ import annotations

import os
import posixpath
import stat
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from truegate.inventory.formats import find_format, matches
from truegate.inventory.graph import place, problem
from truegate.inventory.records import Discovery, FoundFile
from truegate.inventory.requirements import includes
from truegate.inventory.strict import RefusedError, decode
from truegate.model import Reason

MAX_BYTES = 50_000_000
# Written by package managers, git and Python. Virtual environments, known by their pyvenv.cfg, are listed one by one.
NOT_ENTERED = (".git", ".nox", ".tox", "__pycache__", "node_modules")


def discover(root: Path, *, leave_out: Collection[Path], excluded: Sequence[str]) -> Discovery:
    """Walk `root` without following links; `leave_out` are absolute folders, `excluded` globs relative to `root`.

    What looks like a lockfile or manifest but can't be judged is a problem. Nothing raises.
    """
    away = {os.path.realpath(folder) for folder in leave_out}
    files, problems, left_out = dict[str, FoundFile](), dict[Any, Reason](), list[str]()
    folders = [""]
    while folders:
        folder = folders.pop()
        try:
            with os.scandir(root / folder) as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except OSError as error:
            what = f"the folder can't be read: {error.strerror}"
            problems[folder] = problem("unreadable", _shown(folder) or ".", what, "grant access, or exclude it")
            continue
        for entry in entries:
            path = f"{folder}/{entry.name}".lstrip("/")
            is_folder, row = entry.is_dir(follow_symlinks=False), find_format(path)
            if matches(path, excluded):
                left_out.append(f"{_shown(path)} (excluded by the configuration)")
            elif reason := _not_entered(entry, away):
                left_out.append(f"{_shown(path)} ({reason})")
            elif is_folder:
                folders += [path] if entry.name not in NOT_ENTERED else []
            elif row and (obstacle := _obstacle(root / path, path, row)):
                code, what, next_step = obstacle
                key = (folder, row["ecosystem"]) if code == "unsupported" else path
                problems.setdefault(key, problem(code, _shown(path), what, next_step))
            elif row:
                files[path] = FoundFile(path, row["name"], row["ecosystem"], row["role"])
    _follow_includes(root, files, problems, excluded)
    reasons = sorted(problems.values(), key=lambda reason: reason.message)
    return Discovery(tuple(files[path] for path in sorted(files)), tuple(reasons), tuple(sorted(left_out)))


def _not_entered(entry: os.DirEntry[str], away: Collection[str]) -> str | None:
    try:
        if entry.is_symlink():
            return "a link to a folder, not followed" if entry.is_dir() and not find_format(entry.name) else None
        names = [each.name for each in Path(entry).iterdir()] if entry.is_dir() else []
    except OSError:
        return None  # the walk tells, if it matters
    if entry.is_dir() and os.path.realpath(entry) in away:
        return "the kit itself, its data or what it writes"
    # A lockfile beside pyvenv.cfg means that somebody calls a project a virtual environment.
    return "a virtual environment" if "pyvenv.cfg" in names and not any(map(find_format, names)) else None


def _obstacle(full: Path, path: str, row: dict[str, Any]) -> tuple[str, str, str] | None:
    """Tell why a file can't be judged: code, what is wrong, next step."""
    try:
        path.encode()
        status = full.lstat()
    except UnicodeEncodeError:
        return "unreadable", "its path is not UTF-8, so no report can name it", "rename it"
    except OSError as error:
        return "unreadable", f"it can't be read: {error.strerror}", "grant access, or exclude it"
    elsewhere = "judge it by other means, and exclude it in truegate.toml"
    add_one = f"{elsewhere}; or give it both: docs/add-an-ecosystem.md of the kit"
    checks = (
        ("role" not in row, "unsupported", f"{row['ecosystem']} has no reader and no control here", add_one),
        (stat.S_ISLNK(status.st_mode), "unreadable", "it is a link, and links are not followed", "put the file there"),
        (not row["exact"], "unreadable", "tools look for another case of this name", "rename it, or exclude it"),
        (not stat.S_ISREG(status.st_mode), "unreadable", "it is no regular file", "put a file there, or exclude it"),
        (not os.access(full, os.R_OK), "unreadable", "it may not be read", "grant access, or exclude it"),
        (status.st_size > MAX_BYTES, "unreadable", f"it has more than {MAX_BYTES:,} bytes", elsewhere),
    )
    return next(((code, what, step) for wrong, code, what, step in checks if wrong), None)


def _follow_includes(
    root: Path, files: dict[str, FoundFile], problems: dict[Any, Reason], excluded: Sequence[str]
) -> None:
    """Add what requirements files include under any name."""
    waiting = [path for path, file in files.items() if file.format == "requirements"]
    while waiting:
        path = waiting.pop()
        try:
            targets = includes(decode((root / path).read_bytes()))
        except (OSError, RefusedError):
            continue  # read_inventory tells
        for target in targets:
            inner = place(posixpath.dirname(path), target)
            known = files.get(inner)
            if (known and known.format == "requirements") or matches(inner, excluded):
                continue
            row = {"role": "lockfile", "exact": True, "ecosystem": "pypi"}
            if os.path.realpath(root / inner) == f"{os.path.realpath(root)}/{inner}" and not _obstacle(
                root / inner, inner, row
            ):
                files[inner] = FoundFile(inner, "requirements", "pypi", "lockfile")
                waiting.append(inner)
            else:
                what = f"it includes {target}, which is no file that can be judged"
                problems[path, target] = problem("unreadable", path, what, "mend the line, or put the file there")


def _shown(path: str) -> str:
    return os.fsencode(path).decode("utf-8", "backslashreplace")
