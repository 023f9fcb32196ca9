"""The words that the invented news is made of: coins, outlets, people, and sentences with gaps.

Real coins appear by name and code only; outlets, companies, people, addresses and events are invented.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Coin:
    """A coin as news name it."""

    code: str
    title: str
    slug: str
    rank: int


COINS = tuple(
    Coin(code, title, title.lower().replace(" ", "-"), rank)
    for rank, (code, title) in enumerate(
        (
            ("BTC", "Bitcoin"), ("ETH", "Ethereum"), ("SOL", "Solana"), ("XRP", "XRP"), ("ADA", "Cardano"),
            ("DOGE", "Dogecoin"), ("AVAX", "Avalanche"), ("LINK", "Chainlink"), ("DOT", "Polkadot"),
            ("LTC", "Litecoin"), ("ATOM", "Cosmos"), ("NEAR", "NEAR Protocol"), ("ARB", "Arbitrum"), ("SUI", "Sui"),
            ("APT", "Aptos"), ("TRX", "TRON"), ("XLM", "Stellar"), ("VLRA", "Velora"), ("QNTM", "Quontium"),
            ("MOSS", "Mossnet"), ("HRTH", "Hearthcoin"), ("PLVR", "Pelvar"), ("TDAL", "Tidal Commons"),
            ("ORCH", "Orchard Network"),
        ),
        start=1,
    )
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Outlet:
    """A publisher: ``tracker`` is what it adds to its addresses, ``rank`` 999999 is an unranked one."""

    title: str
    domain: str
    country: str
    rank: int
    tracker: str
    type: str = "feed"


OUTLETS = (
    Outlet("Chainwharf", "chainwharf.example", "US", 812, "utm_source=rss&utm_medium=feed"),
    Outlet("The Ledger Post", "ledgerpost.example", "GB", 1204, "utm_campaign=syndication"),
    Outlet("Coinharbour", "coinharbour.example", "US", 2380, ""),
    Outlet("Blockmeridian", "blockmeridian.example", "SG", 3341, "utm_source=cryptopanic&utm_medium=rss"),
    Outlet("Northgate Markets", "northgatemarkets.example", "US", 540, "ref=newsfeed"),
    Outlet("Daily Quorum", "dailyquorum.example", "CA", 4120, ""),
    Outlet("Tokenry", "tokenry.example", "DE", 6677, "utm_source=partner&fbclid=IwAR0sandbox"),
    Outlet("Hashpress", "hashpress.example", "IN", 9050, "utm_term=crypto"),
    Outlet("Open Mempool", "openmempool.example", "US", 15230, ""),
    Outlet("Validator Weekly", "validatorweekly.example", "NL", 27800, "mc_cid=4f1a2b"),
    Outlet("Minerva Wire", "minervawire.example", "US", 318, "utm_source=wire"),
    Outlet("Satoshi Gazette", "satoshigazette.example", "AU", 48211, ""),
)
UNRANKED = Outlet("Basement Nodes", "basementnodes.example", "unknown", 999_999, "")
HANDLES = ("MempoolOwl", "QuietWhale", "DeskOfVera", "NodeRunnerIvo")

FIRST_NAMES = ("Ana", "Ivo", "Mara", "Teun", "Nils", "Priya", "Oona", "Rafael", "Sanna", "Tomas", "Ugo", "Vera", "Wren")
LAST_NAMES = ("Adeyo", "Brandt", "Corvino", "Delmar", "Ekstrand", "Farrow", "Galvez", "Hollis", "Ivers", "Jorvik",
              "Kessler", "Lindqvist", "Moreau", "Nakata", "Osei", "Penrose", "Quist", "Rourke")  # fmt: skip
COMPANY_HEADS = ("Nor", "Vel", "Ash", "Bright", "Cald", "Dun", "Ever", "Fal", "Grey", "Hal", "Iron", "Juni", "Kest",
                 "Lumen", "Mar", "Oster", "Pike", "Quill", "Rowan", "Sable", "Thorn", "Umber", "Wex")  # fmt: skip
COMPANY_MIDDLES = ("vane", "mere", "gate", "field", "stone", "ridge", "wick", "holt", "crest", "brook", "ford", "haven")
COMPANY_TAILS = ("Labs", "Capital", "Exchange", "Custody", "Pay", "Ventures", "Protocol", "Markets", "Mining", "Trust")
PLACES = ("Singapore", "Brazil", "Switzerland", "Kenya", "Japan", "Texas", "Estonia", "Dubai", "Portugal", "Canada",
          "South Korea", "Wyoming", "Argentina", "Norway")  # fmt: skip
REGULATORS = ("securities regulator", "central bank", "finance ministry", "markets watchdog", "tax authority")
MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October")

EVENTS: tuple[tuple[str, ...], ...] = (
    ("{company} raises ${amount} million to build {coin} settlement rails",
     "{coin} infrastructure firm {company} closes ${amount}M round led by {other}",
     "Investors put ${amount} million into {company}, a bet on {coin} payments",
     "{other} leads ${amount}M funding for {company}"),
    ("{company} drained of ${amount} million in bridge exploit",
     "Attacker takes ${amount}M from {company}'s {coin} bridge",
     "{company} halts {coin} withdrawals after ${amount} million hack",
     "Bridge bug costs {company} users ${amount}M, researchers say"),
    ("{place} {regulator} approves {company} to offer {coin} custody",
     "{company} wins licence in {place} for {coin} safekeeping",
     "{coin} custody gets green light in {place} as {company} is licensed"),
    ("{place} {regulator} opens probe into {company} over {coin} reserves",
     "{company} under investigation in {place}, {coin} reserves questioned",
     "Where are the coins? {place} asks {company} about its {coin} backing"),
    ("{coin} climbs {percent}% as traders bet on {month} upgrade",
     "{month} upgrade hopes lift {code} by {percent} percent",
     "{code} up {percent}%: what the {month} upgrade changes",
     "Traders push {coin} {percent}% higher ahead of {month} fork"),
    ("{coin} slides {percent}% after {company} unloads {count} coins",
     "{company} sells {count} {code}, price drops {percent}%",
     "{percent}% fall for {coin}: wallet of {company} moved {count} tokens"),
    ("Whale moves {count} {code} to {company} in a single transaction",
     "{count} {code} land at {company}; on-chain sleuths trace dormant wallet",
     "Dormant {coin} wallet wakes, sends {count} coins to {company}"),
    ("{company} names {person} chief executive",
     "{person} takes the helm at {company} after {other} exit",
     "New boss at {company}: {person} to lead {coin} business"),
    ("{company} to list {coin} perpetuals in {month}",
     "{code} perpetual futures coming to {company}",
     "{company} adds {coin} derivatives, trading starts in {month}"),
    ("{coin} developers fix consensus bug found by {person}",
     "Critical {code} client flaw patched; {person} credited",
     "How {person} found the bug that could have split {coin}"),
    ("{company} files for a spot {coin} fund in {place}",
     "Spot {code} ETF bid: {company} submits papers in {place}",
     "{place} could see first {coin} fund as {company} files"),
    ("{coin} miners in {place} cut power use by {percent}% under new tariff",
     "New tariff in {place} hits {coin} mining: load down {percent} percent",
     "{place} power deal makes {coin} miners switch off {percent}% of machines"),
    ("{company} and {other} agree merger valued at ${amount} million",
     "${amount}M deal joins {company} with {other}",
     "{other} to be absorbed by {company}; {coin} desk stays open"),
    ("{company} publishes proof of reserves showing {count} {code}",
     "Audit by {other} counts {count} {coin} at {company}",
     "{company} holds {count} {code}, attestation says"),
    ("{place} court clears {person} in {coin} fraud case",
     "{person} acquitted: {place} judges dismiss {company} lawsuit",
     "Not guilty verdict for {company} founder {person}"),
    ("{coin} staking yield falls to {percent}% as {count} validators join",
     "{count} new validators push {code} rewards down to {percent} percent",
     "Crowded {coin} staking: yield now {percent}%"),
)  # fmt: skip
LEADS = (
    "The news reached crypto desks shortly before noon.",
    "Crypto traders reacted within minutes, according to order-book data.",
    "It is the second announcement of its kind in the crypto sector this quarter.",
    "People close to the matter said talks had gone on for weeks; the crypto market had not priced it in.",
    "A spokesperson declined to comment beyond the statement sent to crypto media.",
)
DETAILS = (
    "{person} called the step overdue and said that {coin} holders would notice it first.",
    "Analysts at {other} put the effect at ${amount} million over the coming year.",
    "On-chain data show {count} {code} changing hands around the announcement.",
    "The {regulator} in {place} is expected to publish its view in {month}.",
    "Volumes were {percent}% above the monthly average.",
    "{company} did not say when the next update would follow.",
)
SECTORS = ("Memecoins", "Artificial Intelligence", "Decentralized Finance (DeFi)", "Gaming", "NFTs", "RWAs", "Payments")
LABELS = ("Fund", "Smart Trader", "30D Smart Trader", "90D Smart Trader", "180D Smart Trader")
SYMBOL_HEADS = ("GLIM", "ZEPH", "MOKA", "TARN", "RUNE", "BRAM", "COVE", "DRIFT", "EMBR", "FJRD", "HUSK", "KELP", "LOAM")
EMOJI_SYMBOLS = ("🌱 {}", "⚠️ {}", "🦔")
CHAINS = ("ethereum", "solana", "base", "bnb", "arbitrum")
UNKNOWN_CHAIN = "arc"
"""A chain that no published list names: readers must not mind."""
