"""One session a check and one a phase: each installs its locked group and runs one inv task."""

from pathlib import Path

import nox

HERE = Path(__file__).resolve().parent
# What `inv --list` says of each; a test holds the two equal.
SESSIONS = {
    "security": "Run every security check.",
    "security.sca": "Judge the locked dependencies.",
    "security.sbom": "Write and judge the bill of materials.",
}

nox.needs_version = ">=2026.10.20"
nox.options.error_on_missing_interpreters = True
nox.options.sessions = ["lint", "tests"] if (HERE / "tests").is_dir() else ["security"]  # tests are not copied


def install(session: nox.Session, group: str) -> None:
    """Install a locked group, as `run` does."""
    session.install("--no-deps", "--require-hashes", "-r", f"{HERE}/requirements/{group}.txt")


@nox.session(default=False)
def lint(session: nox.Session) -> None:
    """Check style, types, shell and pipelines."""
    pytest(session, "-q", "tests/unit/test_lint.py")


@nox.session(default=False)
def tests(session: nox.Session) -> None:
    """Run the tests, lint included."""
    pytest(session, "-n", "2", "--dist", "loadgroup")


def pytest(session: nox.Session, *arguments: str) -> None:
    """Run the tests of this repository; a kit that was copied elsewhere has none."""
    if not (HERE / "tests").is_dir():
        session.error("there are no tests here: they stay in Truegate's own repository")
    install(session, "dev")
    session.chdir(HERE)
    session.run("python", "-m", "pytest", *arguments, *session.posargs)


def add(task: str, text: str) -> None:
    """Make the session of one inv task; it judges the folder that nox was called from."""

    @nox.session(name=task, default=False)
    def body(session: nox.Session) -> None:
        install(session, task.partition(".")[0])
        session.chdir(session.invoked_from)
        session.run("inv", "--search-root", str(HERE), task, *session.posargs)

    body.__doc__ = text


for name, text in SESSIONS.items():
    add(name, text)
