"""The tools table: found where it says, in range, not refused, asked once, and never downloaded by a check."""

from __future__ import annotations

import functools
import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

import spine  # type: ignore[import-not-found]
from truegate import remembered, runner, tools
from truegate.errors import ConfigError, InconclusiveError

FakeTool = Callable[..., Path]


@pytest.fixture(autouse=True)
def own_tools_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a `.tools` of the test's own: what the kit installed is out of reach."""
    folder = tmp_path / ".tools"
    folder.mkdir()
    monkeypatch.setattr(tools, "TOOLS_DIR", folder)
    monkeypatch.setattr(remembered, "MEMORY", folder / "seen.json")
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    return folder


def missing(configured: dict[str, str] | None = None) -> str:
    with pytest.raises(InconclusiveError) as caught:
        tools.find("trivy", configured)
    assert "inv tools.install --name trivy" in caught.value.next_step
    return caught.value.message


def stand_in(path: Path, version: str) -> Path:
    """Write a program that tells a version."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'#!/bin/sh\necho "Version: {version}"\n')
    path.chmod(0o755)
    return path


def test_the_table_is_sound() -> None:
    assert {"trivy", "osv-scanner", "snyk", "go"} <= tools.table().keys()
    for name, tool in tools.table().items():
        assert tool.purpose, name
        assert tool.homepage.startswith("https://"), name
        assert tool.sources, name
        assert re.compile(tool.version_pattern).groups == 1, name
        assert tools._order(tool.minimum) > (0,), name
        assert tool.pinned == "unpinned" or tools._fault(tool, tool.pinned) is None, name
        assert all(tools._fault(tool, version) for version in tool.refused), name
        assert all(re.fullmatch(r"\d+", code) for code in tool.exit_codes), name
        assert tools.row(name) is tool
    with pytest.raises(ConfigError, match="no tool is named 'trivvy'") as caught:
        tools.row("trivvy")
    assert "trivy, osv-scanner" in caught.value.next_step


@pytest.mark.parametrize(
    ("code", "timed_out", "meaning"),
    [
        (0, False, "ended, nothing found"),
        (10, False, "ended with findings"),
        (1, False, "broke"),
        (2, False, "unknown exit code 2: an error"),
        (255, False, "unknown exit code 255: an error"),
        (None, False, "unknown exit code None: an error"),
        (-9, False, "killed by signal 9"),
        (0, True, "killed at its time limit"),
        (-15, True, "killed at its time limit"),
    ],
)
def test_what_an_exit_code_means(code: int | None, *, timed_out: bool, meaning: str) -> None:
    assert tools.table()["trivy"].exit_meaning(code, timed_out=timed_out) == meaning


def test_a_tool_that_is_nowhere_is_missing() -> None:
    assert missing() == "trivy was not found on PATH nor under .tools/"


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("trivy-refused", "0.69.4 is refused: malicious release of 19 March 2026"),
        ("trivy-repacked", "0.69.4-1+deb13 is refused: malicious release of 19 March 2026"),
        ("trivy-too-old", "0.10.0 is older than 0.58.0"),
        ("trivy-mute", "does not tell its version"),
    ],
)
def test_a_version_that_may_not_be_used_is_told(
    script: str, told: str, fake_tool: FakeTool, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = fake_tool("trivy", script)
    assert missing({"trivy": str(path)}) == f"trivy can't be used: {path} {told}"
    monkeypatch.setenv("PATH", f"{path.parent}:/usr/bin:/bin")
    assert missing() == f"trivy can't be used: {path} {told}"


@pytest.mark.parametrize(
    ("version", "usable"),
    [("0.58.0", True), ("0.58", False), ("v0.76.0", True), ("0.100.0", True), ("1.0.0-rc1", True), ("0.57.99", False),
     ("0.69.3", True), ("0.69.5", False), ("0.69.6", False), ("0.69.40", True), ("dev", False)],
)  # fmt: skip
def test_versions_are_compared_as_numbers(version: str, tmp_path: Path, *, usable: bool) -> None:
    path = stand_in(tmp_path / "bin" / "trivy", version)
    if usable:
        found = tools.find("trivy", {"trivy": str(path)})
        assert (found.version, found.path, found.source) == (version.removeprefix("v"), path, "truegate.toml")
        assert found.sha256 == remembered.sha256_of(path)
    else:
        assert missing({"trivy": str(path)})


def test_a_tool_that_hangs_is_ended_with_its_children(
    fake_tool: FakeTool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "GRACE_SECONDS", 0.3)
    monkeypatch.setattr(runner, "output", functools.partial(runner.output, timeout_seconds=2))
    path = fake_tool("trivy", "trivy-mulls", FAKE_PIDS=str(tmp_path / "pids"))
    assert missing({"trivy": str(path)}) == f"trivy can't be used: {path} does not tell its version"
    pids = (tmp_path / "pids").read_text().split()
    assert len(pids) == 2
    assert all(spine.has_ended(int(pid)) for pid in pids)


def test_the_configured_path_counts_alone_then_path_before_what_the_kit_installed(
    own_tools_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configured = stand_in(tmp_path / "conf" / "any-name", "0.71.0")
    on_path = stand_in(tmp_path / "path" / "trivy", "0.72.0")
    installed = stand_in(own_tools_dir / "trivy" / "bin" / "trivy", "0.73.0")
    assert (tools.find("trivy").path, tools.find("trivy").source) == (installed, ".tools (repack)")
    monkeypatch.setenv("PATH", f"{on_path.parent}:/usr/bin:/bin")
    assert (tools.find("trivy").path, tools.find("trivy").source) == (on_path, "PATH")
    assert tools.find("trivy", {"snyk": "/x"}).path == on_path
    assert tools.find("trivy", {"trivy": str(configured)}).path == configured
    absent = tmp_path / "absent"
    assert missing({"trivy": str(absent)}) == f"trivy can't be used: {absent} does not tell its version"


def test_what_the_kit_installed_steps_in_where_the_one_on_path_is_refused(
    own_tools_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_path = stand_in(tmp_path / "path" / "trivy", "0.69.4")
    monkeypatch.setenv("PATH", f"{on_path.parent}:/usr/bin:/bin")
    installed = stand_in(own_tools_dir / "trivy" / "bin" / "trivy", "0.73.0")
    assert tools.find("trivy").path == installed
    stand_in(installed, "0.57.0")
    assert missing() == (
        f"trivy can't be used: {on_path} 0.69.4 is refused: malicious release of 19 March 2026; "
        f"{installed} 0.57.0 is older than 0.58.0"
    )


def counting(folder: Path) -> Path:
    """Write a program that notes each time it is asked."""
    path = folder / "counted" / "trivy"
    path.parent.mkdir()
    path.write_text(f'#!/bin/sh\necho asked >> "{folder}/asked"\necho "Version: 0.76.0"\n')
    path.chmod(0o755)
    return path


def test_a_tool_is_asked_once_until_it_changes(tmp_path: Path) -> None:
    path = counting(tmp_path)
    for _ in range(3):
        assert tools.find("trivy", {"trivy": str(path)}).version == "0.76.0"
    assert (tmp_path / "asked").read_text() == "asked\n"
    path.write_text(path.read_text() + "\n")
    assert tools.find("trivy", {"trivy": str(path)}).sha256 == remembered.sha256_of(path)
    assert (tmp_path / "asked").read_text() == "asked\n" * 2


def test_a_tool_that_did_not_answer_is_asked_again(tmp_path: Path, own_tools_dir: Path) -> None:
    """A machine that was too busy once must not be without the tool for ever."""
    path = stand_in(tmp_path / "trivy", "0.76.0")
    path.write_text(f'#!/bin/sh\n[ -e "{tmp_path}/rested" ] && echo "Version: 0.76.0"\n')
    assert missing({"trivy": str(path)})
    (tmp_path / "rested").touch()
    assert tools.find("trivy", {"trivy": str(path)}).version == "0.76.0"
    assert json.loads((own_tools_dir / "seen.json").read_text())


@pytest.mark.parametrize("memory", [b"", b"{", b"[]", b"null", b"\xff", b'"x"'])
def test_a_broken_memory_is_no_memory(memory: bytes, tmp_path: Path, own_tools_dir: Path) -> None:
    (own_tools_dir / "seen.json").write_bytes(memory)
    path = counting(tmp_path)
    assert tools.find("trivy", {"trivy": str(path)}).version == "0.76.0"
    assert tools.find("trivy", {"trivy": str(path)}).version == "0.76.0"
    assert (tmp_path / "asked").read_text() == "asked\n"


def test_where_nothing_can_be_kept_a_tool_is_asked_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remembered, "MEMORY", Path("/proc/none/seen.json"))
    path = counting(tmp_path)
    for _ in range(2):
        assert tools.find("trivy", {"trivy": str(path)}).version == "0.76.0"
    assert (tmp_path / "asked").read_text() == "asked\n" * 2


def test_a_program_of_that_name_in_the_working_directory_is_not_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = counting(tmp_path)
    monkeypatch.chdir(path.parent)
    for search in ("", ".", ":", "./", ".:/usr/bin:/bin"):
        monkeypatch.setenv("PATH", search)
        assert missing()
    assert not (tmp_path / "asked").exists()


def test_a_tool_is_asked_in_an_environment_that_steers_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIVY_CONFIG", "/x")
    monkeypatch.setenv("API_TOKEN", "s3cr3t-value")
    path = stand_in(tmp_path / "trivy", "0.76.0")
    path.write_text(f'#!/bin/sh\nenv > "{tmp_path}/env"\npwd > "{tmp_path}/pwd"\necho "Version: 0.76.0"\n')
    tools.find("trivy", {"trivy": str(path)})
    names = {line.split("=")[0] for line in (tmp_path / "env").read_text().splitlines()}
    shell = {"PWD", "OLDPWD", "_", "SHLVL"}
    assert names - shell == {"PATH", "HOME", "TMPDIR", "LC_ALL", "TZ", "NO_COLOR"}
    assert (tmp_path / "pwd").read_text().strip() != os.getcwd()  # noqa: PTH109


def test_the_real_trivy_tells_its_version(trivy: Path) -> None:
    found = tools.find("trivy", {"trivy": str(trivy)})
    assert found.version == tools.table()["trivy"].pinned
    assert re.fullmatch(r"[0-9a-f]{64}", found.sha256)
