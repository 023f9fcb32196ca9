"""What is looked at in a running gateway, one question each; each gives what it found, or raises Failed or Skipped."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import uuid4

from ops.smoke.verdict import Failed
from ops.smoke.visitor import API, Visitor

COIN = "SLUICESMOKE"
"""No market knows it, so that a probe is never taken for a trade."""
REVOKED_AFTER_TRIES, REVOKED_EVERY_S = 15, 0.2


@dataclass(slots=True)
class Works:
    """The gateway behind a visitor; remembers the job and the trade of this run."""

    visitor: Visitor
    schema: str
    within_s: float
    user: str
    password: str
    ready: dict[str, Any] = field(default_factory=dict)
    job: str = ""
    told: dict[str, Any] = field(default_factory=dict)
    trade: str = field(default_factory=lambda: f"smoke-{uuid4()}")

    async def health(self) -> str:
        """Ask whether the process is alive."""
        _, told = await self.visitor.ask("GET", "healthz")
        if not isinstance(told, dict) or told.get("status") != "alive":
            raise Failed("GET /healthz: this is no gateway of Sluice")
        return "alive"

    async def readiness(self) -> str:
        """Ask whether it can work; keep what it says of itself."""
        status, told = await self.visitor.ask("GET", "readyz", 200, 503)
        self.ready = told if isinstance(told, dict) else {}
        checks: dict[str, str] = self.ready.get("checks", {})
        if status != 200:
            bad = "; ".join(f"{name}: {state}" for name, state in checks.items() if state != "ok")
            raise Failed(f"not ready: {bad or 'no reason is given'}")
        return f"{', '.join(checks)}: ok"

    async def migrated(self) -> str:
        """The database must be at the newest revision that this program knows."""
        at = self.ready.get("schema")
        if at is None:
            raise Failed("the gateway does not say which schema its database has")
        if at != self.schema:
            raise Failed(f"the database is at {at}, and {self.schema} is the newest: run sluice migrate")
        return str(at)

    async def login(self) -> str:
        """Log in with a name and a password."""
        form = {"username": self.user, "password": self.password}
        _, told = await self.visitor.ask("POST", f"{API}/login/access-token", data=form)
        self.visitor.token = str(told.get("access_token", ""))
        if not self.visitor.token:
            raise Failed("no access token came with the answer")
        return f"as {self.user}, for {told.get('expires_in')} s"

    async def secrets(self) -> str:
        """Signing keys are published only where they could be opened; a provider without its key stands as disabled."""
        _, told = await self.visitor.ask("GET", ".well-known/jwks.json")
        if not (keys := told.get("keys")):
            raise Failed("no signing key is published: the gateway cannot open them (SLUICE_SIGNING_KEY)")
        signing = f"{len(keys)} signing keys"
        status, providers = await self.visitor.ask("GET", f"{API}/providers", 200, 403)
        if status == 403:
            return f"{signing}; provider keys are for administrators to see"
        bad = [f"{one['name']}: {one['reason']}" for one in providers if one["state"] == "disabled"]
        if bad:
            raise Failed("; ".join(bad))
        return f"{signing}; no provider is disabled"

    async def enqueue(self) -> str:
        """Ask for a job that does nothing."""
        _, told = await self.visitor.ask("POST", f"{API}/jobs", 202, json={"kind": "probe"})
        self.job = str(told["id"])
        return f"job {self.job}"

    async def follow(self) -> str:
        """Hear of its end."""
        await self.visitor.followed(self.job, self.within_s)
        return "events came to their end"

    async def read(self) -> str:
        """Find it done."""
        self.told = await self.visitor.job(self.job)
        return f"{self.told['state']}, attempt {self.told['attempt']}"

    async def round_trip(self) -> str:
        """How long the way over the broker to a worker was."""
        asked, begun = (self.told.get(name) for name in ("created_at", "started_at"))
        if asked is None or begun is None:
            raise Failed("no worker has taken the job from the broker")
        took = (datetime.fromisoformat(begun) - datetime.fromisoformat(asked)).total_seconds()
        if took > self.within_s:
            raise Failed(f"a worker had it {took:.2f} s after it was published, over {self.within_s:g} s")
        return f"published and consumed in {took:.3f} s"

    async def post(self) -> str:
        """Buy a coin that nobody has heard of."""
        bought = {"kind": "buy", "base": COIN, "qty": "1", "price": "1"}
        await self._pushed({**bought, "trade_id": self.trade})
        return f"entry {self.trade}"

    async def reverse(self) -> str:
        """Take the purchase back, and find nothing left of it."""
        await self._pushed({"kind": "reversal", "trade_id": f"{self.trade}-back", "reverses": self.trade})
        _, told = await self.visitor.ask("GET", f"{API}/trades", params={"coin": COIN, "limit": "2"})
        rows = {row["trade_id"]: row for row in told["data"]}
        if not (undone := rows.get(self.trade)) or not undone["reversed_by"]:
            raise Failed(f"entry {self.trade} is not marked as reversed")
        _, held = await self.visitor.ask("GET", f"{API}/positions", params={"coin": COIN})
        if left := sum((Decimal(one["qty"]) for one in _rows(held)), Decimal(0)):
            raise Failed(f"{left} {COIN} are left after the reversal")
        return "reversed; nothing is left of it"

    async def logout(self) -> str:
        """End the session; its token must be refused soon after."""
        await self.visitor.ask("POST", f"{API}/auth/logout", 204, json={})
        for _ in range(REVOKED_AFTER_TRIES):
            if (await self.visitor.ask("GET", f"{API}/auth/me", 200, 401))[0] == 401:
                return "the token is refused now"
            await asyncio.sleep(REVOKED_EVERY_S)
        raise Failed(f"the token is still taken {REVOKED_AFTER_TRIES * REVOKED_EVERY_S:g} s after the logout")

    async def _pushed(self, row: dict[str, str]) -> None:
        at = {"happened_at": datetime.now(UTC).isoformat()} if row["kind"] != "reversal" else {}
        body = {"source": "smoke", "trades": [row | at]}
        _, told = await self.visitor.ask("POST", f"{API}/trades", 202, json=body)
        await self.visitor.followed(told["id"], self.within_s)
        counts = (await self.visitor.job(told["id"]))["counts"]
        if counts["new"] != 1:
            raise Failed(f"job {told['id']} posted {counts['new']} entries, not one; {counts['rejected']} rejected")


def _rows(told: Any) -> list[dict[str, Any]]:
    return list(told["data"] if isinstance(told, dict) else told)
