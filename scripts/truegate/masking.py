"""Mask secrets in bytes: as they are, and in the encodings in which tools echo them."""

from __future__ import annotations

import base64
import html
import json
import re
import threading
from collections.abc import Iterator, Mapping
from urllib.parse import quote, quote_plus

MASK = b"***"
MIN_LENGTH = 6  # masking shorter values would mangle ordinary text
# What encoders leave as it is: all but letters encoded, paths, JavaScript, the user part and the path of Go's URLs.
URL_SAFE = ("", "/", "!'()*", "$&+,;=", "$&+,/:;=@")


class Masker:
    """Replaces every known secret and counts the replacements by variable name."""

    def __init__(self, secrets: Mapping[str, str]) -> None:
        self.counts: dict[str, int] = {}
        self._lock = threading.Lock()  # a tool's two outputs are masked at the same time
        self._names: dict[bytes, str] = {}
        for name, value in sorted(secrets.items()):
            for form in _forms(value):
                self._names.setdefault(form, name)
        longest_first = sorted(self._names, key=lambda form: (-len(form), form))
        self._pattern = re.compile(b"|".join(map(re.escape, longest_first))) if longest_first else None
        self.longest = max(map(len, longest_first), default=0)

    def mask(self, data: bytes) -> bytes:
        """Give `data` with each secret replaced."""
        if not self._pattern or not any(form in data for form in self._names):  # four times as fast as the pattern
            return data
        return self._pattern.sub(self._replace, data)

    def mask_text(self, text: str) -> str:
        """Give `text` with each secret replaced."""
        return self.mask(text.encode("utf-8", "surrogateescape")).decode("utf-8", "surrogateescape")

    def cut(self, data: bytes) -> tuple[bytes, bytes]:
        """Split a stream's buffer into a masked part that is safe to write and a rest that may hold half a secret."""
        if not self._pattern:
            return data, b""
        edge = max(0, len(data) - self.longest + 1)
        for match in self._pattern.finditer(data):
            if match.start() < edge < match.end():
                edge = match.end()
        return self.mask(data[:edge]), data[edge:]

    def _replace(self, match: re.Match[bytes]) -> bytes:
        name = self._names[match.group()]
        with self._lock:
            self.counts[name] = self.counts.get(name, 0) + 1
        return MASK


def _forms(value: str) -> set[bytes]:
    forms: set[bytes] = set()
    for part in {value, value.strip(), *value.splitlines()}:
        raw = part.encode("utf-8", "surrogateescape")
        if len(raw) < MIN_LENGTH or len(set(raw)) <= 2:  # noqa: PLR2004  "aaaaaa" or "ababab" is no secret
            continue
        forms |= {raw, *(text.encode("utf-8", "surrogateescape") for text in _spellings(part))}
        forms |= {raw.hex().encode(), raw.hex().upper().encode()}
        for offset in range(3):
            forms |= _base64_inside(raw, offset)
    return {form for form in forms if len(form) >= MIN_LENGTH}


def _spellings(part: str) -> Iterator[str]:
    """Give a text as JSON (Go escapes <>&, others the slash), HTML and URL encoders write it."""
    for ascii_only in (True, False):
        escaped = json.dumps(part, ensure_ascii=ascii_only)[1:-1]
        for text in (escaped, escaped.replace("/", "\\/")):
            yield from (text, text.translate({ord(c): f"\\u00{ord(c):02x}" for c in "<>&"}))
    yield from (html.escape(part), html.escape(part).replace("&quot;", "&#34;").replace("&#x27;", "&#39;"))
    for safe in URL_SAFE:
        for url in (quote(part, safe, errors="surrogateescape"), quote_plus(part, safe, errors="surrogateescape")):
            yield from (url, re.sub(r"%[0-9A-F]{2}", lambda match: match.group().lower(), url))


def _base64_inside(raw: bytes, offset: int) -> set[bytes]:
    """Give the base64 characters that `raw` alone decides when it starts `offset` bytes into a group of three."""
    start = (0, 2, 3)[offset]
    end = (offset + len(raw)) * 8 // 6
    return {encode(b"\0" * offset + raw)[start:end] for encode in (base64.b64encode, base64.urlsafe_b64encode)}
