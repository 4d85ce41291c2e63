"""Fetch the public advisory data: Trivy's database through Trivy itself, OSV's zips over HTTPS."""

from __future__ import annotations

import re
import shutil
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from truegate import evidence, jsonio, runner, tools
from truegate.advisories.stores import OSV_FOLDERS, Store, osv_zip_facts, put_osv_zip, replacing, stores, write_note
from truegate.config import Config
from truegate.errors import InconclusiveError
from truegate.masking import Masker
from truegate.progress import Progress

if TYPE_CHECKING:
    from urllib3 import PoolManager

TIMEOUT_SECONDS = 900.0
ATTEMPTS = 4
PASSING_FAULT = re.compile(r"\b(429|500|502|503|504)\b|TOOMANYREQUESTS|too many requests", re.IGNORECASE)


def update_trivy(config: Config) -> Store:
    """Download Trivy's database from the first mirror that answers; raises InconclusiveError when none does."""
    found = tools.find("trivy", config["tools"])
    mirrors: Sequence[str] = config["security.db.trivy_repositories"]
    root = config.folder("security.db.dir")
    with replacing(root / "trivy") as fresh, tempfile.TemporaryDirectory() as work:
        argv = [str(found.path), "fs", "--download-db-only", "--cache-dir", str(fresh), "--no-progress"]
        argv += ["--skip-version-check", "--disable-telemetry", "--db-repository", ",".join(mirrors)]
        with Progress(f"downloading Trivy's database from {' or '.join(mirrors)}") as progress:
            _patiently(argv, Path(work), Masker(config.secrets), progress)
        metadata = jsonio.load(fresh / "db" / "metadata.json", "metadata.json of Trivy's database")
        write_note(fresh, "official", metadata["UpdatedAt"], {"repositories": list(mirrors), "at": _now()})
    return next(store for store in stores(root) if store.engine == "trivy")


def _patiently(argv: Sequence[str], work: Path, masker: Masker, progress: Progress) -> None:
    """Run a download, and again after 1, 2 and 4 s where a registry said that it was busy: that passes by itself."""
    env = runner.clean_environment(work / "home", runner.NETWORK_ENV)
    for attempt in range(ATTEMPTS):
        done = runner.run(
            argv,
            cwd=work,
            env=env,
            timeout_seconds=TIMEOUT_SECONDS,
            logs=work / f"download-{attempt}",
            masker=masker,
            progress=progress,
        )
        if done.exit_code == 0:
            return
        log = runner.tail(done.stderr)
        if attempt == ATTEMPTS - 1 or not PASSING_FAULT.search(log):
            raise InconclusiveError(
                f"Trivy's database could not be fetched (exit code {done.exit_code}):\n{log}",
                "set [security.db] trivy_repositories to a mirror that you reach, or use inv security.db.import --file F",
            )
        time.sleep(2**attempt)


def update_osv(config: Config) -> Store:
    """Download OSV's zip of each ecosystem with a reader here; raises InconclusiveError when one can't be had."""
    from urllib3 import PoolManager, Retry

    retry = Retry(total=ATTEMPTS, backoff_factor=1, status_forcelist=(429, 500, 502, 503, 504))
    root = config.folder("security.db.dir")
    dates, counts = [], 0
    with replacing(root / "osv") as fresh, PoolManager(retries=retry) as pool:
        for ecosystem in OSV_FOLDERS:
            url = f"{config['security.db.osv_url'].rstrip('/')}/{ecosystem}/all.zip"
            archive = fresh / "download.zip"
            with Progress(f"downloading {url}"):
                _download(pool, url, archive)
            _, dated, records = osv_zip_facts(archive)
            put_osv_zip(fresh, ecosystem, archive)
            archive.unlink()
            dates.append(dated)
            counts += records
        facts = {"url": config["security.db.osv_url"], "records": counts, "at": _now()}
        write_note(fresh, "official", min(dates), facts)
    return next(store for store in stores(root) if store.engine == "osv-scanner")


def _download(pool: PoolManager, url: str, place: Path) -> None:
    from urllib3 import Timeout
    from urllib3.exceptions import HTTPError

    try:
        answer = pool.request("GET", url, preload_content=False, timeout=Timeout(connect=10, read=60))
        with answer, place.open("wb") as out:
            if answer.status != 200:  # noqa: PLR2004  the one good answer
                raise InconclusiveError(f"{url} answered {answer.status}", "set [security.db] osv_url to a mirror")
            shutil.copyfileobj(answer, out)
    except HTTPError as error:
        raise InconclusiveError(f"{url} can't be fetched: {error}", "set [security.db] osv_url to a mirror") from error


def _now() -> str:
    return evidence.rfc3339(datetime.now(UTC))
