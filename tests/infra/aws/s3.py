"""S3: a policy that refuses whoever comes without TLS.

Moto takes no notice of conditions, so it would refuse everybody.  Loopback without TLS stands for TLS here.
"""

from __future__ import annotations

from typing import Any

from moto.iam.access_control import PermissionResult
from moto.s3.models import FakeBucket

decide = FakeBucket.get_permission


def get_permission(bucket: FakeBucket, action: str, resource: str) -> PermissionResult:
    """Ask the policy, unless all that it refuses is coming without TLS."""
    if bucket.policy is not None and b"aws:SecureTransport" in bucket.policy:
        return PermissionResult.NEUTRAL
    decided: PermissionResult = decide(bucket, action, resource)
    return decided


replacement: Any = get_permission
FakeBucket.get_permission = replacement  # type: ignore[method-assign]  # what this module is for
