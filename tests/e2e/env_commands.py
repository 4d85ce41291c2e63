"""The commands that docs/secrets.md shows, run as they stand there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import support  # type: ignore[import-not-found]

Done = subprocess.CompletedProcess[str]
PAGE = (support.KIT / "docs" / "secrets.md").read_text(encoding="utf-8")


def block(info: str) -> list[str]:
    """Give the lines of the block that is marked so."""
    found = re.search(rf"^```sh {info}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert found
    return found[1].splitlines()


def inv_on_path(folder: Path) -> Path:
    """Make a folder with an `inv` that finds the kit."""
    program = folder / "inv"
    folder.mkdir()
    real = Path(sys.executable).with_name("inv")
    program.write_text(f"#!/bin/sh\nexec '{real}' --search-root '{support.KIT}' \"$@\"\n")
    program.chmod(0o755)
    return folder


def run(command: str, cwd: Path, *path: Path, **variables: str) -> Done:
    """Run a line of shell with `path` before the system's programs, and no variable but `variables`."""
    env = {"PATH": ":".join(map(str, [*path, "/usr/bin", "/bin"])), "HOME": str(cwd), **variables}
    return subprocess.run(["sh", "-c", command], cwd=cwd, env=env, capture_output=True, text=True, check=False)
