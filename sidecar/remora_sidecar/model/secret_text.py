"""Text that is shown nowhere: only who asks for it by name gets it."""

import hmac
from typing import NoReturn, Self, SupportsIndex


class SecretText:
    """A key or password; printing, formatting, copying and pickling never give it away."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        """Hide a text."""
        self._text = text

    def reveal(self) -> str:
        """Return the text, for the one place that sends it."""
        return self._text

    def __repr__(self) -> str:
        return "SecretText(...)"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SecretText):
            return NotImplemented
        return hmac.compare_digest(_bytes(self._text), _bytes(other._text))

    __hash__ = None  # type: ignore[assignment]  # a hash of a short secret gives it away

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, _: object) -> Self:
        # What makes plain copies of values, as `dataclasses.asdict` does, gets it still hidden.
        return self

    def __getstate__(self) -> NoReturn:
        raise TypeError("a secret is never serialized")

    def __reduce_ex__(self, _: SupportsIndex) -> NoReturn:
        raise TypeError("a secret is never serialized")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
