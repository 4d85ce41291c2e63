"""`inv security.db` as a user types it: shown, fetched from mirrors, carried in, compiled, and used by the engines."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import support  # type: ignore[import-not-found]

import advisory_servers as made  # type: ignore[import-not-found]
from truegate.advisories.download import WAITS_SECONDS
from truegate.advisories.stores import SEED, read_note
from truegate.advisories.update import update_osv, update_trivy
from truegate.config import Config, load_config
from truegate.errors import InconclusiveError

pytestmark = pytest.mark.slow

DEAD = "127.0.0.1:1/db:2"  # nothing listens on tcpmux
BUSY = made.Answer(503)
LIMITED = made.Answer(429, b'{"errors":[{"code":"TOOMANYREQUESTS","message":"slow down"}]}')
DATED: str = max(made.DATES.values())
CARRY = "inv security.db.import --file F"


def configured(folder: Path, **db: Any) -> Path:
    """Write the truegate.toml of a target whose advisory data lies below it."""
    lines = "".join(f"{name} = {json.dumps(value)}\n" for name, value in {"dir": "data", **db}.items())
    engines = 'engines = ["trivy", "osv-scanner"]\n[security.sca.criteria]\nadvisory_age_hours_max = 1_000_000\n'
    tools = f'trivy = "{support.tool("trivy")}"\n'
    support.write(folder, {"truegate.toml": f"[tools]\n{tools}[security.db]\n{lines}[security.sca]\n{engines}"})
    return folder


def run(task: str, *arguments: str, target: Path) -> subprocess.CompletedProcess[str]:
    done: subprocess.CompletedProcess[str] = support.inv(f"security.db{task}", *arguments, cwd=target)
    assert "Traceback" not in done.stderr
    return done


def fetched(target: Path, *mirrors: str) -> Config:
    overrides = {"security.db.trivy_repositories": list(mirrors), "tools": {"trivy": support.tool("trivy")}}
    return load_config(str(target), overrides={"security.db.dir": str(target / "data"), **overrides})


def rows(done: subprocess.CompletedProcess[str]) -> dict[str, list[str]]:
    """Give the cells of the table by engine."""
    table = [line.split() for line in done.stdout.splitlines() if line.startswith(("trivy  ", "osv-scanner  "))]
    return {cells[0]: cells for cells in table}


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Let our own waits pass at once; Trivy's stay."""
    waited: list[float] = []
    monkeypatch.setattr("truegate.advisories.download.sleep", waited.append)
    return waited


def test_without_data_it_says_where_and_how_to_get_it(tmp_path: Path) -> None:
    done = run("", target=configured(tmp_path))
    assert done.returncode == 0
    assert rows(done)["trivy"] == ["trivy", "none"]
    assert rows(done)["osv-scanner"] == ["osv-scanner", "none"]
    assert f"no advisory data in {tmp_path}/data\n  next: inv security.db.update, or {CARRY}" in done.stdout


def test_what_was_fetched_judges_as_the_public_data(tmp_path: Path) -> None:
    with made.serving(made.registry(made.archives().db)) as server:
        target = configured(tmp_path, trivy_repositories=[DEAD, f"{server.host}/db:2"])
        done = run(".update", "--engine", "trivy", target=target)
    assert done.returncode == 0, done.stderr
    assert rows(done)["trivy"][1:3] == ["official", DATED]
    note = read_note(target / "data/trivy")
    assert (note["source"], note["dated"], note["repository"]) == ("official", DATED, f"{server.host}/db:2")
    assert (target / "data/trivy/db/trivy.db").read_bytes() == made.archives().database
    assert judged(target, "official") == 0


