"""security.sca: does any locked dependency that we use at run time have a known Critical or High vulnerability?"""

from __future__ import annotations

import json
from pathlib import Path

from truegate import jsonio, tools
from truegate.advisories import stores
from truegate.checks import sca_result
from truegate.checks.inputs import copy_inventory, read_copies, steering_notes
from truegate.checks.listed import LISTS, write_lists
from truegate.config import Config
from truegate.errors import ConfigError, InconclusiveError
from truegate.evidence import RunFolder
from truegate.inventory.records import Inventory
from truegate.model import Meta, Policy, Result

CONTROLS = Path(__file__).parents[1] / "controls" / "sca"
CHOSEN = ("security.db.dir", "tools")  # who sets these chooses what judges, so the report says where they are set
FETCH = "inv security.db.update fetches it; inv security.db.import --file F takes an archive"


def collect(run: RunFolder, config: Config, policy: Policy) -> None:
    """Copy the target's lockfiles and the control beside them, and let each engine scan both in one process."""
    settings = policy.settings or {}
    listed = copy_inventory(run, config)
    engines = settings["security.sca.engines"]
    run.fact("steering", steering_notes(config))
    run.fact("chosen", [f"{key}: set by {where}" for key in CHOSEN if (where := config.origins[key]) != "default"])
    if run.from_report:
        _take_reports(run, run.from_report, engines)
        return
    _copy_controls(run, {file["ecosystem"] for file in listed["files"]})
    inventory = read_copies(run.path, settings["inventory.dev_files"])[0]
    for path, data in write_lists(inventory).items():
        run.add(f"input/{path}", data)
    for engine in engines:
        _ENGINES[engine](run, config, settings["security.sca.timeout_seconds"], inventory)


def derive(folder: Path, meta: Meta, policy: Policy) -> Result:
    """Read a run folder of this check back; raises ReportError when a raw report can't be read."""
    return sca_result.derive(folder, meta, policy)


def _copy_controls(run: RunFolder, ecosystems: set[str]) -> None:
    expected = json.loads((CONTROLS / "expected.json").read_text(encoding="utf-8"))
    used = {name: row for name, row in expected.items() if name in ecosystems} or expected
    for row in used.values():
        run.add(f"input/control/{row['path']}", (CONTROLS / row["source"]).read_bytes())
    run.add("input/control.json", jsonio.dumps(used))


def _take_reports(run: RunFolder, source: Path, engines: list[str]) -> None:
    if not source.is_dir():
        raise ConfigError(
            f"--from-report {source} is not a folder", "name the folder that holds trivy.json or the like"
        )
    for engine in engines:
        for path in (source / f"{engine}.json", source / f"{engine}-version.json"):
            if path.is_file():
                run.add(f"raw/{path.name}", path.read_bytes())
    run.add("input/control.json", b"{}\n")


def _trivy(run: RunFolder, config: Config, timeout_seconds: float, _inventory: Inventory) -> None:
    found = tools.find("trivy", config["tools"])
    cache = config.folder("security.db.dir") / "trivy"
    if not (cache / "db" / "metadata.json").is_file() or not (cache / "db" / "trivy.db").is_file():
        raise InconclusiveError(f"Trivy has no advisory data in {cache}", FETCH)
    _keep_provenance(run, cache, "trivy")
    version = run.start(
        "trivy-version",
        found,
        ["--version", "--format", "json", "--cache-dir", str(cache)],
        timeout_seconds=30,
    )
    run.add("raw/trivy-version.json", version.stdout.read_bytes())
    arguments = ["fs", "--cache-dir", str(cache), "--skip-db-update", "--skip-java-db-update", "--offline-scan"]
    arguments += ["--skip-version-check", "--disable-telemetry", "--no-progress", "--scanners", "vuln"]
    arguments += ["--pkg-types", "library", "--include-dev-deps", "--list-all-pkgs", "--ignorefile", ""]
    arguments += ["--file-patterns", r"pip:\.txt$", "--exit-code", "10"]
    arguments += ["--format", "json", "--output", "trivy.json", str(run.path / "input")]
    run.start("trivy", found, arguments, timeout_seconds=timeout_seconds, reports=["trivy.json"])


def _osv_scanner(run: RunFolder, config: Config, timeout_seconds: float, inventory: Inventory) -> None:
    found = tools.find("osv-scanner", config["tools"])
    cache = config.folder("security.db.dir") / "osv"
    if not any(cache.glob("osv-scalibr/*/all.zip")):
        raise InconclusiveError(f"osv-scanner has no advisory data in {cache}", FETCH)
    _keep_provenance(run, cache, "osv-scanner")
    empty = run.work / "osv-scanner.toml"
    empty.touch()
    arguments = ["scan", "source", "--offline", "--all-packages", "--no-ignore", "--config", str(empty)]
    arguments += ["--format", "json", "--output-file", "osv-scanner.json"]
    # One file that it can't read ends osv-scanner for all of them, so it gets those that we could read.
    files = [(f"target/{reading.path}", reading.format) for reading in inventory.readings]
    for path, form in [*files, *_shown_files(run)]:
        arguments += ["--lockfile", f"{OSV_PARSERS[form]}:{run.path / 'input' / path}"]
    run.start(
        "osv-scanner",
        found,
        arguments,
        timeout_seconds=timeout_seconds,
        reports=["osv-scanner.json"],
        env={"OSV_SCALIBR_LOCAL_DB_CACHE_DIRECTORY": str(cache)},
    )


def _snyk(run: RunFolder, config: Config, timeout_seconds: float, _inventory: Inventory) -> None:
    found = tools.find("snyk", config["tools"])
    arguments = ["test", "--all-projects", "--dev", "--json-file-output=snyk.json", str(run.path / "input")]
    run.start("snyk", found, arguments, timeout_seconds=timeout_seconds, reports=["snyk.json"])


def _shown_files(run: RunFolder) -> list[tuple[str, str]]:
    """Give path and format of what is shown beside the target: the controls, and our lists of its packages."""
    rows = jsonio.load(run.path / "input" / "control.json").values()
    controls = [(f"control/{row['path']}", row["format"]) for row in rows]
    return controls + [(path, form) for path, form in LISTS.values() if (run.path / "input" / path).is_file()]


def _keep_provenance(run: RunFolder, cache: Path, engine: str) -> None:
    """Keep what `security.db` noted when it fetched, imported or compiled the data; without a note it is unknown."""
    try:
        note = stores.read_note(cache)
    except OSError as error:  # `security.db` puts a new folder in its place
        raise InconclusiveError(f"{error.filename} was replaced while it was read", "run the check again") from error
    run.add(f"raw/{engine}-advisories.json", jsonio.dumps(note))


OSV_PARSERS = {
    "npm": "package-lock.json",
    "yarn": "yarn.lock",
    "pnpm": "pnpm-lock.yaml",
    "poetry": "poetry.lock",
    "uv": "uv.lock",
    "pipenv": "Pipfile.lock",
    "requirements": "requirements.txt",
}
_ENGINES = {"trivy": _trivy, "osv-scanner": _osv_scanner, "snyk": _snyk}
