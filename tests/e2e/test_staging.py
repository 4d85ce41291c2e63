"""The staging environment brought up from a fresh copy: every part real, every task as a user types it."""

from __future__ import annotations

import os
import re
import signal
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import kits  # type: ignore[import-not-found]
import pytest
import staging_kit as staging  # type: ignore[import-not-found]

from truegate.tools import find
from truegate_staging.ports import holders
from truegate_staging.site import OFFSETS

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("staging")]
PARTS = ["collector", "postgres", "redis", "storage", "toxiproxy", "service", "worker", "edge"]


@pytest.fixture(scope="module")
def kit() -> Iterator[Path]:
    """Make a copy of the repository that an unprivileged user can enter, as a checkout in root's home is not."""
    with tempfile.TemporaryDirectory(prefix="truegate-staging-") as place:
        Path(place).chmod(0o755)
        made = staging.make(Path(place, "kit"))
        yield made
        staging.inv(made, "staging.down")
        assert staging.processes(made) == []


@pytest.fixture
def up(kit: Path) -> Path:
    done = staging.inv(kit, "staging.up")
    assert done.returncode == 0, done.stdout + done.stderr
    return kit


def pid_of(kit: Path, port: str) -> int:
    (holder,) = {h.pid for h in holders([staging.base_port(kit) + OFFSETS[port]])}
    assert holder
    return int(holder)


def test_up_shows_every_part_ready_and_again_changes_nothing(up: Path) -> None:
    first = staging.inv(up, "staging.status")
    assert first.returncode == 0
    rows = [line.split() for line in first.stdout.splitlines()[2:]]
    assert [row[0] for row in rows] == PARTS
    assert all(re.fullmatch(r"\d+\.\d+(\.\d+)?", row[1]) and row[3] == "ready" for row in rows), first.stdout
    before = pid_of(up, "postgres"), pid_of(up, "service")
    again = staging.inv(up, "staging.up")
    assert again.returncode == 0
    assert (pid_of(up, "postgres"), pid_of(up, "service")) == before


def test_a_port_in_use_is_told_with_its_holder_before_anything_starts(kit: Path) -> None:
    staging.inv(kit, "staging.down")
    with socket.socket() as squatter:
        squatter.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        squatter.bind(("127.0.0.1", staging.base_port(kit) + OFFSETS["redis"]))
        squatter.listen()
        done = staging.inv(kit, "staging.up")
    assert done.returncode == 2
    assert f"port {staging.base_port(kit) + OFFSETS['redis']} (redis) is held by process {os.getpid()}" in done.stderr
    assert staging.processes(kit) == []


def test_what_a_killed_supervisor_left_is_ended_and_the_environment_comes_back(up: Path) -> None:
    orphan = pid_of(up, "redis")
    os.kill(int((up / ".staging" / "supervisor.pid").read_text()), signal.SIGKILL)
    done = staging.inv(up, "staging.up")
    assert done.returncode == 0, done.stderr
    assert "left by a supervisor that was killed" in done.stdout
    assert pid_of(up, "redis") != orphan


def test_a_part_that_is_killed_comes_back_and_no_row_is_lost(up: Path) -> None:
    assert staging.inv(up, "staging.seed", "--items", "500").returncode == 0
    for port in ("postgres", "service"):
        killed = pid_of(up, port)
        os.kill(killed, signal.SIGKILL)
        staging.until(
            lambda port=port, killed=killed: (
                {h.pid for h in holders([staging.base_port(up) + OFFSETS[port]])} - {killed} != set()
            ),
            port,
        )
    staging.until(lambda: staging.is_ready(up), "the service is ready again")
    status, _, body = staging.call(up, "service", "/api/items/500")
    assert (status, '"id":500' in body.replace(" ", "")) == (200, True)


def test_the_same_seed_gives_the_same_items(up: Path) -> None:
    bodies = []
    for number in ("7", "7", "8"):
        assert staging.inv(up, "staging.seed", "--items", "100", "--number", number).returncode == 0
        answer = staging.call(up, "service", "/api/items/42", cache_control="no-cache")[2]
        bodies.append(re.search(r'"price_?[cC]ents":\s*(\d+)', answer)[1])  # type: ignore[index]
    assert bodies[0] == bodies[1] != bodies[2]


