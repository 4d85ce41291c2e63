"""Lay out the environment's folder: configuration files, the database cluster, what each part keeps on disk."""

from __future__ import annotations

import json
import os
import pwd
import shutil
from collections.abc import Collection
from pathlib import Path
from string import Template

from truegate import runner
from truegate.errors import InconclusiveError
from truegate.progress import Progress
from truegate_staging.parts import PARTS, program, psql
from truegate_staging.site import STAGING, Site

REDIS = """\
bind 127.0.0.1
port {port}
requirepass {password}
dir {folder}
appendonly yes
save ""
maxmemory-policy noeviction
"""


def prepare(site: Site, parts: Collection[str]) -> None:
    """Make folders and files for `parts`; what is there already stays."""
    site.folder.mkdir(mode=0o711 if site.user else 0o700, parents=True, exist_ok=True)
    for folder in (site.folder / "data", site.folder / "conf", site.folder / "home", site.folder / "log" / "service"):
        _own(site, folder)
    for part in PARTS:
        if part.name in parts:
            _own(site, site.data(part.name))
    _own(site, site.data("service"))
    _own(site, site.data("storage") / site.variables["S3_BUCKET"])
    _write(site, "redis.conf", REDIS.format(
        port=site.port("redis"), password=site.password("REDIS_URL"), folder=site.data("redis")
    ))  # fmt: skip
    _write(site, "toxiproxy.json", json.dumps([_proxy(site, name) for name in ("postgres", "redis", "storage")]))
    if "collector" in parts:
        _own(site, site.folder / "log" / "central")
        _fill(site, "collector.yaml")
    if "edge" in parts:
        _own(site, site.data("edge") / "cache")
        ports = {"EDGE_PORT": site.port("edge"), "SERVICE_PORT": site.port("service")}
        _fill(site, "edge/nginx.conf", EDGE_DIR=site.data("edge"), **ports)
    if not (site.folder / "conf" / "flags.json").exists():
        _write(site, "flags.json", (STAGING / "server" / "flags.json").read_text(encoding="utf-8"))
    _make_cluster(site)


def _proxy(site: Site, name: str) -> dict[str, object]:
    listen, upstream = (f"127.0.0.1:{site.port(port)}" for port in (f"{name}-proxied", name))
    return {"name": name, "listen": listen, "upstream": upstream, "enabled": True}


def _own(site: Site, folder: Path) -> None:
    """Make a folder that belongs to who runs the parts."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if site.user:
        entry = pwd.getpwnam(site.user)
        for place in (folder, *folder.parents):
            if place == site.folder:
                break
            os.chown(place, entry.pw_uid, entry.pw_gid)


def _fill(site: Site, template: str, **values: object) -> None:
    """Write a file of staging/ with each `${NAME}` replaced; any other dollar sign stays."""
    text = Template((STAGING / template).read_text(encoding="utf-8")).safe_substitute(values)
    _write(site, Path(template).name, text)


def _write(site: Site, name: str, text: str) -> None:
    path = site.folder / "conf" / name
    path.touch(mode=0o600)
    path.write_text(text, encoding="utf-8")
    if site.user:
        shutil.chown(path, site.user)


def _make_cluster(site: Site) -> None:
    folder = site.data("postgres")
    if (folder / "PG_VERSION").exists():
        return
    for left in folder.iterdir():  # of an initdb that was cut short: it writes PG_VERSION into subfolders first
        shutil.rmtree(left) if left.is_dir() else left.unlink()
    _write(site, "postgres-password", site.variables["POSTGRES_PASSWORD"] + "\n")
    password = site.folder / "conf" / "postgres-password"
    argv = [program(site, "postgres", "initdb"), "--pgdata", str(folder), "--username", "postgres", "--pwfile"]
    argv += [str(password), "--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C", "--data-checksums"]
    env = runner.clean_environment(site.folder / "home")
    with Progress("making the database cluster"):
        code, out, errors = runner.output(as_user(site, argv), cwd=site.folder, env=env, timeout_seconds=120)
    password.unlink()
    if code != 0:
        raise InconclusiveError(f"initdb ended with {code}:\n{out}{errors}", "mend what it says, then run this again")


def make_database(site: Site) -> None:
    """Make the service's role and database; the role's password becomes that of DATABASE_URL."""
    quoted = site.password("DATABASE_URL").replace("'", "''")
    statements = (
        "do $$ begin create role app login; exception when duplicate_object then null; end $$",
        f"alter role app password '{quoted}'",
        "select case when exists (select from pg_database where datname = 'app') then '' else 'absent' end",
    )
    for statement in statements:
        code, out, errors = psql(site, statement, role="postgres", database="postgres")
        if code != 0:
            raise InconclusiveError(f"postgres: {errors.strip()}", "did its password change? inv staging.reset")
    if out.strip() == "absent":
        code, _, errors = psql(site, "create database app owner app", role="postgres", database="postgres")
        if code != 0:
            raise InconclusiveError(f"postgres: {errors.strip()}", "see inv staging.logs postgres")


def as_user(site: Site, argv: list[str]) -> list[str]:
    """Give `argv` as the site's user runs it."""
    if not site.user:
        return argv
    entry = pwd.getpwnam(site.user)
    return ["setpriv", f"--reuid={entry.pw_uid}", f"--regid={entry.pw_gid}", "--clear-groups", "--", *argv]
