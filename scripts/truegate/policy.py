"""The effective criteria and waivers of one run, from the configuration and its schema."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, TypeVar

from truegate.checks import MODULES
from truegate.config import FILE_NAME, Config, leaves
from truegate.errors import ConfigError
from truegate.masking import Masker
from truegate.model import Criterion, Exclusion, Policy, Waiver
from truegate.toml import line_of, read_toml

Accepted = TypeVar("Accepted", Waiver, Exclusion)


def build_policy(check: str, config: Config) -> Policy:
    """Give the policy of `check`; raises ConfigError when waivers.toml is unsound.

    Secrets are masked where people write prose, and nowhere else: a secret called `runtime` must not undo a criterion.
    """
    mask = Masker(config.secrets).mask_text
    max_days = {k.rsplit(".", 1)[1]: v for k, v in config.values.items() if k.startswith("waivers.max_days.")}
    settings = {
        k: config[k] for k, _ in leaves() if k.startswith((f"{check}.", "inventory.")) and ".criteria." not in k
    }
    settings |= {k: [mask(name) for name in value] for k, value in settings.items() if k.endswith(".files")}
    return Policy(
        check=check,
        owner=mask(config["target.owner"]),
        criteria=tuple(_criteria(check, config)),
        waivers=tuple(_masked(waiver, mask) for waiver in _waivers(config) if waiver.check == check),
        waiver_max_days=max_days,
        unused_waivers=config["waivers.unused"],
        exclusions=tuple(_masked(exclusion, mask) for exclusion in _exclusions(config)),
        looser=tuple(_looser_rules(config)),
        settings=settings | {"target.version": mask(config.get("target.version") or "") or None},
    )


def _masked(accepted: Accepted, mask: Callable[[str], str]) -> Accepted:
    prose = [name for name in ("reason", "approver", "ticket") if hasattr(accepted, name)]
    texts: dict[str, Any] = {name: mask(getattr(accepted, name)) for name in prose}
    return replace(accepted, **texts)


def _criteria(check: str, config: Config) -> list[Criterion]:
    criteria = []
    for key, node in leaves():
        if not key.startswith(f"{check}.criteria."):
            continue
        spec = node["x-criterion"]
        limit, default = _limit(spec, config[key]), _limit(spec, node["default"])
        criteria.append(
            Criterion(
                id=key.rsplit(".", 1)[1],
                op=spec["op"],
                limit=limit,
                unit=spec["unit"],
                kind=spec["kind"],
                origin=config.origins[key],
                default=default,
                looser_than_default=_looser(spec["op"], limit, default),
                next_step=spec["next_step"],
                select=spec.get("select"),
            )
        )
    return criteria


def _limit(spec: dict[str, Any], value: Any) -> float | int | None:
    """Give the limit that a configured value stands for; `none` is no limit."""
    word = str(value).lower() if isinstance(value, (bool, str)) else None
    chosen = spec.get("limits", {}).get(word, value) if word is not None else value
    return None if chosen == "none" else chosen


def _looser(op: str, limit: float | None, default: float | None) -> bool:
    if limit is None or default is None:
        return limit is None and default is not None
    return limit > default if op == "<=" else limit < default


def _looser_rules(config: Config) -> Iterator[str]:
    """Tell which rules beside the criteria let more through than the kit's own."""
    for key, node in leaves():
        terms = key.startswith("waivers.max_days.") and config[key] > node["default"]
        if terms or (key == "inventory.dev_files" and config[key]):
            yield f"{key} = {config[key]} ({config.origins[key]}; default {node['default']})"


def _waivers(config: Config) -> list[Waiver]:
    path = config.folder("waivers.file")
    if not path.exists():
        if config.origins["waivers.file"] != "default":
            raise ConfigError(f"{path} is missing", "write it, or take `file` out of [waivers]")
        return []
    rows = read_toml(path, "waivers").get("waiver", [])
    text = path.read_text(encoding="utf-8")
    for index, row in enumerate(rows):
        if row["check"] not in MODULES:
            near = difflib.get_close_matches(row["check"], MODULES, n=1) or list(MODULES)
            place = f"{path}:{line_of(text, ('waiver', index))}"
            raise ConfigError(f"{place}: no check is named {row['check']!r}", f"did you mean {' or '.join(near)}?")
    return [
        Waiver(**{"ticket": "", **row}, file=path.name, line=line_of(text, ("waiver", index)) or 0)
        for index, row in enumerate(rows)
    ]


def _exclusions(config: Config) -> list[Exclusion]:
    rows = config["exclude"]
    path = config.target_dir / FILE_NAME
    text = path.read_text(encoding="utf-8", errors="replace") if rows and path.exists() else ""
    found = []
    for index, row in enumerate(rows):
        found.append(Exclusion(**row, origin=f"{FILE_NAME}:{line_of(text, ('exclude', index)) or '?'}"))
    return found
