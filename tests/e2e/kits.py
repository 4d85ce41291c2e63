"""Copies of this repository and of the kit, as people make them, that need no installing and no network."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from subprocess import CompletedProcess

import support  # type: ignore[import-not-found]

import advisory_servers  # type: ignore[import-not-found]

KIT = Path(__file__).resolve().parents[2]
README = (KIT / "README.md").read_text(encoding="utf-8")
KEPT_ENV = ("PATH", "LANG", "TMPDIR", "HOME")


def parts() -> list[str]:
    """Give what the README says to copy."""
    found = re.search(r"^\$ cp -R (.+?) \.\./service/ops$", README.replace("\\\n", ""), re.MULTILINE)
    assert found, "the README has no line that copies the kit"
    return found[1].split()


def copy_kit(place: Path) -> Path:
    """Copy the kit as the README says."""
    place.mkdir(parents=True)
    ignore = shutil.ignore_patterns("__pycache__")
    for name in parts():
        if (KIT / name).is_dir():
            shutil.copytree(KIT / name, place / name, ignore=ignore, symlinks=True)
        else:
            shutil.copy2(KIT / name, place / name)
    return place


def clone(place: Path) -> Path:
    """Make what a clone of this repository would be, with what is not committed yet."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=KIT, capture_output=True, check=True).stdout.decode().split("\0")
    for name in filter(None, names):
        if (KIT / name).is_file():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(KIT / name, place / name)
    return commit(place)


def commit(folder: Path) -> Path:
    """Make a git repository of a folder, everything in it committed."""
    git = ["git", "-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "commit.gpgsign=false"]
    for arguments in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message", "first"]):
        subprocess.run([*git, *arguments], cwd=folder, check=True, capture_output=True)
    return folder


def lend(kit: Path) -> Path:
    """Give a copy the environment that these tests run in, and the real Trivy, as if it had installed both."""
    assert sys.prefix != sys.base_prefix, "the tests run in an environment of their own"
    shutil.copytree(sys.prefix, kit / ".venv", symlinks=True, copy_function=_link)
    for group in ("security", "staging", "dev"):
        (kit / ".venv" / f"lock-{group}").unlink(missing_ok=True)  # it may be a link to the one that was lent
        shutil.copy2(kit / "requirements" / f"{group}.txt", kit / ".venv" / f"lock-{group}")
    (kit / ".tools").mkdir()
    (kit / ".tools" / "trivy").symlink_to(Path(support.tool("trivy")).parents[1])
    return kit


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copy2(source, target)


def run(
    argv: Sequence[str | Path], cwd: Path, env: Mapping[str, str] | None = None, *, user: int | None = None
) -> CompletedProcess[str]:
    """Start a program in an environment that steers nothing, as `user` where that is given, and wait for it."""
    kept = {name: os.environ[name] for name in KEPT_ENV if name in os.environ}
    index = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "UV_"))}
    return subprocess.run(
        [str(part) for part in argv],
        cwd=cwd,
        env={**kept, **index, **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        user=user,
        group=user,
        extra_groups=None if user is None else [],
    )


def locked(*names: str) -> str:
    """Give those rows of the real lock that pin `names`."""
    text = (KIT / "requirements" / "security.txt").read_text()
    rows = [row for row in re.split(r"^(?=\w)", text, flags=re.MULTILINE) if row.split("==")[0] in names]
    assert len(rows) == len(names)
    return "".join(rows)


def public_data() -> bytes:
    """Give an archive that looks like Trivy's public database of this minute."""
    now = f"{support.today():%Y-%m-%dT%H:%M:%SZ}"
    made = advisory_servers.archives()
    metadata = json.loads(made.metadata) | {"UpdatedAt": now, "DownloadedAt": now}
    files = {"trivy.db": made.database, "metadata.json": json.dumps(metadata).encode()}
    return bytes(advisory_servers.tar_gz(files))


def blocks(text: str, language: str) -> Iterator[tuple[str, str]]:
    """Give the fenced blocks of a language in a Markdown text: what follows the language's name, and the content."""
    for info, body in re.findall(r"^```(.*)\n((?:.*\n)*?)```$", text, re.MULTILINE):
        if info.split(" ")[0] == language:
            yield info.removeprefix(language).strip(), body
