"""What the tasks of all checks do: load the configuration, run, show, leave."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from truegate import jsonio
from truegate.checks.pipeline import run_check
from truegate.config import load_config
from truegate.errors import INCONCLUSIVE
from truegate.finish import exit_code, leave, show, user_errors, worst
from truegate.model import Verdict, to_json
from truegate.phases.options import CONFIG_KEYS


def run_checks(names: Sequence[str], options: Mapping[str, Any], overrides: Mapping[str, Any]) -> None:
    """Run the checks `names` with the common `options`, then leave with the worst outcome."""
    given = {key: options[option] for option, key in CONFIG_KEYS.items() if options[option]}
    if options["evidence"]:
        given["evidence.dir"] = str(Path(options["evidence"]).absolute())
    with user_errors():
        config = load_config(options["target"], options["profile"], {**given, **overrides})
        several = options["json"] and len(names) > 1
        codes, verdicts = [INCONCLUSIVE] * len(names), list[Verdict]()
        for index, name in enumerate(names):
            done = run_check(
                name,
                config,
                from_report=Path(options["from_report"]) if options["from_report"] else None,
                accept_external=options["accept_external"],
                quiet=options["quiet"] or options["json"],
            )
            verdicts.append(done.verdict)
            codes[index] = exit_code(done) if several else show(done, quiet=options["quiet"], as_json=options["json"])
        if several:
            print(jsonio.dumps(to_json(verdicts)).decode(), end="")
        leave(worst(codes))
