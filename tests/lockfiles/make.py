"""Make the samples under tests/samples/lockfiles/ with the real package managers.

python tests/lockfiles/make.py [TEXT...]: all samples, or those with one of the texts in their name. It needs node
20 or newer with npm, Python 3.11 or newer, and the registries; the other managers are installed from the lockfiles
beside it. `expected.json` is what the manager itself says is installed, never what our own reader says.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
SAMPLES = HERE.parent / "samples" / "lockfiles"
TOOLS = HERE.parents[1] / ".tools" / "lockfiles"
CASES = json.loads((HERE / "cases.json").read_text())
NODE, PYTHON = CASES["node"]["projects"], CASES["python"]["projects"]
LOCKFILES = ("package-lock.json", "yarn.lock", "pnpm-lock.yaml", "poetry.lock", "uv.lock", "Pipfile.lock")
REGISTRY = re.compile(
    r"https?://[^/\s\"']+(?=/[^\s\"']*(?:\.tgz|\.whl|\.tar\.gz|\.zip|/simple)\b)|https?://[^/\s\"']+(?=/simple\b)"
)
Packages = set[tuple[str, str]]

ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if name not in {"CI", "PIP_FIND_LINKS", "VIRTUAL_ENV"}},
    "PIPENV_IGNORE_VIRTUALENVS": "1",
    "PIPENV_VENV_IN_PROJECT": "1",
    "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
    "YARN_ENABLE_IMMUTABLE_INSTALLS": "0",
    "YARN_ENABLE_SCRIPTS": "0",
    "YARN_ENABLE_TELEMETRY": "0",
    "YARN_NODE_LINKER": "node-modules",
}
NODE_PROGRAMS = {
    "yarn1": "yarn/bin/yarn.js",
    "yarn3": "yarn3/bin/yarn.js",
    "yarn4": "@yarnpkg/cli-dist/bin/yarn.js",
    "pnpm7": "pnpm7/bin/pnpm.cjs",
    "pnpm8": "pnpm8/bin/pnpm.cjs",
    "pnpm10": "pnpm/bin/pnpm.cjs",
}


def run(folder: Path, *argv: str) -> str:
    done = subprocess.run(argv, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(argv)} ended with {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done.stdout


def install_managers() -> None:
    node = TOOLS / "node"
    node.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(HERE / name, node)
    run(node, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
    for name in ("package.json", "package-lock.json"):  # not to be taken for a project of ours
        (node / name).unlink()
    for name in ("requirements", "requirements-poetry1"):
        venv.create(TOOLS / name, with_pip=True)
        run(
            TOOLS,
            python_program(name, "pip"),
            "install",
            "--quiet",
            "--no-deps",
            "--require-hashes",
            "-r",
            str(HERE / f"{name}.txt"),
        )


def python_program(environment: str, name: str) -> str:
    return str(TOOLS / environment / "bin" / name)


def write_node(folder: Path, case: str, manager: str) -> None:
    sibling = "workspace:*" if manager.startswith(("yarn4", "pnpm")) else "1.0.0"
    for place, manifest in NODE[case].items():
        filled = {"name": "app", "version": "1.0.0", "private": True, **manifest}
        (folder / place).mkdir(parents=True, exist_ok=True)
        text = json.dumps(filled, indent=2).replace("SIBLING", sibling)
        (folder / place / "package.json").write_text(text + "\n")
    if manager.startswith("pnpm") and "workspaces" in NODE[case][""]:
        (folder / "pnpm-workspace.yaml").write_text("packages:\n  - packages/*\n")


def make_npm(folder: Path, case: str, manager: str) -> tuple[str, Packages, Packages]:
    write_node(folder, case, manager)
    version = manager[-1]
    omit = "false" if version == "2" else "true"  # one lockfile version with addresses
    lock = ("npm", "install", "--package-lock-only", "--ignore-scripts", f"--omit-lockfile-registry-resolved={omit}")
    run(folder, *lock, "--lockfile-version", version)
    rows = json.loads(run(folder, "npm", "query", "*", "--package-lock-only"))
    rows = [row for row in rows if "node_modules/" in row["location"] and not row.get("isLink")]
    everything = {(row["name"], row["version"]) for row in rows}
    return "npm query '*'", everything, {(row["name"], row["version"]) for row in rows if not row["dev"]}


def make_with_disk(folder: Path, case: str, manager: str) -> tuple[str, Packages, Packages]:
    """Lock, and list what an installation of all and one without dev dependencies puts on disk."""
    write_node(folder, case, manager)
    berry = manager in {"yarn3", "yarn4"}
    program = ("node", str(TOOLS / "node" / "node_modules" / NODE_PROGRAMS[manager]))
    options = ("install",) if berry else ("install", "--ignore-scripts")
    if berry:
        (folder / "yarn.lock").touch()  # Berry takes the nearest one for the project
    run(folder, *program, *options)
    everything = on_disk(folder)
    with tempfile.TemporaryDirectory() as name:
        other = Path(name) / "production"
        shutil.copytree(folder, other, ignore=shutil.ignore_patterns("node_modules", ".yarn", ".pnp*"), symlinks=True)
        if berry:  # Berry 3 has no such option in its core
            for manifest in other.rglob("package.json"):
                text = json.loads(manifest.read_text())
                text.pop("devDependencies", None)
                manifest.write_text(json.dumps(text))
            run(other, *program, *options)
        else:
            run(other, *program, *options, "--production", "--frozen-lockfile")
        return "what is on disk with and without dev dependencies", everything, on_disk(other)


def on_disk(folder: Path) -> Packages:
    found = set()
    for path in folder.rglob("package.json"):
        inside = path.relative_to(folder).as_posix().rpartition("node_modules/")
        if inside[1] and re.fullmatch(r"(@[^/]+/)?[^/]+/package\.json", inside[2]) and not path.parent.is_symlink():
            manifest = json.loads(path.read_text())
            found.add((manifest["name"], manifest["version"]))
    return found


def make_poetry(folder: Path, case: str, manager: str) -> tuple[str, Packages, Packages]:
    runtime, dev = PYTHON[case]["runtime"], PYTHON[case]["dev"]
    lines = ["[tool.poetry]", 'name = "app"', 'version = "1.0.0"', 'description = ""', "authors = []", ""]
    lines += ["[tool.poetry.dependencies]", 'python = "^3.11"', *map(poetry_line, runtime), ""]
    group = "dev-dependencies" if manager == "poetry1" else "group.dev.dependencies"
    lines += [f"[tool.poetry.{group}]", *map(poetry_line, dev), ""]
    primary = "default = true" if manager == "poetry1" else 'priority = "primary"'
    lines += ["[[tool.poetry.source]]", 'name = "index"', 'url = "https://pypi.org/simple/"', primary, ""]
    (folder / "pyproject.toml").write_text("\n".join(lines))
    program = python_program("requirements-poetry1" if manager == "poetry1" else "requirements", "poetry")
    run(folder, program, "lock", "--no-interaction")
    show = (program, "show", "--no-ansi", "--no-interaction")
    return (
        "poetry show, with and without --only main",
        columns(run(folder, *show)),
        columns(run(folder, *show, "--only", "main")),
    )


def poetry_line(requirement: str) -> str:
    name, extra, version = re.fullmatch(r"([\w-]+)(\[\w+\])?==(.+)", requirement).groups()  # type: ignore[union-attr]
    return f'{name} = {{ version = "{version}", extras = ["{extra[1:-1]}"] }}' if extra else f'{name} = "{version}"'


def columns(text: str) -> Packages:
    rows = [line.replace("(!)", " ").split() for line in text.splitlines()]
    return {(row[0], row[1]) for row in rows if len(row) > 1}


def pins(text: str) -> Packages:
    return set(re.findall(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^\s;\\]+)", text, re.MULTILINE))


def make_uv(folder: Path, case: str, manager: str) -> tuple[str, Packages, Packages]:
    del manager
    runtime, dev = PYTHON[case]["runtime"], PYTHON[case]["dev"]
    head = ["[project]", 'name = "app"', 'version = "1.0.0"', 'requires-python = ">=3.11"']
    groups = ["", "[dependency-groups]", f"dev = {json.dumps(dev)}", ""]
    project = [*head, f"dependencies = {json.dumps(runtime)}", *groups]
    if case == "workspace":
        member = folder / "libs" / "part"
        member.mkdir(parents=True)
        (member / "pyproject.toml").write_text(
            "\n".join([*head[:1], 'name = "part"', *head[2:], 'dependencies = ["PyJWT==1.7.1"]', ""])
        )
        project += ["[tool.uv.workspace]", 'members = ["libs/*"]', ""]
    (folder / "pyproject.toml").write_text("\n".join(project))
    program = python_program("requirements", "uv")
    run(folder, program, "lock")
    export = (
        program,
        "export",
        "--frozen",
        "--all-packages",
        "--all-extras",
        "--no-hashes",
        "--no-annotate",
        "--no-header",
    )
    everything = pins(run(folder, *export, "--all-groups"))
    return (
        "uv export, with --all-groups and with --no-default-groups",
        everything,
        pins(run(folder, *export, "--no-default-groups")),
    )


def make_pipenv(folder: Path, case: str, manager: str) -> tuple[str, Packages, Packages]:
    del manager
    source = ["[[source]]", 'url = "https://pypi.org/simple"', "verify_ssl = true", 'name = "pypi"', ""]
    lines = [
        *source,
        "[packages]",
        *map(pipfile_line, PYTHON[case]["runtime"]),
        "",
        "[dev-packages]",
        *map(pipfile_line, PYTHON[case]["dev"]),
        "",
    ]
    (folder / "Pipfile").write_text("\n".join(lines))
    program = python_program("requirements", "pipenv")
    run(folder, program, "lock")
    everything = pins(run(folder, program, "requirements", "--dev"))
    return "pipenv requirements, with and without --dev", everything, pins(run(folder, program, "requirements"))


def pipfile_line(requirement: str) -> str:
    return re.sub(r'= "(\d)', r'= "==\1', poetry_line(requirement))


def make_pip_compile(folder: Path, case: str, manager: str) -> tuple[str, Packages, Packages]:
    del manager
    found = []
    for stem, lines in (("requirements", PYTHON[case]["runtime"]), ("requirements-dev", PYTHON[case]["dev"])):
        (folder / f"{stem}.in").write_text("\n".join([*lines, ""]))
        options = ("--quiet", "--generate-hashes", "--no-strip-extras", "--no-emit-find-links")
        run(folder, python_program("requirements", "pip-compile"), *options, f"{stem}.in")
        pip = (python_program("requirements", "pip"), "install", "--dry-run", "--quiet", "--ignore-installed")
        report = json.loads(run(folder, *pip, "--report", "-", "-r", f"{stem}.txt"))
        found.append({(row["metadata"]["name"], row["metadata"]["version"]) for row in report["install"]})
    return "pip install --dry-run --report", found[0] | found[1], found[0]


MAKERS: dict[str, Callable[[Path, str, str], tuple[str, Packages, Packages]]] = {
    **{f"npm{version}": make_npm for version in (1, 2, 3)},
    **dict.fromkeys(NODE_PROGRAMS, make_with_disk),
    **dict.fromkeys(("poetry1", "poetry2"), make_poetry),
    "uv": make_uv,
    "pipenv": make_pipenv,
    "pip-compile": make_pip_compile,
}


def normal(name: str, manager: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower() if manager in CASES["python"]["managers"] else name


def make_sample(manager: str, case: str) -> None:
    target = SAMPLES / f"{manager}-{case}"
    shutil.rmtree(target, ignore_errors=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "app"
        folder.mkdir()
        asked, everything, runtime = MAKERS[manager](folder, case, manager)
        expected: dict[str, Any] = {"asked": asked, "packages": {}}
        for package, version in sorted(everything | runtime):
            scope = "runtime" if (package, version) in runtime else "dev"
            expected["packages"][f"{normal(package, manager)}@{version}"] = scope
        patterns = (*LOCKFILES, "package.json", "pyproject.toml", "Pipfile", "requirements*.txt", "requirements*.in")
        files = [path for pattern in patterns for path in folder.rglob(pattern)]
        for path in (path for path in files if not {"node_modules", ".venv"} & set(path.relative_to(folder).parts)):
            copy = target / f"{path.relative_to(folder)}.sample"
            copy.parent.mkdir(parents=True, exist_ok=True)
            text = REGISTRY.sub("https://registry.invalid", path.read_text())
            if name in text or (expected["packages"] == {}):
                sys.exit(f"{manager}-{case}: {path.name} holds a path of this machine, or nothing was found")
            copy.write_text(text)
    (target / "expected.json").write_text(json.dumps(expected, indent=1, sort_keys=True) + "\n")
    print(f"{manager}-{case}: {len(expected['packages'])} packages", flush=True)  # noqa: T201


def main(texts: list[str]) -> None:
    install_managers()
    for manager, cases in {**CASES["node"]["managers"], **CASES["python"]["managers"]}.items():
        for case in cases:
            if not texts or any(text in f"{manager}-{case}" for text in texts):
                make_sample(manager, case)


if __name__ == "__main__":
    main(sys.argv[1:])
