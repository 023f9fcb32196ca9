"""Is a running system all right, as its users find it?  ``examined`` asks, from outside, and says what it found."""

from ops.smoke.run import Plan, examined
from ops.smoke.verdict import Check, Failed, Skipped

__all__ = ["Check", "Failed", "Plan", "Skipped", "examined"]
