"""Facts about large files that take long to find out, remembered by path, size and time."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from truegate.toml import KIT_ROOT

TOOLS_DIR = KIT_ROOT / ".tools"
MEMORY = TOOLS_DIR / "seen.json"


def remembered(question: str, path: Path, ask: Callable[[Path], Any]) -> Any:
    """Give the answer of `ask(path)`, asked again only when the file changed. A read-only checkout asks each time."""
    stat = path.stat()
    key, state = f"{question}|{path}", f"{stat.st_size}|{stat.st_mtime_ns}"
    known = _read().get(key)
    if isinstance(known, dict) and known.keys() == {state}:
        return known[state]
    answer = ask(path)
    kept = {key: value for key, value in _read().items() if os.path.exists(key.partition("|")[2])}  # noqa: PTH110
    part = MEMORY.with_suffix(f".{os.getpid()}")
    with contextlib.suppress(OSError):
        try:
            part.write_text(json.dumps({**kept, key: {state: answer}}, indent=1), encoding="utf-8")
            part.replace(MEMORY)
        finally:
            part.unlink(missing_ok=True)
    return answer


def sha256_of(path: Path) -> str:
    """Hash one file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _read() -> dict[str, Any]:
    try:
        memory = json.loads(MEMORY.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return memory if isinstance(memory, dict) else {}
