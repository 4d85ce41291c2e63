"""Measure what the README promises: medians of paired runs, ratios within one run, printed and kept as JSON."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

KIT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(KIT / "scripts"))

from truegate import jsonio  # noqa: E402  the path must be set first
from truegate.advisories.stores import SEED, compile_private  # noqa: E402
from truegate.tables import show_table  # noqa: E402

PAIRS = 7
INV = [str(Path(sys.executable).with_name("inv")), "--search-root"]
OUT = KIT / "reports" / "bench.json"


@dataclass(frozen=True)
class Figure:
    """One measured promise; `base` is what it is held against, None where the limit is absolute."""

    what: str
    median: float
    base: float | None
    unit: str
    limit: str
    met: bool


def main() -> None:
    """Run every benchmark; `bench.py NAME` runs one."""
    chosen = [BENCHES[name] for name in sys.argv[1:]] or list(BENCHES.values())
    figures = []
    for bench in chosen:
        figures += bench()
    rows = [
        [f.what, f"{f.median:.3f}", "" if f.base is None else f"{f.base:.3f}", f.unit, f.limit, f.met] for f in figures
    ]
    show_table(rows, ["what", "median", "base", "unit", "limit", "met"])
    OUT.parent.mkdir(parents=True, exist_ok=True)
    machine = {"cores": os.cpu_count(), "python": sys.version.split()[0]}
    OUT.write_bytes(jsonio.dumps({"machine": machine, "pairs": PAIRS, "figures": [asdict(f) for f in figures]}))


def seconds(run: Callable[[], object]) -> float:
    """Time one call."""
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin


def quietly(argv: list[str], cwd: Path, codes: tuple[int, ...] = (0,)) -> None:
    """Run a command, and stop the bench when it did something else than expected: that time would mean nothing."""
    done = subprocess.run(argv, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode not in codes:
        sys.exit(f"{argv} ended with {done.returncode}:\n{done.stdout}{done.stderr}")


def paired(ours: Callable[[], object], base: Callable[[], object]) -> tuple[list[float], list[float]]:
    """Time both in turn, after one unmeasured run of each."""
    ours(), base()
    pairs = [(seconds(ours), seconds(base)) for _ in range(PAIRS)]
    return [one for one, _ in pairs], [other for _, other in pairs]


def bench_list() -> list[Figure]:
    """`inv --list` against a tasks.py with one empty task."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        (work / "tasks.py").write_text("from invoke import task\n\n\n@task\ndef nothing(c):\n    pass\n")
        ours, base = paired(
            lambda: quietly([*INV, str(KIT), "--list"], work), lambda: quietly([*INV, str(work), "--list"], work)
        )
    ratio = statistics.median(one / other for one, other in zip(ours, base, strict=True))
    return [Figure("inv --list over an empty tasks.py", ratio, 1.0, "ratio", "<= 1.5", ratio <= 1.5)]


def bench_sca() -> list[Figure]:
    """`inv security.sca` against the same bare Trivy command on the target alone."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(shutil.copytree(KIT / "examples" / "fixed", Path(folder, "target")))
        compile_private(SEED, Path(folder, "advisories"), "seed")
        (target / "truegate.toml").write_text(
            f'[security.db]\ndir = "{folder}/advisories"\n[security.sca.criteria]\n'
            "accept_private_advisories = true\nadvisory_age_hours_max = 90000\n"
        )
        quietly([*INV, str(KIT), "security.sca", "--quiet"], target)
        meta = json.loads(next(target.glob("evidence/security/sca/*/meta.json")).read_text())
        bare = next(step["argv"] for step in meta["steps"] if step["name"] == "trivy")
        bare = [*bare[:-1], str(target)]
        ours, base = paired(
            lambda: quietly([*INV, str(KIT), "security.sca", "--quiet"], target),
            lambda: quietly(bare, Path(folder), (0, 10)),
        )
    over = statistics.median(one - other for one, other in zip(ours, base, strict=True))
    return [Figure("inv security.sca over bare trivy", over, statistics.median(base), "s", "<= 0.8", over <= 0.8)]


def bench_large() -> list[Figure]:
    """Judge a 60 MB report with 100,000 findings: parse, gate and render it in a process of its own."""
    script = Path(__file__).with_name("large_report.py")
    times, peaks, size = [], [], 0.0
    for _ in range(5):
        done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True)
        took, peak, size = map(float, done.stdout.split())
        times.append(took)
        peaks.append(peak)
    took, peak = statistics.median(times), statistics.median(peaks)
    title = f"{size:.0f} MB report, 100,000 findings"
    return [
        Figure(f"{title}: time", took, None, "s", "<= 15", took <= 15),
        Figure(f"{title}: peak memory", peak, None, "MB", "<= 700", peak <= 700),
    ]


def bench_verify() -> list[Figure]:
    """`inv evidence.verify` over 1,000 runs of 100 KB."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(shutil.copytree(KIT / "examples" / "old", Path(folder, "target")))
        for name in ("requirements.in", "requirements.txt"):
            (target / name).unlink()  # the npm half makes a run of about 100 KB
        compile_private(SEED, Path(folder, "advisories"), "seed")
        (target / "truegate.toml").write_text(f'[security.db]\ndir = "{folder}/advisories"\n')
        quietly([*INV, str(KIT), "security.sca", "--quiet"], target, (3,))
        run = next(target.glob("evidence/security/sca/*"))
        size = sum(path.stat().st_size for path in run.rglob("*") if path.is_file())
        copies = [Path(folder, f"kept-{number}", *run.parts[-3:]) for number in range(1000)]
        runs = [part for copy in copies for part in ("--run", str(shutil.copytree(run, copy)))]
        times = [seconds(lambda: quietly([*INV, str(KIT), "evidence.verify", *runs], target)) for _ in range(5)]
    took = statistics.median(times)
    return [Figure(f"evidence.verify, 1,000 runs of {size // 1000} KB", took, None, "s", "<= 10", took <= 10)]


def bench_staging() -> list[Figure]:
    """`inv staging.up` warm, `staging.down`, and 100,000 items by `staging.seed`; ends with the environment down."""
    times: dict[str, list[float]] = {"up": [], "seed --items 100000": [], "down": []}
    quietly([*INV, str(KIT), "staging.up"], KIT)
    quietly([*INV, str(KIT), "staging.down"], KIT)
    for _ in range(5):
        for task, took in times.items():
            name, *options = task.split()
            took.append(seconds(partial(quietly, [*INV, str(KIT), f"staging.{name}", *options], KIT)))
    limits = {"up": 8.0, "seed --items 100000": 2.0, "down": 5.0}
    medians = {task: statistics.median(took) for task, took in times.items()}
    return [
        Figure(f"staging.{t}", medians[t], None, "s", f"<= {limits[t]:.0f}", medians[t] <= limits[t]) for t in times
    ]


BENCHES = {
    "list": bench_list,
    "sca": bench_sca,
    "large": bench_large,
    "verify": bench_verify,
    "staging": bench_staging,
}

if __name__ == "__main__":
    main()
