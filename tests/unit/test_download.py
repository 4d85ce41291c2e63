"""Downloads from servers that are busy, gone, cut off or lying: what is asked again, and what is said."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

import advisory_servers as made  # type: ignore[import-not-found]
from truegate.advisories import download
from truegate.advisories.download import Fault, from_any
from truegate.errors import InconclusiveError, ReportError

LIMIT = 2**20


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Collect the waits in place of waiting."""
    waited: list[float] = []
    monkeypatch.setattr("truegate.advisories.download.sleep", waited.append)
    return waited


@pytest.fixture(autouse=True)
def no_proxy_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "no_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def source(*faults: Fault | Exception | None) -> Callable[[str], Fault | None]:
    left = list(faults)

    def fetch(_source: str) -> Fault | None:
        fault = left.pop(0)
        if isinstance(fault, Exception):
            raise fault
        return fault

    return fetch


BUSY, GONE = Fault("answered 503", passes=True), Fault("answered 404", passes=False)


def test_the_first_source_that_delivers_ends_the_search(waits: list[float]) -> None:
    assert from_any("it", ["a", "b"], source(None), "") == "a"
    assert from_any("it", ["a", "b"], source(GONE, None), "") == "b"
    assert from_any("it", ["a", "b"], source(BUSY, None), "") == "b"
    assert from_any("it", ["a", "b"], source(ReportError("garbage"), None), "") == "b"
    assert waits == []


def test_busy_sources_alone_are_asked_again(waits: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    assert from_any("it", ["a", "b", "c"], source(BUSY, GONE, BUSY, GONE, BUSY, None), "") == "c"
    assert waits == [5, 15]
    said = re.sub(r"^\S+ ", "", capsys.readouterr().err, flags=re.MULTILINE).splitlines()
    assert said == ["a and c busy: again in 5 s", "c busy: again in 15 s"]


def test_the_wait_that_a_server_asks_for_counts_when_it_is_longer(waits: list[float]) -> None:
    asked = [Fault("busy", passes=True, asked_seconds=seconds) for seconds in (2, 30)]
    assert from_any("it", ["a"], source(*asked, None), "") == "a"
    assert waits == [5, 30]


def test_when_none_delivers_each_is_named_with_what_it_said_last(waits: list[float]) -> None:
    faults: list[Fault | Exception] = [
        BUSY,
        GONE,
        ReportError("no zip\x1b[2J"),
        BUSY,
        BUSY,
        Fault("answered 502", passes=True),
    ]
    with pytest.raises(InconclusiveError) as caught:
        from_any("the data", ["a", "b", "c"], source(*faults), "do this")
    told = ["the data could not be fetched:", "  a: answered 502", "  b: answered 404", r"  c: no zip\x1b[2J"]
    assert caught.value.message.splitlines() == told
    assert caught.value.next_step == "do this"
    assert caught.value.exit_code == 4
    assert waits == [5, 15, 45]


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (made.Answer(404), Fault("answered 404 Not Found", passes=False)),
        (made.Answer(401), Fault("answered 401 Unauthorized", passes=False)),
        (made.Answer(204), Fault("answered 204 No Content", passes=False)),
        (made.Answer(503), Fault("answered 503 Service Unavailable", passes=True)),
        (made.Answer(500), Fault("answered 500 Internal Server Error", passes=True)),
        (
            made.Answer(429, headers={"Retry-After": "7"}),
            Fault("answered 429 Too Many Requests, and asks to wait 7 s", passes=True, asked_seconds=7),
        ),
        (
            made.Answer(429, headers={"Retry-After": "3600"}),
            Fault("answered 429 Too Many Requests, and asks to wait 3600 s", passes=False, asked_seconds=3600),
        ),
        (
            made.Answer(503, headers={"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}),  # over
            Fault("answered 503 Service Unavailable", passes=True),
        ),
        (
            made.Answer(503, headers={"Retry-After": "soon"}),
            Fault("Invalid Retry-After header: soon", passes=False),
        ),
        (
            made.Answer(body=b"half", declared=8),
            Fault("Connection broken: IncompleteRead(4 bytes read, 4 more expected)", passes=False),
        ),
        (made.Answer(body=b"x", declared=10**12), Fault("sends more than 1,048,576 bytes", passes=False)),
        (made.Answer(body=bytes(LIMIT + 1)), Fault("sends more than 1,048,576 bytes", passes=False)),
        (made.Answer(301, headers={"Location": "/file"}), Fault("too many redirects", passes=False)),
        (made.Answer(301, headers={"Location": "file:///etc/passwd"}), None),
    ],
)
def test_what_a_server_sends_becomes_a_fault(
    tmp_path: Path, waits: list[float], answer: made.Answer, fault: Fault | None
) -> None:
    with made.serving(lambda *_: answer) as server:
        told = download.download(f"http://{server.host}/file", tmp_path / "file", LIMIT)
    assert told == fault if fault else told and not told.passes
    assert len(server.asked) == (1 if answer.status != 301 or fault is None else 6)
    assert waits == []
    assert not (tmp_path / "file").exists() or (tmp_path / "file").stat().st_size <= LIMIT


def test_a_host_that_is_gone_is_not_asked_again(tmp_path: Path, waits: list[float]) -> None:
    with made.serving(lambda *_: made.Answer()) as server:
        host = server.host
    fault = download.download(f"http://{host}/file", tmp_path / "file", LIMIT)
    assert fault is not None
    assert not fault.passes
    assert fault.text.endswith("Connection refused")
    assert waits == []


def test_a_file_comes_whole_and_through_redirects(tmp_path: Path) -> None:
    data = bytes(range(256)) * (LIMIT // 256)
    moved = {"/old": [made.Answer(302, headers={"Location": "/new"})]}
    with made.serving(made.files({"/new": data}, moved)) as server:
        assert download.download(f"http://{server.host}/old", tmp_path / "file", LIMIT) is None
    assert (tmp_path / "file").read_bytes() == data
    assert server.asked == ["/old", "/new"]


def test_the_environments_proxy_is_used_with_its_login(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[str | None] = []

    def proxy(path: str, headers: made.Headers) -> made.Answer:
        heard.append(headers.get("Proxy-Authorization"))
        return made.Answer(body=path.encode())

    with made.serving(proxy) as server:
        monkeypatch.setenv("http_proxy", f"http://ada:p%40ss@{server.host}")
        assert download.download("http://osv.example/npm/all.zip", tmp_path / "file", LIMIT) is None
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        assert download.download(f"http://{server.host}/direct", tmp_path / "direct", LIMIT) is None
    assert (tmp_path / "file").read_bytes() == b"http://osv.example/npm/all.zip"
    assert (tmp_path / "direct").read_bytes() == b"/direct"
    assert heard == ["Basic YWRhOnBAc3M=", None]
