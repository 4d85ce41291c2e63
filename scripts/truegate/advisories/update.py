"""Fetch the public advisory data: Trivy's database through Trivy itself, OSV's zips over HTTPS."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from truegate import runner, tools
from truegate.advisories.archives import MAX_BYTES, ZipFacts, note_osv, note_trivy, read_osv_zip
from truegate.advisories.download import Fault, download, from_any
from truegate.advisories.osv import ECOSYSTEMS
from truegate.advisories.stores import FOLDERS, Store, replacing, store_of
from truegate.config import Config
from truegate.masking import Masker
from truegate.progress import Progress

TIMEOUT_SECONDS = 900
# Trivy's words for a fault that it holds for passing (408, 429, 5xx, a blob not there yet); else it names the mirror.
PASSES = "failed to download artifact from any source"
CARRY = "or carry the data here: inv security.db.import --file F"


def update_trivy(config: Config) -> Store:
    """Download Trivy's database from the first mirror that delivers; raises InconclusiveError when none does."""
    trivy = str(tools.find("trivy", config["tools"]).path)
    root = config.folder("security.db.dir")
    with replacing(root / FOLDERS["trivy"]) as fresh:

        def fetch(mirror: str) -> Fault | None:
            fault = _download_database(trivy, mirror, config, fresh)
            if fault is None:
                note_trivy(fresh, "official", {"repository": mirror})
            return fault

        next_step = f"set [security.db] trivy_repositories to a mirror that you reach, {CARRY}"
        # Trivy gets one mirror at a time: it goes on from a busy one, but not from one that is gone or refuses.
        from_any("Trivy's database", config["security.db.trivy_repositories"], fetch, next_step)
    return store_of("trivy", root)


def _download_database(trivy: str, mirror: str, config: Config, fresh: Path) -> Fault | None:
    shutil.rmtree(fresh / "db", ignore_errors=True)  # Trivy would keep what another mirror sent within the last hour
    work = fresh.with_name("work")
    env = runner.clean_environment(work / "home", runner.NETWORK_ENV)
    # A mirror of one's own is reached with what `docker login` left; nothing is judged here that it could steer.
    env["DOCKER_CONFIG"] = os.environ.get("DOCKER_CONFIG") or os.path.expanduser("~/.docker")  # noqa: PTH111  no HOME
    argv = [trivy, "fs", "--download-db-only", "--cache-dir", str(fresh), "--timeout", f"{TIMEOUT_SECONDS}s"]
    argv += ["--no-progress", "--skip-version-check", "--disable-telemetry", "--db-repository", mirror]
    with Progress(f"downloading Trivy's database from {mirror}") as progress:
        done = runner.run(
            argv,
            cwd=work,
            env=env,
            timeout_seconds=TIMEOUT_SECONDS + 10,
            logs=work / "download",
            masker=Masker(config.secrets),
            progress=progress,
        )
    if done.exit_code == 0:
        return None
    log = runner.tail(done.stderr)
    reason = re.split(r"\* |artifact from \S+: |vulnerability DB: ", log)[-1].strip()
    return Fault(reason or f"ended with exit code {done.exit_code}", PASSES in log)


def update_osv(config: Config) -> Store:
    """Download OSV's zip of each ecosystem with a reader here; raises InconclusiveError when one can't be had."""
    root = config.folder("security.db.dir")
    base = config["security.db.osv_url"].rstrip("/")
    with replacing(root / FOLDERS["osv-scanner"]) as fresh:
        zips: dict[Path, ZipFacts] = {}

        def fetch(url: str) -> Fault | None:
            ecosystem = url.split("/")[-2]
            place = fresh.with_name(f"{ecosystem}.zip")
            with Progress(f"downloading {url}"):
                fault = download(url, place, MAX_BYTES)
                if fault is None:
                    zips[place] = read_osv_zip(place)
                    if zips[place].ecosystem != ecosystem:
                        return Fault(f"holds records of {zips[place].ecosystem}", passes=False)
            return fault

        next_step = f"set [security.db] osv_url to a mirror that you reach, {CARRY}"
        for ecosystem in ECOSYSTEMS:
            from_any(f"OSV's {ecosystem}/all.zip", [f"{base}/{ecosystem}/all.zip"], fetch, next_step)
        note_osv(fresh, "official", zips, {"url": base})
    return store_of("osv-scanner", root)
