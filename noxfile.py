"""One session a check and one a phase: each installs its locked group and runs one inv task."""

import nox

nox.needs_version = ">=2026.10.20"
nox.options.sessions = ["lint", "tests"]
nox.options.error_on_missing_interpreters = True

HERE = __file__.rpartition("/")[0] or "."
SESSIONS = {
    "security": "Run every security check.",
    "security.sca": "Judge the locked dependencies.",
    "security.sbom": "Write and judge the bill of materials.",
}


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, types and shell."""
    install(session, "dev")
    session.chdir(HERE)
    session.run("ruff", "format", "--check", ".")
    session.run("ruff", "check", ".")
    session.run("mypy")
    session.run("shellcheck", "run")


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests."""
    install(session, "dev")
    session.chdir(HERE)
    session.run("python", "-m", "pytest", *session.posargs)


def install(session: nox.Session, group: str) -> None:
    """Install a locked group."""
    session.install("--require-hashes", "-r", f"{HERE}/requirements/{group}.txt")


def add(task: str, text: str) -> None:
    """Make the session of one inv task; it judges the folder that nox was called from."""

    def body(session: nox.Session) -> None:
        install(session, task.partition(".")[0])
        session.chdir(session.invoked_from)
        session.run("inv", "--search-root", HERE, task, *session.posargs)

    body.__doc__ = text
    nox.session(name=task, default=False)(body)


for name, text in SESSIONS.items():
    add(name, text)
