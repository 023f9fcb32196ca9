"""EC2: a rule between two security groups keeps its description."""

from __future__ import annotations

from moto.ec2.models.security_groups import SecurityGroupRule


def described(rule: SecurityGroupRule) -> str | None:
    """Where moto looks, and where it does not."""
    return rule.ip_range.get("Description") or rule.source_group.get("Description")


SecurityGroupRule.description = property(described)  # type: ignore[method-assign,assignment]  # what this module is for
