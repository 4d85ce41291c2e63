"""Text from outside, made harmless: one line, nothing invisible, of bounded length."""

from __future__ import annotations

import re

# C0, DEL and C1 controls, soft hyphen, zero-width and bidirectional marks, line separators, tags, lone surrogates and
# noncharacters: all that steers a terminal, reorders what a reader sees, or is illegal in XML.
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufdd0-\ufdef\ufeff"
    "\ufff0-\ufffb\ufffe\uffff\ud800-\udfff\U000e0000-\U000e0fff]"
)
# What GitHub, GitLab's and Azure's runners take for a command: `::name` opening a line, `##[name]` anywhere.
_COMMAND = re.compile(r"(?<!\S)::|##(?=\w*\[)")


def clean(value: object, limit: int = 300) -> str:
    r"""Give `value` as one harmless line of at most `limit` characters.

    White space runs become one space, unsafe characters visible escapes such as `\x1b`, a CI command gets a space into
    its mark; a cut ends in an ellipsis and the length of the whole.
    """
    text = str(value)
    shown = _UNSAFE.sub(_escape, _COMMAND.sub(_apart, " ".join(text[:limit].split())))
    if len(text) <= limit and len(shown) <= limit:
        return shown
    note = f"… [{len(text):,} characters]"
    return shown[: limit - len(note)] + note


def _apart(found: re.Match[str]) -> str:
    return " ".join(found[0])


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"  # noqa: PLR2004
