"""Judge what a check saw by its policy. Pure: no clock, no network, no environment, no files."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from urllib.parse import unquote

from truegate import waivers
from truegate.model import (
    Criterion,
    CriterionOutcome,
    Finding,
    InputRecord,
    Measurement,
    Meta,
    Policy,
    Reason,
    Result,
    Status,
    Verdict,
)

MAX_NAMED = 3  # in the message of one criterion
DECIDES = {"fail": "failed", "inconclusive": "unreliable"}  # the kind that stands first


def judge(meta: Meta, policy: Policy, result: Result, inputs: Sequence[InputRecord]) -> Verdict:
    """Give the verdict on `result`.

    Unreliable reasons win over everything, a proven failure over what could not be seen. The day on which waivers
    are judged is the day of the run, from `meta`.
    """
    started = datetime.fromisoformat(meta.generated_at)
    ledger = waivers.apply(policy, result.findings, started.date())
    waived = {entry.identity for entry in ledger.waived}
    open_findings = [finding for finding in result.findings if finding.identity not in waived]
    outcomes, missed = list[CriterionOutcome](), list[Reason]()
    for criterion in policy.criteria:
        outcome, reason = _measure(criterion, open_findings, result.measurements, looked=bool(result.looked))
        outcomes.append(outcome)
        missed.extend(reason if result.looked else ())  # that nothing was looked at is one reason, not ten
    explained = bool(result.problems) and not result.looked  # then what is missing follows from those
    sight = [] if explained else _sight(result)
    reasons = [*_run_reasons(meta, policy), *result.problems, *sight, *missed, *ledger.reasons]
    settings = policy.settings or {}
    if meta.external and not settings.get("accept_external"):
        reasons.append(
            Reason("external", "incomplete", "the report was made elsewhere: no control, no provenance",
                   "run the check here, or accept that with --accept-external")
        )  # fmt: skip
    elif not meta.external and not explained:
        reasons += _control_reasons(result)
    status = status_of(reasons)
    reasons.sort(key=lambda reason: reason.kind != DECIDES.get(status))
    excluded = (f"excluded until {e.expires} by {e.approver}: {e.path} ({e.origin})" for e in policy.exclusions)
    looser = (f"looser than the default: {rule}" for rule in policy.looser)
    warnings = [*looser, *excluded, *ledger.warnings, *_ungated(policy.criteria, outcomes)]
    return Verdict(
        check=policy.check,
        run_id=meta.run_id,
        timestamp=f"{started:%Y%m%d_%H%M}",
        version=settings.get("target.version") or meta.target.commit,
        owner=policy.owner,
        status=status,
        qualifier="external, no control" if meta.external else None,
        reasons=tuple(dict.fromkeys(reasons)),
        criteria=tuple(outcomes),
        waived=ledger.waived,
        warnings=tuple(warnings),
        inputs=tuple(inputs),
    )


def status_of(reasons: Sequence[Reason]) -> Status:
    """Give the outcome that `reasons` amount to."""
    kinds = {reason.kind for reason in reasons}
    if "unreliable" in kinds:
        return "inconclusive"
    if "failed" in kinds:
        return "fail"
    return "inconclusive" if kinds else "pass"


def _measure(
    criterion: Criterion, findings: Sequence[Finding], measurements: Sequence[Measurement], *, looked: bool
) -> tuple[CriterionOutcome, list[Reason]]:
    measured: float | int | None
    why, names = "", list[str]()
    if criterion.select is not None:
        selected = [finding for finding in findings if _selected(criterion, finding)]
        measured, names = len(selected), list(dict.fromkeys(map(_name, selected)))
    else:
        measurement = next((m for m in measurements if m.id == criterion.id), None)
        measured = measurement.value if measurement else None
        why = (measurement.reason if measurement else None) or "nothing was measured"
    status, reasons = _compare(criterion, measured, why, names)
    if not looked:  # no figure without a look
        measured, status = None, "inconclusive"
    looser = criterion.looser_than_default
    outcome = CriterionOutcome(
        criterion.id, criterion.op, criterion.limit, measured, criterion.unit, status, looser_than_default=looser
    )
    return outcome, reasons


def _compare(
    criterion: Criterion, measured: float | None, why: str, names: Sequence[str]
) -> tuple[Status, list[Reason]]:
    if criterion.limit is None:
        return "pass", []
    if measured is None:
        message = f"{criterion.id} could not be told: {why}"
        return "inconclusive", [Reason(criterion.id, "incomplete", message, criterion.next_step)]
    met = measured <= criterion.limit if criterion.op == "<=" else measured >= criterion.limit
    if met:
        return "pass", []
    unit = f" {criterion.unit}" if criterion.unit else ""
    message = f"{criterion.id} is {measured}{unit}, wanted {criterion.op} {criterion.limit}"
    message += f": {', '.join(names[:MAX_NAMED])}" if names else ""
    message += f" and {len(names) - MAX_NAMED} more" if names[MAX_NAMED:] else ""
    status: Status = "fail" if criterion.kind == "failed" else "inconclusive"
    return status, [Reason(criterion.id, criterion.kind, message, criterion.next_step)]


def _name(finding: Finding) -> str:
    """Give what a finding is in, in short."""
    package = (finding.package or "").partition("/")[2]
    return unquote(package) or (finding.locations[0].path if finding.locations else finding.identity)


def _selected(criterion: Criterion, finding: Finding) -> bool:
    return all(getattr(finding, field) in accepted for field, accepted in (criterion.select or {}).items())


def _run_reasons(meta: Meta, policy: Policy) -> list[Reason]:
    reasons = []
    if not policy.criteria:
        message = f"{policy.check} has no criterion, so nothing was judged"
        reasons.append(Reason("no-criteria", "unreliable", message, "give it a table of criteria in schemas/"))
    if meta.state != "complete":
        reasons.append(
            Reason("interrupted", "unreliable", f"the run is {meta.state}, not complete", "run the check again")
        )
    if meta.finished_at and meta.finished_at < meta.generated_at:
        message = f"the clock went backwards during the run ({meta.generated_at} to {meta.finished_at})"
        reasons.append(Reason("clock", "unreliable", message, "set the clock, then run the check again"))
    return reasons


def _sight(result: Result) -> list[Reason]:
    reasons = [
        Reason("not-seen", "incomplete", f"{look.id}: saw {look.seen} of at least {look.minimum} {look.unit}",
               "see the notes of the report: what was not seen can't be judged")
        for look in result.looked
        if look.seen < look.minimum
    ]  # fmt: skip
    if not result.looked:
        reasons.append(Reason("nothing-seen", "incomplete", "the check saw nothing at all", "read the notes"))
    return reasons


def _control_reasons(result: Result) -> list[Reason]:
    if not result.controls:
        return [
            Reason("no-control", "unreliable", "no control was shown to the tool in this run", "run the check again")
        ]
    return [
        Reason("control", "unreliable",
               f"control {control.id} was missed: {control.seen} of at least {control.expected} planted flaws seen",
               "the tool or its data can't be trusted; inv security.db shows the data, inv tools the tool")
        for control in result.controls
        if control.seen < control.expected
    ]  # fmt: skip


def _ungated(criteria: Sequence[Criterion], outcomes: Sequence[CriterionOutcome]) -> list[str]:
    return [
        f"{outcome.id}: {outcome.measured} {outcome.unit} reported, no limit set"
        for criterion, outcome in zip(criteria, outcomes, strict=True)
        if criterion.limit is None and criterion.looser_than_default and outcome.measured
    ]
