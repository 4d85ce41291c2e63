"""Show real scanners judging real lockfiles, evidence that was tampered with, and the reference service brought up."""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

KIT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(KIT / "scripts"), str(KIT / "staging")]

from truegate import tools  # noqa: E402  the path must be set first
from truegate.advisories.stores import SEED, compile_private  # noqa: E402
from truegate.checks.pipeline import run_check  # noqa: E402
from truegate.config import load_config  # noqa: E402
from truegate.env import init_profile  # noqa: E402
from truegate.env_check import known_of  # noqa: E402
from truegate.errors import FAILED, PASS, InconclusiveError, KitError  # noqa: E402
from truegate.finish import near, show  # noqa: E402
from truegate.install import install  # noqa: E402
from truegate.tables import show_table  # noqa: E402
from truegate.verify import verify  # noqa: E402
from truegate_staging import environment  # noqa: E402

ADVISORIES = KIT / ".tools" / "demo-advisories"
# The demo needs no network, so it judges by the seed that ships with the kit, and says so in every verdict.
OVERRIDES = {
    "security.db.dir": str(ADVISORIES),
    "security.sca.criteria.accept_private_advisories": True,
    "security.sca.criteria.advisory_age_hours_max": 10 * 365 * 24,
    "evidence.dir": str(KIT / "evidence"),
    "evidence.reports_dir": str(KIT / "reports"),
}


@dataclass(frozen=True)
class Row:
    """One line of the closing table."""

    what: str
    verdict: str
    expected: str
    seconds: float
    run: Path | None


def main() -> int:
    """Run the demo; gives 0 only when every verdict was the expected one."""
    try:
        tools.find("trivy")
    except InconclusiveError:
        install("trivy")
    compile_private(SEED, ADVISORIES, "seed")
    rows = [
        gate("security.sca", "examples/old", "fail"),
        gate("security.sca", "examples/fixed", "pass"),
        gate("security.sca", ".", "pass"),
        gate("security.sbom", "examples/fixed", "pass"),
        gate("security.sbom", ".", "pass"),
    ]
    if red := rows[0].run:
        rows.append(timed("verify", "sound", red, lambda: verify(red).state))
        rows.append(timed("verify with\none byte off", "altered", red, lambda: verify_altered(red)))
    rows += staging()
    show_table(
        [
            [
                r.what,
                r.verdict,
                r.expected,
                f"{r.seconds:.1f}"[:4].rstrip("."),
                r.run and r.run.relative_to(KIT / "evidence"),
            ]
            for r in rows
        ],
        ["check", "verdict", "expected", "s", "run, in evidence/ and reports/"],
    )
    wrong = [row.what.replace("\n", " ") for row in rows if row.verdict != row.expected]
    print(
        f"\nNOT AS EXPECTED: {', '.join(wrong)}"
        if wrong
        else f"\nall as expected; open {near(KIT / 'reports' / 'index.html')}"
    )
    return FAILED if wrong else PASS


def gate(check: str, target: str, expected: str) -> Row:
    """Run one check, show what it printed, and keep its line for the table."""
    print(f"\n== {check} on {target} ==", flush=True)
    done = run_check(check, load_config(str(KIT / target), None, OVERRIDES, "demo"))
    show(done, quiet=False, as_json=False)
    what = f"{check}\n{Path(target).name or 'this repo'}"
    return Row(what, done.verdict.status, expected, done.seconds, done.run_folder)


def staging() -> list[Row]:
    """Bring the reference environment up, gate the service that runs in it, and take it down."""
    config = load_config(str(KIT))
    if not (KIT / ".env.staging").exists():
        init_profile(KIT, "staging", known_of(config), config["staging.base_port"])
    config = load_config(str(KIT), "staging")
    print("\n== staging ==", flush=True)

    was_up = environment.is_up(config)

    def up() -> str:
        try:
            site, notes = environment.up(config)
        except KitError as error:  # what came before still stands in the table
            print(error)
            return "not up"
        print("\n".join([*notes, *(" ".join(filter(None, row)) for row in environment.describe(site))]))
        return "partly" if notes else "ready"

    def down() -> str:
        site = environment.down(config)
        return "down" if not environment.holders_of(site) else "left over"

    try:
        rows = [timed("staging.up", "ready", None, up)]
        rows += [gate(check, "staging/server", "pass") for check in ("security.sca", "security.sbom")]
    finally:
        ended = [] if was_up else [timed("staging.down", "down", None, down)]  # what was up before stays up
    return [*rows, *ended]


def timed(what: str, expected: str, run: Path | None, question: Callable[[], Any]) -> Row:
    """Time one question about a run folder."""
    begin = time.monotonic()
    answer = question()
    return Row(what, answer, expected, time.monotonic() - begin, run)


def verify_altered(run: Path) -> str:
    """Change one byte of the scanner's report in a copy, and verify that copy."""
    with tempfile.TemporaryDirectory() as work:
        copy = Path(shutil.copytree(run, Path(work, *run.parts[-3:])))
        report = copy / "raw" / "trivy.json"
        data = bytearray(report.read_bytes())
        data[len(data) // 2] ^= 1
        report.write_bytes(data)
        verified = verify(copy)
        print(f"one byte changed: {verified.state}: {'; '.join(verified.faults)}")
        return verified.state


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KitError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(error.exit_code)
