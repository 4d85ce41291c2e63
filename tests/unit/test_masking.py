"""No form of a secret survives, however the bytes arrive; what is no secret stays."""

from __future__ import annotations

import base64
import html
import json
import threading
from collections.abc import Callable, Sequence
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from truegate.masking import MASK, Masker

SECRET = "p4ss/w+rd =Z<q>&'\"\\9ü~"
SECRETS = [SECRET, "8f14e45fceea467fa9e7", "correct horse battery staple", '{"a": "b/c"}', "ключ-\U0001f511-ключ"]
PEM = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0B\nAQEFAASCBKcwggSjAgEAAoIB\n-----END PRIVATE KEY-----\n"

# How programs write a text: each gives bytes that hold the secret and nothing else of meaning.
ENCODERS: dict[str, Callable[[str], bytes]] = {
    "raw": str.encode,
    "hex": lambda text: text.encode().hex().encode(),
    "HEX": lambda text: text.encode().hex().upper().encode(),
    "JSON": lambda text: json.dumps(text).encode(),
    "JSON, not ASCII": lambda text: json.dumps(text, ensure_ascii=False).encode(),
    "JSON of Go": lambda text: _go_json(text, ensure_ascii=False),
    "JSON of Go, ASCII": lambda text: _go_json(text, ensure_ascii=True),
    "JSON with slashes escaped": lambda text: json.dumps(text).replace("/", "\\/").encode(),
    "HTML": lambda text: html.escape(text).encode(),
    "HTML of Go": lambda text: html.escape(text).replace("&quot;", "&#34;").replace("&#x27;", "&#39;").encode(),
    "URL": lambda text: quote(text, safe="").encode(),
    "URL, lower case": lambda text: _lower(quote(text, safe="")).encode(),
    "URL path": lambda text: quote(text).encode(),
    "URL form": lambda text: quote_plus(text).encode(),
    "URL of JavaScript": lambda text: quote(text, safe="!'()*").encode(),
    "URL user of Go": lambda text: quote(text, safe="$&+,;=").encode(),
    "Basic auth": lambda text: b"Authorization: Basic " + base64.b64encode(b"bot:" + text.encode()),
}


def _go_json(text: str, *, ensure_ascii: bool) -> bytes:
    escaped = json.dumps(text, ensure_ascii=ensure_ascii)
    return escaped.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026").encode()


def _lower(url: str) -> str:
    parts = url.split("%")
    return "%".join([parts[0], *(part[:2].lower() + part[2:] for part in parts[1:])])


def streamed(masker: Masker, chunks: Sequence[bytes]) -> bytes:
    """Mask chunks as they arrive."""
    out, rest = b"", b""
    for chunk in chunks:
        part, rest = masker.cut(rest + chunk)
        out += part
    return out + masker.mask(rest)


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("secret", SECRETS)
def test_a_secret_is_masked_in_each_spelling(secret: str, encoder: str) -> None:
    data = b"before " + ENCODERS[encoder](secret) + b" after"
    masker = Masker({"API_TOKEN": secret})
    masked = masker.mask(data)
    assert masked.startswith(b"before ")
    assert masked.endswith(b" after")
    assert MASK in masked
    assert masker.counts == {"API_TOKEN": 1}
    left = masked.removeprefix(b"before ").removesuffix(b" after").replace(MASK, b"")
    assert left.removeprefix(b"Authorization: Basic ").strip(b'"') == b"" or encoder == "Basic auth"


@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
@pytest.mark.parametrize("before", range(7))
@pytest.mark.parametrize("after", range(4))
@pytest.mark.parametrize("secret", ["s3cr3t", "8f14e45fceea467fa9e7", "\xff\xfe\xfb?>?>?>\xff"])
def test_base64_at_any_alignment(secret: str, before: int, after: int, encode: Callable[[bytes], bytes]) -> None:
    raw = secret.encode("latin-1").decode("utf-8", "surrogateescape")  # as the environment gives such bytes
    data = encode(b"u" * before + secret.encode("latin-1") + b"v" * after)
    masked = Masker({"API_TOKEN": raw}).mask(data)
    assert MASK in masked
    kept = masked.split(MASK)
    assert sum(map(len, kept)) <= len(encode(b"u" * before)) + len(encode(b"v" * after)) + 3


@pytest.mark.parametrize("encoder", ENCODERS)
def test_a_secret_split_at_every_byte(encoder: str) -> None:
    masker = Masker({"API_TOKEN": SECRET})
    data = b"before " + ENCODERS[encoder](SECRET) + b" after"
    whole = masker.mask(data)
    assert MASK in whole
    for place in range(len(data) + 1):
        assert streamed(masker, [data[:place], data[place:]]) == whole
    assert streamed(masker, [bytes([byte]) for byte in data]) == whole


