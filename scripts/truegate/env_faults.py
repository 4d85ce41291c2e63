"""What is wrong with the variables of a profile. No sentence made here holds a value: they are printed."""

from __future__ import annotations

import fnmatch
import ipaddress
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import pairwise
from urllib.parse import unquote, urlsplit

from truegate.config import SECRET_NAME
from truegate.env import Variable

BITS_PER_CHARACTER = 2.5
PLACEHOLDER = re.compile(
    r"change[-_ ]?(me|this|it)|replace[-_ ]?(me|this|with)|place-?holder|your[-_ ]|insert[-_ ]"
    r"|^<.*>$|\$\{\w+[^}]*\}|^\$\w+$|\{\{.*\}\}|^\W*(to-?do|fix-?me|tbd|none|null|undefined|x+|\*+|\.+)\W*$"
    r"|://([^/@]*@)?([^/@:]+\.)?(example(\.(com|net|org))?|invalid)\.?([:/?#]|$)",  # RFC 2606: nobody's hosts
    re.IGNORECASE,
)
NO_SECRET = re.compile(
    r"\W*(secret|pass(word|wd)?|admin|root|postgres|redis|dummy|example|test|foo|bar)[\d\W]*", re.IGNORECASE
)


def value_faults(variable: Variable, value: str, *, production: bool) -> Iterator[str]:
    """Give what is wrong with one value, in words that do not hold it."""
    if not value.strip():
        if variable.required:
            yield "is empty"
        return
    secret = secret_in(variable.name, value, variable)
    if PLACEHOLDER.search(value) or PLACEHOLDER.search(secret) or NO_SECRET.fullmatch(secret):
        yield "holds a placeholder"
        return
    if variable.format == "url":
        yield from _address_faults(variable, value)
    if variable.format == "port" and not _is_port(value):
        yield "is no port: 1 to 65535"
    rules = [(variable.pattern, variable.expects)]
    if production and variable.production:
        rules.append((variable.production["pattern"], variable.production["expects"]))
    yield from (f"must be {expects}" for pattern, expects in rules if pattern and not re.fullmatch(pattern, value))
    if variable.secret and secret:
        yield from _weaknesses(secret, variable.min_length)


def _weaknesses(secret: str, min_length: int) -> Iterator[str]:
    if len(secret) < min_length:
        yield f"is too short: a secret of at least {min_length} characters"
    elif guessing_bits(secret) < BITS_PER_CHARACTER * min_length:
        yield "is too easy to guess: few different characters, or a pattern"


def guessing_bits(secret: str) -> float:
    """Give how many bits the characters of `secret` carry at most: n · H, H = -Σ p·log2(p) over their frequencies.

    C. E. Shannon, A Mathematical Theory of Communication (1948), section 6. H is taken of the characters and of the
    steps between neighbours, whichever is less, so that `abcdef…` carries little; and n is the length of what is
    not repeated. A random hex string has about 3.5 bits a character, base64 about 4.8. It tells what is certainly
    weak, not what is strong: no dictionary is consulted.
    """
    unit = secret[: (secret + secret).find(secret, 1)]
    steps = [ord(after) - ord(before) for before, after in pairwise(unit)]
    return len(unit) * min(_entropy(Counter(unit)), _entropy(Counter(steps)))


def _entropy(counts: Mapping[object, int]) -> float:
    total = sum(counts.values())
    return -sum(count / total * math.log2(count / total) for count in counts.values())


def secret_in(name: str, value: str, variable: Variable | None = None) -> str:
    """Give the secret in a value: the password of an address, the value of a secret variable, else nothing."""
    try:
        password = urlsplit(value).password if "://" in value else None
    except ValueError:
        password = None
    if password or (variable and variable.format == "url"):
        return unquote(password or "")
    is_secret = variable.secret if variable else bool(SECRET_NAME.search(name))
    return value if is_secret else ""


def _address_faults(variable: Variable, value: str) -> Iterator[str]:
    beginnings = " or ".join(f"{scheme}://" for scheme in variable.schemes)
    hint = "; a password with / ? # @ % in it must be percent-encoded" if variable.secret else ""
    scheme, _, rest = value.partition("://")
    if re.search(r"[\s\x00-\x20\x7f]", value):
        yield "has a blank or control character in its address"
    elif not rest or (variable.schemes and scheme.lower() not in variable.schemes):
        yield f"is no address that begins with {beginnings or 'scheme://'}"
    elif not all(host for host, _ in _hosts_and_ports(value)):
        yield f"names no host{hint}"
    elif not all(port is None or _is_port(port) for _, port in _hosts_and_ports(value)):
        yield f"has a port that is not 1 to 65535{hint}"
    elif variable.secret and not secret_in(variable.name, value, variable):
        yield "has no password in its address"


def _hosts_and_ports(address: str) -> list[tuple[str, str | None]]:
    """Give the hosts of an address (PostgreSQL's may have several) in lower case, each with its port as written."""
    authority = re.split(r"[/?#]", address.partition("://")[2], maxsplit=1)[0].rpartition("@")[2]
    found = []
    for part in authority.lower().split(","):
        match = re.fullmatch(r"(?:\[([0-9a-f:.]+)\]|([^\[\]:]*))(?::(.*))?", part)
        host = (match[1] or match[2] or "").rstrip(".") if match else ""
        found.append((host, match[3] if match else None))
    return found


def _is_port(text: str) -> bool:
    return bool(re.fullmatch(r"[0-9]{1,5}", text)) and 1 <= int(text) <= 65535  # noqa: PLR2004


def hosts_of(value: str) -> set[str]:
    """Give the hosts that an address names beyond this machine and the local network's short names."""
    readings = {value, f"://{value.rpartition('@')[2]}"}  # the second: where a password has a / of its own
    hosts = {host for reading in readings if "://" in value for host, _ in _hosts_and_ports(reading)}
    return {host for host in hosts if re.search(r"[.:]", host) and not _is_loopback(host)}


def names_host(value: str, hosts: Mapping[str, str]) -> str | None:
    """Give whose host a value names, in an address or anywhere else; `hosts` maps hosts, `*` in them, to owners."""
    words = re.findall(r"\[([0-9a-f:.]+)\]|([\w.-]+)", value.lower())
    for word in {(address or name).strip(".-") for address, name in words}:
        for host, owner in hosts.items():
            if fnmatch.fnmatchcase(word, host.lower()):
                return owner
    return None


def _is_loopback(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host.endswith(".localhost")
    return address.is_loopback or address.is_unspecified
