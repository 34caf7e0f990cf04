"""The policy language: pydantic models of the three kinds, loading with positions, validation.

Used by sidecar, operator and CLI alike; pure, so it knows no I/O beyond text given to it.
`remora.policy.files` alone reads from disk.
"""

from remora.policy.canonical import effective_from_canonical
from remora.policy.document import PolicyDocuments, load_documents
from remora.policy.effective import EffectivePolicy, PolicySource, Preset, effective_policy
from remora.policy.files import look_at_policy_files, read_policy_files
from remora.policy.redirect_ports import redirect_ports
from remora.policy.spec import ClusterLLMPolicy, LLMPolicy, LLMProvider

__all__ = [
    "ClusterLLMPolicy",
    "EffectivePolicy",
    "LLMPolicy",
    "LLMProvider",
    "PolicyDocuments",
    "PolicySource",
    "Preset",
    "effective_from_canonical",
    "effective_policy",
    "load_documents",
    "look_at_policy_files",
    "read_policy_files",
    "redirect_ports",
]
