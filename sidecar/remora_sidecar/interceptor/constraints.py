"""For which hosts certificates of a path allow leaves: their name constraints.

RFC 5280 §4.2.1.10.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from cryptography import x509


@dataclass(frozen=True, slots=True)
class Constraints:
    """The names of one CA's constraints, each with all that is below it.

    A leading dot, which RFC 5280 does not have and some CAs write, leaves the name itself out.

    Attributes:
        permitted: None: every name that is not excluded.
        excluded: Never, whatever is permitted.
    """

    permitted: tuple[str, ...] | None
    excluded: tuple[str, ...]

    @classmethod
    def of(cls, certificate: x509.Certificate) -> "Constraints":
        """Read a certificate's; one without them permits every name."""
        try:
            found = certificate.extensions.get_extension_for_class(x509.NameConstraints).value
        except x509.ExtensionNotFound:
            return cls(None, ())
        permitted = _names(found.permitted_subtrees)
        return cls(permitted or None, _names(found.excluded_subtrees))

    def permit(self, host: str) -> bool:
        """Tell whether a leaf may be for a host, or for all below a ``*.``."""
        name = host.removeprefix("*.")
        is_permitted = self.permitted is None or _is_below_any(name, self.permitted)
        return is_permitted and not _is_below_any(name, self.excluded)


def permits(path: Iterable[x509.Certificate], host: str) -> bool:
    """Tell whether a leaf below CAs is valid for a host, or for all below a ``*.``.

    A CA without constraints, as a local one is, permits every host.
    """
    return all(Constraints.of(certificate).permit(host) for certificate in path)


def _names(subtrees: list[x509.GeneralName] | None) -> tuple[str, ...]:
    return tuple(one.value.lower() for one in subtrees or [] if isinstance(one, x509.DNSName))


def _is_below_any(host: str, names: Iterable[str]) -> bool:
    return any(host == name or host.endswith("." + name.removeprefix(".")) for name in names)
