"""What is wrong with a value: each kind of fault, and no sentence that holds the value."""

from __future__ import annotations

import random
import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from truegate.env import Variable, known_variables
from truegate.env_faults import guessing_bits, hosts_of, names_host, secret_in, value_faults

KNOWN = known_variables()
STRONG = "kV9xQ2mB7tLw4ZrN8cYpD3hS6gJf5aEu"


def own(**fields: Any) -> Variable:
    return known_variables([{"name": "OWN", **fields}])["OWN"]


def faults(name: str, value: str, *, production: bool = False) -> list[str]:
    return list(value_faults(KNOWN[name], value, production=production))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", f"postgres://app:{STRONG}@127.0.0.1:18008/app"),
        ("DATABASE_URL", f"postgresql://app:{STRONG}@db.shop.test/app?sslmode=require"),
        ("DATABASE_URL", f"PostgreSQL://app:{STRONG}@h1.shop.test:5432,h2.shop.test:5433/app"),
        ("DATABASE_URL", f"postgres://app:{STRONG[:-2]}%2F%40@[2001:db8::1]:5432/app"),
        ("REDIS_URL", f"rediss://:{STRONG}@cache:6379/0"),
        ("S3_ENDPOINT", "https://s3.eu-central-1.amazonaws.com"),
        ("S3_BUCKET", "abc"),
        ("S3_ACCESS_KEY_ID", "AKIAQ3EGPLR7ZTX2MB5C"),
        ("REVALIDATE_SECRET", STRONG),
        ("POSTGRES_PASSWORD", "Zx<8>k#2$q%W9!mR&7(p)L^5tV"),
        ("TRUEGATE_CONTROLS", ""),
        ("SNYK_TOKEN", "  "),
        ("SNYK_TOKEN", "3f1c9a52-7b0e-4d68-a1f4-92c7e5d80b36"),
    ],
)
def test_what_is_sound(name: str, value: str) -> None:
    assert faults(name, value) == []
    assert faults(name, value, production=True) == []


@pytest.mark.parametrize("value", ["", " ", "\t"])
def test_an_empty_value_is_told_where_one_is_required(value: str) -> None:
    assert faults("S3_REGION", value) == ["is empty"]


@pytest.mark.parametrize(
    "value",
    ["change-me", "CHANGEME", "change_this_now", "<secret>", "${DB_PASSWORD}", "$SECRET", "{{ secret }}", "your-secret",
     "replace me", "placeholder", "todo", "TBD", "xxxxxxxx", "********", "...", "password123!", "Secret", "none",
     "null", "'dummy'", "insert-token-here"],
)  # fmt: skip
def test_placeholders(value: str) -> None:
    assert faults("REVALIDATE_SECRET", value) == ["holds a placeholder"]
    assert faults("DATABASE_URL", f"postgres://app:{value.replace(' ', '%20')}@db/app") == ["holds a placeholder"]


@pytest.mark.parametrize(
    "host", ["example.com", "db.example.org:5432", "a.b.example.net/x", "foo.example", "x.invalid", "EXAMPLE.ORG."]
)
def test_an_address_that_is_nobodys_is_a_placeholder(host: str) -> None:
    assert faults("S3_ENDPOINT", f"https://{host}") == ["holds a placeholder"]


@pytest.mark.parametrize("host", ["example-shop.com", "myexample.com", "example.com.shop.test", "s3.test/example.com"])
def test_an_address_that_only_looks_like_nobodys(host: str) -> None:
    assert faults("S3_ENDPOINT", f"https://{host}") == []


HINT = "; a password with / ? # @ % in it must be percent-encoded"
DATABASE = "is no address that begins with postgres:// or postgresql://"


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (f"mysql://app:{STRONG}@db/app", DATABASE),
        ("db.shop.test:5432", DATABASE),
        ("postgres://", DATABASE),
        (f"postgres:app:{STRONG}@db", DATABASE),
        (f"postgres://app:{STRONG}@/app", f"names no host{HINT}"),
        (f"postgres://app:{STRONG}@:5432/app", f"names no host{HINT}"),
        (f"postgres://app:{STRONG}@[::1/app", f"names no host{HINT}"),
        (f"postgres://app:{STRONG}@db:0/app", f"has a port that is not 1 to 65535{HINT}"),
        (f"postgres://app:{STRONG}@db:65536/app", f"has a port that is not 1 to 65535{HINT}"),
        (f"postgres://app:{STRONG}@db:/app", f"has a port that is not 1 to 65535{HINT}"),
        (f"postgres://app:{STRONG}@db:٣/app", f"has a port that is not 1 to 65535{HINT}"),
        (f"postgres://app:ab/{STRONG}@db/app", f"has a port that is not 1 to 65535{HINT}"),
        ("postgres://app@db/app", "has no password in its address"),
        ("postgres://app:@db/app", "has no password in its address"),
        (f"postgres://app:{STRONG}@db/my app", "has a blank or control character in its address"),
        (f"postgres://app:{STRONG}@db/app\n", "has a blank or control character in its address"),
        (f"postgres://app:{STRONG[:10]}@db/app", "is too short: a secret of at least 24 characters"),
        ("postgres://app:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa@db/app",
         "is too easy to guess: few different characters, or a pattern"),
    ],
)  # fmt: skip
def test_malformed_addresses(value: str, told: str) -> None:
    assert faults("DATABASE_URL", value) == [told]


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [("S3_BUCKET", "ab", "must be 3 to 63"), ("S3_BUCKET", "Big-Bucket", "must be 3 to 63"),
     ("S3_REGION", "us east", "must be lower-case letters"), ("S3_REGION", "eu\n", "must be lower-case letters"),
     ("TRUEGATE_CONTROLS", "yes", "must be 0 or 1")],
)  # fmt: skip
def test_other_forms(name: str, value: str, told: str) -> None:
    assert [fault.startswith(told) for fault in faults(name, value)] == [True]


