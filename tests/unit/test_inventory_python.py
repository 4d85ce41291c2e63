"""Poetry, uv, Pipenv, requirements files and the manifests of Python."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from truegate.inventory.discover import discover
from truegate.inventory.read import read_inventory
from truegate.inventory.records import Inventory

POETRY_END = '[metadata]\nlock-version = "2.1"\npython-versions = ">=3.11"\ncontent-hash = "0123"\n'
UV_START = 'version = 1\nrevision = 3\nrequires-python = ">=3.11"\n\n'
REGISTRY = 'source = { registry = "https://registry.invalid/simple" }\n'


def read(folder: Path, files: dict[str, str], dev_files: tuple[str, ...] = ()) -> Inventory:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    found = discover(folder, leave_out=[], excluded=[])
    assert found.problems == ()
    return read_inventory(folder, found.files, dev_files)


def scopes(inventory: Inventory) -> dict[str, str]:
    return {package.key: package.scope for reading in inventory.readings for package in reading.packages}


def messages(inventory: Inventory) -> list[str]:
    return [reason.message for reason in inventory.problems]


def test_requirements_in_all_their_forms(tmp_path: Path) -> None:
    text = (
        "--index-url https://user:secret@registry.invalid/simple\n"
        "-c constraints.txt\n"
        "Flask_Login==0.6.3  # a comment\n"
        'typing.extensions===4.0 ; python_version < "3.12"\n'
        f"requests[socks,Security] == 2.30.0 \\\n  --hash=sha256:{'AB' * 32} \\\n  --hash sha512:{'cd' * 64}\n"
        "-e .\n"
        "./libs/part\n"
    )
    inventory = read(tmp_path, {"requirements.txt": text})
    packages = {package.key: package for package in inventory.readings[0].packages}
    assert list(packages) == ["flask-login@0.6.3", "requests@2.30.0", "typing-extensions@4.0"]
    assert packages["requests@2.30.0"].line == 5
    assert packages["requests@2.30.0"].hashes == (("sha256", "ab" * 32), ("sha512", "cd" * 64))
    assert packages["flask-login@0.6.3"].direct
    assert inventory.problems == ()


@pytest.mark.parametrize(
    "line",
    ["flask", "flask>=1", "flask==1.*", "flask==1,==2", "flask~=1.0", "${FLASK}==1", "flask = 1"],
)
def test_a_requirement_without_one_exact_version_is_named_with_its_line(tmp_path: Path, line: str) -> None:
    inventory = read(tmp_path, {"requirements.txt": f"a==1\n{line}\n"})
    (reason,) = inventory.problems
    assert (reason.code, reason.kind) == ("unpinned", "incomplete")
    assert reason.message.startswith("requirements.txt: no exact version: ")
    assert reason.message.endswith(" on line 2")
    assert scopes(inventory) == {"a@1": "runtime"}


@pytest.mark.parametrize(
    "line",
    [
        "-e git+https://user:secret@example.invalid/x/a.git@0123#egg=a",
        "a @ https://user:secret@example.invalid/a-1.whl",
        "git+ssh://git@example.invalid/x/a.git",
        "./wheels/a-1-py3-none-any.whl",
        "../outside",
        "file:///srv/a",
    ],
)
def test_a_requirement_that_no_registry_holds_is_a_problem(tmp_path: Path, line: str) -> None:
    (reason,) = read(tmp_path, {"requirements.txt": f"{line}\n"}).problems
    assert reason.code == "no-advisories"
    assert "line 1" in reason.message
    assert "secret" not in reason.message


def test_a_last_line_that_may_be_cut_is_a_problem(tmp_path: Path) -> None:
    inventory = read(tmp_path, {"requirements.txt": "requests==2.3"})
    assert "last line (no line feed)" in messages(inventory)[0]
    assert scopes(inventory) == {"requests@2.3": "runtime"}


def test_a_dev_file_is_dev_unless_a_runtime_file_includes_it(tmp_path: Path) -> None:
    files = {
        "requirements.txt": "-r deps/more.inc\n-r requirements/test-a.txt\n",
        "deps/more.inc": "more==1\n",
        "requirements/test-a.txt": "a==1\n--requirement=test-b.txt\n",
        "requirements/test-b.txt": "b==1\n",
        "requirements/test-c.txt": "c==1\n-r ../requirements.txt\n",
    }
    inventory = read(tmp_path, files, ("requirements/test-*.txt",))
    assert scopes(inventory) == {"more@1": "runtime", "a@1": "runtime", "b@1": "runtime", "c@1": "dev"}
    assert {reading.path for reading in inventory.readings} == set(files)


def test_comments_of_pip_compile_tell_who_brings_what_in(tmp_path: Path) -> None:
    text = (
        "a==1\n    # via -r requirements.in\nb==1\n    # via\n    #   a\n    #   app (pyproject.toml)\nc==1  # via b\n"
    )
    (reading,) = read(tmp_path, {"requirements.txt": text}).readings
    told = {package.key: (package.direct, package.introduced_by, package.depends_on) for package in reading.packages}
    assert told == {
        "a@1": (True, ("a",), ("b@1",)),
        "b@1": (True, ("a", "b"), ("c@1",)),
        "c@1": (False, ("a", "b"), ()),
    }


PYPROJECT = """
[tool.poetry.dependencies]
python = "^3.11"
Run_Time = { version = "1", extras = ["fast"] }
[tool.poetry.group.dev.dependencies]
tool = "1"
[tool.poetry.group.production.dependencies]
server = "1"
[tool.poetry.group.test]
optional = true
[tool.poetry.group.test.dependencies]
shared = "1"
"""
POETRY = """
[[package]]
name = "{name}"
version = "1"
optional = {optional}
groups = ["dev"]
files = [{{file = "x.whl", hash = "sha256:00"}}]
{more}
"""


def poetry(name: str, more: str = "", *, optional: str = "false") -> str:
    return POETRY.format(name=name, more=more, optional=optional)


def test_poetry_scopes_come_from_the_manifest_and_the_graph(tmp_path: Path) -> None:
    extras = '[package.dependencies]\nshared = "*"\nspeed = {version = "*", optional = true}\n'
    extras += 'slow = {version = "*", optional = true}\n'
    extras += '[package.extras]\nfast = ["speed (>=1)"]\nslow = ["slow"]\n'
    rows = [poetry("run-time", extras), poetry("server"), poetry("shared"), poetry("slow"), poetry("speed")]
    lock = "".join([*rows, poetry("tool", '[package.dependencies]\nslow = "*"\n'), POETRY_END])
    inventory = read(tmp_path, {"pyproject.toml": PYPROJECT, "poetry.lock": lock})
    assert scopes(inventory) == {
        "run-time@1": "runtime",
        "server@1": "runtime",
        "shared@1": "runtime",
        "slow@1": "dev",
        "speed@1": "runtime",
        "tool@1": "dev",
    }
    assert inventory.problems == ()
    alone = read(tmp_path / "alone", {"poetry.lock": lock})
    assert set(scopes(alone).values()) == {"runtime"}


def test_poetry_names_what_is_missing_or_from_elsewhere(tmp_path: Path) -> None:
    git = '[package.source]\ntype = "git"\nurl = "https://example.invalid/x.git"\nreference = "main"\n'
    own = '[package.source]\ntype = "directory"\nurl = "libs/own"\n'
    far = '[package.source]\ntype = "directory"\nurl = "../far"\n'
    needs = '[package.dependencies]\ngone = "*"\nwindows = {version = "*", markers = "sys_platform == \\"win32\\""}\n'
    lock = poetry("a", needs) + poetry("far", far) + poetry("from-git", git) + poetry("own", own) + POETRY_END
    inventory = read(tmp_path, {"poetry.lock": lock, "libs/own/pyproject.toml": '[project]\ndependencies = ["a"]\n'})
    assert scopes(inventory) == {"a@1": "runtime", "from-git@1": "runtime"}
    missing, foreign = messages(inventory)
    assert "gone (wanted by a)" in missing
    assert "windows" not in missing
    assert "from-git@1 from https://example.invalid/x.git" in foreign
    assert "far in ../far" in foreign


def test_uv_scopes_come_from_the_projects_in_the_lockfile(tmp_path: Path) -> None:
    lock = UV_START + (
        '[[package]]\nname = "app"\nsource = { editable = "." }\ndependencies = [{ name = "a", extra = ["x"] }]\n'
        '[package.optional-dependencies]\nweb = [{ name = "w" }]\n'
        '[package.dev-dependencies]\ndev = [{ name = "part" }, { name = "d" }]\nprod = [{ name = "p" }]\n\n'
        '[[package]]\nname = "part"\nsource = { editable = "libs/part" }\ndependencies = [{ name = "q" }]\n'
        '[package.dev-dependencies]\ntest = [{ name = "d" }]\n\n'
        f'[[package]]\nname = "a"\nversion = "1"\n{REGISTRY}[package.optional-dependencies]\nx = [{{ name = "ax" }}]\n'
        'y = [{ name = "d" }]\n\n'
    )
    lock += "".join(f'[[package]]\nname = "{name}"\nversion = "1"\n{REGISTRY}\n' for name in ("ax", "d", "p", "q", "w"))
    part = '[project]\nname = "part"\ndependencies = ["q"]\n[dependency-groups]\ntest = ["d"]\n'
    inventory = read(tmp_path, {"uv.lock": lock, "libs/part/pyproject.toml": part})
    assert scopes(inventory) == {
        "a@1": "runtime",
        "ax@1": "runtime",
        "d@1": "dev",
        "p@1": "runtime",
        "q@1": "runtime",
        "w@1": "runtime",
    }
    assert inventory.problems == ()


def test_uv_takes_the_version_that_a_fork_names(tmp_path: Path) -> None:
    lock = UV_START + (
        '[[package]]\nname = "app"\nsource = { virtual = "." }\ndependencies = [{ name = "n", version = "1" }]\n'
        '[package.dev-dependencies]\ndev = [{ name = "n", version = "2" }]\n\n'
        f'[[package]]\nname = "n"\nversion = "1"\n{REGISTRY}\n[[package]]\nname = "n"\nversion = "2"\n{REGISTRY}\n'
    )
    assert scopes(read(tmp_path, {"uv.lock": lock})) == {"n@1": "runtime", "n@2": "dev"}


def test_uv_names_what_is_missing_or_from_elsewhere(tmp_path: Path) -> None:
    lock = UV_START + (
        '[[package]]\nname = "app"\nsource = { virtual = "." }\ndependencies = [{ name = "g" }, { name = "gone" }]\n\n'
        '[[package]]\nname = "g"\nversion = "1"\nsource = { git = "https://example.invalid/g?rev=1#0123" }\n\n'
        '[[package]]\nname = "far"\nversion = "1"\nsource = { directory = "../far" }\n'
    )
    missing, foreign = messages(read(tmp_path, {"uv.lock": lock}))
    assert "gone (wanted by app)" in missing
    assert "g@1 from https://example.invalid/g?rev=1#0123" in foreign
    assert "far in ../far" in foreign


def test_pipenv_groups_paths_and_addresses(tmp_path: Path) -> None:
    lock = {
        "_meta": {"pipfile-spec": 6},
        "default": {"PyYAML": {"version": "==5.3.1", "hashes": ["sha256:00"]}, "own": {"path": ".", "editable": True}},
        "develop": {"pyyaml": {"version": "==5.3.1"}, "tool": {"version": "==1"}, "g": {"git": "https://x.invalid/g"}},
        "production": {"server": {"version": "==1"}},
    }
    files = {"Pipfile.lock": json.dumps(lock), "Pipfile": '[packages]\nPyYAML = "*"\n[dev-packages]\ntool = "*"\n'}
    inventory = read(tmp_path, files)
    assert scopes(inventory) == {"pyyaml@5.3.1": "runtime", "server@1": "runtime", "tool@1": "dev"}
    assert [package.key for package in inventory.readings[0].packages if package.direct] == ["pyyaml@5.3.1", "tool@1"]
    (message,) = messages(inventory)
    assert "g from https://x.invalid/g" in message


MANIFESTS = {
    "pyproject.toml": '[project]\nname = "app"\ndependencies = ["Flask>=2", "app[web]"]\n'
    '[project.optional-dependencies]\nweb = ["gunicorn ; python_version < \'3.8\'", "uvicorn"]\n'
    '[dependency-groups]\ntest = ["pytest"]\nall = [{ include-group = "test" }]\n',
    "Pipfile": '[packages]\nflask = "*"\n[dev-packages]\npytest = { version = "*" }\nuvicorn = "*"\n',
    "setup.cfg": "[options]\ninstall_requires =\n    flask>=2\n    uvicorn; sys_platform == 'linux'\n    pytest\n",
    "setup.py": "from setuptools import setup\nsetup(install_requires=['flask', 'pytest', 'uvicorn'])\n",
    "requirements.in": "-c c.txt\n-e .\nflask\npytest  # tests\nuvicorn[standard]\n",
}


@pytest.mark.parametrize("name", MANIFESTS)
def test_a_manifest_must_be_locked_beside_it(tmp_path: Path, name: str) -> None:
    inventory = read(tmp_path / "bare", {f"svc/{name}": MANIFESTS[name]})
    assert messages(inventory) == [f"svc/{name}: no lockfile holds flask, pytest, uvicorn"]
    assert inventory.problems[0].code == "not-locked"
    files = {f"svc/{name}": MANIFESTS[name], "svc/requirements.txt": "flask==2\npytest==8\nuvicorn==1\n"}
    assert read(tmp_path / "locked", files).problems == ()
    files["svc/requirements.txt"] = "flask==2\npytest==8\n"
    assert messages(read(tmp_path / "partly", files)) == [f"svc/{name}: no lockfile holds uvicorn"]


@pytest.mark.parametrize("name", [name for name in MANIFESTS if name != "requirements.in"])
def test_a_requirements_folder_beside_it_covers_a_manifest_too(tmp_path: Path, name: str) -> None:
    files = {
        name: MANIFESTS[name],
        "requirements/run.txt": "flask==2\nuvicorn==1\n",
        "requirements/dev.txt": "pytest==8\n",
        "elsewhere/requirements.txt": "gunicorn==1\n",
    }
    assert read(tmp_path, files).problems == ()


def test_an_editable_folder_is_covered_by_the_file_that_installs_it(tmp_path: Path) -> None:
    files = {"requirements.txt": "-e ./lib\nflask==2\n", "lib/pyproject.toml": '[project]\ndependencies = ["flask"]\n'}
    assert read(tmp_path, files).problems == ()


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("setup.py", "from setuptools import setup\nsetup(install_requires=read('r.txt'))\n", "computed"),
        ("setup.py", "print 'python 2'\n", "can't be read"),
        ("setup.cfg", "[options\n", "can't be read"),
        ("pyproject.toml", "[project]\ndependencies = [1]\n", "shape"),
        ("pyproject.toml", "[project]\ndependencies = ['= x']\n", "no requirement"),
        ("pyproject.toml", "[dependency-groups]\na = [{ include-group = 'gone' }]\n", "shape"),
        ("package.json", '{"dependencies": {"a": "1", "A": "1"}}', "stands twice"),
        ("Pipfile", "[packages]\na = \n", "can't be read"),
    ],
)
def test_a_manifest_that_cannot_be_read_is_a_problem(tmp_path: Path, name: str, text: str, why: str) -> None:
    (reason,) = read(tmp_path, {name: text}).problems
    assert reason.code == "unreadable"
    assert why in reason.message


def test_groups_that_include_each_other_end(tmp_path: Path) -> None:
    text = "[dependency-groups]\na = [{ include-group = 'b' }, 'x']\nb = [{ include-group = 'a' }]\n"
    assert messages(read(tmp_path, {"pyproject.toml": text})) == ["pyproject.toml: no lockfile holds x"]


def test_manifests_that_declare_nothing_are_fine(tmp_path: Path) -> None:
    files = {"pyproject.toml": "[tool.ruff]\n", "setup.py": "print('no setup')\n", "setup.cfg": "[flake8]\n"}
    assert read(tmp_path, files) == Inventory((), ())
