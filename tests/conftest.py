"""What every test has: an environment that steers nothing, and the tools that some ask for."""

from __future__ import annotations

import fcntl
import os
import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from truegate.config import SECRET_NAME
from truegate.install import install
from truegate.remembered import TOOLS_DIR
from truegate.tools import table

# The same examples each time: a red run is then the change's doing, not the dice's.
settings.register_profile("same", derandomize=True, deadline=None)
settings.load_profile("same")

FAKES = Path(__file__).with_name("fakebin")
STEERS = re.compile("|".join([prefix for tool in table().values() for prefix in tool.steering_env] + ["K6_", "GIT_"]))
FakeTool = Callable[..., Path]


@pytest.fixture(scope="session")
def empty_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(autouse=True)
def isolated_environment(empty_home: Path) -> Iterator[None]:
    """Take away what a person's or a CI host's environment could change, and put back what a test changed.

    Where packages come from stays the machine's own matter: pip and Go keep their configuration and caches.
    """
    before = dict(os.environ)
    home = Path.home()
    for name in before:
        if STEERS.match(name) or SECRET_NAME.search(name):
            del os.environ[name]
    own = {"XDG_CONFIG_HOME": home / ".config", "XDG_CACHE_HOME": home / ".cache", "GOPATH": home / "go"}
    for name, path in own.items():
        os.environ.setdefault(name, str(path))
    os.environ["HOME"] = str(empty_home)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def trivy() -> Path:
    """Give the real Trivy, installed as users install it where it is missing, one process at a time."""
    TOOLS_DIR.mkdir(exist_ok=True)
    with (TOOLS_DIR / "tests.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return install("trivy", quiet=True).path


@pytest.fixture
def fake_tool(tmp_path: Path) -> FakeTool:
    """Give a maker of stand-ins: `fake_tool("trivy", "trivy-hangs")` is a program `trivy` that does as that script.

    Keywords are variables that it finds in its environment, which is otherwise empty of ours.
    """

    def make(name: str, script: str, **variables: str) -> Path:
        source = FAKES / script
        assert os.access(source, os.X_OK), source
        path = tmp_path / "fakes" / name
        path.parent.mkdir(exist_ok=True)
        exports = "".join(f"export {key}={shlex.quote(value)}\n" for key, value in variables.items())
        path.write_text(f'#!/bin/sh\n{exports}exec {shlex.quote(str(source))} "$@"\n')
        path.chmod(0o755)
        return path

    return make
