"""Advisory data: where it came from, how old it is, and how to get it."""

from __future__ import annotations

from invoke import Collection, Context, task

TARGET = {"target": "folder whose truegate.toml is in force (default: the working directory)"}


def _show(target: str) -> None:
    from datetime import UTC, datetime

    from truegate.advisories.stores import stores
    from truegate.config import load_config
    from truegate.tables import show_table

    config = load_config(target)
    root = config.folder("security.db.dir")
    rows = []
    for store in stores(root):
        age = datetime.now(UTC) - datetime.fromisoformat(store.dated) if store.dated else None
        hours = f"{age.total_seconds() / 3600:.1f}" if age else "unknown"
        rows.append([store.engine, store.source, store.dated, hours, f"{store.bytes / 1e6:.1f}", store.records])
    if rows:
        show_table(rows, ["engine", "source", "dated", "age h", "MB", "records"])
    else:
        print(f"no advisory data in {root}\n  next: inv security.db.update, or inv security.db.import --file F")


@task(help=TARGET)
def show(_context: Context, target: str = ".") -> None:
    """Show each engine's advisory data: source, date, age, size."""
    from truegate.finish import user_errors

    with user_errors():
        _show(target)


@task(
    iterable=["engine"], help={**TARGET, "engine": "trivy or osv-scanner; repeat it for both (default: as configured)"}
)
def update(_context: Context, engine: list[str], target: str = ".") -> None:
    """Download the public advisory data, trying each mirror."""
    from truegate.advisories import update as source
    from truegate.config import load_config
    from truegate.errors import ConfigError
    from truegate.finish import user_errors

    fetchers = {"trivy": source.update_trivy, "osv-scanner": source.update_osv}
    with user_errors():
        config = load_config(target)
        for name in engine or [n for n in config["security.sca.engines"] if n in fetchers]:
            if name not in fetchers:
                raise ConfigError(f"{name!r} has no advisory data to fetch", f"choose from: {', '.join(fetchers)}")
            fetchers[name](config)
        _show(target)


@task(name="import", help={**TARGET, "file": "Trivy's db.tar.gz, or an OSV all.zip"})
def import_(_context: Context, file: str, target: str = ".") -> None:
    """Take an archive that was carried here, and keep its date."""
    from pathlib import Path

    from truegate.advisories.stores import import_archive
    from truegate.config import load_config
    from truegate.finish import user_errors

    with user_errors():
        import_archive(Path(file), load_config(target).folder("security.db.dir"))
        _show(target)


@task(help={**TARGET, "dir": "folder of OSV records (default: the seed that ships with the kit)"})
def advisories(_context: Context, dir: str = "", target: str = ".") -> None:  # noqa: A002  the flag's name
    """Compile your own OSV records into data for every engine."""
    from pathlib import Path

    from truegate.advisories.stores import SEED, compile_private
    from truegate.config import load_config
    from truegate.finish import user_errors

    with user_errors():
        root = load_config(target).folder("security.db.dir")
        compile_private(Path(dir) if dir else SEED, root, "private" if dir else "seed")
        _show(target)


collection = Collection("db")
collection.add_task(show, default=True)
for _task in (update, import_, advisories):
    collection.add_task(_task)
