"""What discovery finds, and that nothing which looks like a lockfile vanishes without a word."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from truegate.inventory.discover import MAX_BYTES, discover
from truegate.inventory.records import Discovery, FoundFile

SCRIPTS = Path(__file__).parents[2] / "scripts"
NOBODY = 65534


def plant(folder: Path, names: Iterable[str], text: str = "{}\n") -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def find(folder: Path, *excluded: str, leave_out: Iterable[Path] = ()) -> Discovery:
    return discover(folder, leave_out=list(leave_out), excluded=excluded)


def paths(found: Discovery) -> list[str]:
    return [file.path for file in found.files]


def test_every_supported_name_is_found_with_its_format_in_path_order(tmp_path: Path) -> None:
    expected = [
        FoundFile("a/Pipfile", "Pipfile", "pypi", "manifest"),
        FoundFile("a/Pipfile.lock", "pipenv", "pypi", "lockfile"),
        FoundFile("a/package.json", "package.json", "npm", "manifest"),
        FoundFile("a/pnpm-lock.yaml", "pnpm", "npm", "lockfile"),
        FoundFile("a/poetry.lock", "poetry", "pypi", "lockfile"),
        FoundFile("a/pyproject.toml", "pyproject.toml", "pypi", "manifest"),
        FoundFile("a/requirements/anything.in", "requirements.in", "pypi", "manifest"),
        FoundFile("a/requirements/anything.txt", "requirements", "pypi", "lockfile"),
        FoundFile("a/setup.cfg", "setup.cfg", "pypi", "manifest"),
        FoundFile("a/setup.py", "setup.py", "pypi", "manifest"),
        FoundFile("a/uv.lock", "uv", "pypi", "lockfile"),
        FoundFile("dev-requirements.txt", "requirements", "pypi", "lockfile"),
        FoundFile("npm-shrinkwrap.json", "npm", "npm", "lockfile"),
        FoundFile("package-lock.json", "npm", "npm", "lockfile"),
        FoundFile("requirements-dev.in", "requirements.in", "pypi", "manifest"),
        FoundFile("requirements.lock", "requirements", "pypi", "lockfile"),
        FoundFile("yarn.lock", "yarn", "npm", "lockfile"),
    ]
    plant(tmp_path, [file.path for file in reversed(expected)])
    plant(tmp_path, ["constraints.txt", "requirements/constraints-x.in"])
    plant(tmp_path, ["a/requirements.md", "x.lock", ".github/x.yml"])
    names = ("constraints.txt", "requirements/constraints-x.in")
    left_out = tuple(f"{name} (constraints, which install nothing)" for name in names)
    assert find(tmp_path) == Discovery(tuple(expected), (), left_out)


@pytest.mark.parametrize(
    ("ecosystem", "names"),
    [
        ("Go", ["go.mod", "go.sum"]),
        ("Cargo", ["Cargo.toml", "Cargo.lock"]),
        ("Gem", ["Gemfile", "Gemfile.lock", "x.gemspec"]),
        ("Composer", ["composer.json", "composer.lock"]),
        ("Maven", ["pom.xml"]),
        ("Gradle", ["build.gradle", "build.gradle.kts", "gradle.lockfile"]),
        ("NuGet", ["App.csproj", "packages.lock.json", "packages.config"]),
        ("Swift", ["Package.swift", "Package.resolved"]),
        ("Dart", ["pubspec.yaml", "pubspec.lock"]),
        ("Elixir", ["mix.exs", "mix.lock"]),
        ("Conda", ["environment.yml", "conda-lock.yml"]),
        ("Bun", ["bun.lock", "bun.lockb"]),
        ("Deno", ["deno.json", "deno.lock"]),
        ("PDM", ["pdm.lock"]),
        ("pylock", ["pylock.toml", "pylock.dev.toml"]),
        ("Bazel", ["MODULE.bazel", "MODULE.bazel.lock"]),
        ("Bower", ["bower.json"]),
        ("Clojure", ["deps.edn", "project.clj"]),
        ("CPAN", ["cpanfile", "cpanfile.snapshot"]),
        ("Crystal", ["shard.lock", "shard.yml"]),
        ("DUB", ["dub.json", "dub.selections.json"]),
        ("Elm", ["elm.json"]),
        ("Paket", ["paket.dependencies", "paket.lock"]),
        ("uv for scripts", ["fetch.py.lock"]),
    ],
)
def test_an_ecosystem_without_a_reader_is_one_problem_a_folder(
    tmp_path: Path, ecosystem: str, names: list[str]
) -> None:
    plant(tmp_path, [f"{folder}/{name}" for folder in ("a", "b") for name in names])
    found = find(tmp_path)
    assert found.files == ()
    assert [reason.code for reason in found.problems] == ["unsupported", "unsupported"]
    for folder, reason in zip("ab", found.problems, strict=True):
        assert reason.kind == "incomplete"
        assert reason.message == f"{folder}/{min(names)}: {ecosystem} has no reader and no control here"
        assert "truegate.toml" in reason.next_step


def test_gitignore_is_not_obeyed(tmp_path: Path) -> None:
    plant(tmp_path, [".gitignore"], "sub/\n*.json\n")
    plant(tmp_path, ["sub/package.json", ".hidden/yarn.lock", "__pycache__/uv.lock", ".git/package.json"])
    found = find(tmp_path)
    assert paths(found) == [".hidden/yarn.lock", "__pycache__/uv.lock", "sub/package.json"]
    assert found.left_out == ()


def test_the_kits_own_folders_and_exclusions_are_named(tmp_path: Path) -> None:
    plant(tmp_path, [f"{n}/package.json" for n in ("kit", "evidence", "old", "a/old", "docs/x/y", "docs/z", "docs2")])
    plant(tmp_path, ["web/yarn.lock", "web/package.json"])
    (tmp_path / "link").symlink_to(tmp_path / "evidence")
    leave_out = [tmp_path / "kit", tmp_path / "link", tmp_path / "absent"]
    found = find(tmp_path, "old/", "docs/*/y", "**/z", "*/yarn.lock", leave_out=leave_out)
    assert paths(found) == ["a/old/package.json", "docs2/package.json", "web/package.json"]
    assert found.left_out == (
        "docs/x/y (excluded by the configuration)",
        "docs/z (excluded by the configuration)",
        "evidence (the kit itself)",
        "kit (the kit itself)",
        "link (the kit itself)",
        "old (excluded by the configuration)",
        "web/yarn.lock (excluded by the configuration)",
    )


def test_links_are_not_followed_and_a_linked_lockfile_is_a_problem(tmp_path: Path) -> None:
    plant(tmp_path, ["outside/yarn.lock", "target/real/yarn.lock"])
    target = tmp_path / "target"
    (target / "loop").symlink_to(target)
    (target / "real" / "up").symlink_to("..")
    (target / "folder").symlink_to(tmp_path / "outside")
    (target / "self").symlink_to("self")
    (target / "package-lock.json").symlink_to("package-lock.json")
    (target / "yarn.lock").symlink_to(tmp_path / "outside" / "yarn.lock")
    (target / "poetry.lock").symlink_to("nowhere")
    (target / "uv.lock").symlink_to(tmp_path / "outside")
    found = find(target)
    assert paths(found) == ["real/yarn.lock"]
    names = ["package-lock.json", "poetry.lock", "uv.lock", "yarn.lock"]
    assert [reason.message for reason in found.problems] == [
        "folder: it is a link to a folder outside of what is judged",
        *(f"{name}: it is a link, and links are not followed" for name in names),
    ]
    assert {reason.kind for reason in found.problems} == {"incomplete"}
    assert [each.split(" ")[0] for each in found.left_out] == ["loop", "real/up"]


def test_names_in_another_case_do_not_vanish(tmp_path: Path) -> None:
    plant(tmp_path, ["Package-Lock.json", "a/YARN.LOCK", "a/pipfile.lock", "Requirements-Dev.TXT", "GO.MOD"])
    found = find(tmp_path)
    assert paths(found) == ["Requirements-Dev.TXT"]
    assert [reason.message.split(":")[0] for reason in found.problems] == [
        "GO.MOD",
        "Package-Lock.json",
        "a/YARN.LOCK",
        "a/pipfile.lock",
    ]


def test_paths_that_are_not_utf8_do_not_vanish(tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path) + b"/caf\xe9"
    Path(os.fsdecode(folder)).mkdir()
    for name in (b"yarn.lock", b"requirements-\xff.txt", b"other-\xff.md"):
        Path(os.fsdecode(folder + b"/" + name)).touch()
    found = find(tmp_path)
    assert found.files == ()
    assert [reason.message for reason in found.problems] == [
        "caf\\xe9/requirements-\\xff.txt: its path is not UTF-8, so no report can name it",
        "caf\\xe9/yarn.lock: its path is not UTF-8, so no report can name it",
    ]
    json.dumps([reason.message for reason in found.problems], ensure_ascii=False).encode()


def test_what_is_no_file_or_too_large_is_a_problem(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "yarn.lock")
    (tmp_path / "uv.lock").mkdir()
    for name, size in (("package-lock.json", MAX_BYTES + 1), ("poetry.lock", MAX_BYTES)):
        with (tmp_path / name).open("wb") as file:
            file.truncate(size)
    found = find(tmp_path)
    assert paths(found) == ["poetry.lock"]
    assert [reason.message for reason in found.problems] == [
        "package-lock.json: it has more than 50,000,000 bytes",
        "yarn.lock: it is no regular file",
    ]


def test_what_requirements_include_is_found_under_any_name(tmp_path: Path) -> None:
    plant(tmp_path, ["svc/requirements.txt"], "-r more/base.inc\n--requirement=../shelf\n-r requirements.txt\n")
    plant(tmp_path, ["svc/more/base.inc"], "-r deeper.txt\n-r ../../requirements.in\n")
    plant(tmp_path, ["svc/more/deeper.txt", "shelf", "requirements.in"], "a==1\n")
    found = find(tmp_path)
    names = ["requirements.in", "shelf", "svc/more/base.inc", "svc/more/deeper.txt", "svc/requirements.txt"]
    assert found.files == tuple(FoundFile(name, "requirements", "pypi", "lockfile") for name in names)
    assert found.problems == ()


@pytest.mark.parametrize(
    "target", ["gone.txt", "../outside.txt", "https://x.invalid/r.txt", "link.txt", "folder", "${D}/x"]
)
def test_an_include_that_is_no_file_of_the_target_is_a_problem(tmp_path: Path, target: str) -> None:
    plant(tmp_path, ["outside.txt", "target/folder/x"], "a==1\n")
    plant(tmp_path, ["target/requirements.txt"], f"-r {target}\n")
    (tmp_path / "target" / "link.txt").symlink_to(tmp_path / "outside.txt")
    (reason,) = find(tmp_path / "target").problems
    assert reason.message == f"requirements.txt: it includes {target}, which is no file that can be judged"


def test_a_missing_root_is_a_problem(tmp_path: Path) -> None:
    (reason,) = find(tmp_path / "gone").problems
    assert reason.message == ".: the folder can't be read: No such file or directory"


def test_what_may_not_be_read_is_a_problem_for_an_ordinary_user(tmp_path: Path) -> None:
    plant(tmp_path, ["shut/yarn.lock", "listed/yarn.lock", "package-lock.json", "open/yarn.lock"])
    for name, mode in (("shut", 0o000), ("listed", 0o444), ("package-lock.json", 0o000)):
        (tmp_path / name).chmod(mode)
    code = (
        "import json, os, sys, pathlib; sys.path.insert(0, sys.argv[1])\n"
        "from truegate.inventory.discover import discover\n"
        "if os.geteuid() == 0: os.setgroups([]), os.setgid(65534), os.setuid(65534)\n"
        "found = discover(pathlib.Path('.'), leave_out=[], excluded=[])\n"
        "print(json.dumps([[f.path for f in found.files], [r.message for r in found.problems]]))\n"
    )
    if os.geteuid() == 0:
        os.chown(tmp_path, NOBODY, NOBODY)  # its parents stay shut: the process starts inside
    argv = [sys.executable, "-c", code, str(SCRIPTS)]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False)
    for name in ("shut", "listed"):
        (tmp_path / name).chmod(0o755)
    if "PermissionError" in done.stderr and "setgroups" in done.stderr:
        pytest.skip("this root may not become another user")
    assert done.stderr == ""
    files, messages = json.loads(done.stdout)
    assert files == ["open/yarn.lock"]
    assert messages == [
        "listed/yarn.lock: it can't be read: Permission denied",
        "package-lock.json: it may not be read",
        "shut: the folder can't be read: Permission denied",
    ]
