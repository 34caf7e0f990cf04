"""For which hosts a CA may sign: the name constraints of its certificate (RFC 5280 §4.2.1.10)."""

from cryptography import x509

from remora_sidecar.interceptor.authority import CertificateAuthority


def may_sign(authority: CertificateAuthority, host: str) -> bool:
    """Tell whether leaves of an authority are valid for a host, or all below a ``*.``.

    An authority without constraints, as a local one is, may sign for every host.
    """
    return all(_permits(certificate, host.removeprefix("*.")) for certificate in _path(authority))


def _path(authority: CertificateAuthority) -> list[x509.Certificate]:
    return [*authority.chain, x509.load_pem_x509_certificate(authority.root_pem)]


def _permits(certificate: x509.Certificate, host: str) -> bool:
    try:
        constraints = certificate.extensions.get_extension_for_class(x509.NameConstraints).value
    except x509.ExtensionNotFound:
        return True
    permitted = _names(constraints.permitted_subtrees)
    excluded = _names(constraints.excluded_subtrees)
    is_permitted = not permitted or any(_is_below(host, name) for name in permitted)
    return is_permitted and not any(_is_below(host, name) for name in excluded)


def _names(subtrees: list[x509.GeneralName] | None) -> list[str]:
    return [subtree.value for subtree in subtrees or [] if isinstance(subtree, x509.DNSName)]


def _is_below(host: str, constraint: str) -> bool:
    name = constraint.lower()
    return host == name or host.endswith("." + name.removeprefix("."))