def judged(target: Path, source: str, lockfile: str = support.FLASK_FIXED, engine: str = "trivy") -> int:
    """Give the exit code of `security.sca` over one requirements file, and hold that it names the data's source."""
    support.write(target, {"requirements.txt": lockfile})
    tools = {"trivy": support.tool("trivy"), "osv-scanner": support.tool("osv-scanner")}
    text = (target / "truegate.toml").read_text().replace('["trivy", "osv-scanner"]', f'["{engine}"]')
    text = text.split("[security.db]")[1]
    listed = "".join(f'{name} = "{path}"\n' for name, path in tools.items())
    support.write(target, {"truegate.toml": f"[tools]\n{listed}[security.db]{text}"})
    done = support.inv("security.sca", cwd=target)
    assert f"{engine} advisories: {source}" in done.stdout, done.stdout + done.stderr
    alone = "advisories alone, not on the public data" in done.stdout
    assert alone == (source not in {"official", "imported"})
    return int(done.returncode)


@pytest.mark.parametrize("engine", ["trivy", "osv-scanner"])
def test_imported_public_data_can_pass_and_fail_by_itself(tmp_path: Path, engine: str) -> None:
    target = configured(tmp_path)
    for name, data in (("db.tar.gz", made.archives().db), ("all.zip", made.archives().zips["PyPI"])):
        (tmp_path / name).write_bytes(data)
        done = run(".import", "--file", name, target=target)
        assert done.returncode == 0, done.stderr
    assert {row[1] for row in rows(done).values()} == {"imported"}
    assert judged(target, "imported", engine=engine) == 0
    assert judged(target, "imported", support.FLASK_OLD, engine=engine) == 3


@pytest.mark.parametrize("engine", ["trivy", "osv-scanner"])
def test_private_data_that_was_carried_round_fails_but_never_passes(tmp_path: Path, engine: str) -> None:
    target = configured(tmp_path)
    for name, data in (("db.tar.gz", made.archives().own_db), ("all.zip", made.archives().own_zips["PyPI"])):
        (tmp_path / name).write_bytes(data)
        done = run(".import", "--file", name, target=target)
        assert done.returncode == 0, done.stderr
    assert "trivy: not taken for the public data: this kit compiled it" in done.stdout
    assert "osv-scanner: not taken for the public data: PyPI: this kit compiled it" in done.stdout
    assert judged(target, "private", engine=engine) == 4
    assert judged(target, "private", support.FLASK_OLD, engine=engine) == 3


def test_a_database_changed_behind_its_note_passes_nothing(tmp_path: Path) -> None:
    target = configured(tmp_path)
    (tmp_path / "db.tar.gz").write_bytes(made.archives().db)
    assert run(".import", "--file", "db.tar.gz", target=target).returncode == 0
    with (target / "data/trivy/db/trivy.db").open("ab") as database:
        database.write(bytes(4096))
    assert rows(run("", target=target))["trivy"][1] == "unknown"
    assert judged(target, "unknown") == 4


def test_a_mirror_of_private_data_is_not_the_public_data(tmp_path: Path) -> None:
    with made.serving(made.registry(made.archives().own_db)) as server:
        target = configured(tmp_path, trivy_repositories=[f"{server.host}/db:2"])
        done = run(".update", "--engine", "trivy", target=target)
    assert rows(done)["trivy"][1] == "private"
    assert "trivy: not taken for the public data: this kit compiled it" in done.stdout


def test_a_busy_mirror_is_asked_again_once_the_others_failed(tmp_path: Path, waits: list[float]) -> None:
    thrice = [LIMITED] * 3  # so often Trivy itself asks
    with made.serving(made.registry(made.archives().db, [*thrice, *[BUSY] * 3])) as server:
        store = update_trivy(fetched(tmp_path, DEAD, f"{server.host}/db:2"))
    assert (store.source, store.dated) == ("official", DATED)
    assert waits == list(WAITS_SECONDS[:2])
    assert server.asked.count("/v2/db/manifests/2") == 7


