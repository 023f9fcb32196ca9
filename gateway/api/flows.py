"""The glass book: where coins flow on chain and who holds them."""

from __future__ import annotations

import re

from broker import views
from gateway.api.item_shapes import FlowListing, ItemAnswer, item_answer, pages_of
from gateway.call import Call
from gateway.paging import Page, after, page
from gateway.routes import Routes
from gateway.texts import moment
from ledger import queries
from ledger.answers import Place
from ledger.model import Book

routes = Routes("flows")
_HEX = re.compile(r"0[xX][0-9a-fA-F]+")


@routes.get("/flows", needs="items:read", problems=("invalid_cursor",))
async def list_flows(call: Call, query: FlowListing) -> Page[ItemAnswer]:
    """Flows, holdings and swaps on chain, the newest first.

    Chosen by coin, by the address of a token or a trader, and by kind (flow, netflow, holding, historical_holding,
    dex_trade, screener).  Amounts in `body` are text.  With `as_of` each is told as it was known at that moment; what
    is `provisional` may still change.
    """
    behind, address = after(call, query, Place), query.address
    async with call.rows() as conn:
        found = await queries.list_items(
            conn,
            book=Book.GLASS,
            provider=query.provider,
            kind=query.kind,
            coin=query.coin and query.coin.upper(),
            # The book writes hexadecimal addresses in lower case; others tell case apart.
            address=address.lower() if address and _HEX.fullmatch(address) else address,
            since=moment("since", query.since),
            until=moment("until", query.until),
            as_of=moment("as_of", query.as_of),
            after=behind,
            limit=query.limit + 1,
        )
        origins = await views.origins(conn, pages_of(found))
    return page(call, query, found, lambda item: item.place, lambda item: item_answer(item, origins))
