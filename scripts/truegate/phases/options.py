"""The options that every check has, written once."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from invoke import Context, Task, task

COMMON = {
    "target": (None, "folder to judge (default: the working directory)"),
    "url": (None, "address to judge, instead of the one in truegate.toml"),
    "profile": (None, "environment, such as staging or prod: loads .env.<profile>"),
    "evidence": (None, "folder for the run folders"),
    "quiet": (False, "print only the two closing lines"),
    "json": (False, "print the verdict as JSON instead"),
    "from_report": (None, "judge the tool reports in this folder instead of running the tools"),
    "accept_external": (False, "let such reports pass, marked as external"),
}
CONFIG_KEYS = {"url": "target.url", "evidence": "evidence.dir"}


def check_task(
    name: str, own_help: Mapping[str, str] | None = None
) -> Callable[[Callable[..., dict[str, Any] | None]], Task[Any]]:
    """Make the invoke task of the check `name`.

    The decorated function carries the docstring and the check's own options (`own_help`); it gives configuration
    overrides.
    """

    def decorate(own: Callable[..., dict[str, Any] | None]) -> Task[Any]:
        def body(context: Context, **options: Any) -> None:
            from truegate.phases.run import run_checks

            extra = {key: options.pop(key) for key in own_parameters}
            run_checks([name], options, own(context, **extra) or {})

        parameters = list(inspect.signature(own).parameters.values())
        own_parameters = [parameter.name for parameter in parameters[1:]]
        return _as_task(body, own, parameters, own_help or {}, default=False)

    return decorate


def phase_task(names: list[str]) -> Callable[[Callable[..., None]], Task[Any]]:
    """Make the default task of a namespace: all its checks, then one exit with the worst."""

    def decorate(own: Callable[..., None]) -> Task[Any]:
        def body(_context: Context, **options: Any) -> None:
            from truegate.phases.run import run_checks

            run_checks(names, options, {})

        return _as_task(body, own, list(inspect.signature(own).parameters.values()), {}, default=True)

    return decorate


def _as_task(
    body: Any, own: Any, parameters: list[inspect.Parameter], own_help: Mapping[str, str], *, default: bool
) -> Task[Any]:
    common = [inspect.Parameter(n, inspect.Parameter.KEYWORD_ONLY, default=d) for n, (d, _) in COMMON.items()]
    body.__signature__ = inspect.Signature([*parameters, *common])
    body.__name__, body.__doc__ = own.__name__, own.__doc__
    help_texts = {name.replace("_", "-"): text for name, (_, text) in COMMON.items()} | own_help
    made: Task[Any] = task(name=own.__name__.rstrip("_"), help=help_texts, default=default, auto_shortflags=False)(body)
    return made
