"""One line that says what is going on: live on a terminal, dated and plain in CI or a pipe."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

PLAIN_EVERY_SECONDS = 30.0


class Progress:
    """Shows what runs and for how long, on standard error; `quiet` shows nothing."""

    def __init__(self, title: str, *, quiet: bool = False) -> None:
        self._title = title
        self._quiet = quiet
        self._stack = ExitStack()
        self._status: Any = None
        self._begin = self._said = time.monotonic()

    def __enter__(self) -> Self:
        if not self._quiet and sys.stderr.isatty():
            from rich.console import Console
            from rich.text import Text

            self._status = self._stack.enter_context(Console(stderr=True).status(Text(self._title)))
        elif not self._quiet:
            self._plain("")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def tick(self) -> None:
        """Say that it still runs."""
        now = time.monotonic()
        elapsed = f" ({now - self._begin:.0f} s)"
        if self._status:
            from rich.text import Text

            self._status.update(Text(self._title + elapsed))
        elif not self._quiet and now - self._said >= PLAIN_EVERY_SECONDS:
            self._said = now
            self._plain(elapsed)

    def _plain(self, elapsed: str) -> None:
        stamp = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        sys.stderr.write(f"{stamp} {self._title}{elapsed}\n")
        sys.stderr.flush()