def test_when_every_mirror_fails_each_is_named_and_the_old_data_stays(tmp_path: Path) -> None:
    refusing = made.registry(b"", login="ada:secret")
    with (
        made.serving(refusing) as closed,
        made.serving(made.registry(made.archives().db, cut=True)) as cut,
        made.serving(made.registry(made.tar_gz({"readme": b"no database"}))) as other,
        made.serving(lambda *_: made.Answer(404)) as empty,
    ):
        mirrors = [DEAD, *(f"{server.host}/db:2" for server in (closed, cut, other, empty))]
        target = configured(tmp_path, trivy_repositories=mirrors)
        assert run(".advisories", target=target).returncode == 0
        before = contents(target / "data")
        done = run(".update", "--engine", "trivy", target=target)
    assert done.returncode == 4
    said = [line.strip() for line in done.stderr.splitlines() if not line.startswith("20")]
    assert said[0] == "error: Trivy's database could not be fetched:"
    for mirror, line, reason in zip(mirrors, said[1:], REASONS, strict=False):
        assert line.startswith(f"{mirror}: ")
        assert reason in line
    assert said[-1].startswith("next: set [security.db] trivy_repositories to a mirror that you reach, or")
    assert len(said) == len(mirrors) + 2
    assert contents(target / "data") == before


REASONS = (
    "connection refused",
    "UNAUTHORIZED: log in first",
    "unexpected EOF",
    "unable to get metadata",
    "404 Not Found",
)


def contents(folder: Path) -> Mapping[str, bytes]:
    return {str(path): path.read_bytes() for path in support.files_below(folder) if path.suffix != ".lock"}


def test_a_mirror_behind_a_login_is_reached_with_what_docker_login_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    with made.serving(made.registry(made.archives().db, login="ada:secret")) as server:
        auth = {"auths": {server.host: {"auth": "YWRhOnNlY3JldA=="}}}
        support.write(tmp_path, {"docker/config.json": json.dumps(auth)})
        assert update_trivy(fetched(tmp_path, f"{server.host}/db:2")).source == "official"


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_download_that_was_broken_off_leaves_the_old_data_and_can_be_repeated(
    tmp_path: Path, by: signal.Signals
) -> None:
    reached, over, whole = threading.Event(), threading.Event(), made.registry(made.archives().db)

    def hang_once(path: str, headers: made.Headers) -> made.Answer:
        if "/blobs/" in path and not reached.is_set():
            reached.set()
            over.wait(60)
        answer: made.Answer = whole(path, headers)
        return answer

    with made.serving(hang_once) as server:
        target = configured(tmp_path, trivy_repositories=[f"{server.host}/db:2"])
        assert run(".advisories", target=target).returncode == 0
        before = contents(target / "data")
        inv = [str(support.KIT / ".venv/bin/inv"), "--search-root", str(support.KIT)]
        with subprocess.Popen([*inv, "security.db.update", "--engine", "trivy"], cwd=target) as update:
            assert reached.wait(60)
            update.send_signal(by)
        assert update.returncode == (-by if by == signal.SIGKILL else 4)  # SIGTERM ends it as Ctrl-C does
        kept = {path: data for path, data in contents(target / "data").items() if "/data/." not in path}
        assert kept == before
        assert rows(run(".update", "--engine", "trivy", target=target))["trivy"][1] == "official"
        assert [path.name for path in (target / "data").glob(".*-*")] == []
        over.set()


def osv_paths(zips: Mapping[str, bytes]) -> dict[str, bytes]:
    return {f"/{ecosystem}/all.zip": data for ecosystem, data in zips.items()}


def test_osvs_zips_are_fetched_noted_and_used(tmp_path: Path) -> None:
    with made.serving(made.files(osv_paths(made.archives().zips))) as server:
        target = configured(tmp_path, osv_url=f"http://{server.host}/")
        done = run(".update", "--engine", "osv-scanner", target=target)
    assert done.returncode == 0, done.stderr
    assert rows(done)["osv-scanner"][1:3] == ["official", made.DATES["npm"]]
    assert judged(target, "official", engine="osv-scanner") == 0
    assert judged(target, "official", support.FLASK_OLD, engine="osv-scanner") == 3


def test_a_busy_osv_server_is_asked_again(tmp_path: Path, waits: list[float]) -> None:
    asked_for = made.Answer(429, headers={"Retry-After": "20"})
    first = {"/npm/all.zip": [asked_for, BUSY], "/PyPI/all.zip": [BUSY]}
    with made.serving(made.files(osv_paths(made.archives().zips), first)) as server:
        overrides = {"security.db.dir": str(tmp_path / "data"), "security.db.osv_url": f"http://{server.host}"}
        store = update_osv(load_config(str(tmp_path), overrides=overrides))
    assert (store.source, waits) == ("official", [20, 15, 5])


