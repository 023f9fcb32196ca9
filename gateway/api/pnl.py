"""What trades came to: figures by four methods, what is held, and where every gain comes from."""

from __future__ import annotations

import msgspec

from gateway.api.book_shapes import (
    AlgorithmFigures,
    CoinFigures,
    DisposalPath,
    Explained,
    ExplainedDisposal,
    Figures,
    HistoryQuery,
    LotAnswer,
    LotListing,
    PeriodFigures,
    PositionAnswer,
    PositionsQuery,
    RealizedAnswer,
    RealizedListing,
    SummaryQuery,
    UnrealizedAnswer,
    Valued,
    WindowQuery,
    priced,
    when,
    window,
)
from gateway.call import Call
from gateway.paging import Page, after, page
from gateway.problems import Problem
from gateway.routes import Routes
from ledger import booklists, booksums
from ledger import positions as holdings
from ledger.booklists import DisposalPlace
from ledger.booksums import TooLong
from ledger.explain import NoDisposal, explain
from ledger.positions import LotPlace

routes = Routes("pnl")


@routes.get("/pnl/summary", needs="ledger:read")
async def summary(call: Call, query: SummaryQuery) -> Figures:
    """All figures in one.

    With `since`, `until` or `algorithm` what is not realized is null: it belongs to no window and to no algorithm.
    """
    async with call.books() as conn:
        told = await booksums.summary(
            conn,
            call.principal.user,
            query.method,
            when=when(query),
            **window(query),
            coin=query.coin,
            tag=query.algorithm,
            prices=priced(call, query),
        )
    return msgspec.convert(told, Figures)


@routes.get("/pnl/by-algorithm", needs="ledger:read")
async def by_algorithm(call: Call, query: WindowQuery) -> list[AlgorithmFigures]:
    """Figures of each algorithm: a gain is that of who sold, whoever had bought."""
    async with call.books() as conn:
        told = await booksums.by_algorithm(conn, call.principal.user, query.method, when=when(query), **window(query))
    return msgspec.convert(told, list[AlgorithmFigures])


@routes.get("/pnl/by-coin", needs="ledger:read")
async def by_coin(call: Call, query: WindowQuery) -> list[CoinFigures]:
    """Figures of each coin."""
    async with call.books() as conn:
        told = await booksums.by_coin(
            conn, call.principal.user, query.method, when=when(query), **window(query), prices=priced(call, query)
        )
    return msgspec.convert(told, list[CoinFigures])


@routes.get("/pnl/history", needs="ledger:read")
async def history(call: Call, query: HistoryQuery) -> list[PeriodFigures]:
    """Figures of each hour, day, week or month, without a hole from the first to the last that has any.

    At most 2,500 periods: ask for longer ones, or for less time.
    """
    async with call.books() as conn:
        try:
            told = await booksums.history(
                conn,
                call.principal.user,
                query.method,
                query.step,
                when=when(query),
                **window(query),
                coin=query.coin,
                tag=query.algorithm,
            )
        except TooLong as error:
            raise Problem("invalid", str(error), field="step") from None
    return msgspec.convert(told, list[PeriodFigures])


@routes.get("/pnl/realized", needs="ledger:read", problems=("invalid_cursor",))
async def realized(call: Call, query: RealizedListing) -> Page[RealizedAnswer]:
    """Every disposal with its gain and the lots that it used, the newest first."""
    behind = after(call, query, DisposalPlace)
    async with call.books() as conn:
        found = await booklists.realized(
            conn,
            call.principal.user,
            query.method,
            when=when(query),
            **window(query),
            coin=query.coin,
            tag=query.algorithm,
            after=behind,
            limit=query.limit + 1,
        )
    return page(call, query, found, lambda row: row.place, lambda row: msgspec.convert(row.body, RealizedAnswer))


@routes.get("/pnl/unrealized", needs="ledger:read")
async def unrealized(call: Call, query: Valued) -> UnrealizedAnswer:
    """What is held, and what selling it now would gain."""
    async with call.books() as conn:
        told = await holdings.unrealized(
            conn, call.principal.user, query.method, when=when(query), prices=priced(call, query)
        )
    return msgspec.convert(told, UnrealizedAnswer)


@routes.get("/pnl/explain/{disposal}", needs="ledger:read", problems=("not_found",))
async def explain_disposal(call: Call, path: DisposalPath, query: Explained) -> list[ExplainedDisposal]:
    """Where a gain comes from: its lots, fees and prices, and the kept row that each was read from.

    One object for each leg of the trade.
    """
    async with call.books() as conn:
        try:
            told = await explain(conn, call.principal.user, path.disposal, query.method)
        except NoDisposal:
            raise Problem("not_found") from None
    return msgspec.convert(told, list[ExplainedDisposal])


@routes.get("/positions", needs="ledger:read")
async def positions(call: Call, query: PositionsQuery) -> list[PositionAnswer]:
    """What is held and owed, by coin, and what it is worth."""
    async with call.books() as conn:
        told = await holdings.positions(
            conn,
            call.principal.user,
            query.method,
            when=when(query),
            coin=query.coin,
            prices=priced(call, query),
        )
    return msgspec.convert(told, list[PositionAnswer])


@routes.get("/lots", needs="ledger:read", problems=("invalid_cursor",))
async def lots(call: Call, query: LotListing) -> Page[LotAnswer]:
    """Open lots, the oldest first; by AVERAGE one for each coin."""
    behind = after(call, query, LotPlace)
    async with call.books() as conn:
        told = await holdings.lots(
            conn,
            call.principal.user,
            query.method,
            when=when(query),
            coin=query.coin,
            after=behind,
            limit=query.limit + 1,
        )
    return page(call, query, msgspec.convert(told, list[LotAnswer]), _lot_place, lambda lot: lot)


def _lot_place(lot: LotAnswer) -> LotPlace:
    return LotPlace(lot.acquired, lot.lot, lot.coin, lot.account or "", lot.side)