@pytest.mark.parametrize("text", [PEM, PEM.strip(), PEM.replace("\n", "\r\n"), f"key:\n    {PEM.splitlines()[1]}\n"])
def test_each_line_of_a_secret_of_several_lines_is_masked(text: str) -> None:
    masked = Masker({"SIGNING_KEY": PEM}).mask(text.encode())
    for line in PEM.splitlines():
        assert line.encode() not in masked
    assert MASK in masked
    for encoded in (json.dumps(PEM).encode(), base64.b64encode(PEM.encode()), PEM.encode().hex().encode()):
        assert len(Masker({"SIGNING_KEY": PEM}).mask(encoded)) < 10


@pytest.mark.parametrize("value", ["", "a", "short", "     ", "aaaaaaaaaa", "abababab", "\n\n\n\n\n\n\n"])
def test_a_value_too_short_or_plain_to_be_a_secret_masks_nothing(value: str) -> None:
    masker = Masker({"API_TOKEN": value})
    data = f"x{value}x aaaaaaaaaaaaaaa ababababab {value}".encode()
    assert masker.mask(data) == data
    assert masker.cut(data) == (data, b"")
    assert masker.counts == {}


def test_replacements_are_counted_by_the_name_of_the_variable() -> None:
    masker = Masker({"A_TOKEN": "aaa111bbb", "B_TOKEN": "ccc222ddd", "C_TOKEN": "not-there"})
    masker.mask(b"aaa111bbb ccc222ddd aaa111bbb")
    assert masker.mask_text("\udcff " + b"aaa111bbb".hex()) == "\udcff ***"
    assert masker.counts == {"A_TOKEN": 3, "B_TOKEN": 1}


def test_a_secret_that_holds_another_is_masked_whole() -> None:
    masker = Masker({"A_TOKEN": "s3cr3t-inner", "B_TOKEN": "https://bot:s3cr3t-inner@example.org"})
    assert masker.mask(b"<https://bot:s3cr3t-inner@example.org> s3cr3t-inner") == b"<***> ***"
    assert masker.counts == {"A_TOKEN": 1, "B_TOKEN": 1}


def test_two_threads_count_every_replacement() -> None:
    masker = Masker({"API_TOKEN": "s3cr3t-value"})
    threads = [threading.Thread(target=masker.mask, args=(b"s3cr3t-value " * 20_000,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert masker.counts == {"API_TOKEN": 80_000}


@given(
    secrets=st.lists(st.text(st.characters(exclude_characters="*"), min_size=1, max_size=30), min_size=1, max_size=3),
    pieces=st.lists(st.tuples(st.sampled_from(sorted(ENCODERS)), st.integers(0, 2), st.binary(max_size=5))),
    sizes=st.lists(st.integers(1, 40), min_size=1),
)
@example(secrets=["abcdef", "abcdefXYZ"], pieces=[("raw", 1, b"")], sizes=[6])
@example(secrets=["abcabcabd"], pieces=[("raw", 0, b"abcabc"), ("raw", 0, b"abcabc")], sizes=[1])
def test_no_form_survives_any_chunking(
    secrets: list[str], pieces: list[tuple[str, int, bytes]], sizes: list[int]
) -> None:
    masker = Masker({f"S{index}_TOKEN": secret for index, secret in enumerate(secrets)})
    data = b"".join(filler + ENCODERS[encoder](secrets[which % len(secrets)]) for encoder, which, filler in pieces)
    chunks: list[bytes] = []
    place = 0
    while place < len(data):
        size = sizes[len(chunks) % len(sizes)]
        chunks.append(data[place : place + size])
        place += size
    whole = masker.mask(data)
    assert streamed(masker, chunks) == whole
    for secret in secrets:
        if len(secret.encode()) >= 6 and len(set(secret.encode())) > 2:
            forms = {encode(secret).strip(b'"') for name, encode in ENCODERS.items() if name != "Basic auth"}
            assert not [form for form in forms if form in whole]


@given(st.binary(max_size=300), st.integers(1, 50))
def test_what_holds_no_secret_passes_unchanged(data: bytes, size: int) -> None:
    masker = Masker({"API_TOKEN": "never-in-random-bytes"})
    assert streamed(masker, [data[place : place + size] for place in range(0, len(data), size)]) == data
    assert masker.counts == {}