@pytest.mark.parametrize(
    ("pypi", "said"),
    [
        (made.Answer(404), "answered 404 Not Found"),
        (made.Answer(429, headers={"Retry-After": "7200"}), "asks to wait 7200 s"),
        (made.Answer(body=b"PK", declared=10**6), "IncompleteRead"),
        (made.Answer(body=b"PK", declared=10**13), "sends more than 8,589,934,592 bytes"),
        (made.Answer(body=b"<html>log in</html>"), "PyPI.zip is no sound zip of OSV records"),
        (made.Answer(body=made.osv_zip([made.record("X")])), "holds records of npm"),
        (BUSY, "answered 503 Service Unavailable"),
    ],
)
def test_when_one_ecosystem_fails_the_old_data_of_both_stays(
    tmp_path: Path, waits: list[float], pypi: made.Answer, said: str
) -> None:
    assert run(".advisories", target=configured(tmp_path)).returncode == 0
    before = contents(tmp_path / "data")
    bodies = osv_paths(made.archives().zips)
    with made.serving(lambda path, _: pypi if "PyPI" in path else made.Answer(body=bodies[path])) as server:
        overrides = {"security.db.osv_url": f"http://{server.host}"}
        with pytest.raises(InconclusiveError) as caught:
            update_osv(load_config(str(tmp_path), overrides=overrides))
    assert caught.value.message.startswith("OSV's PyPI/all.zip could not be fetched:")
    assert said in caught.value.message
    assert CARRY in caught.value.next_step
    assert waits == (list(WAITS_SECONDS) if pypi is BUSY else [])
    assert contents(tmp_path / "data") == before


def test_an_engine_without_data_of_ours_is_refused(tmp_path: Path) -> None:
    done = run(".update", "--engine", "snyk", target=configured(tmp_path))
    assert done.returncode == 2
    assert "'snyk' has no advisory data to fetch" in done.stderr


def test_what_is_no_archive_exits_2_and_names_the_file(tmp_path: Path) -> None:
    done = run(".import", "--file", "truegate.toml", target=configured(tmp_path))
    assert done.returncode == 2
    assert "error: truegate.toml can't be read: " in done.stderr
    assert "next: name Trivy's db.tar.gz" in done.stderr


def test_a_place_that_cannot_be_written_exits_5_and_is_named(tmp_path: Path) -> None:
    done = run(".advisories", target=configured(tmp_path, dir="truegate.toml/data"))
    assert done.returncode == 5
    assert "truegate.toml/data can't be written: Not a directory" in done.stderr
    assert "or set [security.db] dir to another folder" in done.stderr


def test_own_records_are_compiled_and_used(tmp_path: Path) -> None:
    target = configured(tmp_path)
    shutil.copytree(SEED, target / "mine")
    own = support.record("OWN-1", "Flask", ecosystem="PyPI", modified="2025-09-01T00:00:00Z")
    support.write(target, {"mine/OWN-1.json": own.replace("2.0.0", "9.0.0")})
    done = run(".advisories", "--dir", "mine", target=target)
    assert done.returncode == 0, done.stderr
    for engine in ("trivy", "osv-scanner"):
        assert rows(done)[engine][1:3] == ["private", "2025-09-01T00:00:00Z"]
    assert judged(target, "private") == 3
    assert "OWN-1" in next((target / "evidence").rglob("trivy.json")).read_text()


def test_an_unsound_record_exits_2_is_named_and_changes_nothing(tmp_path: Path) -> None:
    target = configured(tmp_path)
    assert run(".advisories", target=target).returncode == 0
    before = contents(target / "data")
    support.write(target, {"mine/GOOD.json": support.record("GOOD"), "mine/BAD.json": '{"id": "BAD"}'})
    done = run(".advisories", "--dir", "mine", target=target)
    assert done.returncode == 2
    assert f"{Path('mine/BAD.json')} is no OSV record that can be compiled" in done.stderr
    assert contents(target / "data") == before
