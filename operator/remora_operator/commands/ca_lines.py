"""What `remora ca` shows: for people, and as JSON. Pure."""

from typing import Any

from remora_operator.ca.rotation import Phase
from remora_operator.ca.status import AuthorityStatus, authority_status, end_note
from remora_operator.custody.next_step import RotationStep
from remora_operator.custody.rotation_desk import Ca, Outlook

_DIGITS = 16

_MEANS = {
    RotationStep.BEGIN: "publish a new root beside it",
    RotationStep.SWITCH: "let the new root sign",
    RotationStep.RETIRE: "take the old root away",
}


def is_well(outlook: Outlook) -> bool:
    """Tell whether nothing asks for a person."""
    if outlook.rotation is None:
        return outlook.is_elsewhere
    return not end_note(outlook.rotation, outlook.now)


def outlook_lines(outlook: Outlook) -> list[str]:
    """Show a CA to people."""
    head = f"{outlook.ca.value} CA ({outlook.where})"
    if outlook.is_elsewhere:
        return [f"{head}: not needed, cert-manager keeps our servers' certificates"]
    shown = _status(outlook)
    if shown is None:
        return [f"{head}: can't be used", *(f"  {problem}" for problem in outlook.problems)]
    lines = [f"{head}: {shown.phase.value}{_since(shown)}"]
    for root in shown.roots:
        signs = ", signs" if root.signs else ""
        lines.append(f"  root  {root.subject}, until {root.not_after:%Y-%m-%d}{signs}")
        lines.append(f"        sha256 {root.fingerprint}")
    if len(shown.roots) > 1 and outlook.ca is Ca.INTERCEPTION:
        lines.append(f"  pods that know the old root alone: {shown.agents_on_old_root}")
    lines += [f"  note  {note}" for note in shown.notes]
    return [*lines, *(f"  {line}" for line in next_lines(outlook))]


def next_lines(outlook: Outlook) -> list[str]:
    """Say what comes next, and what holds it."""
    step = outlook.next_step
    if step is None:
        return []
    if outlook.ca is Ca.SERVING:
        return ["next  the operator's leader renews it by itself"]
    lines = [f"next  remora ca rotate {step.value}: {_MEANS[step]}"]
    return [*lines, *(f"held  {what}" for what in outlook.held_by)]


def outlook_json(outlook: Outlook) -> dict[str, Any]:
    """Write a CA as JSON."""
    shown = _status(outlook)
    head = {"secret": outlook.where, "usable": shown is not None, "well": is_well(outlook)}
    if shown is None:
        return {**head, "elsewhere": outlook.is_elsewhere, "problems": list(outlook.problems)}
    step = outlook.next_step
    return {
        **head,
        "phase": shown.phase.value,
        "since": None if shown.phase is Phase.STEADY else shown.since.isoformat(),
        "not_after": shown.not_after.isoformat(),
        "roots": [
            {
                "subject": root.subject,
                "sha256": root.fingerprint,
                "not_after": root.not_after.isoformat(),
                "signs": root.signs,
            }
            for root in shown.roots
        ],
        "agents_on_old_root": shown.agents_on_old_root,
        "notes": list(shown.notes),
        "next": None if step is None else step.value,
        "held_by": list(outlook.held_by),
    }


def _since(shown: AuthorityStatus) -> str:
    """Say since when a rotation stands where it does; of a CA at rest nobody may know it."""
    return "" if shown.phase is Phase.STEADY else f" since {shown.since:%Y-%m-%d %H:%M:%S} UTC"


def _status(outlook: Outlook) -> AuthorityStatus | None:
    if outlook.rotation is None:
        return None
    return authority_status(outlook.rotation, outlook.now, outlook.agents_started)
