"""What a check judges: the target's lockfiles and manifests, copied, so that nothing in the target steers a tool."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from truegate import jsonio, tools
from truegate.config import Config
from truegate.evidence import RunFolder
from truegate.inventory.discover import discover
from truegate.inventory.graph import problem
from truegate.inventory.read import read_inventory
from truegate.inventory.records import FoundFile, Inventory
from truegate.model import Reason, from_json, to_json
from truegate.toml import KIT_ROOT

# Where teams tell other auditors (npm, Yarn, better-npm-audit, audit-ci, Safety) what to leave out.
OTHERS_OBEY = frozenset({".npmrc", ".yarnrc.yml", ".nsprc", "audit-ci.json", "audit-ci.jsonc", ".safety-policy.yml"})
# Where the kit has names of lockfiles, in a copy and in a clone. Whatever else lies in its folder is the host's.
OF_THE_KIT = (
    ".tools",
    "examples/fixed",
    "examples/old",
    "pyproject.toml",
    "requirements/dev.txt",
    "requirements/security.txt",
    "requirements/staging.txt",
    "scripts/truegate",
    "staging/server",
    "staging/toolchain",
    "tests/bbolt_check",
    "tests/lockfiles",
)
FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})  # then nothing more can be written at all


def copy_inventory(run: RunFolder, config: Config) -> dict[str, Any]:
    """Find and copy the target's dependency files into `input/target/`; gives what stands in input/inventory.json."""
    excluded = [row["path"] for row in config["exclude"]]
    found = discover(config.target_dir, leave_out=_of_the_kit(config.target_dir), excluded=excluded)
    copied, problems = [], list(found.problems)
    for file in found.files:
        try:
            run.add(f"input/target/{file.path}", (config.target_dir / file.path).read_bytes())
            copied.append(file)
        except OSError as error:
            if error.errno in FULL:
                raise
            what = f"it can't be copied: {error.strerror}"
            problems.append(problem("unreadable", file.path, what, "grant access, shorten its path, or exclude it"))
    listed = [{**to_json(file), "path": f"target/{file.path}"} for file in copied]
    problems += _mangled(run, config, copied)
    inventory = {"files": listed, "problems": to_json(problems), "left_out": list(found.left_out)}
    run.add("input/inventory.json", jsonio.dumps(inventory))
    return inventory


def _of_the_kit(target: Path) -> list[Path]:
    if target == KIT_ROOT:
        return [KIT_ROOT / ".tools"]  # built from other people's sources
    if KIT_ROOT.is_relative_to(target):
        return [KIT_ROOT / name for name in OF_THE_KIT]
    return [KIT_ROOT]  # only a link leads there


def _mangled(run: RunFolder, config: Config, files: Sequence[FoundFile]) -> Iterator[Reason]:
    """Tell when masking secrets made other packages of those in the lockfiles: a secret may be called `lodash`."""
    if run.masker.counts:
        places = (config.target_dir, run.path / "input" / "target")
        original, copy = (read_inventory(place, files, config["inventory.dev_files"]) for place in places)
        if original != copy:
            message = f"masking the value of {', '.join(sorted(run.masker.counts))} changed what the lockfiles say"
            yield Reason(
                "masked", "unreliable", message, "take the secret out of them, or give that variable another name"
            )


def read_copies(folder: Path, dev_files: Sequence[str]) -> tuple[Inventory, tuple[Reason, ...], tuple[str, ...]]:
    """Read the copies back; gives the inventory, the problems of finding them, and what was left out."""
    listed = jsonio.load(folder / "input" / "inventory.json")
    files = [from_json(FoundFile, {**row, "path": row["path"].removeprefix("target/")}) for row in listed["files"]]
    problems = tuple(from_json(Reason, row) for row in listed["problems"])
    return read_inventory(folder / "input" / "target", files, dev_files), problems, tuple(listed["left_out"])


def steering_notes(config: Config) -> list[str]:
    """Name the files in the target and the variables in the environment that would steer a tool and were not obeyed.

    Of every tool, not only of those that run: a team may think that its `.snyk` counts here.
    """
    rows = tools.table().values()
    wanted = {name for tool in rows for name in tool.steering_files} | OTHERS_OBEY
    notes = []
    for folder, folders, files in os.walk(config.target_dir):
        folders[:] = sorted(name for name in folders if name not in {".git", "node_modules", ".venv", ".nox", ".tools"})
        notes += [os.path.relpath(f"{folder}/{name}", config.target_dir) for name in sorted(wanted & set(files))]
    prefixes = tuple(prefix for tool in rows for prefix in tool.steering_env)
    allowed = {name for tool in rows for name in tool.pass_env}
    return notes + sorted(f"${name}" for name in os.environ if name.startswith(prefixes) and name not in allowed)
