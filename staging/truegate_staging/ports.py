"""Who holds a port: read from the kernel's own tables, so that it can be told before anything starts."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

LISTENING = "0A"


@dataclass(frozen=True)
class Holder:
    """A process that listens on a port; `pid` is None for one of another user that we may not look at."""

    port: int
    pid: int | None
    command: str


def holders(ports: Collection[int]) -> list[Holder]:
    """Give every process that listens on any of `ports`, IPv4 and IPv6."""
    sockets = {inode: port for inode, port in _listening() if port in ports}
    owned = {(sockets[inode], pid) for inode, pid in _owners(sockets.keys())} if sockets else set()
    found = [Holder(port, pid, command_of(pid)) for port, pid in sorted(owned)]
    unseen = set(sockets.values()) - {port for port, _ in owned}
    return found + [Holder(port, None, "a process of another user") for port in sorted(unseen)]


def _listening() -> Iterator[tuple[str, int]]:
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            rows = Path(table).read_text(encoding="ascii").splitlines()[1:]
        except FileNotFoundError:  # no IPv6 here
            continue
        for row in rows:
            fields = row.split()
            if fields[3] == LISTENING:
                yield fields[9], int(fields[1].rpartition(":")[2], 16)


def _owners(inodes: Collection[str]) -> Iterator[tuple[str, int]]:
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            links = [str(link.readlink()) for link in (folder / "fd").iterdir()]
        except OSError:  # it has ended, or is another user's
            continue
        for link in links:
            match = re.fullmatch(r"socket:\[(\d+)\]", link)
            if match and match[1] in inodes:
                yield match[1], int(folder.name)


def command_of(pid: int) -> str:
    """Give the command line of a process, or what is known of one that has ended."""
    try:
        line = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return "a process that has ended"
    return line.replace(b"\0", b" ").decode("utf-8", "replace").strip()


def belongs_to(pid: int, folder: Path) -> bool:
    """Tell whether a process was started for the environment in `folder`.

    It works there, or its variables or arguments name it; Redis and nginx write their title over those two.
    """
    try:
        if Path(f"/proc/{pid}/cwd").readlink().is_relative_to(folder):
            return True
        return any(os.fsencode(folder) in Path(f"/proc/{pid}/{name}").read_bytes() for name in ("environ", "cmdline"))
    except OSError:  # it has ended, or is another user's
        return False
