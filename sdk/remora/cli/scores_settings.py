"""Changes of settings as people write them: ``name=value``. Pure."""

from collections.abc import Sequence
from dataclasses import fields

from remora.errors import BadRequest
from remora.learning.settings import LearningSettings
from remora.score_wire import SettingValues

_DEFAULTS = LearningSettings().as_mapping()
_WHOLE = frozenset(f.name for f in fields(LearningSettings) if "int" in str(f.type))


def changed(settings: LearningSettings, changes: Sequence[str]) -> SettingValues:
    """Give settings after some changes.

    Raises:
        BadRequest: One is none, or a value is out of range; names every problem.
    """
    values = settings.as_mapping()
    problems = []
    for change in changes:
        name, equals, text = change.partition("=")
        try:
            if not equals:
                raise ValueError(f"{change!r} is not written NAME=VALUE")
            values[name] = _value(name, text.strip())
        except ValueError as error:
            problems.append(str(error))
    if not problems:
        try:
            return LearningSettings.from_mapping(values).as_mapping()
        except ValueError as error:
            problems.append(str(error))
    raise BadRequest("; ".join(problems), code="bad_setting")


def _value(name: str, text: str) -> float | int | None:
    if name not in _DEFAULTS:
        raise ValueError(f"{name!r} is no setting; there are {', '.join(_DEFAULTS)}")
    if text == "default":
        return _DEFAULTS[name]
    if text == "none" and _DEFAULTS[name] is None:
        return None
    try:
        return int(text) if name in _WHOLE else float(text)
    except ValueError:
        kind = "a whole number" if name in _WHOLE else "a number"
        raise ValueError(f"{name} takes {kind}, not {text!r}") from None
