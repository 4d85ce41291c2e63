"""The run folder: written before anything is judged, for failed runs too, and read back for every later step."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from truegate import __version__, jsonio, runner
from truegate.config import Config
from truegate.errors import EvidenceError, InconclusiveError, ReportError
from truegate.masking import Masker
from truegate.model import FileRecord, Meta, Policy, Reason, Step, Target, from_json, to_json
from truegate.progress import Progress
from truegate.remembered import sha256_of
from truegate.toml import schema_faults
from truegate.tools import FoundTool

T = TypeVar("T")


class RunFolder:
    """One run that is being written: its folder, a working folder outside it, and what is known so far."""

    def __init__(self, path: Path, meta: Meta, config: Config, from_report: Path | None, *, quiet: bool) -> None:
        self.path = path
        self.from_report = from_report
        self.meta = meta
        self.masker = Masker(config.secrets)
        self.quiet = quiet
        self.work = Path(tempfile.mkdtemp(prefix="truegate-"))

    def fact(self, name: str, value: Any) -> None:
        """Keep something that a later step needs and no file holds."""
        self.meta = replace(self.meta, facts={**(self.meta.facts or {}), name: value})

    def add(self, name: str, data: bytes) -> Path:
        """Write `input/…` or `raw/…`, masked."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with naming(path):
            path.write_bytes(self.masker.mask(data))
        return path

    def start(
        self,
        name: str,
        found: FoundTool,
        arguments: Sequence[str],
        *,
        timeout_seconds: float,
        reports: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
    ) -> runner.RawRun:
        """Run one tool from an empty folder of ours and keep its logs and `reports` (names in that folder) in raw/."""
        cwd = self.work / name
        cwd.mkdir(parents=True)
        logs = self.path / "raw" / name
        logs.parent.mkdir(exist_ok=True)
        clean = runner.clean_environment(self.work / "home", found.tool.pass_env)
        with Progress(f"{self.meta.check}: {name} {found.version}", quiet=self.quiet) as progress:
            raw = runner.run(
                [str(found.path), *arguments],
                cwd=cwd,
                env=clean | dict(env or {}),
                timeout_seconds=timeout_seconds,
                logs=logs,
                masker=self.masker,
                progress=progress,
            )
        for report in reports:
            if (cwd / report).is_file():
                self.add(f"raw/{report}", (cwd / report).read_bytes())
        self.meta = replace(self.meta, steps=(*self.meta.steps, _step(name, found, raw, self.path)))
        return raw

    def write_meta(self) -> None:
        write_atomic(self.path / "meta.json", jsonio.dumps(to_json(self.meta)))


def _step(name: str, found: FoundTool, raw: runner.RawRun, folder: Path) -> Step:
    return Step(
        name=name,
        tool=found.tool.name,
        tool_version=found.version,
        tool_sha256=found.sha256,
        tool_source=found.source,
        argv=raw.argv,
        exit_code=raw.exit_code,
        exit_meaning=found.tool.exit_meaning(raw.exit_code, timed_out=raw.timed_out),
        started_at=raw.started_at,
        seconds=raw.seconds,
        stdout=raw.stdout.relative_to(folder).as_posix(),
        stderr=raw.stderr.relative_to(folder).as_posix(),
        timed_out=raw.timed_out,
    )


@contextlib.contextmanager
def open_run(
    check: str, config: Config, policy: Policy, *, from_report: Path | None, quiet: bool
) -> Iterator[RunFolder]:
    """Make a run folder in state `running`, and close it as `complete`, or as `interrupted` when it was.

    A KitError inside becomes the fact `stopped`, so that the verdict can say why nothing more was seen. Raises
    EvidenceError when the folder can't be written.
    """
    started = datetime.now(UTC)
    with writing(config.folder("evidence.dir")):
        path = _new_folder(config.folder("evidence.dir") / Path(*check.split(".")), started)
        meta = Meta(
            check=check,
            run_id=path.name,
            state="running",
            generated_at=rfc3339(started),
            finished_at=None,
            kit_version=__version__,
            target=describe_target(config),
            profile=config.profile,
            external=from_report is not None,
        )
        run = RunFolder(path, meta, config, from_report, quiet=quiet)
        (path / "input").mkdir()
        (path / "raw").mkdir()
        run.write_meta()
        write_atomic(path / "policy.json", jsonio.dumps(to_json(policy)))
        try:
            yield run
        except InconclusiveError as error:
            why, next_step = map(run.masker.mask_text, (error.message, error.next_step))
            run.fact("stopped", to_json(Reason("stopped", "incomplete", why, next_step)))
            _close(run, "complete")
        except BaseException:
            _close(run, "interrupted")
            raise
        else:
            _close(run, "complete")
        finally:
            shutil.rmtree(run.work, ignore_errors=True)


