"""TLS towards a Kubernetes API server, whose certificates are the cluster's and not ours."""

import ssl
from pathlib import Path


def cluster_context(ca_file: Path | str | None) -> ssl.SSLContext:
    """Make a context that trusts an API server as kubectl does.

    From Python 3.13 on, default contexts insist on all of RFC 5280 (VERIFY_X509_STRICT). Roots that
    clusters make for themselves often lack a key identifier or the key's usage, and every other
    client takes them.

    Args:
        ca_file: PEM of the root that signed the server's certificate; None: public roots.

    Raises:
        OSError: The file can't be read, or holds no certificate.
    """
    context = ssl.create_default_context(cafile=ca_file)
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context
