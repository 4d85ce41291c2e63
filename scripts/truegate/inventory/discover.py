"""Find every lockfile and manifest below a folder, whatever `.gitignore` says."""

from __future__ import annotations

import contextlib
import os
import posixpath
import re
import stat
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any

from truegate.inventory.formats import find_format, matches
from truegate.inventory.graph import place, problem
from truegate.inventory.manifests import included_files, parse
from truegate.inventory.read import SHAPE_ERRORS, SYNTAX_ERRORS
from truegate.inventory.records import Discovery, FoundFile, Role
from truegate.inventory.requirements import includes
from truegate.inventory.strict import decode
from truegate.model import Reason

HEAD_BYTES = 64_000
PIN = re.compile(r"[A-Za-z0-9][\w.-]* *(\[[\w, .-]*\])? *===? *[\w.!+*-]+ *([;#\\].*)?$", re.ASCII)
MAX_BYTES = 50_000_000
PACKAGES = "written by a package manager"
# Folders that tools write: their path, what must stand where its group ends, and why they are not entered.
WRITTEN = [
    (re.compile(pattern, re.DOTALL), witness, why)
    for pattern, witness, why in (
        (r"(.*/)?\.git", "", ""),  # not even named: git tracks nothing in it
        (r"(.*/)?node_modules", "package.json", PACKAGES),
        (r"(.*/)?\.(?:nox|tox)", "", "environments of a test runner"),
        (r"(.*/)?[Ll]ib(?:64)?/(?:[^/]+/)?site-packages", "pyvenv.cfg", "installed in a virtual environment"),
        (r"(.*/)?share/jupyter", "pyvenv.cfg", "installed in a virtual environment"),
        (r"((?:.*/)?[^/]+/[^/]+/\d{8}_\d{4}-[0-9a-f]{6}/)input", "meta.json", "what a run judged"),
    )
]
RUN_ID = re.compile(r"\d{8}_\d{4}-[0-9a-f]{6}(?=/input$)")
SUBMODULE_PATH = re.compile(r'(?:^|\])[ \t]*path[ \t]*=[ \t]*"?(.*?)"?[ \t\r]*$', re.MULTILINE | re.IGNORECASE)
READABLE = {"ecosystem": "", "role": "lockfile", "exact": True}  # stands for the row of a file that may have any name


@dataclass
class _Walk:
    """What is looked through, with `top` its real path, and what was found so far, by path."""

    root: Path
    top: str
    away: Collection[str]
    excluded: Sequence[str]
    files: dict[str, FoundFile] = field(default_factory=dict)
    problems: dict[Any, Reason] = field(default_factory=dict)
    left_out: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    nameless: list[str] = field(default_factory=list)


def discover(root: Path, *, leave_out: Collection[Path], excluded: Sequence[str]) -> Discovery:
    """Walk `root` without following links; `leave_out` are absolute paths, `excluded` globs relative to `root`.

    What looks like a lockfile or manifest but can't be judged is a problem. Nothing raises.
    """
    walk = _Walk(root, os.path.realpath(root).rstrip("/"), {os.path.realpath(path) for path in leave_out}, excluded)
    folders = [""]
    while folders:
        folder = folders.pop()
        try:
            with os.scandir(root / folder) as entries:
                found = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            what = f"the folder can't be read: {error.strerror}"
            _note(walk, folder or ".", what, "grant access, or exclude it")
            continue
        folders += [path for entry in found if (path := _take(walk, f"{folder}/{entry.name}".lstrip("/"), entry))]
    _follow_includes(walk)
    for path in sorted(set(walk.nameless) - walk.files.keys()):
        _note(walk, path, "it reads like requirements, and its name does not say so", "name it so, or exclude it")
    reasons = sorted(walk.problems.values(), key=lambda reason: reason.message)
    files = tuple(walk.files[path] for path in sorted(walk.files))
    return Discovery(files, tuple(reasons), tuple(sorted(_told(walk.left_out))))


def _take(walk: _Walk, path: str, entry: os.DirEntry[str]) -> str | None:
    """Note what an entry is; gives the path of a folder to enter."""
    row, own = find_format(path), f"{walk.top}/{path}"
    real = os.path.realpath(entry) if not row and _leads_to_folder(entry) else own
    if matches(path, walk.excluded):
        walk.left_out["excluded by the configuration"].append(path)
    elif real in walk.away:
        walk.left_out["the kit itself"].append(path)
    elif real != own and f"{real}/".startswith(f"{walk.top}/"):
        walk.left_out["a link to a folder, not followed"].append(path)
    elif real != own or entry.is_dir(follow_symlinks=False):
        if (why := _written(walk.root, path)) is not None:
            walk.left_out[why].append(path)
        elif real == own:
            return path
        else:
            what = "it is a link to a folder outside of what is judged"
            _note(walk, path, what, "put the folder there, or exclude it")
    elif row or entry.name == ".gitmodules":
        _take_file(walk, path, row)
    elif path.lower().endswith(".txt") and entry.is_file(follow_symlinks=False) and _reads_like_pins(walk.root / path):
        walk.nameless.append(path)
    return None


