"""Keep a profile encrypted with sops and age: a file that may be committed, and a key that stays with its owner."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from truegate import runner
from truegate.config import Config, expanded
from truegate.env import PLAIN_NAME, open_entries, profile_file, read_env, write_new
from truegate.errors import ConfigError, InconclusiveError
from truegate.install import install
from truegate.tools import find


@dataclass(frozen=True)
class Encrypted:
    """What was made: the encrypted file, and whether the key that it is for was made too; None: others say for whom."""

    path: Path
    new_key: bool | None


def encrypted_file(root: Path, profile: str) -> Path:
    """Give the path of a profile's encrypted file, which may be committed."""
    return profile_file(root, profile).with_name(f".env.{profile}.sops.env")


def key_file() -> Path:
    """Give where sops looks for age keys: SOPS_AGE_KEY_FILE, else its usual file."""
    if named := os.environ.get("SOPS_AGE_KEY_FILE"):
        return expanded(named).absolute()
    usual = "~/Library/Application Support" if sys.platform == "darwin" else "~/.config"
    return expanded(os.environ.get("XDG_CONFIG_HOME") or usual) / "sops" / "age" / "keys.txt"


def encrypt(config: Config, profile: str) -> Encrypted:
    """Encrypt `.env.<profile>`, decrypt that again, and keep it only when both are equal.

    For whom: the creation rules of a .sops.yaml in the target or above it, SOPS_AGE_RECIPIENTS, or else the key in
    `key_file()`, which is made where there is none. sops is given plain lines, not the file: it would take quotes,
    remarks and `export` for part of names and values. Raises ConfigError where the encrypted file is there already
    or can't hold a value, InconclusiveError when sops fails.
    """
    root = config.target_dir
    path = encrypted_file(root, profile)
    if os.path.lexists(path):
        raise ConfigError(f"{path} is there already", f"inv env.edit --profile {profile} changes it")
    values = _values(profile_file(root, profile))
    sops, new_key, recipients = _tool("sops", config), None, []
    if "SOPS_AGE_RECIPIENTS" not in os.environ and not any(
        (up / ".sops.yaml").exists() for up in (root, *root.parents)
    ):
        new_key = not key_file().exists()
        recipients = ["--age", _public_keys(key_file(), _tool("age-keygen", config))]
    with tempfile.TemporaryDirectory() as folder:
        plain, made = Path(folder) / "plain.env", Path(folder) / "made.env"
        write_new(plain, "".join(f"{name}={_on_one_line(value)}\n" for name, value in values.items()))
        where = ["--filename-override", path.name, "--output", str(made)]
        _run([str(sops), "encrypt", *where, *recipients, str(plain)], root)
        _prove(sops, made, values, root)
        write_new(path, made.read_text(encoding="utf-8"))
    return Encrypted(path, new_key)


def edit_command(config: Config, profile: str) -> str:
    """Give the command that opens the decrypted profile in $EDITOR; the editor needs the user's own terminal.

    Raises ConfigError where there is no encrypted file.
    """
    path = encrypted_file(config.target_dir, profile)
    if not path.exists():
        raise ConfigError(f"{path} is missing", f"inv env.encrypt --profile {profile} makes it from .env.{profile}")
    return runner.shown([str(_tool("sops", config)), "edit", str(path)])


def _values(source: Path) -> dict[str, str]:
    """Read what is to be encrypted. Names stay open: what may be a piece of a pasted secret is refused as one."""
    entries = read_env(source)
    if bad := [str(entry.line) for entry in entries if entry.value is None or not PLAIN_NAME.fullmatch(entry.name)]:
        raise ConfigError(
            f"{source.name}: line {', '.join(bad)} is no NAME=value with a name of A-Z, 0-9 and _",
            "mend it: sops does not hide names",
        )
    return {entry.name: entry.value or "" for entry in entries}


def _on_one_line(value: str) -> str:
    return value.replace("\n", "\\n")


def _prove(sops: Path, made: Path, values: Mapping[str, str], root: Path) -> None:
    """Hold that what sops wrote hides every value and gives each back."""
    back = json.loads(_run([str(sops), "decrypt", "--output-type", "json", str(made)], root))
    different = sorted(name for name in {*back, *values} if back.get(name) != values.get(name))
    if different or (different := [entry.name for entry in open_entries(made)]):
        raise ConfigError(
            f"sops can't hold {', '.join(different)} as it stands",
            "such a value has a \\n in it, or the rules in .sops.yaml leave it open: change that",
        )


def _public_keys(key: Path, age_keygen: Path) -> str:
    """Give the public halves of the keys in `key`; makes one where there is none."""
    if not key.exists():
        key.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _run([str(age_keygen), "-o", str(key)], key.parent)
    return ",".join(_run([str(age_keygen), "-y", str(key)], key.parent).split())


def _run(argv: list[str], cwd: Path) -> str:
    """Run sops or age in the user's own environment, which says where keys and key services are."""
    code, out, errors = runner.output(argv, cwd=cwd, env=os.environ)
    if code != 0:
        raise InconclusiveError(
            f"{Path(argv[0]).name} {argv[1]} ended with {code}:\n{errors.strip()}", "mend what it says"
        )
    return out


def _tool(name: str, config: Config) -> Path:
    """Find a tool, or install it: these are built only when first asked for."""
    try:
        return find(name, config["tools"]).path
    except InconclusiveError:
        return install(name).path
