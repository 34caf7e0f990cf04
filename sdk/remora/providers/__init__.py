"""Who serves LLM calls: hosts, ports, dialects, auth schemes, as data.

The interceptor asks which hosts to terminate, the engine which provider a host is.
"""

from remora.providers.provider import DIALECTS, AuthScheme, Provider
from remora.providers.registry import ProviderRegistry

__all__ = ["DIALECTS", "AuthScheme", "Provider", "ProviderRegistry"]
