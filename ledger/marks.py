"""What open lots are worth: a price has a time and an age limit, and where there is none the worth is unknown.

Unknown is never 0: it is None, with the reason in words.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from ledger.booking import Pool
from ledger.numbers import money, product, quantity_decimal


@dataclass(frozen=True, slots=True)
class Mark:
    """The price of one coin in USDT; ``at`` is when it was true, None for a price that is given for the purpose."""

    price: Decimal
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Worth:
    """What is held now, in steps of money, or None and ``why`` it is unknown."""

    market_value: int | None
    unrealised: int | None
    mark: Mark | None = None
    why: str = ""


def worth(pool: Pool, mark: Mark | None, *, now: datetime | None = None, age_max: timedelta | None = None) -> Worth:
    """Value what a pool holds at a mark: unrealised = open quantity x price - open cost.

    With an ``age_max`` a price without a time, or one that is older than that ``now``, is not used, and said to be.
    """
    if mark is None:
        return Worth(None, None, why=f"no price of {pool.key.coin}")
    if age_max is not None:
        if mark.at is None or now is None:
            return Worth(None, None, mark, f"the price of {pool.key.coin} says no time")
        if now - mark.at > age_max:
            age = f"the price of {pool.key.coin} is from {mark.at.isoformat()}, older than {age_max}"
            return Worth(None, None, mark, age)
    value = money(product(quantity_decimal(pool.open_qty), mark.price))
    return Worth(value, value - pool.open_cost, mark)


def total_unrealised(
    pools: Iterable[Pool],
    marks: Mapping[str, Mark],
    *,
    now: datetime | None = None,
    age_max: timedelta | None = None,
) -> int | None:
    """Sum what pools gained and have not realised; None as soon as one that holds something has no usable price."""
    total = 0
    for pool in pools:
        if pool.open_qty or pool.open_cost:
            one = worth(pool, marks.get(pool.key.coin), now=now, age_max=age_max).unrealised
            if one is None:
                return None
            total += one
    return total
