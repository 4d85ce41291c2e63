"""A copy of this repository with a staging environment of its own: its ports, its secrets, the real tools."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any
from urllib.request import Request, urlopen

import kits  # type: ignore[import-not-found]

from truegate.errors import InconclusiveError
from truegate.install import install
from truegate.remembered import TOOLS_DIR
from truegate.tools import find
from truegate_staging.parts import PARTS
from truegate_staging.site import OFFSETS


def make(place: Path) -> Path:
    """Copy the repository to `place` with all tools lent, and write its own ports and secrets."""
    kit: Path = kits.lend(kits.clone(place))
    for tool in sorted({part.tool for part in PARTS}):
        lend_tool(kit, tool)
    write_environment(kit, free_base_port())
    return kit


def lend_tool(kit: Path, tool: str) -> None:
    """Lend one tool; on a fresh machine it is installed first, as users install it."""
    try:
        source = find(tool).source
    except InconclusiveError:
        source = install(tool, quiet=True).source
    if source != "PATH":
        shutil.copytree(TOOLS_DIR / tool, kit / ".tools" / tool, symlinks=True, copy_function=kits._link)


def free_base_port() -> int:
    """Give a base port whose ports nobody holds now; tests run side by side, so each asks anew."""
    while True:
        base = 20_000 + secrets.randbelow(10_000)
        try:
            for offset in OFFSETS.values():
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", base + offset))
        except OSError:
            continue
        return base


def write_environment(kit: Path, base: int) -> None:
    config = kit / "truegate.toml"
    config.write_text(f"{config.read_text()}\n[staging]\nbase_port = {base}\n")
    secret = secrets.token_urlsafe
    (kit / ".env.staging").write_text(
        f"DATABASE_URL=postgres://app:{secret(24)}@127.0.0.1:{base + 8}/app\nPOSTGRES_PASSWORD={secret(24)}\n"
        f"REDIS_URL=redis://:{secret(24)}@127.0.0.1:{base + 9}/0\nS3_ENDPOINT=http://127.0.0.1:{base + 10}\n"
        f"S3_REGION=us-east-1\nS3_BUCKET=truegate-staging\nS3_ACCESS_KEY_ID={secrets.token_hex(10)}\n"
        f"S3_SECRET_ACCESS_KEY={secret(24)}\nNEXT_PUBLIC_APP_URL=http://127.0.0.1:{base + 1}\n"
        f"REVALIDATE_SECRET={secret(24)}\nTRUEGATE_CONTROLS=1\n"
    )
    (kit / ".env.staging").chmod(0o600)


def variables(kit: Path) -> dict[str, str]:
    return dict(line.split("=", 1) for line in (kit / ".env.staging").read_text().splitlines())


def inv(kit: Path, *arguments: str) -> CompletedProcess[str]:
    done: CompletedProcess[str] = kits.run([kit / "run", *arguments], kit)
    return done


def base_port(kit: Path) -> int:
    return int((kit / "truegate.toml").read_text().rpartition("base_port = ")[2])


def call(
    kit: Path, part: str, path: str, body: Any = None, method: str | None = None, **headers: str
) -> tuple[int, dict[str, str], str]:
    """Ask a part over HTTP; gives status, headers in lower case and body, whatever the status."""
    data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    own = {name.replace("_", "-"): value for name, value in headers.items()}
    if body is not None and not isinstance(body, bytes):
        own["content-type"] = "application/json"
    request = Request(f"http://127.0.0.1:{base_port(kit) + OFFSETS[part]}{path}", data, own, method=method)
    with _open(request) as answer:
        return answer.status, {k.lower(): v for k, v in answer.headers.items()}, answer.read().decode()


def _open(request: Request) -> Any:
    from urllib.error import HTTPError

    try:
        return urlopen(request, timeout=10)
    except HTTPError as answer:
        return answer


def is_ready(kit: Path) -> bool:
    try:
        return call(kit, "service", "/readyz")[0] == 200
    except OSError:  # it has not come back yet
        return False


def processes(kit: Path) -> list[str]:
    """Give the command lines of what works in or was started from a kit's folder, this test's own aside."""
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        try:
            line = (folder / "cmdline").read_bytes()
            if str(kit).encode() in line or (folder / "cwd").readlink().is_relative_to(kit):
                found.append(line.replace(b"\0", b" ").decode())
        except OSError:
            continue
    return found


def until(condition: Callable[[], bool], what: str, seconds: float = 30) -> None:
    """Wait for a condition; fails with its name when it does not come."""
    import time

    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.05)
