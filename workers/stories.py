"""The same story, told twice: keys that two items share when they tell it.  Pure; it groups and never drops.

Two items share a story when they share their canonical address, or their title within a day.
"""

from __future__ import annotations

import re
import unicodedata
from hashlib import sha256
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from ledger.model import Item

# Known trackers only: an unknown parameter may be what tells two pages apart.
TRACKERS = re.compile(
    r"utm_\w+|mtm_\w+|pk_\w+|hsa_\w+|mc_[ce]id|[a-z]+clid|guccounter|guce_\w+|cmpid|at_\w+|igshid|_ga|_gl|ncid|sref"
)
TITLE_WORDS_MIN = 4  # "Bitcoin price today" is a rubric, not a story


def story_keys(item: Item) -> tuple[str, ...]:
    """Give the keys of an item's story, the surest first; none for an item without address and title."""
    keys = []
    if item.url:
        keys.append("address:" + _digest(canonical_address(item.url)))
    words = title_words(item.title)
    if len(words) >= TITLE_WORDS_MIN:
        keys.append(f"title:{item.happened_at:%Y-%m-%d}:" + _digest(" ".join(words)))
    return tuple(keys)


def canonical_address(url: str) -> str:
    """Give one form to the addresses of one page; an address that cannot be read comes back as it is."""
    try:
        parts = urlsplit(url.strip())
        host = (parts.hostname or "").removeprefix("www.").removeprefix("m.")
    except ValueError:
        return url
    if not host:
        return url
    query = sorted(
        (k, v) for k, v in parse_qsl(parts.query, keep_blank_values=True) if not TRACKERS.fullmatch(k.lower())
    )
    fragment = parts.fragment if parts.fragment.startswith("!") else ""
    return urlunsplit(("https", host, parts.path.rstrip("/"), urlencode(query), fragment))


def title_words(title: str) -> list[str]:
    """Split a title into comparable words: no case, no accents, no punctuation; numbers stay."""
    plain = unicodedata.normalize("NFKD", title).casefold()
    return re.findall(r"[^\W_]+", "".join(ch for ch in plain if not unicodedata.combining(ch)))


def _digest(text: str) -> str:
    return sha256(text.encode("utf-8", "replace")).hexdigest()[:24]