def test_the_gates_bad_endpoints_are_no_part_of_production() -> None:
    assert faults("TRUEGATE_CONTROLS", "1") == []
    assert faults("TRUEGATE_CONTROLS", "1", production=True) == ["must be absent or 0 in production"]
    assert faults("TRUEGATE_CONTROLS", "0", production=True) == []


@pytest.mark.parametrize(("value", "sound"), [("1", 1), ("65535", 1), ("0", 0), ("65536", 0), ("80 ", 0), ("http", 0)])
def test_ports(value: str, *, sound: int) -> None:
    found = list(value_faults(own(format="port"), value, production=False))
    assert found == ([] if sound else ["is no port: 1 to 65535"])


def test_shannons_figure() -> None:
    assert guessing_bits("aaaa") == 0
    assert guessing_bits("abcdefgh") == 0  # each step is the same
    assert guessing_bits("adcb" * 8) == pytest.approx(4 * 0.9183, abs=1e-3)  # steps +3 -1 -1, once
    assert guessing_bits("aabb") == pytest.approx(4 * 0.9183, abs=1e-3)  # steps 0 +1 0
    assert guessing_bits("acbd") == pytest.approx(4 * 0.9183, abs=1e-3)  # steps +2 -1 +2
    assert guessing_bits("") == guessing_bits("x") == 0


@pytest.mark.parametrize(
    "secret", ["a" * 40, "ab" * 20, "0123456789" * 4, "abcdefghijklmnopqrstuvwxyz012345",
               "1111111111222222222233333333334444", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab", "0" * 30 + "12345678"]
)  # fmt: skip
def test_weak_secrets(secret: str) -> None:
    assert faults("REVALIDATE_SECRET", secret) == ["is too easy to guess: few different characters, or a pattern"]


@pytest.mark.parametrize(
    "alphabet", ["0123456789abcdef", string.ascii_letters + string.digits, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"]
)
@pytest.mark.parametrize(
    ("name", "length"), [("S3_ACCESS_KEY_ID", 20), ("POSTGRES_PASSWORD", 24), ("REVALIDATE_SECRET", 32)]
)
def test_random_secrets_are_not_called_weak(alphabet: str, name: str, length: int) -> None:
    dice = random.Random(1)
    for _ in range(3000):
        assert faults(name, "".join(dice.choices(alphabet, k=length))) == []


@given(
    st.sampled_from([*KNOWN.values(), own(secret=True, min_length=50), own(format="port"), own(schemes=["https"])]),
    st.text(max_size=30),
    st.text(max_size=30),
    st.sampled_from([True, False]),
)
def test_no_sentence_holds_the_value(variable: Variable, before: str, after: str, production: Any) -> None:
    for value in (f"{before}Qz7-marker{after}", f"postgres://a:{before}Qz7-marker{after}@h:{after}/x"):
        for fault in value_faults(variable, value, production=production):
            assert "Qz7-marker" not in fault
            assert len(fault) < 120


@pytest.mark.parametrize(
    ("name", "value", "secret"),
    [("DATABASE_URL", "postgres://a:p%40ss@h/x", "p@ss"), ("DATABASE_URL", "postgres://h/x", ""),
     ("S3_REGION", "x", ""), ("DATABASE_URL", "db:5432", ""),
     ("SNYK_TOKEN", "abc", "abc"), ("S3_ENDPOINT", "https://u:pw@h", "pw"), ("DATABASE_URL", "postgres://[", "")],
)  # fmt: skip
def test_where_the_secret_lies(name: str, value: str, secret: str) -> None:
    assert secret_in(name, value, KNOWN[name]) == secret


def test_the_secret_of_a_name_that_nobody_declared() -> None:
    assert secret_in("API_TOKEN", "abc") == "abc"
    assert secret_in("SENTRY_DSN", "https://abc@host/1") == "https://abc@host/1"
    assert secret_in("COLOUR", "red") == ""


@pytest.mark.parametrize(
    ("value", "hosts"),
    [("https://API.shop.test./x", {"api.shop.test"}), ("postgres://u:p@h1.test:1,h2.test:2/d", {"h1.test", "h2.test"}),
     ("redis://:p@[2001:db8::1]:6379", {"2001:db8::1"}), ("http://127.0.0.1:80", set()), ("http://localhost", set()),
     ("http://[::1]", set()), ("http://0.0.0.0:1", set()), ("postgres://db:5432/app", set()), ("shop.test", set()),
     ("http://10.0.0.5", {"10.0.0.5"}), ("http://app.localhost", set()),
     ("https://h.test/x@y.test", {"h.test", "y.test"}),
     ("postgres://u:a/b@h.test:5/d", {"h.test"})],
)  # fmt: skip
def test_the_hosts_of_an_address(value: str, hosts: set[str]) -> None:
    assert hosts_of(value) == hosts


@pytest.mark.parametrize(
    ("value", "named"),
    [("https://db.shop.test", True), ("DB.SHOP.TEST", True), ("db.shop.test:5432", True),
     ("host=db.shop.test port=1", True),
     ("postgres:///x?host=db.shop.test.", True), ("http://[2001:db8::1]:80", True), ("x.cdn.test", True),
     ("https://db.shop.test.evil.test", False), ("https://a.db.shop.test", False), ("cdn.test", False), ("", False)],
)  # fmt: skip
def test_a_host_is_found_wherever_it_stands(value: str, *, named: bool) -> None:
    hosts = {"db.shop.test": "them", "*.cdn.test": "them", "2001:db8::1": "them"}
    assert names_host(value, hosts) == ("them" if named else None)