def test_down_leaves_no_process_and_what_was_kept_is_there_again(up: Path) -> None:
    assert staging.inv(up, "staging.seed", "--items", "10").returncode == 0
    down = staging.inv(up, "staging.down")
    assert down.returncode == 0
    assert staging.processes(up) == []
    assert staging.inv(up, "staging.status").returncode == 4
    assert staging.inv(up, "staging.up").returncode == 0
    assert staging.call(up, "service", "/api/items/10")[0] == 200


def test_reset_asks_and_then_removes_everything(up: Path) -> None:
    refused = staging.inv(up, "staging.reset")
    assert refused.returncode == 2
    assert (up / ".staging" / "data").is_dir()
    assert staging.inv(up, "staging.reset", "--yes").returncode == 0
    assert not (up / ".staging").exists()
    assert staging.processes(up) == []


def test_no_secret_is_in_any_log_or_command_line(up: Path) -> None:
    values = staging.variables(up)
    plain = {"S3_REGION", "S3_BUCKET", "TRUEGATE_CONTROLS", "NEXT_PUBLIC_APP_URL", "S3_ENDPOINT"}
    secret = [re.sub(r".*:([^:@]*)@.*", r"\1", value) for name, value in values.items() if name not in plain]
    assert len(secret) == 6
    texts = [
        *staging.processes(up),
        *(p.read_text(errors="replace") for p in (up / ".staging/log").rglob("*") if p.is_file()),
    ]
    assert len(texts) > len(PARTS)
    assert [value[:4] for value in secret for text in texts if value in text] == []


def test_a_variable_that_is_missing_or_has_another_port_is_told_without_its_value(kit: Path) -> None:
    path = kit / ".env.staging"
    kept = path.read_text()
    try:
        path.write_text(kept.replace("REDIS_URL", "REDIS_URI"))
        done = staging.inv(kit, "staging.up")
        assert (done.returncode, "not set: REDIS_URL" in done.stderr) == (2, True)
        path.write_text(kept.replace(f":{staging.base_port(kit) + 9}/", ":6379/"))
        done = staging.inv(kit, "staging.up")
        assert done.returncode == 2
        assert "REDIS_URL has port 6379, the redis-proxied is at" in done.stderr
    finally:
        path.write_text(kept)


def test_logs_of_a_part_and_of_all(up: Path) -> None:
    assert "ready to accept connections" in staging.inv(up, "staging.logs", "postgres", "--grep", "ready").stdout
    staging.until(
        lambda: "Ready to accept" in staging.inv(up, "staging.logs", "all", "--grep", "redis.*Ready").stdout, "gathered"
    )
    unknown = staging.inv(up, "staging.logs", "mysql")
    assert (unknown.returncode, "choose from: collector, postgres" in unknown.stderr) == (2, True)
    assert staging.inv(up, "staging.logs", "all", "--grep", "[").returncode == 2


def test_the_services_own_tests_pass_against_these_parts(up: Path) -> None:
    """Node's runner, with the addresses and secrets of this environment; what it covers goes beside ours."""
    server, coverage = up / "staging" / "server", kits.KIT / "reports" / "coverage"
    coverage.mkdir(parents=True, exist_ok=True)
    variables = staging.variables(up) | {"EDGE_CACHE_DIR": str(up / ".staging" / "data" / "edge" / "cache")}
    argv = [find("node").path, "--test", "--test-concurrency=1", "--experimental-test-coverage"]
    argv += ["--test-reporter=lcov", f"--test-reporter-destination={coverage / 'service.info'}"]
    argv += ["--test-reporter=tap", "--test-reporter-destination=stdout"]
    done = kits.run([*argv, *sorted((server / "test").glob("*.test.js"))], server, variables)
    counts = {
        name: int(number)
        for name, number in re.findall(r"^# (pass|fail|skipped|todo) (\d+)$", done.stdout, re.MULTILINE)
    }
    assert done.returncode == 0, done.stdout[-6000:]
    assert counts["pass"] >= 40
    assert {counts[name] for name in ("fail", "skipped", "todo")} == {0}
    assert "SF:" in (coverage / "service.info").read_text()
