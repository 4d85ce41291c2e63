"""Configuration: what is in force and where it came from."""

from __future__ import annotations

from invoke import Context, task

TARGET_HELP = {"target": "folder to judge (default: the working directory)", "profile": "environment, such as staging"}


@task(default=True, help=TARGET_HELP)
def show(_context: Context, target: str = ".", profile: str = "") -> None:
    """Show the values in force and their origin."""
    import json

    from truegate.config import leaves, load_config
    from truegate.finish import user_errors
    from truegate.masking import Masker
    from truegate.tables import show_table

    with user_errors():
        config = load_config(target, profile or None)
        masker = Masker(config.secrets)
        rows = [
            [key, masker.mask_text(json.dumps(config.get(key), ensure_ascii=False)), config.origins.get(key, "not set")]
            for key, _ in leaves()
        ]
        show_table(rows, ["key", "value", "from"])


@task
def sample(_context: Context) -> None:
    """Print an annotated truegate.toml."""
    from truegate.finish import user_errors
    from truegate.sample import sample_toml

    with user_errors():
        print(sample_toml("config"), end="")


@task
def waivers(_context: Context) -> None:
    """Print an annotated waivers.toml."""
    from truegate.finish import user_errors
    from truegate.sample import sample_toml

    with user_errors():
        print(sample_toml("waivers"), end="")
