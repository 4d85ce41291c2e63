"""Start a process, watch it, end it with its whole group. The only module that starts processes."""

from __future__ import annotations

import contextlib
import os
import select
import shlex
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from truegate.errors import EvidenceError, InconclusiveError
from truegate.masking import Masker
from truegate.progress import Progress

LOG_LIMIT_BYTES = 8 * 1024 * 1024  # a tool that writes a gigabyte of errors must not fill the disk
GRACE_SECONDS = 2.0
# Proxies and certificates are how a tool reaches the network at all; nothing else of ours reaches a tool.
NETWORK_ENV = (
    "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class RawRun:
    """What one process did. `exit_code` is negative for a signal; `stdout` and `stderr` are log files."""

    argv: tuple[str, ...]
    exit_code: int
    started_at: str
    seconds: float
    stdout: Path
    stderr: Path
    timed_out: bool


def clean_environment(home: Path, passed: Sequence[str] = ()) -> dict[str, str]:
    """Give the whole environment of a tool: a home of ours, fixed language and time zone, and `passed` by name."""
    home.mkdir(parents=True, exist_ok=True)
    env = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8", "TZ": "UTC", "NO_COLOR": "1"}
    env |= {"HOME": str(home), "TMPDIR": str(home)}
    return env | {name: os.environ[name] for name in passed if name in os.environ}


def run(
    argv: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    timeout_seconds: float,
    logs: Path,
    masker: Masker,
    progress: Progress | None = None,
) -> RawRun:
    """Run `argv` in its own process group until it ends or its time is over.

    `logs` is the stem of the two log files (`.stdout`, `.stderr`), masked and bounded. Whatever is left of the
    group afterwards is killed, on time-out and on Ctrl-C too. Raises InconclusiveError when it can't be started.
    """
    stdout, stderr = logs.with_name(logs.name + ".stdout"), logs.with_name(logs.name + ".stderr")
    started_at, begin = datetime.now(UTC), time.monotonic()
    lost: list[OSError] = []
    over = threading.Event()
    with _interrupts_held_back() as let_through:
        process = _start(argv, cwd, env)
        readers = [
            threading.Thread(target=_keep, args=(pipe, path, masker, lost, over), daemon=True)
            for pipe, path in ((process.stdout, stdout), (process.stderr, stderr))
        ]
        for reader in readers:
            reader.start()
        try:
            let_through()
            timed_out = not _wait(process, timeout_seconds, progress)
        finally:
            _end_group(process)
            for reader in readers:
                reader.join(GRACE_SECONDS)  # a child that left the group may still hold the pipe
            over.set()
            for reader in readers:
                reader.join()
    if lost:
        raise EvidenceError(f"{lost[0].filename} can't be written: {lost[0].strerror}", "make room, then run again")
    return RawRun(
        tuple(masker.mask_text(part) for part in argv),
        process.returncode,
        started_at.isoformat(timespec="seconds").replace("+00:00", "Z"),
        round(time.monotonic() - begin, 3),
        stdout,
        stderr,
        timed_out,
    )


def output(
    argv: Sequence[str], *, cwd: Path, env: Mapping[str, str], timeout_seconds: float = 30
) -> tuple[int, str, str]:
    """Run a short question such as `--version`; gives exit code, standard output and standard error.

    The exit code is -1 when it can't be started or takes too long.
    """
    with tempfile.TemporaryDirectory() as folder:
        logs = Path(folder) / "output"
        try:
            done = run(argv, cwd=cwd, env=env, timeout_seconds=timeout_seconds, logs=logs, masker=Masker({}))
        except InconclusiveError as error:
            return -1, "", error.message
        texts = [path.read_bytes().decode("utf-8", "replace") for path in (done.stdout, done.stderr)]
    return -1 if done.timed_out else done.exit_code, texts[0], texts[1]


def shown(argv: Sequence[str]) -> str:
    """Give `argv` as one line that a shell would read back."""
    return shlex.join(argv)


def tail(path: Path, lines: int = 20) -> str:
    """Give the last lines of a log file."""
    with path.open("rb") as log:
        log.seek(max(0, path.stat().st_size - 64 * 1024))
        return "\n".join(log.read().decode("utf-8", "replace").splitlines()[-lines:])


def _start(argv: Sequence[str], cwd: Path, env: Mapping[str, str]) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            list(argv),
            cwd=cwd,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        raise InconclusiveError(
            f"{argv[0]} can't be started: {error.strerror}", "inv tools shows where each tool was found and from where"
        ) from error


@contextlib.contextmanager
def _interrupts_held_back() -> Iterator[Callable[[], None]]:
    """Hold Ctrl-C and SIGTERM back until what this gives is called: they can't end a process that is half started."""
    caught: list[int] = []
    ours: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        known = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        ours = {number: handler for number, handler in known.items() if callable(handler)}
    for number in ours:
        signal.signal(number, lambda number, _frame: caught.append(number))

    def let_through() -> None:
        while ours:
            signal.signal(*ours.popitem())
        while caught:
            signal.raise_signal(caught.pop())

    try:
        yield let_through
    finally:
        let_through()


def _wait(process: subprocess.Popen[bytes], timeout_seconds: float, progress: Progress | None) -> bool:
    deadline = time.monotonic() + timeout_seconds
    while True:
        left = deadline - time.monotonic()
        if left <= 0:
            return process.poll() is not None
        try:
            process.wait(min(left, 1.0))
        except subprocess.TimeoutExpired:
            if progress:
                progress.tick()
        else:
            return True


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """End the process group: politely while its leader lives, then for certain, so that no child outlives the run."""
    try:
        if process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(GRACE_SECONDS)
    finally:  # a second Ctrl-C ends the waiting, not the killing
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _keep(pipe: IO[bytes] | None, path: Path, masker: Masker, lost: list[OSError], over: threading.Event) -> None:
    """Copy a pipe to a file, masked as it passes; past the limit or a full disk go on reading, so the tool can end."""
    if pipe is None:
        return
    with pipe:
        try:
            with path.open("wb") as log:
                _copy(pipe, log, masker, over)
        except OSError as error:
            error.filename = error.filename or str(path)  # a failed write does not name its file
            lost.append(error)
            while _read(pipe, over):
                continue


def _copy(pipe: IO[bytes], log: IO[bytes], masker: Masker, over: threading.Event) -> None:
    rest, written, dropped = b"", 0, 0
    while chunk := _read(pipe, over):
        if written >= LOG_LIMIT_BYTES:
            dropped += len(chunk) + len(rest)  # the rest may be the first half of a secret
            rest = b""
            continue
        part, rest = masker.cut(rest + chunk)
        written += log.write(part)
    log.write(masker.mask(rest))
    if dropped:
        log.write(f"\n[truegate: {dropped} more bytes were not kept]\n".encode())
    if over.is_set():
        log.write(b"\n[truegate: a process that left the tool's group still held this output; it was cut here]\n")


def _read(pipe: IO[bytes], over: threading.Event) -> bytes:
    """Give the next bytes of a pipe; none at its end, or once the run is over."""
    waiting = select.poll()
    waiting.register(pipe, select.POLLIN | select.POLLHUP)
    while not over.is_set():
        if waiting.poll(100):
            return os.read(pipe.fileno(), 64 * 1024)
    return b""
