"""Where this checkout's staging environment lives: its folder, its ports, and who runs it."""

from __future__ import annotations

import hashlib
import os
import pwd
import shutil
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from truegate.config import Config
from truegate.errors import ConfigError
from truegate.toml import KIT_ROOT
from truegate.tools import FoundTool

STAGING = KIT_ROOT / "staging"
# Each port is the base port of `[staging]` in truegate.toml and this much.
OFFSETS = {
    "service": 0,
    "edge": 1,
    "service-metrics": 2,
    "worker-metrics": 3,
    "postgres": 4,
    "redis": 5,
    "storage": 6,
    "toxiproxy": 7,
    "postgres-proxied": 8,
    "redis-proxied": 9,
    "storage-proxied": 10,
    "collector": 11,
}
ADDRESSES = {
    "DATABASE_URL": "postgres-proxied",
    "REDIS_URL": "redis-proxied",
    "S3_ENDPOINT": "storage-proxied",
    "NEXT_PUBLIC_APP_URL": "edge",
}
UNPRIVILEGED = "nobody"
SOCKET_MAX = 90  # bytes of a unix socket's path; the system takes 107


@dataclass(frozen=True)
class Site:
    """One staging environment: `user` runs its parts when root started it; `tools` are those that were found."""

    folder: Path
    base_port: int
    user: str | None
    variables: Mapping[str, str]
    tools: Mapping[str, FoundTool]

    def port(self, name: str) -> int:
        return self.base_port + OFFSETS[name]

    def password(self, variable: str) -> str:
        return urlsplit(self.variables[variable]).password or ""

    @property
    def socket(self) -> Path:
        """The supervisor's socket, in a short place where the folder's path is too long for one."""
        inside = self.folder / "supervisor.sock"
        if len(os.fsencode(inside)) <= SOCKET_MAX:
            return inside
        return Path("/tmp") / f"truegate-{_digest(self.folder)}.sock"  # noqa: S108  its folder's mode guards nothing here

    def data(self, part: str) -> Path:
        return self.folder / "data" / part

    def log(self, part: str) -> Path:
        return self.folder / "log" / f"{part}.log"


def locate(config: Config, tools: Mapping[str, FoundTool]) -> Site:
    """Give the site of this checkout; raises ConfigError when the environment's variables do not fit it."""
    user = UNPRIVILEGED if os.geteuid() == 0 else None
    folder = KIT_ROOT / ".staging"
    if user and not enters(KIT_ROOT, user):
        folder = Path("/var/tmp") / f"truegate-staging-{_digest(KIT_ROOT)}"  # noqa: S108  it is made 0700 below
    base_port = config["staging.base_port"]
    variables = {name: os.environ.get(name, "") for name in _needed()}
    if lacking := sorted(name for name, value in variables.items() if not value):
        raise ConfigError(f"not set: {', '.join(lacking)}", "inv env.init writes .env.staging with random secrets")
    site = Site(folder, base_port, user, variables, tools)
    if wrong := [
        f"{name} has port {urlsplit(variables[name]).port}, the {part} is at {site.port(part)}"
        for name, part in ADDRESSES.items()
        if urlsplit(variables[name]).port != site.port(part)
    ]:
        raise ConfigError("; ".join(wrong), "mend .env.staging, or [staging] base_port in truegate.toml")
    return site


def _needed() -> tuple[str, ...]:
    return (*ADDRESSES, "POSTGRES_PASSWORD", "S3_REGION", "S3_BUCKET", "S3_ACCESS_KEY_ID", "S3_SECRET_ACCESS_KEY",
            "REVALIDATE_SECRET")  # fmt: skip


def enters(path: Path, user: str) -> bool:
    """Tell whether `user`, who owns nothing there, may go into a folder or run a program."""
    own = pwd.getpwnam(user)
    for place in (path, *path.parents):
        mode = place.stat()
        bits = (
            stat.S_IXUSR if mode.st_uid == own.pw_uid else stat.S_IXGRP if mode.st_gid == own.pw_gid else stat.S_IXOTH
        )
        if not mode.st_mode & bits:
            return False
    return True


def publish(site: Site, source: Path) -> Path:
    """Give a place of a folder of programs that the site's user can enter: where it is, or a copy."""
    if site.user is None or enters(source, site.user):
        return source
    newest = max(path.lstat().st_mtime_ns for path in source.rglob("*"))
    copy = site.folder / "programs" / f"{_digest(source)}-{newest}"
    if not copy.exists():
        part = copy.with_name(f"{copy.name}.{os.getpid()}")
        shutil.copytree(source, part, symlinks=True)
        part.rename(copy)
    return copy


def _digest(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:8]
