"""What was judged, told by git without running anything that the target brings; and old runs, listed and removed."""

from __future__ import annotations

import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

import spine  # type: ignore[import-not-found]
from truegate.config import load_config
from truegate.errors import ConfigError
from truegate.evidence import describe_target
from truegate.history import old_runs, run_folders
from truegate.model import Target

NOW = datetime(2030, 4, 30, 12, tzinfo=UTC)


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "protocol.file.allow=always"]
    argv = ["git", *identity, *arguments]
    return subprocess.run(argv, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    folder.mkdir()
    git(folder, "init", "--quiet")
    (folder / "a.txt").write_text("abc\n")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "first")
    return folder


def described(folder: Path, **overrides: str) -> Target:
    return describe_target(load_config(str(folder), None, overrides))


def test_commit_and_changes_are_told(repository: Path) -> None:
    commit = git(repository, "rev-parse", "HEAD")
    assert described(repository) == Target("shop", commit, dirty=False, url=None)
    (repository / "new.txt").write_text("new\n")
    assert described(repository) == Target("shop", commit, dirty=True, url=None)


def test_what_runs_write_is_no_change_and_the_rest_of_the_repository_is(repository: Path) -> None:
    for name in ("shop/evidence/run", "shop/kept/pages", "shop/evidence2"):
        (repository / name).mkdir(parents=True)
    (repository / "shop" / "evidence" / "run" / "meta.json").write_text("{}")
    (repository / "shop" / "kept" / "pages" / "index.html").write_text("x")
    inner = {"evidence.reports_dir": "kept"}
    assert described(repository / "shop", **inner).dirty is False
    assert described(repository / "shop").dirty is True
    (repository / "shop" / "evidence2" / "new.txt").write_text("new\n")
    assert described(repository / "shop", **inner).dirty is True


def test_no_repository_no_commit_and_no_git_are_no_error(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert described(tmp_path) == Target(tmp_path.name, None, None, None)
    (tmp_path / "empty").mkdir()
    git(tmp_path / "empty", "init", "--quiet")
    assert described(tmp_path / "empty") == Target("empty", None, None, None)
    monkeypatch.setenv("PATH", "/nowhere")
    assert described(repository) == Target("shop", None, None, None)


@pytest.mark.parametrize("name", ["evil", "e=v", "with space", "quo'te"])
@pytest.mark.parametrize("kind", ["clean", "process"])
def test_a_filter_of_the_target_is_not_started(name: str, kind: str, repository: Path, tmp_path: Path) -> None:
    git(repository, "config", f"filter.{name}.{kind}", f'touch "{tmp_path}/started"; cat')
    (repository / ".gitattributes").write_text(f'*.txt "filter={name}"\n' if " " in name else f"*.txt filter={name}\n")
    (repository / "a.txt").write_text("xyz\n")  # as long as before, so that git must read it
    os.utime(repository / "a.txt", (1, 1))
    target = described(repository)
    assert not (tmp_path / "started").exists()
    assert target.commit
    assert target.dirty is not False


def test_no_monitor_or_hook_of_the_target_or_a_submodule_is_started(repository: Path, tmp_path: Path) -> None:
    inner = repository / "inner"
    git(repository, "submodule", "--quiet", "add", str(repository), "inner")
    git(repository, "commit", "--quiet", "--message", "second")
    for folder in (repository, inner):
        git(folder, "config", "core.fsmonitor", f'touch "{tmp_path}/started"; false')
        git(folder, "config", "filter.evil.clean", f'touch "{tmp_path}/started"; cat')
        (folder / ".gitattributes").write_text("*.txt filter=evil\n")
        (folder / "a.txt").write_text("xyz\n")
        os.utime(folder / "a.txt", (1, 1))
    (tmp_path / "hooks").mkdir()
    (tmp_path / "hooks" / "post-index-change").write_text(f'#!/bin/sh\ntouch "{tmp_path}/started"\n')
    (tmp_path / "hooks" / "post-index-change").chmod(0o755)
    git(repository, "config", "core.hooksPath", str(tmp_path / "hooks"))
    assert not (tmp_path / "started").exists()
    assert described(repository).commit
    assert not (tmp_path / "started").exists()


def test_asking_changes_nothing_in_the_target(repository: Path) -> None:
    os.utime(repository / "a.txt", (1, 1))  # git would note the new time in its index
    before = (repository / ".git" / "index").read_bytes()
    assert described(repository).dirty is False
    assert (repository / ".git" / "index").read_bytes() == before


def test_name_and_address_hold_no_secret(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_TOKEN", "t0k3n-value")
    address = {"target.url": "https://bot:s3cr3t@example.org/t0k3n-value", "target.name": "shop t0k3n-value"}
    target = described(repository, **address)
    assert (target.name, target.url) == ("shop ***", "https://bot:***@example.org/***")


def folders(tmp_path: Path, *names: str, check: str = "security/sca") -> list[Path]:
    made = [tmp_path / check / name for name in names]
    for folder in made:
        folder.mkdir(parents=True)
        (folder / "meta.json").write_text("{}")
    return made


def test_old_runs_go_but_the_newest_of_each_check_stay(tmp_path: Path) -> None:
    sca = folders(tmp_path, "20290101_0000-aaaaaa", "20290102_0000-aaaaaa", "20300130_1159-aaaaaa",
                  "20300130_1200-aaaaaa", "20300430_0000-aaaaaa")  # fmt: skip
    sbom = folders(tmp_path, "20280101_0000-aaaaaa", check="security/sbom")
    assert run_folders(tmp_path) == sbom + sca
    assert old_runs(sca + sbom, "90d", "0", NOW) == sbom + sca[:3]
    assert old_runs(sca + sbom, "90d", "1", NOW) == sca[:3]
    assert old_runs(sca + sbom, "90d", "4", NOW) == sca[:1]
    assert old_runs(sca + sbom, "0d", "0", NOW) == sbom + sca
    assert old_runs(sca + sbom, "99999d", "0", NOW) == []


@pytest.mark.parametrize(
    ("age", "keep"),
    [("90", "5"), ("90h", "5"), ("-1d", "5"), ("", "5"), ("9999999999999d", "5"), ("90d", "-1"), ("90d", "abc")],
)
def test_an_age_that_cannot_be_read_is_refused(age: str, keep: str) -> None:
    with pytest.raises(ConfigError, match="can't be read"):
        old_runs([], age, keep)


def test_pruning_says_what_it_would_do_and_does_it_when_told(tmp_path: Path) -> None:
    folders(tmp_path / "evidence", "20200101_0000-aaaaaa", "20200102_0000-aaaaaa")
    prune = ("evidence.prune", "--older-than", "90d", "--keep-last", "1")
    said = spine.inv(*prune, cwd=tmp_path)
    assert said.stdout == "would remove evidence/security/sca/20200101_0000-aaaaaa\n"
    assert len(run_folders(tmp_path / "evidence")) == 2
    done = spine.inv(*prune, "--yes", cwd=tmp_path)
    assert done.stdout == "removed evidence/security/sca/20200101_0000-aaaaaa\n"
    assert [path.name for path in run_folders(tmp_path / "evidence")] == ["20200102_0000-aaaaaa"]
    assert spine.inv("evidence.prune", "--older-than", "x", cwd=tmp_path).returncode == 2
