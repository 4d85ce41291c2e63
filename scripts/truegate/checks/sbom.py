"""security.sbom: is our bill of materials valid, complete and true?"""

from __future__ import annotations

import contextlib
from pathlib import Path

from packaging.utils import canonicalize_name

from truegate import __version__, jsonio, tools
from truegate.checks.inputs import copy_inventory, read_copies, steering_notes
from truegate.checks.witness import second_reading
from truegate.config import Config
from truegate.errors import ConfigError
from truegate.evidence import RunFolder
from truegate.inventory.manifests import parse
from truegate.inventory.read import SHAPE_ERRORS, SYNTAX_ERRORS
from truegate.model import Meta, Policy, Result
from truegate.parsers import trivy
from truegate.sbom.judge import judge_control, judge_sbom
from truegate.sbom.read import read_sbom
from truegate.sbom.standard import load_standard
from truegate.sbom.write import Made, Subject, write_cyclonedx, write_spdx

WRITTEN = ("bom.cdx.json", "bom.spdx.json")
NOT_LOOKED = (
    "operating system packages",
    "container images",
    "vendored code without a lockfile",
    "code bundled inside packages",
    "the built artefact",
)


def collect(run: RunFolder, config: Config, policy: Policy) -> None:
    """Copy the lockfiles, write both bills of materials (or take those handed in), and ask Trivy what it sees."""
    if run.from_report:
        raise ConfigError("security.sbom reads no reports made elsewhere", "hand in the SBOM itself: --file bom.json")
    settings = policy.settings or {}
    load_standard(settings["security.sbom.standard"])  # a name that there is not is told before anything is kept
    copy_inventory(run, config)
    run.fact("steering", steering_notes(config))
    handed_in = config["security.sbom.files"]  # the policy's are masked
    taken = [_take(run, given, number) for number, given in enumerate(handed_in, 1)]
    run.fact("boms", taken or _write(run, config, policy))
    found = tools.find("trivy", config["tools"])
    # A scan for licences lists the packages and needs no advisory data.
    arguments = ["fs", "--cache-dir", str(run.work / "cache"), "--offline-scan", "--skip-version-check"]
    arguments += ["--disable-telemetry", "--no-progress", "--scanners", "license", "--pkg-types", "library"]
    arguments += ["--include-dev-deps", "--list-all-pkgs", "--ignorefile", "", "--file-patterns", r"pip:\.txt$"]
    arguments += ["--format", "json", "--output", "trivy.json", str(run.path / "input")]
    run.start(
        "trivy", found, arguments, timeout_seconds=settings["security.sbom.timeout_seconds"], reports=["trivy.json"]
    )


def derive(folder: Path, meta: Meta, policy: Policy) -> Result:
    """Judge the bills of materials against our own reading; raises ReportError when one can't be read."""
    inventory, problems, left_out = read_copies(folder, (policy.settings or {})["inventory.dev_files"])
    packages = tuple(package for reading in inventory.readings for package in reading.packages)
    facts = meta.facts or {}
    documents = tuple(read_sbom((folder / path).read_bytes(), path) for path in facts["boms"])
    standard = load_standard((policy.settings or {})["security.sbom.standard"])
    measurements, reasons, notes = judge_sbom(documents, packages, standard)
    seen = trivy.parse(jsonio.load(folder / trivy.REPORT, trivy.REPORT))
    looked, unseen, _ = second_reading(seen, inventory, _own_names(folder / "input" / "target"))
    controls = judge_control(documents[0], packages)[1] if packages else ()
    return Result(
        kind="measurements",
        looked=looked,
        not_looked=(*NOT_LOOKED, *(f"left out: {path}" for path in left_out)),
        controls=controls,
        measurements=measurements,
        problems=(*problems, *inventory.problems, *unseen, *reasons),
        notes=(*notes, *(f"not obeyed: {name}" for name in facts["steering"])),
    )


def _own_names(folder: Path) -> set[str]:
    """Give the names of the target's own projects, as its manifests tell them; what can't be read tells none."""
    names: set[str] = set()
    for path in (path for path in sorted(folder.rglob("*")) if path.name in {"package.json", "pyproject.toml"}):
        with contextlib.suppress(*SYNTAX_ERRORS, *SHAPE_ERRORS):
            data = parse(path.name, path.read_text(encoding="utf-8"))
            tables = (data, data.get("project", {}), data.get("tool", {}).get("poetry", {}))
            names |= {str(table["name"]) for table in tables if "name" in table}
    return names | {canonicalize_name(name) for name in names}


def _write(run: RunFolder, config: Config, policy: Policy) -> list[str]:
    inventory, problems, _ = read_copies(run.path, (policy.settings or {})["inventory.dev_files"])
    packages = tuple(package for reading in inventory.readings for package in reading.packages)
    target = run.meta.target
    subject = Subject(target.name, config.get("target.version") or target.commit, target.commit)
    complete = not problems and not inventory.problems
    made = Made(run.meta.generated_at, config["target.owner"], "truegate", __version__, complete)
    for name, write in zip(WRITTEN, (write_cyclonedx, write_spdx), strict=True):
        run.add(f"raw/{name}", write(packages, subject, made))
    return [f"raw/{name}" for name in WRITTEN]


def _take(run: RunFolder, given: str, number: int) -> str:
    path = Path(given)
    if not path.is_file():
        raise ConfigError(f"--file {given} is no file", "name a CycloneDX or SPDX JSON file")
    name = f"input/handed-in/{number}/{run.masker.mask_text(path.name)}"  # two files may have one name
    run.add(name, path.read_bytes())
    return name
