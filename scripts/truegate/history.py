"""The runs that were kept: one row each, and which of them are old."""

from __future__ import annotations

import re
import shutil
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from truegate import evidence
from truegate.errors import ConfigError, EvidenceError
from truegate.model import Verdict


@dataclass(frozen=True)
class Row:
    """One kept run: `status` as in `pass (external, no control)`, or why there is none.

    `unfinished`, `interrupted` and `unreadable` runs never count. `generated_at` is RFC 3339 UTC.
    """

    check: str
    run_id: str
    status: str
    generated_at: str
    target: str
    commit: str

    @property
    def decided(self) -> bool:
        return self.status.partition(" ")[0] in {"pass", "fail", "inconclusive"}


def run_folders(evidence_dir: Path) -> list[Path]:
    """Give every run folder below `evidence_dir`, oldest first within its check."""
    return sorted(path.parent for path in evidence_dir.glob("*/*/*/meta.json"))


def rows_of(folders: Iterable[Path]) -> list[Row]:
    """Give one row for each run folder, newest first."""
    return sorted((_row(folder) for folder in folders), key=lambda row: (row.generated_at, row.run_id), reverse=True)


def _row(folder: Path) -> Row:
    check = ".".join(folder.parts[-3:-1])
    try:
        meta = evidence.read_meta(folder)
        verdict = evidence.read_record(folder / "verdict.json", Verdict) if meta.state == "complete" else None
    except EvidenceError:
        return Row(check, folder.name, "unreadable", "", "", "")
    status = verdict.status if verdict else "unfinished" if meta.state == "running" else "interrupted"
    qualifier = f" ({verdict.qualifier})" if verdict and verdict.qualifier else ""
    target = meta.target
    return Row(meta.check, meta.run_id, status + qualifier, meta.generated_at, target.name, (target.commit or "")[:10])


def old_runs(folders: Sequence[Path], older_than: str, keep_last: str, now: datetime | None = None) -> list[Path]:
    """Give the runs older than `older_than` (`90d`), but never the newest `keep_last` of a check.

    Raises ConfigError for an age that can't be read.
    """
    match = re.fullmatch(r"(\d{1,5})d", older_than)
    if not match or not re.fullmatch(r"[0-9]{1,6}", keep_last):
        raise ConfigError(
            f"--older-than {older_than} --keep-last {keep_last} can't be read", "write 90d and a number from 0"
        )
    limit = f"{(now or datetime.now(UTC)) - timedelta(days=int(match.group(1))):%Y%m%d_%H%M}"
    by_check = defaultdict(list)
    for folder in folders:
        by_check[folder.parent].append(folder)
    old = []
    for runs in by_check.values():
        newest_first = sorted(runs, key=lambda path: path.name, reverse=True)
        old += [folder for folder in newest_first[int(keep_last) :] if folder.name[:13] < limit]
    return sorted(old)


def remove(folder: Path) -> None:
    """Remove one run folder."""
    with evidence.writing(folder):
        shutil.rmtree(folder)
