"""Which pools a trade touches, and how: its legs under one way of pooling.  Pure."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple

from ledger.legs import Act, Leg
from ledger.trades import Trade

__all__ = ["Act", "Leg", "Move", "PoolBy", "PoolKey", "moves", "pool_key", "pools_of"]


class PoolBy(StrEnum):
    """What shares one pool of lots."""

    USER_COIN = "user_coin"
    USER_ACCOUNT_COIN = "user_account_coin"


class PoolKey(NamedTuple):
    """Whose lots of which coin; ``account`` is None where all accounts of a user share a pool."""

    user: str
    account: str | None
    coin: str


class Move(NamedTuple):
    """A leg and its pool; ``to`` is the pool that receives a carry.  Units as in ``legs.Leg``."""

    pool: PoolKey
    act: Act
    leg: str
    qty: int
    amount: int
    paid: Decimal
    income: int = 0
    expense: int = 0
    to: PoolKey | None = None


def moves(trade: Trade, pool_by: PoolBy) -> list[Move]:
    """Say what the trade does to each pool, in order; where accounts share a pool a transfer moves nothing."""
    return [
        Move(pool_key(trade, coin, pool_by), act, leg, qty, amount, paid, income, expense, _receiver(trade, act, coin))
        for act, leg, coin, qty, amount, paid, income, expense in trade.legs
        if act is not Act.CARRY or pool_by is PoolBy.USER_ACCOUNT_COIN
    ]


def pools_of(trade: Trade, pool_by: PoolBy) -> list[PoolKey]:
    """List the pools that booking the trade reads or writes, sorted: what one writer must hold."""
    touched = {key for move in moves(trade, pool_by) for key in (move.pool, move.to) if key is not None}
    return sorted(touched, key=lambda key: (key.user, key.account or "", key.coin))


def pool_key(trade: Trade, coin: str, pool_by: PoolBy) -> PoolKey:
    """Name the pool of a coin in the trade's own account."""
    return PoolKey(trade.user, trade.account if pool_by is PoolBy.USER_ACCOUNT_COIN else None, coin)


def _receiver(trade: Trade, act: Act, coin: str) -> PoolKey | None:
    return PoolKey(trade.user, trade.to_account, coin) if act is Act.CARRY else None
