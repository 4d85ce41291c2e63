"""Check the profiles of a target: their files, their values, and what each has to do with the others."""

from __future__ import annotations

import difflib
import os
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from truegate import runner
from truegate.config import Config
from truegate.env import (
    PLAIN_NAME,
    Assignment,
    Variable,
    is_production,
    known_variables,
    open_entries,
    profile_file,
    profiles,
    read_env,
)
from truegate.env_faults import hosts_of, names_host, secret_in, value_faults
from truegate.errors import ConfigError


@dataclass(frozen=True)
class Profile:
    """What one profile sets. `source` is its file's name, or `environment` for what a secrets manager has set."""

    name: str
    source: str
    entries: tuple[Assignment, ...]
    values: Mapping[str, str]

    def place(self, name: str) -> str:
        line = {entry.name: entry.line for entry in self.entries}.get(name)
        return f"{self.source}:{line}: {name}" if line else f"{self.source}: {name}"


@dataclass(frozen=True)
class Checked:
    """Sentences without values: faults, and what could not be looked for. `sound` counts what each profile sets."""

    faults: tuple[str, ...]
    notes: tuple[str, ...]
    sound: Mapping[str, int]


def known_of(config: Config) -> dict[str, Variable]:
    """Give the variables that a target's profiles may have."""
    return known_variables(config.get("env.names") or (), config["env.unused"])


def check_profiles(config: Config, profile: str | None = None, *, from_environment: bool = False) -> Checked:
    """Check `profile` (default: each that has a file); gives all faults at once.

    With `from_environment` the variables that are set now are judged in the place of the file. Raises ConfigError
    where there is nothing to judge.
    """
    root, known = config.target_dir, known_of(config)
    present = profiles(root)
    wanted = [profile] if profile else present
    if not wanted:
        raise ConfigError(f"no .env.<profile> is in {root}", "inv env.init writes .env.staging")
    read, faults = _read_all(root, {*present, *wanted}, _from_environment(profile, known) if from_environment else None)
    tracked = _tracked(root, [f".env.{name}" for name in read])
    hosts = _production_hosts(config, read.values())
    judged = [read[name] for name in wanted if name in read]
    for one in judged:
        faults += _file_faults(root, one, tracked or set())
        faults += _faults(one, known, overridden=bool(profile))
        faults += _shared_secrets(one, read.values(), known)
        faults += [] if is_production(one.name) else _foreign_hosts(one, hosts)
    faults += _unencrypted(root)
    notes = _not_looked(wanted, list(read), hosts, asked_git=tracked is not None)
    return Checked(tuple(faults), tuple(notes), {one.source: len(one.values) for one in judged})


def _from_environment(profile: str | None, known: Mapping[str, Variable]) -> Profile:
    if not profile:
        raise ConfigError("--from-environment judges one profile", "name it: --profile staging")
    values = {name: os.environ[name] for name in known if name in os.environ}
    return Profile(profile, "environment", (), values)


def _read_all(root: Path, names: Iterable[str], given: Profile | None) -> tuple[dict[str, Profile], list[str]]:
    """Read the files of `names` but for what is `given`; a file that can't be read is a fault."""
    read, faults = {given.name: given} if given else {}, []
    for name in sorted(set(names) - read.keys()):
        path = profile_file(root, name)
        if not os.path.lexists(path):
            raise ConfigError(
                f"{path} is missing",
                "inv env.init writes .env.staging; what a secrets manager sets is judged with --from-environment",
            )
        try:
            entries = tuple(read_env(path))
        except ConfigError as error:
            faults.append(error.message)
        else:
            values = {entry.name: entry.value for entry in entries if entry.value is not None}
            read[name] = Profile(name, path.name, entries, values)
    return read, faults


