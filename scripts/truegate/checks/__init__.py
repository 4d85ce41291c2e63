"""The checks, by name. A check is one module with `collect` and `derive`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from truegate.config import Config
from truegate.errors import ConfigError
from truegate.evidence import RunFolder
from truegate.model import Meta, Policy, Result

MODULES = {"security.sca": "truegate.checks.sca", "security.sbom": "truegate.checks.sbom"}


@dataclass(frozen=True)
class Check:
    """`collect` runs the tools and fills input/ and raw/; `derive` reads them back, pure on the folder."""

    name: str
    collect: Callable[[RunFolder, Config, Policy], None]
    derive: Callable[[Path, Meta, Policy], Result]


def get_check(name: str) -> Check:
    """Load the check `name`; raises ConfigError when this kit has none of that name."""
    if name not in MODULES:
        raise ConfigError(f"no check is named {name!r}", f"choose from: {', '.join(MODULES)}")
    module = import_module(MODULES[name])
    return Check(name, module.collect, module.derive)
