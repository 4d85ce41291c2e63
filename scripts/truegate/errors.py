"""The errors that reach a user, each with the exit code of the README's table."""

from __future__ import annotations

PASS, BUG, CONFIG, FAILED, INCONCLUSIVE, EVIDENCE = 0, 1, 2, 3, 4, 5
# Inside a namespace the worst outcome wins: a proven failure outranks what could not be seen.
WORST_FIRST = (BUG, EVIDENCE, CONFIG, FAILED, INCONCLUSIVE, PASS)


class KitError(Exception):
    """What happened, to which file or address; `next_step` says what to do about it."""

    exit_code = BUG

    def __init__(self, message: str, next_step: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.next_step = next_step

    def __str__(self) -> str:
        return f"{self.message}\n  next: {self.next_step}" if self.next_step else self.message


class ConfigError(KitError):
    """The configuration or the command line can't be used as written."""

    exit_code = CONFIG


class InconclusiveError(KitError):
    """We cannot say: a tool is missing, broke, or left no report that can be read."""

    exit_code = INCONCLUSIVE


class ReportError(InconclusiveError):
    """A tool's report is missing, empty, cut short or of a shape that we don't know."""


class EvidenceError(KitError):
    """Evidence is missing, altered, invalid, or could not be written."""

    exit_code = EVIDENCE
