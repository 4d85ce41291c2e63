"""Fetch from the first source that delivers; wait and ask again only where one said that it is busy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import sleep
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from truegate.errors import InconclusiveError, ReportError
from truegate.progress import Progress
from truegate.renderers.safe import clean

if TYPE_CHECKING:
    from urllib3 import PoolManager

WAITS_SECONDS = (5.0, 15.0, 45.0)  # servers count requests by the minute
ASKED_WAIT_SECONDS_MAX = 60.0  # who asks for more is named as a fault: nobody watches a silent screen for an hour
BUSY = (408, 429, 500, 502, 503, 504)
OK = 200


@dataclass(frozen=True)
class Fault:
    """Why a source did not deliver, and whether that passes by itself; `asked_seconds` is the wait it asked for."""

    text: str
    passes: bool
    asked_seconds: float = 0


def from_any(what: str, sources: Sequence[str], fetch: Callable[[str], Fault | None], next_step: str) -> str:
    """Give the source that delivered: each is tried in turn, then after each wait those that were busy.

    A source that is gone, refuses, or sends what `fetch` can't read (ReportError) is not asked again: that does not
    pass within a minute. Raises InconclusiveError with what each source said last.
    """
    faults: dict[str, Fault] = {}
    for wait_seconds in (*WAITS_SECONDS, None):
        for source in sources:
            try:
                fault = fetch(source)
            except ReportError as error:
                fault = Fault(error.message, passes=False)
            if fault is None:
                return source
            faults[source] = fault
        sources = [source for source in sources if faults[source].passes]
        if not sources or wait_seconds is None:
            break
        pause = max(wait_seconds, *(faults[source].asked_seconds for source in sources))
        with Progress(f"{' and '.join(sources)} busy: again in {pause:.0f} s"):
            sleep(pause)
    told = "".join(f"\n  {source}: {clean(fault.text)}" for source, fault in faults.items())
    raise InconclusiveError(f"{what} could not be fetched:{told}", next_step)


def download(url: str, place: Path, max_bytes: int) -> Fault | None:
    """Write what `url` sends to `place`; gives the fault when it sends another answer, too little or too much."""
    from urllib3 import Retry
    from urllib3.exceptions import HTTPError

    try:
        with _connections(url).request("GET", url, preload_content=False) as answer, place.open("wb") as out:
            if answer.status != OK:
                asked = Retry().get_retry_after(answer) or 0
                wish = f", and asks to wait {asked:.0f} s" if asked else ""
                passes = answer.status in BUSY and asked <= ASKED_WAIT_SECONDS_MAX
                return Fault(f"answered {answer.status} {answer.reason}{wish}", passes, asked)
            too_much = Fault(f"sends more than {max_bytes:,} bytes", passes=False)
            if (answer.length_remaining or 0) > max_bytes:
                return too_much
            for chunk in answer.stream(2**20):
                if out.tell() + len(chunk) > max_bytes:
                    return too_much
                out.write(chunk)
    except HTTPError as error:
        return Fault(str(getattr(error, "reason", None) or next(iter(error.args), error)), passes=False)
    return None


def _connections(url: str) -> PoolManager:
    """Give connections through the proxy that the environment names, as the tools' own downloads go."""
    from urllib.request import getproxies, proxy_bypass

    from urllib3 import PoolManager, ProxyManager, Retry, Timeout, make_headers

    retries = Retry(redirect=5, connect=0, read=0, status=0, other=0, respect_retry_after_header=False)
    timeout = Timeout(connect=10, read=60)
    address = urlsplit(url)
    proxy = None if proxy_bypass(address.netloc) else getproxies().get(address.scheme)
    if not proxy:
        return PoolManager(retries=retries, timeout=timeout)
    user = urlsplit(proxy)
    login = f"{unquote(user.username)}:{unquote(user.password or '')}" if user.username else None
    return ProxyManager(proxy, retries=retries, timeout=timeout, proxy_headers=make_headers(proxy_basic_auth=login))
