"""What Python's tools install and a careless reader would not see is read, or named as not understood."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from truegate.inventory.discover import discover
from truegate.inventory.manifests import included_files, needs, parse
from truegate.inventory.read import read_inventory
from truegate.inventory.records import FoundFile, Inventory
from truegate.inventory.requirements import includes

SAMPLES = Path(__file__).parents[1] / "samples" / "lockfiles"
POETRY_END = '\n[metadata]\nlock-version = "2.1"\ncontent-hash = "0123"\n'
REGISTRY = 'source = { registry = "https://registry.invalid/simple" }\n'


def read(folder: Path, files: dict[str, str]) -> Inventory:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content.encode())
    found = discover(folder, leave_out=[], excluded=[])
    inventory = read_inventory(folder, found.files, ())
    return Inventory(inventory.readings, (*found.problems, *inventory.problems))


def scopes(inventory: Inventory) -> dict[str, str]:
    return {package.key: package.scope for reading in inventory.readings for package in reading.packages}


def names(kind: str, text: str) -> set[str]:
    return {need.name for need in needs(kind, parse(kind, text))}


# Extras, each spelled in another way than where it is defined.


@pytest.mark.parametrize(("defined", "wanted"), [("socks", "SOCKS"), ("web_x", "Web-X"), ("Web.X", "web-x")])
def test_extras_of_a_poetry_lock_are_the_same_in_any_spelling(tmp_path: Path, defined: str, wanted: str) -> None:
    lock = (
        '[[package]]\nname = "app-kit"\nversion = "1"\n[package.dependencies]\n'
        f'requests = {{ version = "*", extras = ["{wanted}"] }}\n\n'
        '[[package]]\nname = "pysocks"\nversion = "1"\n\n'
        '[[package]]\nname = "requests"\nversion = "1"\n[package.dependencies]\n'
        f'pysocks = {{ version = "*", optional = true }}\n[package.extras]\n"{defined}" = ["PySocks (>=1)"]\n'
        f'"all" = ["requests[{wanted}]"]\n{POETRY_END}'
    )
    dev = '[tool.poetry.group.dev.dependencies]\npysocks = "*"\n'
    for lines in (
        f'[project]\ndependencies = ["requests[{wanted}]"]\n',
        '[project]\ndependencies = ["requests[ALL]"]\n',
        '[project]\ndependencies = ["app-kit"]\n',
        f'[tool.poetry.dependencies]\nrequests = {{ version = "*", extras = ["{wanted}"] }}\n',
    ):
        found = scopes(read(tmp_path, {"poetry.lock": lock, "pyproject.toml": lines + dev}))
        assert found["pysocks@1"] == "runtime", lines
    found = scopes(read(tmp_path, {"poetry.lock": lock, "pyproject.toml": f"[project]\ndependencies = []\n{dev}"}))
    assert found["pysocks@1"] == "dev"


@pytest.mark.parametrize("sample", ["poetry1-extras", "poetry2-extras"])
def test_a_dev_package_that_an_extra_of_a_runtime_one_needs_is_runtime_in_a_real_lock(
    tmp_path: Path, sample: str
) -> None:
    files = {
        name: (SAMPLES / sample / f"{name}.sample").read_text(encoding="utf-8")
        for name in ("poetry.lock", "pyproject.toml")
    }
    assert files["pyproject.toml"].count('["socks"]') == 1
    files["pyproject.toml"] = files["pyproject.toml"].replace('["socks"]', '["SOCKS"]')
    assert scopes(read(tmp_path, files)) == json.loads((SAMPLES / sample / "expected.json").read_text())["packages"]


def test_extras_of_a_uv_lock_are_the_same_in_any_spelling(tmp_path: Path) -> None:
    lock = (
        'version = 1\n\n[[package]]\nname = "app"\nsource = { virtual = "." }\n'
        'dependencies = [{ name = "requests", extra = ["SOCKS_5"] }]\n'
        '[package.dev-dependencies]\ndev = [{ name = "pysocks" }]\n\n'
        f'[[package]]\nname = "pysocks"\nversion = "1"\n{REGISTRY}\n'
        f'[[package]]\nname = "requests"\nversion = "1"\n{REGISTRY}'
        '[package.optional-dependencies]\n"socks.5" = [{ name = "pysocks" }]\n'
    )
    assert scopes(read(tmp_path, {"uv.lock": lock})) == {"pysocks@1": "runtime", "requests@1": "runtime"}


def test_a_pipenv_lock_takes_the_scope_from_its_sections_whatever_the_extras(tmp_path: Path) -> None:
    rows = {"requests": {"version": "==1", "extras": ["SOCKS"]}, "pysocks": {"version": "==1"}}
    lock = {"_meta": {"pipfile-spec": 6}, "default": rows, "develop": {"pysocks": {"version": "==1"}}}
    pipfile = '[packages]\nrequests = { version = "*", extras = ["SOCKS"] }\n[dev-packages]\npysocks = "*"\n'
    found = read(tmp_path, {"Pipfile.lock": json.dumps(lock), "Pipfile": pipfile})
    assert scopes(found) == {"pysocks@1": "runtime", "requests@1": "runtime"}


# Where manifests declare.

SETUPTOOLS = '[project]\nname = "app"\ndynamic = ["dependencies", "optional-dependencies"]\n[tool.setuptools.dynamic]\n'


@pytest.mark.parametrize(
    ("kind", "text", "files"),
    [
        ("setup.cfg", "[options]\ninstall_requires = file: deps.txt\n", ["deps.txt"]),
        ("setup.cfg", "[options]\ninstall-requires =\n  file: a.txt,\n    b/c.txt,\n", ["a.txt", "b/c.txt"]),
        ("setup.cfg", "[options.extras_require]\nweb = file: web.txt\nx = y\n", ["web.txt"]),
        ("pyproject.toml", f'{SETUPTOOLS}dependencies = {{ file = ["deps.txt", "b.txt"] }}\n', ["deps.txt", "b.txt"]),
        ("pyproject.toml", f'{SETUPTOOLS}dependencies = {{ file = "deps.txt" }}\n', ["deps.txt"]),
        ("pyproject.toml", f'{SETUPTOOLS}optional-dependencies.web = {{ file = ["web.txt"] }}\n', ["web.txt"]),
        ("requirements.in", "-r ../deps.list\n-c limits.txt\n--requirement=b.in\n", ["../deps.list", "b.in"]),
        ("setup.py", "setup(install_requires=['a'])\n", []),
        ("Pipfile", "[packages]\n", []),
        ("package.json", "{}", []),
    ],
)
def test_the_files_that_a_manifest_names_are_given(kind: str, text: str, files: list[str]) -> None:
    assert included_files(kind, parse(kind, text)) == files


def test_a_file_that_a_manifest_names_declares_under_any_name(tmp_path: Path) -> None:
    (tmp_path / "deps.list").write_text("-r more.list\n# b\fhidden>=1\n")
    (reason,) = read_inventory(tmp_path, [FoundFile("deps.list", "requirements.in", "pypi", "manifest")], ()).problems
    assert reason.message == "deps.list: no lockfile holds hidden"


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("pyproject.toml", '[tool.flit.metadata]\nrequires = ["hidden"]\n'),
        ("pyproject.toml", '[tool.flit.metadata.requires-extra]\nweb = ["hidden"]\n'),
        ("pyproject.toml", '[project]\ndependencies = ["a # b\\nhidden"]\n'),
        ("setup.cfg", "[options.extras_require]\nweb =\n    hidden\n"),
        ("setup.cfg", "[options]\ninstall_requires =\n    a\n    # b\r    hidden\n"),
        ("setup.cfg", "[options]\ninstall_requires =\n    a # b\u2028hidden\n"),
        ("setup.py", "from setuptools import setup\nsetup(**{'install_requires': ['hidden']})\n"),
        ("setup.py", "from setuptools import setup\nsetup(extras_require={'web': ['hidden']})\n"),
        ("setup.py", "import setuptools\nsetuptools.setup(extras_require={'web:python_version>\"3\"': 'hidden'})\n"),
        ("setup.py", "from setuptools import setup\nsetup(install_requires='a # b\\nhidden')\n"),
        ("requirements.in", "hidden @ https://example.invalid/hidden.zip\n"),
        ("requirements.in", "-e ./lib\n# a\x0bhidden[x]>=1 --config-settings=a=b\n"),
    ],
)
def test_what_a_manifest_declares_in_any_place_is_seen(tmp_path: Path, kind: str, text: str) -> None:
    (reason,) = read(tmp_path, {kind: text}).problems
    assert reason.kind == "incomplete"
    assert reason.message.startswith(f"{kind}: no lockfile holds ")
    assert "hidden" in reason.message
    assert reason.next_step


def test_an_extra_for_another_machine_need_not_be_locked(tmp_path: Path) -> None:
    text = "setup(extras_require={':python_version < \"3.8\"': ['old', 'older; os_name == \"nt\"']})\n"
    assert names("setup.py", text) == {"old", "older"}
    assert read(tmp_path, {"setup.py": text}).problems == ()


@pytest.mark.parametrize(
    ("kind", "text", "why"),
    [
        ("setup.py", "setup(**read_them())\n", "computed"),
        ("setup.py", "from setuptools import setup as s\ns(**read_them())\n", "computed"),
        ("setup.py", "setup(**{**more})\n", "computed"),
        ("setup.py", "setup(**{'install_' + 'requires': ['a']})\n", "computed"),
        ("setup.py", "known = {}\nknown['install_requires'] = ['a']\n", "computed"),
        ("setup.py", "setup(**{'install_requires': open('r').read()})\n", "computed"),
        ("setup.py", "setup(extras_require={'web': read()})\n", "computed"),
        (
            "pyproject.toml",
            '[project]\ndynamic = ["dependencies"]\n[build-system]\nbuild-backend = "hatchling.build"\n',
            "only hatchling.build knows its dependencies",
        ),
        ("pyproject.toml", f'{SETUPTOOLS}dependencies = {{ attr = "app.deps" }}\n', "shape"),
        ("setup.cfg", "[options]\ninstall_requires = attr: app.deps\n", "no requirement"),
        ("requirements.in", "git+https://u:secret@example.invalid/x\n", "no requirement"),
        ("requirements.in", "./wheels/a-1.whl\n", "no requirement"),
        ("requirements.in", "/srv/a\n", "no requirement"),
        ("requirements.in", "--requirem hidden.txt\n", "no requirement"),
    ],
)
def test_what_only_running_it_would_tell_is_refused(tmp_path: Path, kind: str, text: str, why: str) -> None:
    (reason,) = read(tmp_path, {kind: text}).problems
    assert (reason.code, reason.kind) == ("unreadable", "incomplete")
    assert reason.message.startswith(f"{kind}: ")
    assert why in reason.message
    assert reason.next_step


@pytest.mark.parametrize(
    "text",
    [
        SETUPTOOLS,
        '[project]\ndynamic = ["dependencies"]\n[build-system]\nbuild-backend = "poetry.core.masonry.api"\n',
        '[project]\ndynamic = ["version"]\n[build-system]\nbuild-backend = "hatchling.build"\n',
    ],
)
def test_dependencies_that_are_declared_elsewhere_are_no_problem_here(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, {"pyproject.toml": text}) == Inventory((), ())


# Lines of requirements files, as pip's own parser takes them.


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\f", "\v", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029"])
def test_a_line_ends_where_pip_ends_it(tmp_path: Path, end: str) -> None:
    text = f"a==1\n# nothing to see{end}b==2{end}-r more.txt\n"
    inventory = read(tmp_path, {"requirements.txt": text, "more.txt": "c==3\n"})
    assert scopes(inventory) == {"a@1": "runtime", "b@2": "runtime", "c@3": "runtime"}
    assert inventory.problems == ()


@pytest.mark.parametrize(
    "line",
    [
        "--no-index -r hidden.txt",
        "--pre --requirement hidden.txt",
        "--requirem hidden.txt",
        "--pre -e git+https://u:secret@example.invalid/x",
        "--index-url https://example.invalid -r hidden.txt",
        "-c limits.txt -r hidden.txt",
        "--pre \\\n-r hidden.txt",
        "--pre\t-r\thidden.txt",
        "--pre \\-r hidden.txt",
        "-r 'hidden.txt'",
        "-r=hidden.txt",
        "--hash=sha256:00 -r hidden.txt",
        "-e . -e git+https://example.invalid/x",
        "--unheard-of",
        "-",
    ],
)
def test_options_that_are_not_understood_are_named(tmp_path: Path, line: str) -> None:
    inventory = read(tmp_path, {"requirements.txt": f"a==1\n{line}\n", "hidden.txt": "hidden==1\n"})
    (reason,) = (reason for reason in inventory.problems if reason.message.startswith("requirements.txt"))
    assert reason.kind == "incomplete"
    assert reason.message.startswith("requirements.txt: no exact version: ")
    assert "line 2, which is no known option alone on its line" in reason.message
    assert reason.next_step
    assert "secret" not in reason.message
    assert scopes(inventory) == {"a@1": "runtime"}


@pytest.mark.parametrize(
    "line",
    [
        "--no-index",
        "--pre --prefer-binary --require-hashes",
        "-i https://${USER}:${WORD}@example.invalid/simple --trusted-host example.invalid",
        "--extra-index-url=https://example.invalid/simple",
        "--find-links\twheels  # ours",
        "--no-binary :all: --only-binary a,b",
        "-climits.txt",
        "--use-feature=fast-deps",
        "-e ./lib ; python_version >= '3.8'",
        "-e ./lib[x]",
        "lib/part",
        "file:./lib",
    ],
)
def test_options_that_name_no_package_and_folders_are_no_problem(tmp_path: Path, line: str) -> None:
    inventory = read(tmp_path, {"requirements.txt": f"a==1\n{line}\n"})
    assert inventory.problems == ()
    assert scopes(inventory) == {"a@1": "runtime"}


@pytest.mark.parametrize("line", ["./a.tar.bz2", "./a.whl ; os_name == 'posix'", "a/b.TXZ[x]", "-e ./a.zip"])
def test_an_archive_is_no_folder(tmp_path: Path, line: str) -> None:
    (reason,) = read(tmp_path, {"requirements.txt": f"{line}\n"}).problems
    assert reason.code == "no-advisories"
    assert "on line 1" in reason.message


def test_continued_lines_are_joined_as_pip_joins_them(tmp_path: Path) -> None:
    text = "# no, \\\na==1 \\\n  --hash=sha256:00 \\\n# stops it\nb==\\\n2\n\\\nc==3 # on \\\nd==4\n-\\\nr more.txt\n"
    inventory = read(tmp_path, {"requirements.txt": text, "more.txt": "e==5\n"})
    (_, reading) = inventory.readings
    assert [(each.key, each.line) for each in reading.packages] == [("a@1", 2), ("b@2", 5), ("c@3", 7)]
    assert includes(text) == ["more.txt"]
    assert inventory.problems == ()


@pytest.mark.parametrize("head", ["# coding: utf-7", "#!/x\n# -*- coding:latin-1 -*-", "# vim: fileencoding=UTF-8-sig"])
def test_another_encoding_is_refused(tmp_path: Path, head: str) -> None:
    (reason,) = read(tmp_path, {"requirements.txt": f"{head}\n# +AAo-b==2\na==1\n"}).problems
    assert "declare an encoding other than UTF-8" in reason.message


@pytest.mark.parametrize("head", ["# -*- coding: utf-8 -*-", "# coding=UTF8", "a==1\n\n# coding: latin-1"])
def test_utf8_may_be_declared(tmp_path: Path, head: str) -> None:
    assert read(tmp_path, {"requirements.txt": f"{head}\na==1\n"}).problems == ()


# Two megabytes of what took hours.


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("a==1\n# via " + "a (" * 700_000 + "\n", {"a@1"}),
        ("a==1" + "\\\n" * 1_000_000 + "\n", {"a@1"}),
        ("a==1 \\\n" + "# c\n" * 500_000, {"a@1"}),
        ("a==1  # via a\n" * 20_000, set()),
    ],
    ids=["parentheses", "continued", "comments", "one package"],
)
def test_long_files_end(tmp_path: Path, text: str, keys: set[str]) -> None:
    file = FoundFile("requirements.txt", "requirements", "pypi", "lockfile")
    (tmp_path / file.path).write_text(text)
    inventory = read_inventory(tmp_path, [file], ())
    assert set(scopes(inventory)) == keys
    assert bool(inventory.problems) is not bool(keys)


# Credentials.

ADDRESS = "git+https://u:secret" + "x" * 90 + "@example.invalid/y"


@pytest.mark.parametrize(
    "files",
    [
        {"setup.cfg": f"[options]\ninstall_requires =\n    {ADDRESS}\n"},
        {"pyproject.toml": f'[project]\ndependencies = ["{ADDRESS}"]\n'},
        {"setup.py": f"setup(install_requires=['{ADDRESS}'])\n"},
        {"requirements.in": f"{ADDRESS}\n"},
        {"requirements.txt": f"{ADDRESS}\n"},
        {"requirements.txt": f"x y {ADDRESS}\n"},
        {"requirements.txt": f"--pre -e {ADDRESS}\n"},
    ],
)
def test_credentials_of_an_address_reach_no_message(tmp_path: Path, files: dict[str, str]) -> None:
    (reason,) = read(tmp_path, files).problems
    assert reason.message.startswith(f"{next(iter(files))}: ")
    assert "git+https://example.invalid/y" in reason.message
    assert "secret" not in reason.message


def test_a_requirements_in_that_another_includes_is_covered_by_its_lock(tmp_path: Path) -> None:
    (tmp_path / "base.in").write_text("flask\n")
    (tmp_path / "prod.in").write_text("-r base.in\nlodash-py\n")
    (tmp_path / "other.in").write_text("unlocked-thing\n")
    (tmp_path / "prod.txt").write_text("flask==2.2.5\nlodash-py==1.0\n")
    files = [FoundFile(f"{name}.in", "requirements.in", "pypi", "manifest") for name in ("base", "other", "prod")]
    files.append(FoundFile("prod.txt", "requirements", "pypi", "lockfile"))
    problems = read_inventory(tmp_path, files, []).problems
    assert [problem.message for problem in problems] == ["other.in: no lockfile holds unlocked-thing"]
