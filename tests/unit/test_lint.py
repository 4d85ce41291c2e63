"""The code against its linters; `./run lint` is this file alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

KIT = Path(__file__).resolve().parents[2]
SHELL = [
    "run",
    ".ci/run",
    "staging/compose/database.sh",
    *(str(path.relative_to(KIT)) for path in sorted((KIT / "tests/fakebin").glob("*[!.sh]"))),
]


def tool(name: str, *arguments: str) -> None:
    """Run a program of this environment on the repository; what it complains about is the failure."""
    program = Path(sys.executable).with_name(name)
    done = subprocess.run([program, *arguments], cwd=KIT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{name} {' '.join(arguments)}\n{done.stdout}{done.stderr}"


def test_style() -> None:
    tool("ruff", "check", ".")


def test_format() -> None:
    tool("ruff", "format", "--check", ".")


@pytest.mark.slow
def test_types() -> None:
    tool("mypy")


def test_shell() -> None:
    assert all((KIT / name).read_text().startswith("#!/bin/sh\n") for name in SHELL)
    tool("shellcheck", "--external-sources", "--source-path=SCRIPTDIR", *SHELL)


def test_the_lock_is_whole() -> None:
    tool("python", "-m", "pip", "check")
