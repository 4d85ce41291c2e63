"""Staging: the reference environment on this machine."""

from __future__ import annotations

from typing import Any

from invoke import Context, task

PROFILE = "staging"


def _config() -> Any:
    from truegate.config import load_config
    from truegate.toml import KIT_ROOT

    return load_config(str(KIT_ROOT), PROFILE)


def _show(site: Any) -> bool:
    from truegate.tables import show_table
    from truegate_staging.environment import describe

    rows = describe(site)
    show_table(rows, ["part", "version", "address", "state", "uptime", "from"])
    return all(row[3] in {"ready", "absent"} for row in rows)


@task
def up(_context: Context) -> None:
    """Start every part and wait until it is ready."""
    from truegate.finish import near, user_errors
    from truegate_staging import environment

    with user_errors():
        site, notes = environment.up(_config())
        _show(site)
        print("\n".join([*notes, f"kept in {near(site.folder)}"]))


@task
def down(_context: Context) -> None:
    """End every part; what they keep stays."""
    from truegate.finish import near, user_errors
    from truegate_staging import environment

    with user_errors():
        site = environment.down(_config())
        print(f"down; kept in {near(site.folder)}")


@task(default=True)
def status(_context: Context) -> None:
    """Show each part: version, address, state."""
    from truegate.errors import INCONCLUSIVE, PASS
    from truegate.finish import leave, user_errors
    from truegate_staging import environment

    with user_errors():
        site = environment.present(_config())
        ready = _show(site)
        for left in environment.left_over(site):
            print(f"without a supervisor: {left}; inv staging.up or staging.down ends it, if it is of this environment")
        leave(PASS if ready else INCONCLUSIVE)


def _agreed(question: str) -> bool:
    try:
        return input(question).strip().lower() == "y"
    except EOFError:  # nobody is there to answer
        return False


@task(help={"yes": "do not ask"})
def reset(_context: Context, yes: bool = False) -> None:
    """End every part and remove what they keep."""
    from truegate.errors import ConfigError
    from truegate.finish import near, user_errors
    from truegate_staging import environment
    from truegate_staging.site import locate

    with user_errors():
        config = _config()
        folder = locate(config, {}).folder
        if not yes and not _agreed(f"remove all data in {folder}? [y/N] "):
            raise ConfigError("nothing was removed", "answer y, or give --yes")
        print(f"removed {near(environment.reset(config).folder)}")


@task(help={"items": "how many", "number": "the seed: the same gives the same items"})
def seed(_context: Context, items: int = 1000, number: int = 1) -> None:
    """Replace all items by new, repeatable ones."""
    from truegate.finish import user_errors
    from truegate_staging import environment
    from truegate_staging import seed as data

    with user_errors():
        data.seed(environment.present(_config()), int(items), int(number))
        print(f"{items} items from seed {number}")


@task(
    help={
        "part": "postgres, redis, service …, or all",
        "grep": "print only the lines that match, of the whole log",
        "follow": "go on until Ctrl-C",
    }
)
def logs(_context: Context, part: str, grep: str = "", follow: bool = False) -> None:
    """Print the log of a part, or of all."""
    from truegate import runner
    from truegate.errors import ConfigError
    from truegate.finish import user_errors
    from truegate_staging import environment
    from truegate_staging import logs as reading

    with user_errors():
        site, wanted = environment.present(_config()), reading.matcher(grep)
        if part == "all" and follow:
            raise ConfigError(
                "all parts can't be followed at once", "follow one part, or run it again without --follow"
            )
        if part == "all":
            for line in filter(wanted.search, reading.gathered(site)):
                print(line)
            return
        path = reading.log_of(site, part)
        lines = path.read_text(encoding="utf-8", errors="replace") if grep else runner.tail(path, 50)
        for line in filter(wanted.search, lines.splitlines()):
            print(line)
        for line in filter(wanted.search, reading.follow(path) if follow else ()):
            print(line, flush=True)
