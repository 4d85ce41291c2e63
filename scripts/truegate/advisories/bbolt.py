"""A bbolt file (go.etcd.io/bbolt, format version 2): `dump` writes one, `load` reads it back; layouts are shared."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from functools import reduce
from itertools import pairwise
from typing import TypeAlias

from truegate.errors import ConfigError, ReportError

Tree: TypeAlias = "Mapping[bytes, bytes | Tree]"
Entry: TypeAlias = tuple[bytes, bytes, int]  # key, value, and the flags of a leaf entry or the page of a branch entry

PAGE_BYTES, ENTRY_BYTES, ENTRIES_PER_PAGE, MAX_KEY_BYTES, MAX_VALUE_BYTES = 4096, 16, 64, 32768, 2**31 - 2
MAGIC, VERSION, BRANCH, LEAF, META, FREELIST, IS_BUCKET = 0xED0CDAED, 2, 0x01, 0x02, 0x04, 0x10, 1
PAGE = struct.Struct("<QHHI")  # own number, kind, count of entries, further pages
LEAF_ENTRY = struct.Struct("<IIII")  # flags, offset of the key from this entry, bytes of key, bytes of value
BRANCH_ENTRY = struct.Struct("<IIQ")  # offset of the key from this entry, bytes of key, page
BUCKET = struct.Struct("<QQ")  # root page (0: the page follows inline), sequence
META_BODY = struct.Struct(
    "<IIIIQQQQQ"
)  # magic, version, page size, flags, root, sequence, freelist, pages, transaction
CHECKSUM = struct.Struct("<Q")


def dump(tree: Tree) -> bytes:
    """Give a bbolt file that holds `tree`, whose top level is buckets only.

    Raises ConfigError for an empty or over-long key and an over-long value: the format can't hold them.
    """
    out = bytearray(3 * PAGE_BYTES)
    root = _write_bucket(tree, out)
    PAGE.pack_into(out, 2 * PAGE_BYTES, 2, FREELIST, 0, 0)
    for number in (0, 1):  # bbolt takes the valid meta page with the newer transaction
        body = META_BODY.pack(MAGIC, VERSION, PAGE_BYTES, 0, root, 0, 2, len(out) // PAGE_BYTES, number)
        meta = PAGE.pack(number, META, 0, 0) + body + CHECKSUM.pack(_fnv1a(body))
        out[number * PAGE_BYTES : number * PAGE_BYTES + len(meta)] = meta
    return bytes(out)


def _write_bucket(tree: Tree, out: bytearray) -> int:
    """Append the pages of a bucket, those of its children first; give the number of its root page."""
    kind, level = LEAF, [_leaf_entry(key, value, out) for key, value in sorted(tree.items())]
    while True:
        pages: list[Entry] = []
        for start in range(0, max(1, len(level)), ENTRIES_PER_PAGE):
            chunk = level[start : start + ENTRIES_PER_PAGE]
            pages.append((chunk[0][0] if chunk else b"", b"", len(out) // PAGE_BYTES))
            out += _page(len(out) // PAGE_BYTES, kind, chunk)
            out += bytes(-len(out) % PAGE_BYTES)
        if len(pages) == 1:
            return pages[0][2]
        kind, level = BRANCH, pages


def _leaf_entry(key: bytes, value: bytes | Tree, out: bytearray) -> Entry:
    if not 0 < len(key) <= MAX_KEY_BYTES or (isinstance(value, bytes) and len(value) > MAX_VALUE_BYTES):
        limits = f"keys of 1 to {MAX_KEY_BYTES} bytes and values of up to {MAX_VALUE_BYTES}"
        raise ConfigError(f"bbolt holds {limits}; {key[:40]!r} is beyond that", "shorten that name or record")
    if isinstance(value, bytes):
        return key, value, 0
    if len(value) <= ENTRIES_PER_PAGE and all(isinstance(item, bytes) for item in value.values()):
        page = _page(0, LEAF, [_leaf_entry(name, item, out) for name, item in sorted(value.items())])
        if len(page) <= PAGE_BYTES // 4:
            return key, BUCKET.pack(0, 0) + page, IS_BUCKET
    return key, BUCKET.pack(_write_bucket(value, out), 0), IS_BUCKET


def _page(number: int, kind: int, entries: Sequence[Entry]) -> bytes:
    heads, data = bytearray(), bytearray()
    for index, (key, value, flags_or_page) in enumerate(entries):
        offset = ENTRY_BYTES * (len(entries) - index) + len(data)
        if kind == LEAF:
            heads += LEAF_ENTRY.pack(flags_or_page, offset, len(key), len(value))
        else:
            heads += BRANCH_ENTRY.pack(offset, len(key), flags_or_page)
        data += key + value
    further_pages = (PAGE.size + len(heads) + len(data) - 1) // PAGE_BYTES
    return PAGE.pack(number, kind, len(entries), further_pages) + heads + data


def _fnv1a(data: bytes) -> int:
    return reduce(lambda value, byte: (value ^ byte) * 0x100000001B3 % 2**64, data, 0xCBF29CE484222325)


def load(data: bytes, name: str) -> dict[bytes, bytes | Tree]:
    """Read every key of the bbolt file `data` back, walking down from its second meta page.

    `name` is for the message. Raises ReportError for a damaged page, and for keys that bbolt would not find.
    """
    try:
        start = PAGE_BYTES + PAGE.size
        magic, version, page_bytes, _, root, _, _, pages, _ = META_BODY.unpack_from(data, start)
        (checksum,) = CHECKSUM.unpack_from(data, start + META_BODY.size)
        sound = checksum == _fnv1a(data[start : start + META_BODY.size]) and pages * PAGE_BYTES == len(data)
        if (magic, version, page_bytes, sound) != (MAGIC, VERSION, PAGE_BYTES, True):
            raise ValueError("its meta page is damaged")  # noqa: TRY301  one place for the message
        return _read_bucket(memoryview(data), root)
    except (ValueError, struct.error, RecursionError) as error:
        raise ReportError(f"{name} is no sound bbolt file: {error}", "compile the database again") from error


def _read_bucket(data: memoryview, root: int, inline: bytes = b"") -> dict[bytes, bytes | Tree]:
    entries = list(_read_page(data, root, data[root * PAGE_BYTES :] if root else memoryview(inline)))
    if any(later <= earlier for (earlier, _), (later, _) in pairwise(entries)):
        raise ValueError(f"the keys of the bucket at page {root} are out of order")
    return dict(entries)


def _read_page(data: memoryview, number: int, page: memoryview) -> Iterator[tuple[bytes, bytes | Tree]]:
    own_number, kind, count, _ = PAGE.unpack_from(page)
    if own_number != number or kind not in (LEAF, BRANCH):
        raise ValueError(f"page {number} calls itself page {own_number} of kind {kind}")
    for start in range(PAGE.size, PAGE.size + count * ENTRY_BYTES, ENTRY_BYTES):
        if kind == LEAF:
            flags, offset, key_bytes, value_bytes = LEAF_ENTRY.unpack_from(page, start)
            key, value = struct.unpack_from(f"{key_bytes}s{value_bytes}s", page, start + offset)
            if flags & IS_BUCKET:
                value = _read_bucket(data, BUCKET.unpack_from(value)[0], value[BUCKET.size :])
            yield key, value
        else:
            offset, key_bytes, child = BRANCH_ENTRY.unpack_from(page, start)
            below = list(_read_page(data, child, data[child * PAGE_BYTES :]))
            if not below or (below[0][0],) != struct.unpack_from(f"{key_bytes}s", page, start + offset):
                raise ValueError(f"page {child} does not begin with the key that its parent names")
            yield from below
