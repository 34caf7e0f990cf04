"""The typed scalars of the policy language: durations, sizes, money.

Each is read from the text that documents carry, and written back in one canonical form, so
that two documents that mean the same have the same version.
"""

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Self

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, PlainSerializer, WithJsonSchema
from pydantic.functional_validators import BeforeValidator
from pydantic_core import CoreSchema, core_schema

_MS_PER_UNIT = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}

_MAX_DURATION_MS = 3650 * _MS_PER_UNIT["d"]
"""Ten years: past it a duration is a slip of the pen."""

_DURATION_PART = re.compile(r"(\d{1,12}(?:\.\d{1,3})?)(ms|[dhms])")

_BYTES_PER_UNIT = {
    **{unit: 1024**power for power, unit in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi"), 1)},
    **{unit: 1000**power for power, unit in enumerate(("k", "M", "G", "T", "P"), 1)},
    "": 1,
}

_MAX_BYTES = 512 * 1024**5
"""Past it a size is a slip of the pen, and might need more digits than are read."""

_QUANTITY = re.compile(r"(\d{1,18}(?:\.\d{1,6})?)(Ki|Mi|Gi|Ti|Pi|k|M|G|T|P|)")

_MONEY = re.compile(r"\d{1,12}(\.\d{1,12})?")


MAX_SCALAR_CHARACTERS = 64
"""Of a duration or size in a cluster's documents: admission looks at each character."""


class _Scalar:
    """A value that pydantic reads by `parse` and writes by ``str``."""

    _accepts: ClassVar[tuple[type, ...]] = (str,)
    _expected: ClassVar[str]
    _pattern: ClassVar[str]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the value from its text; ValueError if it is none."""
        raise NotImplementedError

    @classmethod
    def _validate(cls, value: object) -> Self:
        if isinstance(value, cls):
            return value
        if isinstance(value, bool) or not isinstance(value, cls._accepts):
            raise ValueError(cls._expected)
        return cls.parse(str(value))

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: type[Any], handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """Let pydantic read the value from its text and write it as text."""
        return core_schema.no_info_plain_validator_function(
            cls._validate,
            json_schema_input_schema=core_schema.str_schema(
                pattern=cls._pattern, max_length=MAX_SCALAR_CHARACTERS
            ),
            serialization=core_schema.to_string_ser_schema(),
        )


@dataclass(frozen=True, order=True)
class Duration(_Scalar):
    """A span of time, such as ``500ms``, ``5s``, ``1h30m`` or ``1d``."""

    milliseconds: int

    _expected: ClassVar[str] = "should be a duration such as 500ms, 5s, 1h30m or 1d"
    _pattern: ClassVar[str] = r"^([0-9]{1,12}(\.[0-9]{1,3})?[dhms]|[0-9]{1,12}ms)+$"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a duration.

        Raises:
            ValueError: It is none, has parts of a millisecond or is longer than ten years.
        """
        parts = _DURATION_PART.findall(text)
        if not parts or "".join(number + unit for number, unit in parts) != text:
            raise ValueError(cls._expected)
        total = sum(Decimal(number) * _MS_PER_UNIT[unit] for number, unit in parts)
        if total != int(total) or total > _MAX_DURATION_MS:
            raise ValueError("should be whole milliseconds and at most 3650d")
        return cls(int(total))

    @property
    def seconds(self) -> float:
        """The span in seconds."""
        return self.milliseconds / 1000

    def __str__(self) -> str:
        """Write the canonical form."""
        unit = _largest_unit(self.milliseconds, _MS_PER_UNIT) or "s"
        return f"{self.milliseconds // _MS_PER_UNIT[unit]}{unit}"


@dataclass(frozen=True, order=True)
class Quantity(_Scalar):
    """A size in bytes, in Kubernetes' notation: ``256Mi``, ``1G``, ``4096``."""

    bytes: int

    _accepts: ClassVar[tuple[type, ...]] = (str, int)
    _expected: ClassVar[str] = "should be a size such as 256Mi, 1G or a number of bytes"
    _pattern: ClassVar[str] = r"^[0-9]{1,18}(\.[0-9]{1,6})?(Ki|Mi|Gi|Ti|Pi|k|M|G|T|P)?$"

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Take numbers as well, in the form that Kubernetes has for sizes."""
        return {
            "x-kubernetes-int-or-string": True,
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            "minimum": 0,
            "pattern": cls._pattern,
            "maxLength": MAX_SCALAR_CHARACTERS,
        }

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a size.

        Raises:
            ValueError: It is none, no whole number of bytes or more than 512Pi.
        """
        match = _QUANTITY.fullmatch(text)
        if match is None:
            raise ValueError(cls._expected)
        size = Decimal(match[1]) * _BYTES_PER_UNIT[match[2]]
        if size != int(size) or size > _MAX_BYTES:
            raise ValueError("should be a whole number of bytes and at most 512Pi")
        return cls(int(size))

    def __str__(self) -> str:
        """Write the canonical form."""
        unit = _largest_unit(self.bytes, _BYTES_PER_UNIT) or ""
        return f"{self.bytes // _BYTES_PER_UNIT[unit]}{unit}"


def _largest_unit(amount: int, units: dict[str, int]) -> str | None:
    """Return the unit that writes a positive amount with the smallest whole number."""
    whole = [unit for unit, size in units.items() if amount and amount % size == 0]
    return max(whole, key=lambda unit: units[unit], default=None)


def parse_money(value: object) -> Decimal:
    """Read an amount of USD from a decimal string.

    Raises:
        ValueError: It is none, or a number: numbers of YAML and JSON may be binary
            fractions by the time that a program sees them.
    """
    if isinstance(value, Decimal):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise ValueError('should be a decimal string: put quotes around it, as in "0.25"')
    if not isinstance(value, str) or not _MONEY.fullmatch(value):
        raise ValueError('should be an amount as a decimal string such as "0.25"')
    return Decimal(value)


def _canonical_money(value: Decimal) -> str:
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


Money = Annotated[
    Decimal,
    BeforeValidator(parse_money),
    PlainSerializer(_canonical_money, return_type=str),
    WithJsonSchema(
        {"type": "string", "pattern": r"^[0-9]{1,12}(\.[0-9]{1,12})?$", "maxLength": 25}
    ),
]
"""An amount of USD, exact; a decimal string in documents and on the wire."""
