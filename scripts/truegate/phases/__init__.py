"""The namespaces of `inv`, one module each; nothing heavy is imported before a task runs."""

from __future__ import annotations

from invoke import Collection

from truegate.phases import config, db, env, evidence, security, tools

_security = Collection.from_module(security)
_security.add_collection(db.collection)

namespace = Collection(
    _security,
    Collection.from_module(evidence),
    Collection.from_module(config),
    Collection.from_module(env),
    tools.collection,
)
