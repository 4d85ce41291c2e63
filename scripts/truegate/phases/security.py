"""Security: what the service is made of."""

from __future__ import annotations

from typing import Any

from invoke import Context

from truegate.phases.options import check_task

SBOM_HELP = {
    "file": "SBOM to judge instead of the two that are written; repeat it for two formats",
    "standard": "ntia-2021, cisa-2026 or bsi-tr-03183-2.1",
}


@check_task("security.sca", "security.sbom")
def all_(_context: Context) -> None:
    """Run every security check."""


@check_task("security.sca")
def sca(_context: Context) -> None:
    """Judge the locked dependencies.

    Has any of those that run a known Critical or High vulnerability? Needs advisory data: inv security.db.update.
    """


@check_task("security.sbom", own_help=SBOM_HELP)
def sbom(_context: Context, file: list[str], standard: str = "") -> dict[str, Any]:
    """Write and judge the bill of materials.

    Is it valid, complete by a named standard, and true to the lockfiles?
    """
    from pathlib import Path

    overrides: dict[str, Any] = {"security.sbom.standard": standard} if standard else {}
    if file:
        overrides["security.sbom.files"] = [str(Path(name).absolute()) for name in file]
    if len(file) == 1:
        overrides["security.sbom.criteria.format_disagreements"] = "none"
    return overrides
