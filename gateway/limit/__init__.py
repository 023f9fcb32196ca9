"""How often somebody may ask: exact sliding windows in Redis, and a bounded stand-in while Redis is away."""

from gateway.limit.limiter import Policy, RateLimiter, open_limiter
from gateway.limit.observer import Observer, Silent
from gateway.limit.outage import Outage
from gateway.limit.verdict import Limits, Verdict

__all__ = ["Limits", "Observer", "Outage", "Policy", "RateLimiter", "Silent", "Verdict", "open_limiter"]
