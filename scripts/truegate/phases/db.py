"""Advisory data: where it came from, how old it is, and how to get it."""

from __future__ import annotations

from invoke import Collection, Context, task

TARGET = {"target": "folder whose truegate.toml is in force (default: the working directory)"}


def _show(target: str) -> None:
    from datetime import UTC, datetime

    from truegate.advisories.stores import FOLDERS, stores
    from truegate.config import load_config
    from truegate.tables import show_table

    config = load_config(target)
    root = config.folder("security.db.dir")
    found = stores(root)
    rows = []
    for store in found:
        age = datetime.now(UTC) - datetime.fromisoformat(store.dated) if store.dated else None
        hours = f"{age.total_seconds() / 3600:.1f}" if age else "unknown"
        rows.append([store.engine, store.source, store.dated, hours, f"{store.bytes / 1e6:.1f}", store.records])
    lacking = [name for name in config["security.sca.engines"] if name in FOLDERS.keys() - {s.engine for s in found}]
    show_table([*rows, *([name, "none"] for name in lacking)], ["engine", "source", "dated", "age h", "MB", "records"])
    for store in found:
        if store.why:
            print(f"{store.engine}: not taken for the public data: {store.why}")
    if lacking:
        print(f"{' and '.join(lacking)}: no advisory data in {root}")
        print("  next: inv security.db.update, or inv security.db.import --file F where there is no network")


@task(help=TARGET)
def show(_context: Context, target: str = ".") -> None:
    """Show the advisory data: source, age, size."""
    from truegate.finish import user_errors

    with user_errors():
        _show(target)


@task(
    iterable=["engine"], help={**TARGET, "engine": "trivy or osv-scanner; repeat it for both (default: as configured)"}
)
def update(_context: Context, engine: list[str], target: str = ".") -> None:
    """Download the public advisory data."""
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
    """Take an archive that was carried here."""
    from pathlib import Path

    from truegate.advisories.archives import import_archive
    from truegate.config import load_config
    from truegate.finish import user_errors
    from truegate.progress import Progress

    with user_errors():
        root = load_config(target).folder("security.db.dir")
        with Progress(f"importing {file}"):
            import_archive(Path(file), root)
        _show(target)


@task(help={**TARGET, "dir": "folder of OSV records (default: the seed that ships with the kit)"})
def advisories(_context: Context, dir: str = "", target: str = ".") -> None:  # noqa: A002  the flag's name
    """Compile your own OSV records."""
    from pathlib import Path

    from truegate.advisories.stores import SEED, compile_private
    from truegate.config import load_config
    from truegate.finish import user_errors

    with user_errors():
        root = load_config(target).folder("security.db.dir")
        made = compile_private(Path(dir) if dir else SEED, root, "private" if dir else "seed")
        for skipped in made.skipped:
            print(f"not compiled: {skipped}")
        _show(target)


collection = Collection("db")
collection.add_task(show, default=True)
for _task in (update, import_, advisories):
    collection.add_task(_task)
