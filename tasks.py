"""Truegate's tasks: `inv --list` is the table of contents."""

import os
import sys
from importlib.util import find_spec
from pathlib import Path

HERE = Path(__file__).resolve().parent
NEEDED = (
    "cyclonedx dotenv jinja2 jsonschema_rs packageurl packaging rich semantic_version spdx_tools tabulate urllib3 yaml"
)
lacking = [name for name in NEEDED.split() if find_spec(name) is None]
if sys.version_info < (3, 11) or lacking:
    why = f"lacks {', '.join(lacking)}" if lacking else "runs on a Python older than 3.11"
    sys.stderr.write(f"error: this `inv` {why}; use {os.path.relpath(HERE / 'run')}, which makes its own environment\n")
    sys.exit(2)
sys.path.insert(0, str(HERE / "scripts"))

from truegate.phases import namespace as ns  # noqa: E402  the path must be set first

if (HERE / "staging").is_dir():  # the reference environment, which is not copied into other repositories
    sys.path.insert(1, str(HERE / "staging"))
    from invoke import Collection

    from truegate_staging import tasks as staging

    ns.add_collection(Collection.from_module(staging, name="staging"))

__all__ = ["ns"]
