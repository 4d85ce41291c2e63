"""Read the logs: of one part, or of all of them where the collector gathers them."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from truegate.errors import ConfigError
from truegate_staging.parts import PARTS
from truegate_staging.site import Site

EVERY_SECONDS = 0.2  # between two looks at a log that is followed


def log_of(site: Site, part: str) -> Path:
    """Give the newest log of a part; raises ConfigError for a part that there is not, or that wrote nothing yet."""
    names = [*(one.name for one in PARTS), "supervisor"]
    if part not in names:
        raise ConfigError(f"no part is named {part!r}", f"choose from: {', '.join([*names, 'all'])}")
    own = (site.folder / "log" / "service").glob(f"{part}.*.log")  # service and worker keep files of their own
    paths = [path for path in (*own, site.log(part)) if path.exists()]
    if not paths:
        raise ConfigError(f"{part} has written nothing: there is no {site.log(part)}", "inv staging.up starts it")
    return max(paths, key=lambda path: path.stat().st_mtime)


def follow(path: Path) -> Iterator[str]:
    """Give what is added to a log, line by line, until Ctrl-C; through its rotation too."""
    with path.open(encoding="utf-8", errors="replace") as stream:
        stream.seek(0, 2)
        while True:
            if line := stream.readline():
                yield line.rstrip("\n")
            elif path.exists() and path.stat().st_size < stream.tell():  # begun anew
                stream.seek(0)
            else:
                time.sleep(EVERY_SECONDS)


def gathered(site: Site) -> Iterator[str]:
    """Give every line of all parts, as `part line`: from the collector, oldest first, or from the parts' own logs."""
    paths = sorted((site.folder / "log" / "central").glob("central*.jsonl"), key=lambda path: path.stat().st_mtime)
    return _central(paths) if paths else _own(site)


def matcher(pattern: str) -> re.Pattern[str]:
    """Read what `--grep` was given; raises ConfigError when it is no regular expression."""
    try:
        return re.compile(pattern)
    except re.error as error:
        raise ConfigError(f"--grep {pattern!r} is no regular expression: {error}", "mend it") from error


def _central(paths: list[Path]) -> Iterator[str]:
    for path in paths:
        with path.open(encoding="utf-8") as stream:
            for line in stream:
                yield from _records(line)


def _records(line: str) -> Iterator[str]:
    try:
        batch = json.loads(line)
    except ValueError:  # the line that is being written
        return
    for resource in batch.get("resourceLogs", []):
        for scope in resource.get("scopeLogs", []):
            for record in scope.get("logRecords", []):
                yield f"{_part(record)} {record.get('body', {}).get('stringValue', '')}"


def _part(record: dict[str, Any]) -> str:
    named = {row["key"]: row["value"].get("stringValue", "") for row in record.get("attributes", [])}
    return Path(named.get("log.file.name", "unknown")).stem


def _own(site: Site) -> Iterator[str]:
    for path in sorted((site.folder / "log").rglob("*.log*")):
        with path.open(encoding="utf-8", errors="replace") as stream:
            yield from (f"{path.stem} {line.rstrip()}" for line in stream)
