"""Fill the database: the same number and seed give the same items."""

from __future__ import annotations

import json
import random

from truegate.errors import ConfigError, InconclusiveError
from truegate_staging.parts import psql, redis_says
from truegate_staging.site import Site

ADJECTIVES = ("amber", "brisk", "calm", "deep", "early", "fine", "green", "hollow", "idle", "keen")
NOUNS = ("anchor", "basin", "cable", "dynamo", "engine", "filter", "girder", "hinge", "insert", "joint")
MAX_ITEMS = 10_000_000
FORGET = "for _, key in ipairs(redis.call('KEYS', 'item:*')) do redis.call('DEL', key) end return 'PONG'"


def seed(site: Site, items: int, number: int) -> None:
    """Replace all items by `items` new ones, made from the seed `number`, in one transaction; the cache forgets."""
    if not 0 < items <= MAX_ITEMS:
        raise ConfigError(f"--items {items} is not between 1 and {MAX_ITEMS:,}", "name another number")
    path = site.folder / "home" / "items.tsv"
    choose = random.Random(number)  # noqa: S311  repeatable on purpose
    with path.open("w", encoding="utf-8") as stream:
        for index in range(items):
            name = f"{choose.choice(ADJECTIVES)} {choose.choice(NOUNS)} {index + 1}"
            stream.write(f"{name}\tmade by seed {number}\t{choose.randrange(1, 100_000)}\t{choose.randrange(1000)}\n")
    copy = f"\\copy items (name, description, price_cents, quantity) from '{path}'"
    code, _, errors = psql(site, "begin", "truncate items restart identity", copy, "commit", "analyze items")
    path.unlink()
    if code != 0:
        raise InconclusiveError(f"the items were not copied: {errors.strip()}", "inv staging.up first")
    if why := redis_says(site, f"EVAL {json.dumps(FORGET)} 0"):
        raise InconclusiveError(f"the cache still holds the old items: {why}", "inv staging.up first")
