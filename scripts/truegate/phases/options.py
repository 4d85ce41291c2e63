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
OwnOptions = Callable[..., dict[str, Any] | None]
CONFIG_KEYS = {"url": "target.url", "evidence": "evidence.dir"}


def check_task(*names: str, own_help: Mapping[str, str] | None = None) -> Callable[[OwnOptions], Task[Any]]:
    """Make the invoke task of the checks `names`; more than one is a namespace's default task.

    The decorated function carries the docstring and the options of its own; it gives configuration overrides.
    """

    def decorate(own: OwnOptions) -> Task[Any]:
        def body(context: Context, **options: Any) -> None:
            from truegate.phases.run import run_checks

            overrides = own(context, **{parameter.name: options.pop(parameter.name) for parameter in parameters[1:]})
            run_checks(names, options, overrides or {})

        parameters = list(inspect.signature(own).parameters.values())
        common = [inspect.Parameter(n, inspect.Parameter.KEYWORD_ONLY, default=d) for n, (d, _) in COMMON.items()]
        body.__doc__ = own.__doc__
        body.__signature__ = inspect.Signature([*parameters, *common])  # type: ignore[attr-defined]
        made: Task[Any] = task(
            name=own.__name__.rstrip("_"),
            help={n.replace("_", "-"): text for n, (_, text) in COMMON.items()} | dict(own_help or {}),
            iterable=[parameter.name for parameter in parameters if "list" in str(parameter.annotation)],
            default=len(names) > 1,
            auto_shortflags=False,
        )(body)
        return made

    return decorate
