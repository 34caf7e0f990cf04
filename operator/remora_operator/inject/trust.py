"""What the user's containers get: the trust files, the bundle over the system's, variables.

Variables come from `remora.trust`. Nothing that the user set is overwritten; new variables
stand at the end, so that what the user wrote with ``$(NAME)`` means what it meant.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from posixpath import normpath
from typing import Any

from remora.trust import BUNDLE_FILE, EnvironmentPlan, agent_environment
from remora_operator.inject.layout import OVERLAY_FILES, PROXY_URL, TRUST_DIR, TRUST_VOLUME
from remora_operator.inject.outcome import (
    Cause,
    Json,
    Mode,
    RefusalReason,
    Refused,
    Warned,
    WarningKind,
)
from remora_operator.inject.plan import Plan
from remora_operator.inject.pod import Container, Mount, Volume

_APPENDED = frozenset({"NO_PROXY", "no_proxy", "JAVA_TOOL_OPTIONS"})
"""Lists and option strings, to which ours is added."""


def trusting_container(
    container: Container, plan: Plan, volumes: Mapping[str, Volume]
) -> tuple[Json, tuple[Warned, ...]]:
    """Return a container of the user's with all it needs, and what stands in the way.

    Raises:
        Refused: The trust files can't be mounted.
    """
    mounts, mount_warnings = _mounts(container, plan, volumes)
    variables, variable_warnings = _variables(container, plan)
    added: dict[str, Any] = {}
    if variables:
        added["env"] = variables
    if mounts:
        added["volumeMounts"] = [*(container.json.get("volumeMounts") or ()), *mounts]
    json = {**container.json, **added} if added else container.json
    return json, (*mount_warnings, *variable_warnings)


def _mounts(
    container: Container, plan: Plan, volumes: Mapping[str, Volume]
) -> tuple[list[Json], tuple[Warned, ...]]:
    others = [mount for mount in container.mounts if mount.volume != TRUST_VOLUME]
    wanted: list[Json] = [_mount(str(TRUST_DIR))]
    _refuse_blocked_trust(container, others, volumes)
    hidden = []
    for file in OVERLAY_FILES if plan.trust_overlay else ():
        if any(_covers(mount.path, file) for mount in others):
            hidden.append(file)
        else:
            wanted.append(_mount(file, BUNDLE_FILE))
    present = {normpath(m.path) for m in container.mounts if m.volume == TRUST_VOLUME}
    missing = [mount for mount in wanted if mount["mountPath"] not in present]
    return missing, _overlay_warning(container, hidden)


def _mount(path: str, file: str | None = None) -> Json:
    mount = {"name": TRUST_VOLUME, "mountPath": path, "readOnly": True}
    return mount if file is None else {**mount, "subPath": file}


def _overlay_warning(container: Container, hidden: Sequence[str]) -> tuple[Warned, ...]:
    if not hidden:
        return ()
    text = (
        f"container {container.name} mounts something over {', '.join(hidden)}: programs that read "
        f"only the system's roots (wget) trust Remora if these include {TRUST_DIR}/ca.pem"
    )
    return (Warned(WarningKind.TRUST_OVERLAY, text),)


def _refuse_blocked_trust(
    container: Container, others: Sequence[Mount], volumes: Mapping[str, Volume]
) -> None:
    """Refuse what hides the trust folder, or leaves the runtime nowhere to make it."""
    for mount in others:
        volume = volumes.get(mount.volume)
        fixed = mount.read_only or (volume is not None and volume.never_written)
        inside = _covers(str(TRUST_DIR), mount.path)
        if inside or (fixed and _covers(mount.path, str(TRUST_DIR))):
            text = (
                f"container {container.name} mounts {mount.volume} at {mount.path}, "
                f"where {TRUST_DIR} has to be"
            )
            raise Refused(Cause(RefusalReason.TRUST_MOUNT, text))


def _covers(mounted: str, path: str) -> bool:
    """Tell whether a mount is at a path or above it."""
    return f"{_real(path)}/".startswith(f"{_real(mounted).rstrip('/')}/")


def _real(path: str) -> str:
    """Normalize a path; ``/var/run`` is ``/run`` in most images."""
    real = "/" + normpath(f"/{path}").lstrip("/")
    return real.removeprefix("/var") if f"{real}/".startswith("/var/run/") else real


def _variables(container: Container, plan: Plan) -> tuple[list[Json] | None, tuple[Warned, ...]]:
    """Return the whole list of variables; None where it stays as it is."""
    literal, unseen = _known(container)
    planned = _planned(plan, {**literal, **{name: f"$({name})" for name in unseen}})
    emptied = {name for name, value in literal.items() if not value} - _APPENDED
    fixed = (unseen | emptied) & planned.added.keys()
    kept = [*planned.kept, *((name, "it is set where Remora can't add to it") for name in fixed)]
    warnings = [
        Warned(
            WarningKind.TRUST_CONFLICT,
            f"container {container.name}: {name} stays as it is; {reason}",
        )
        for name, reason in dict(reversed(kept)).items()
    ]
    added = {name: value for name, value in planned.added.items() if name not in fixed}
    if container.has_sources:
        warnings.append(_unseen_sources(container))
    return (_with_values(container, added) if added else None), tuple(warnings)


def _planned(plan: Plan, existing: Mapping[str, str]) -> EnvironmentPlan:
    heeded = {name: value for name, value in existing.items() if name.upper() in _HEEDED}
    proxy = PROXY_URL if plan.mode is Mode.EXPLICIT else None
    return _environment(proxy, plan.bypass, tuple(sorted(heeded.items())))


_HEEDED = frozenset(
    {"ALL_PROXY", *(name.upper() for name in agent_environment(TRUST_DIR, PROXY_URL, {}).added)}
)
"""The variables, in capitals, that make a difference to what is planned."""


@lru_cache(maxsize=64)
def _environment(
    proxy: str | None, bypass: tuple[str, ...], existing: tuple[tuple[str, str], ...]
) -> EnvironmentPlan:
    """Plan the variables once for all containers that have none of them, which are most."""
    return agent_environment(TRUST_DIR, proxy, dict(existing), bypass=bypass)


def _known(container: Container) -> tuple[dict[str, str], frozenset[str]]:
    """Return the literal variables, and the names of those that come from elsewhere."""
    last = {variable.name: variable.value for variable in container.variables}
    literal = {name: value for name, value in last.items() if value is not None}
    return literal, frozenset(last) - literal.keys()


def _unseen_sources(container: Container) -> Warned:
    text = (
        f"container {container.name} has envFrom: variables that Remora sets win over those of "
        "the same name in it"
    )
    return Warned(WarningKind.UNSEEN_VARIABLES, text)


def _with_values(container: Container, values: Mapping[str, str]) -> list[Json]:
    """Set variables where they stand, the last of a name, and append the others."""
    variables = list(container.json.get("env") or ())
    places = {variable.name: index for index, variable in enumerate(container.variables)}
    for name, value in values.items():
        if name in places:
            variables[places[name]] = {**variables[places[name]], "value": value}
        else:
            variables.append({"name": name, "value": value})
    return variables