def _close(run: RunFolder, state: Any) -> None:
    finished = rfc3339(datetime.now(UTC))
    files = tuple(hash_files(run.path))
    counts = dict(sorted(run.masker.counts.items()))
    run.meta = replace(run.meta, state=state, finished_at=finished, files=files, redactions=counts)
    run.write_meta()


def _new_folder(parent: Path, started: datetime) -> Path:
    """Make `<YYYYMMDD_HHMM>-<6 hex>`; `mkdir` decides between two runs that start at the same time."""
    parent.mkdir(parents=True, exist_ok=True)
    while True:
        path = parent / f"{started:%Y%m%d_%H%M}-{secrets.token_hex(3)}"
        with contextlib.suppress(FileExistsError):
            path.mkdir()
            return path


@contextlib.contextmanager
def writing(place: Path) -> Iterator[None]:
    """Turn a failed write into an EvidenceError that names the file."""
    try:
        yield
    except OSError as error:
        raise EvidenceError(
            f"{error.filename or place} can't be written: {error.strerror}",
            "make room, mend the permissions, or set [evidence] dir and reports_dir to other folders; then run again",
        ) from error


def write_atomic(path: Path, data: bytes) -> None:
    """Write `path` so that a reader sees the old bytes or the new ones, never a part."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with naming(path), part.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Give a failed write the name of its file, which the system leaves out when the disk is full."""
    try:
        yield
    except OSError as error:
        error.filename = str(path)
        raise


def hash_files(folder: Path) -> Iterator[FileRecord]:
    """Give every file of input/ and raw/ with size and sha256, in order of path."""
    for part in ("input", "raw"):
        for path in sorted((folder / part).rglob("*")):
            if path.is_symlink() or not path.is_file():
                continue
            yield FileRecord(path.relative_to(folder).as_posix(), path.stat().st_size, sha256_of(path))


def read_meta(folder: Path) -> Meta:
    """Read meta.json; raises EvidenceError when it is missing or invalid."""
    return read_record(folder / "meta.json", Meta)


def read_policy(folder: Path) -> Policy:
    """Read policy.json; raises EvidenceError when it is missing or invalid."""
    return read_record(folder / "policy.json", Policy)


def read_record(path: Path, cls: type[T]) -> T:
    """Read one JSON file of a run folder as `cls`; raises EvidenceError when it is missing or breaks its schema."""
    try:
        data = jsonio.load(path)
        fault = next((fault for _, fault in schema_faults(data, cls.__name__.lower())), None)
    except ReportError as error:
        fault = error.message
    if fault:
        raise EvidenceError(f"{path} is invalid: {fault}", "the run can't be trusted; run the check again")
    return from_json(cls, data)


def describe_target(config: Config) -> Target:
    """Say what was judged: name, commit and whether the work tree differs from it."""
    root, mask = config.target_dir, Masker(config.secrets).mask_text
    name, url = mask(config.target_name), mask(config.get("target.url") or "") or None
    # A repository's own configuration can name programs to run (fsmonitor, hooks, filters); none of them runs here.
    settings = ("core.fsmonitor=false", "core.hooksPath=/dev/null", f"safe.directory={root}")
    git = ["git", "--no-optional-locks", *(part for setting in settings for part in ("-c", setting))]
    filters = ["config", "--name-only", "--get-regexp", r"^filter\..*\.(clean|process)$"]
    status = ["status", "--porcelain", "--no-renames", "--ignore-submodules=dirty"]
    with tempfile.TemporaryDirectory() as home:
        env = runner.clean_environment(Path(home))
        code, commit, _ = runner.output([*git, "rev-parse", "--verify", "HEAD"], cwd=root, env=env)
        if code != 0:
            return Target(name, None, None, url)
        names = runner.output([*git, *filters], cwd=root, env=env)[1].splitlines()
        env |= {f"GIT_CONFIG_KEY_{index}": name for index, name in enumerate(names)}
        env |= {f"GIT_CONFIG_VALUE_{index}": "" for index in range(len(names))} | {"GIT_CONFIG_COUNT": str(len(names))}
        code, changes, _ = runner.output([*git, *status, "--", ":/", *_not_ours(config)], cwd=root, env=env)
    return Target(name, commit.strip(), bool(changes.strip()) if code == 0 else None, url)


def _not_ours(config: Config) -> Iterator[str]:
    """Give git the folders that we write ourselves, so that no run makes the next one's target differ."""
    for key in ("evidence.dir", "evidence.reports_dir"):
        folder = os.path.relpath(config.folder(key), config.target_dir)
        if folder.partition("/")[0] not in {".", ".."}:
            yield f":(exclude,literal){folder}"


def rfc3339(moment: datetime) -> str:
    """Give a UTC time as RFC 3339 to the second."""
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
