"""Security: what the service is made of."""

from __future__ import annotations

from invoke import Context

from truegate.phases.options import check_task, phase_task


@phase_task(["security.sca", "security.sbom"])
def all_(_context: Context) -> None:
    """Run every security check."""


@check_task("security.sca")
def sca(_context: Context) -> None:
    """Judge the locked dependencies: is a known Critical or High vulnerability in what runs?"""
