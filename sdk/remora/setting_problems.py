"""What pydantic finds wrong with settings, as the one error that every part shows."""

from pydantic import ValidationError

from remora.errors import ConfigError, Problem


def config_error(
    error: ValidationError, *, prefix: str = "REMORA_", whole: str = "settings"
) -> ConfigError:
    """Name each variable with what is wrong with it.

    Args:
        error: What validation raised.
        prefix: In front of a field's name in its variable.
        whole: What to call a problem that is no single variable's.
    """
    problems = []
    for detail in error.errors(include_url=False, include_input=False):
        place = detail["loc"]
        where = f"{prefix}{str(place[0]).upper()}" if place else whole
        problems.append(Problem(where, detail["msg"].removeprefix("Value error, ")))
    return ConfigError(problems)
