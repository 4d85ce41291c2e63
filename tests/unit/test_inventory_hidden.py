"""Places where a lockfile could hide: each is read, is a problem, or is named as left out."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from test_inventory_discover import find, paths  # type: ignore[import-not-found]

from truegate.checks.inputs import OF_THE_KIT
from truegate.inventory.read import read_inventory
from truegate.inventory.records import Discovery

KIT = Path(__file__).resolve().parents[2]
RUN = "20261124_0857-d23f52"


def plant(folder: Path, *names: str, text: str = "{}\n") -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def messages(found: Discovery) -> list[str]:
    return [reason.message for reason in found.problems]


def test_pyvenv_cfg_hides_nothing_but_what_is_installed_beside_it(tmp_path: Path) -> None:
    plant(tmp_path, "services/pyvenv.cfg", "services/api/yarn.lock", "services/lib/yarn.lock", "services/uv.lock")
    installed = [".venv/lib/python3.13/site-packages", "env/Lib/site-packages", "pypy/lib64/pypy3.11/site-packages"]
    plant(tmp_path, ".venv/pyvenv.cfg", "env/pyvenv.cfg", "pypy/pyvenv.cfg", ".venv/share/jupyter/x/package.json")
    plant(tmp_path, *(f"{place}/x/setup.py" for place in installed), "lib/python3/site-packages/setup.py")
    found = find(tmp_path)
    assert paths(found) == [
        "lib/python3/site-packages/setup.py",
        "services/api/yarn.lock",
        "services/lib/yarn.lock",
        "services/uv.lock",
    ]
    assert found.left_out == (".venv/lib/python3.13/site-packages and 3 more (installed in a virtual environment)",)
    assert messages(found) == []


def test_what_tools_write_is_named_once_for_all_places(tmp_path: Path) -> None:
    plant(tmp_path, *(f"{place}package.json" for place in ("", "a/", "b/")))
    plant(tmp_path, *(f"{place}node_modules/x/yarn.lock" for place in ("", "a/", "b/")), ".nox/x/uv.lock")
    found = find(tmp_path)
    assert paths(found) == ["a/package.json", "b/package.json", "package.json"]
    assert found.left_out == (
        ".nox (environments of a test runner)",
        "a/node_modules and 2 more (written by a package manager)",
    )


def test_code_of_ones_own_in_node_modules_is_read(tmp_path: Path) -> None:
    plant(tmp_path, "src/node_modules/app/package-lock.json", "unplugged/node_modules/x/package.json")
    found = find(tmp_path)
    assert paths(found) == ["src/node_modules/app/package-lock.json"]
    assert found.left_out == ("unplugged/node_modules (written by a package manager)",)


def test_only_the_copies_in_a_run_folder_are_left_out(tmp_path: Path) -> None:
    runs = [f"old/evidence/security/sca/{RUN}", f"old/evidence/security/sca/{RUN[:-1]}0", f"x/sbom/{RUN}"]
    plant(tmp_path, *(f"{run}/{name}" for run in runs for name in ("meta.json", "input/target/uv.lock")))
    judged = [
        "old/evidence/security/input/uv.lock",
        "old/evidence/uv.lock",
        f"{runs[0]}/raw/uv.lock",
        f"{runs[0]}/uv.lock",
        f"{RUN}/input/uv.lock",
        f"no/meta/{RUN}/input/uv.lock",
    ]
    plant(tmp_path, *judged, f"{RUN}/meta.json")
    found = find(tmp_path)
    assert paths(found) == sorted(judged)
    assert found.left_out == ("old/evidence/security/sca/*/input and 1 more (what a run judged)",)


@pytest.mark.parametrize("state", ["missing", "empty", "a file", "git's own"])
def test_a_submodule_that_is_not_checked_out_is_a_problem(tmp_path: Path, state: str) -> None:
    places = {"services": "services", "a b/café": '"a b/café"', "out": "out", "old/x": "old/x"}
    rows = "".join(f'[submodule "{n}"]\n\tPath = {written}\n\turl = x\n' for n, written in enumerate(places.values()))
    plant(tmp_path, "sub/.gitmodules", text=rows + '[submodule "y"] path=there\r\n')
    plant(tmp_path, "sub/there/README", "sub/.git")
    for place in places:
        if state == "a file":
            plant(tmp_path, f"sub/{place}")
        elif state != "missing":
            (tmp_path / "sub" / place).mkdir(parents=True)
        if state == "git's own":
            plant(tmp_path, f"sub/{place}/.git")
    found = find(tmp_path, "sub/out/**", "sub/old")
    why = "the git submodule that sub/.gitmodules puts there is not checked out"
    assert messages(found) == [f"sub/a b/café: {why}", f"sub/services: {why}"]
    assert {(reason.kind, "git submodule update" in reason.next_step) for reason in found.problems} == {
        ("incomplete", True)
    }


def test_a_gitmodules_that_can_not_be_read_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / ".gitmodules").symlink_to("elsewhere")
    assert messages(find(tmp_path)) == [".gitmodules: it is a link, and links are not followed"]


def test_a_link_to_a_folder_outside_is_a_problem_unless_it_is_excluded_or_the_kit(tmp_path: Path) -> None:
    plant(tmp_path, "elsewhere/yarn.lock", "target-of-another/yarn.lock", "kit/pyproject.toml", "target/real/yarn.lock")
    target = tmp_path / "target"
    for name, to in {"services": "elsewhere", "near": "target-of-another", "ops": "kit", "gone": "nowhere"}.items():
        (target / name).symlink_to(f"../{to}")
    for name in ("shut", "node_modules"):
        (target / name).symlink_to("../elsewhere")
    (target / "again").symlink_to("real")
    found = find(target, "shut", leave_out=[tmp_path / "kit"])
    why = "it is a link to a folder outside of what is judged"
    assert messages(found) == [f"near: {why}", f"services: {why}"]
    assert paths(found) == ["real/yarn.lock"]
    assert found.left_out == (
        "again (a link to a folder, not followed)",
        "node_modules (written by a package manager)",
        "ops (the kit itself)",
        "shut (excluded by the configuration)",
    )


def test_in_the_kits_folder_the_hosts_files_are_judged_and_the_kits_own_are_not(tmp_path: Path) -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=KIT, capture_output=True, check=True).stdout.decode()
    ops = tmp_path / "ops"
    for name in filter(None, listed.split("\0")):
        if (KIT / name).is_file():
            (ops / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(KIT / name, ops / name)
    hosts = ["ops/package-lock.json", "ops/requirements/prod.txt", "ops/scripts/deploy/uv.lock", "ops/tools/yarn.lock"]
    plant(tmp_path, *hosts, "ops/.tools/package.json")
    found = find(tmp_path, leave_out=[ops / name for name in OF_THE_KIT])
    assert paths(found) == hosts
    assert messages(found) == []
    assert {f"ops/{name} (the kit itself)" for name in OF_THE_KIT}.issuperset(found.left_out)
    assert len(paths(find(tmp_path))) > len(hosts)


def test_what_manifests_name_is_found_under_any_name(tmp_path: Path) -> None:
    plant(tmp_path, "a/setup.cfg", text="[options]\ninstall_requires = file: needs/base, prod.txt, requirements.txt\n")
    plant(tmp_path, "b/pyproject.toml", text='[tool.setuptools.dynamic]\ndependencies = {file = ["needs", "gone"]}\n')
    plant(tmp_path, "a/needs/base", text="-r more\nflask\n")
    plant(tmp_path, "a/needs/more", "a/prod.txt", "a/requirements.txt", "b/needs", text="flask==2.2.4\n")
    plant(tmp_path, "b/requirements.txt", text="-r ../a/prod.txt\n")
    found = find(tmp_path)
    assert {file.path: file.format for file in found.files} == {
        "a/needs/base": "requirements.in",
        "a/needs/more": "requirements.in",
        "a/prod.txt": "requirements",
        "a/requirements.txt": "requirements",
        "a/setup.cfg": "setup.cfg",
        "b/needs": "requirements.in",
        "b/pyproject.toml": "pyproject.toml",
        "b/requirements.txt": "requirements",
    }
    assert messages(found) == ["b/pyproject.toml: it includes gone, which is no file that can be judged"]


def test_a_broken_manifest_is_told_once(tmp_path: Path) -> None:
    plant(tmp_path, "pyproject.toml", text='[tool.setuptools.dynamic]\ndependencies = "x"\n')
    found = find(tmp_path)
    assert messages(found) == []
    (reason,) = read_inventory(tmp_path, found.files, []).problems
    assert reason.message.startswith("pyproject.toml: can't be read: ")


@pytest.mark.parametrize("name", ["requirements_no_constraints.txt", "requirements/dev-constraints.txt"])
def test_only_names_that_begin_with_constraints_are_constraints(tmp_path: Path, name: str) -> None:
    plant(tmp_path, name)
    assert paths(find(tmp_path)) == [name]


@pytest.mark.parametrize("address", ["https://u:PW@x.invalid/r.txt", "https://u:p@PW@x.invalid/r.txt"])
def test_messages_hold_no_password_of_an_include(tmp_path: Path, address: str) -> None:
    plant(tmp_path, "requirements.txt", text=f"-r {address}\n")
    (message,) = messages(find(tmp_path))
    assert "includes https://x.invalid/r.txt," in message


def test_pins_in_a_text_of_another_name_are_a_problem_unless_included(tmp_path: Path) -> None:
    plant(
        tmp_path,
        "reqs.txt",
        text="# frozen\npyyaml==5.3.1 \\\n    --hash=sha256:00\nflask[async] == 2.2.5 ; python_version > '3'\n",
    )
    plant(tmp_path, "deps.list.txt", text="flask==2.2.5\n")
    plant(tmp_path, "requirements.txt", text="-r deps.list.txt\n")
    plant(tmp_path, "notes.txt", text="flask==2.2.5\nis what we run\n")
    plant(tmp_path, "robots.txt", "empty.txt", text="")
    assert messages(find(tmp_path)) == ["reqs.txt: it reads like requirements, and its name does not say so"]
    assert messages(find(tmp_path, "reqs.txt")) == []
