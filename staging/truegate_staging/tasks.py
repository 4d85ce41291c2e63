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
    from truegate_staging.site import locate

    with user_errors():
        config = _config()
        ready = _show(locate(config, environment.find_tools(config, fetch=False)))
        leave(PASS if ready else INCONCLUSIVE)


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
        if not yes and input(f"remove all data in {folder}? [y/N] ").strip().lower() != "y":
            raise ConfigError("nothing was removed", "answer y, or give --yes")
        print(f"removed {near(environment.reset(config).folder)}")