def _leads_to_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_symlink() and Path(entry).is_dir()
    except OSError:
        return True  # as far as anybody can tell


def _written(root: Path, path: str) -> str | None:
    """Tell why a folder is not entered, or None."""
    if posixpath.basename(path) == "node_modules" and not _exists((root / path).with_name("package.json")):
        ours = any(_exists(root / path / name / "package-lock.json") for name in _listed(root / path))
        return None if ours else PACKAGES  # npm publishes no package-lock.json
    found = ((pattern.fullmatch(path), witness, why) for pattern, witness, why in WRITTEN)
    return next((why for match, witness, why in found if match and _exists(root / (match[1] or "") / witness)), None)


def _take_file(walk: _Walk, path: str, row: dict[str, Any] | None) -> None:
    if row and "ecosystem" not in row:
        walk.left_out["constraints, which install nothing"].append(path)
    elif obstacle := _obstacle(walk.root / path, path, row or READABLE):
        code, what, next_step = obstacle
        key = (posixpath.dirname(path), row["ecosystem"]) if row and code == "unsupported" else path
        _note(walk, path, what, next_step, code=code, key=key)
    elif row:
        walk.files[path] = FoundFile(path, row["name"], row["ecosystem"], row["role"])
    else:
        _find_submodules(walk, path)


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


def _reads_like_pins(full: Path) -> bool:
    """Tell whether a text pins packages and says nothing else; pip reads a file of any name."""
    try:
        with full.open("rb") as stream:
            lines = stream.read(HEAD_BYTES).decode("utf-8", "replace").splitlines()
    except OSError:
        return False
    said = [line for line in lines if line.strip() and not line.startswith(("#", "-", " ", "\t"))]
    return bool(said) and all(map(PIN.match, said))


def _find_submodules(walk: _Walk, path: str) -> None:
    text = os.fsdecode((walk.root / path).read_bytes())
    for inner in (place(posixpath.dirname(path), found) for found in SUBMODULE_PATH.findall(text)):
        above = accumulate(inner.split("/"), posixpath.join)
        excluded = any(matches(each, walk.excluded) for each in (*above, f"{inner}/"))
        if not excluded and {".git"}.issuperset(_listed(walk.root / inner)):
            what = f"the git submodule that {_shown(path)} puts there is not checked out"
            _note(walk, inner, what, "git submodule update --init --recursive, or exclude it")


def _follow_includes(walk: _Walk) -> None:
    """Add what requirements files and manifests include under any name."""
    waiting = list(walk.files)
    while waiting:
        path = waiting.pop()
        pins = walk.files[path].format == "requirements"  # then what it includes does too, whatever that is called
        for target in _included(walk, path):
            inner = place(posixpath.dirname(path), target)
            known = walk.files.get(inner)
            if (known and (known.format == "requirements" or not pins)) or matches(inner, walk.excluded):
                continue
            full = walk.root / inner
            if os.path.realpath(full) == f"{walk.top}/{inner}" and not _obstacle(full, inner, READABLE):
                role: Role = "lockfile" if pins else "manifest"
                walk.files[inner] = FoundFile(inner, "requirements" if pins else "requirements.in", "pypi", role)
                waiting.append(inner)
            else:
                what = f"it includes {target}, which is no file that can be judged"
                _note(walk, path, what, "mend the line, or put the file there", key=(path, target))


def _included(walk: _Walk, path: str) -> list[str]:
    file = walk.files[path]
    with contextlib.suppress(OSError, *SYNTAX_ERRORS, *SHAPE_ERRORS):  # read_inventory tells
        if file.format == "requirements":
            return includes(decode((walk.root / path).read_bytes()))
        if file.role == "manifest" and file.ecosystem == "pypi":
            return included_files(file.format, parse(file.format, decode((walk.root / path).read_bytes())))
    return []


def _note(walk: _Walk, path: str, what: str, next_step: str, *, code: str = "unreadable", key: Any = None) -> None:
    walk.problems.setdefault(key or path, problem(code, _shown(path), what, next_step))


def _told(left_out: Mapping[str, list[str]]) -> Iterator[str]:
    """Name what was left out: each of what somebody chose, the first and the number of what tools write."""
    for why, paths in left_out.items():
        names = sorted({RUN_ID.sub("*", _shown(path)) for path in paths})
        if any(why == written for _, _, written in WRITTEN) and len(names) > 1:
            names = [f"{names[0]} and {len(names) - 1} more"]
        yield from (f"{name} ({why})" for name in names if why)


def _exists(path: Path) -> bool:
    return os.access(path, os.F_OK)


def _listed(folder: Path) -> list[str]:
    try:
        return [path.name for path in folder.iterdir()]
    except OSError:
        return []


def _shown(path: str) -> str:
    return os.fsencode(path).decode("utf-8", "backslashreplace")