def _file_faults(root: Path, profile: Profile, tracked: set[str]) -> Iterator[str]:
    if profile.source == "environment":
        return
    mode = (root / profile.source).stat().st_mode & 0o7777
    if mode & ~0o600:
        yield f"{profile.source}: mode {mode:04o} lets others in (chmod 600 {profile.source})"
    if profile.source in tracked:
        yield f"{profile.source}: git tracks it (git rm --cached {profile.source}, then replace every secret in it)"
    counts = Counter(entry.name for entry in profile.entries)
    for entry in profile.entries:
        if entry.value is None or not PLAIN_NAME.fullmatch(entry.name):
            yield f"{profile.source}:{entry.line}: no NAME=value with a name of A-Z, 0-9 and _"
        elif counts.pop(entry.name, 1) > 1:
            yield f"{profile.place(entry.name)}: is set more than once; the last one counts"


def _faults(profile: Profile, known: Mapping[str, Variable], *, overridden: bool) -> Iterator[str]:
    production = is_production(profile.name)
    if not profile.values:
        yield f"{profile.source}: sets no variable"
    for name, variable in known.items():
        value = profile.values.get(name)
        if value is None:
            if variable.required:
                yield f"{profile.place(name)}: is missing"
            continue
        yield from (f"{profile.place(name)}: {fault}" for fault in value_faults(variable, value, production=production))
        if overridden and value and os.environ.get(name, value) != value:
            yield f"{profile.place(name)}: the environment sets it otherwise, and wins (unset it there)"
    for name in profile.values:
        if name not in known and PLAIN_NAME.fullmatch(name):
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else "declare it in [[env.names]] of truegate.toml"
            yield f"{profile.place(name)}: is unknown; {hint}"


def _shared_secrets(profile: Profile, everyone: Iterable[Profile], known: Mapping[str, Variable]) -> Iterator[str]:
    """Give each secret that another profile has too, whatever it is called there."""
    theirs = {
        secret: f"{name} in {other.source}"
        for other in everyone
        if other.name != profile.name
        for name, value in other.values.items()
        if (secret := secret_in(name, value, known.get(name)))
    }
    for name, value in profile.values.items():
        if owner := theirs.get(secret_in(name, value, known.get(name))):
            yield f"{profile.place(name)}: is the same secret as {owner}"


def _production_hosts(config: Config, everyone: Iterable[Profile]) -> dict[str, str]:
    """Give each host of production with who names it; what both may name is left out."""
    shared = dict.fromkeys(config["env.shared_hosts"], "shared")
    named = {
        host: f"{name} in {profile.source}"
        for profile in everyone
        if is_production(profile.name)
        for name, value in profile.values.items()
        for host in hosts_of(value)
        if not names_host(host, shared)
    }
    return named | dict.fromkeys(config["env.production_hosts"], "[env] production_hosts")


def _foreign_hosts(profile: Profile, hosts: Mapping[str, str]) -> Iterator[str]:
    for name, value in profile.values.items():
        if owner := names_host(value, hosts):
            yield f"{profile.place(name)}: names a host of production, that of {owner}"


def _tracked(root: Path, names: Sequence[str]) -> set[str] | None:
    """Give the files that git tracks; None when it can't be asked."""
    settings = ("core.fsmonitor=false", "core.hooksPath=/dev/null", "safe.directory=*")  # nothing of the target runs
    argv = ["git", *(part for setting in settings for part in ("-c", setting)), "ls-files", "-z", "--", *names]
    with tempfile.TemporaryDirectory() as home:
        code, out, errors = runner.output(argv, cwd=root, env=runner.clean_environment(Path(home)))
    if code == 0:
        return set(out.split("\0")) if names else set()
    return set() if "not a git repository" in errors else None


def _unencrypted(root: Path) -> Iterator[str]:
    """Give what lies open in files that are committed because they are thought to be encrypted."""
    for path in sorted(root.glob(".env.*.sops.env")):
        try:
            yield from (f"{path.name}:{entry.line}: is not encrypted" for entry in open_entries(path))
        except ConfigError as error:
            yield error.message


def _not_looked(
    wanted: Sequence[str], read: Sequence[str], hosts: Mapping[str, str], *, asked_git: bool
) -> Iterator[str]:
    if not hosts and not all(map(is_production, wanted)):
        yield "hosts of production (no .env.prod with any is here, and no [env] production_hosts in truegate.toml)"
    if len(read) == 1:
        yield "the same secret in another profile (no other is here)"
    if not asked_git:
        yield "whether git tracks a profile (git did not answer)"
