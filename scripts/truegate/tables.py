"""Plain tables for the screen."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from tabulate import tabulate


def show_table(rows: Sequence[Sequence[Any]], headers: Sequence[str]) -> None:
    """Print `rows`; numbers stay as they are written, pipes can't break the table."""
    clean = [[("" if cell is None else str(cell)).replace("|", "¦") for cell in row] for row in rows]
    sys.stdout.write(tabulate(clean, headers, tablefmt="simple", disable_numparse=True) + "\n")
