"""The README: every command block is run, in order, and prints what it shows; its tables and links are true.

In a shown line `…` stands for anything, on a line of its own for any lines; run names and seconds may differ.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import kits  # type: ignore[import-not-found]
import pytest
import staging_kit  # type: ignore[import-not-found]
import support  # type: ignore[import-not-found]

import advisory_servers  # type: ignore[import-not-found]
from truegate import errors
from truegate.checks import MODULES

README = kits.README
NARROW = 80
# `./run tests` within the tests would never end: there, this file stands for all of them.
ONE_FILE = "tests/unit/test_layout.py"


def commands(body: str) -> Iterator[tuple[str, list[str]]]:
    """Give each command of a console block with the lines that it is shown to print."""
    for part in re.split(r"^\$ ", body.replace("\\\n", ""), flags=re.MULTILINE)[1:]:
        command, *shown = part.rstrip("\n").split("\n")
        yield command, shown


def pattern(shown: list[str]) -> str:
    """Give the regular expression of shown lines."""
    lines = []
    for line in shown:
        text = re.escape(line).replace("…", ".*")
        text = re.sub(r"\d{8}_\d{4}\\-[0-9a-f]{6}", lambda _: r"\d{8}_\d{4}-[0-9a-f]{6}", text)
        text = re.sub(r"\d+\\\.\d(?=s?\\ )", lambda _: r"\d+\.\d", text)
        text = re.sub(r"(?:\\ ){2,}", " {2,}", re.sub(r"(?:\\-){3,}", "-+", text))  # a column may be wider
        lines.append(r"(?:.*\n)*" if line == "…" else rf"{text}\s*\n")
    return "".join(lines)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Path]:
    """Make a service with an old lodash, and a mirror of its own that has public data of this minute."""
    with advisory_servers.serving(advisory_servers.registry(kits.public_data())) as server:
        mirror = f'[security.db]\ntrivy_repositories = ["{server.host}/db:2"]\n'
        files = {"package-lock.json": support.npm_lock({"lodash": "4.17.4"}), "truegate.toml": mirror}
        yield kits.commit(support.write(tmp_path / "service", files))


@pytest.mark.slow
@pytest.mark.usefixtures("service")
def test_every_command_prints_what_it_is_shown_to_print(tmp_path: Path) -> None:
    cwd = staging_kit.make(tmp_path / "truegate")
    ran = 0
    for info, body in kits.blocks(README, "console"):
        codes = [int(code) for code in info.removeprefix("exits").split()]
        for command, shown in commands(body):
            expected = codes.pop(0) if codes else 0
            script = f"{command}\ncode=$?\npwd >'{tmp_path}/cwd'\nexit $code\n"
            done = kits.run(["sh", "-c", script], cwd, {"PYTEST_ADDOPTS": ONE_FILE})
            said = f"$ {command}\n{done.stdout}{done.stderr}"
            assert done.returncode == expected, said
            assert re.fullmatch(pattern(shown), done.stdout), f"{pattern(shown)}\n{said}"
            assert "Traceback" not in done.stderr
            if command.startswith("cp -R"):
                kits.lend(tmp_path / "service" / "ops")
            cwd = Path((tmp_path / "cwd").read_text().strip())
            ran += 1
        assert not codes
    assert ran == README.count("\n$ ")


def test_every_block_is_run() -> None:
    kinds = [line for line in README.splitlines() if line.startswith("```") and line != "```"]
    assert {kind.split(" ")[0] for kind in kinds} == {"```console"}


def test_shown_output_is_narrow_and_the_whole_is_short() -> None:
    shown = [line for _, body in kits.blocks(README, "console") for line in body.splitlines()]
    assert [line for line in shown if len(line) > NARROW] == []
    assert len(README.splitlines()) <= 130


def test_the_tables_are_those_of_the_code() -> None:
    codes = {int(code) for code in re.findall(r"^\| (\d) \|", README, re.MULTILINE)}
    assert codes == set(errors.WORST_FIRST)
    order = re.search(r"in the order ([\d, ]+)\.", README)
    assert order
    assert tuple(int(code) for code in order[1].split(", ")) == errors.WORST_FIRST
    assert set(re.findall(r"^\| `(\S+\.\S+)` \|", README, re.MULTILINE)) == set(MODULES)
