"""What the policy in force says about a call: pure decisions for the engine and the interceptor."""

from remora_sidecar.policy.snapshot import (
    CachePolicy,
    PolicySnapshot,
    snapshot_from_documents,
    snapshot_from_effective,
)

__all__ = ["CachePolicy", "PolicySnapshot", "snapshot_from_documents", "snapshot_from_effective"]
