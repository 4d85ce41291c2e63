"""Truegate's tasks: `inv --list` is the table of contents."""

import importlib.util
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
if importlib.util.find_spec("jsonschema_rs") is None or importlib.util.find_spec("dotenv") is None:
    sys.exit(f"this `inv` lacks Truegate's dependencies; use {HERE / 'run'} TASK, which makes its own environment")
sys.path.insert(0, str(HERE / "scripts"))

from truegate.phases import namespace as ns  # noqa: E402  the path must be set first

__all__ = ["ns"]
