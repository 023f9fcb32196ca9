"""From a title to its terms: what it says, without how it is spelled.  Pure; the words are in ``lexicon``.

A term is a stem (``plung``), a number (``42.5``), a place (``@france``: the land, its people, its capital) or one of a
group of words that headlines use for one another (``=kill``).  Scores are made from terms alone.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from itertools import islice

from workers import lexicon

TERMS_MAX = 40
"""A longer title is a text: its first terms tell what it is about."""
TITLE_CHARS = 1_000
NAME = "^"
SMALL_WORDS_MIN, SMALL_WORDS_SHARE = 2, 0.4
"""A title with fewer words in small letters, after the first, does not tell its names by their capitals."""
TITLE_WORDS_MIN = 4  # "Bitcoin price today" is a rubric, not a story


def _groups(table: str, sign: str) -> dict[str, str]:
    groups = [group.split() for group in table.split("|")]
    return {word: sign + group[0] for group in reversed(groups) for word in group}


SILENT = frozenset(lexicon.SILENT.split())
_KNOWN = {
    **_groups(lexicon.ALIKE, "="),
    **_groups(lexicon.PLACES, "@"),
    **{word: str(n) for n, word in enumerate(lexicon.NUMBERS.split())},
    **{word: str(n) for n, word in enumerate(lexicon.ORDINALS.split(), 1)},
}
_PHRASES = tuple((re.compile(pattern), plain) for pattern, plain in lexicon.PHRASES)
_UNSPACED = (
    "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"  # Han and kana are written without spaces: pairs of signs are words
)
_WORD = re.compile(
    rf"\d+(?:\.\d+)?|[{_UNSPACED}](?=([{_UNSPACED}]))|(?<![{_UNSPACED}])[{_UNSPACED}]|[^\W\d_{_UNSPACED}]+"
)
_APOSTROPHES = re.compile(r"(?:'s|(?<=s)')(?!\w)|(?<=\w)'(?=\w)", re.IGNORECASE)
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_BREAK = re.compile(r"[:;?!.|\"\u201c]|(?<=\s)[-\u2013\u2014](?=\s)|'(?=\w)|'$")
_VOWEL = re.compile("[aeiouy]")


def terms(title: str) -> tuple[str, ...]:
    """Give the terms of a title in their order; none for a title that says nothing."""
    told = (_term(word) for word in _words(title) if word not in SILENT)
    return tuple(islice(told, TERMS_MAX))


def marked_terms(title: str) -> tuple[str, ...]:
    """Give the terms with ``^`` before those that are names for sure: capitals where other words have none.

    None is marked in a title of capitals, or of too few words to tell.
    """
    words = _cased_words(title)
    body = [word for word, begins in words if not begins and word[0].isalpha() and word.casefold() not in SILENT]
    small = sum(word[0].islower() for word in body)
    cased = small >= SMALL_WORDS_MIN and small >= SMALL_WORDS_SHARE * len(body)
    told = (
        (NAME if cased and _is_name(words, n) else "") + _term(word.casefold())
        for n, (word, _) in enumerate(words)
        if word.casefold() not in SILENT
    )
    return tuple(islice(told, TERMS_MAX))


def _is_name(words: Sequence[tuple[str, bool]], n: int) -> bool:
    """Tell whether a word of a title in small letters is a name.  The first one has a capital anyway: it is where it
    begins a name of two words, and is no word that headlines use for others."""
    word, begins = words[n]
    if not word[0].isupper():
        return False
    if not begins:
        return True
    after, apart = words[n + 1] if n + 1 < len(words) else ("", True)
    return after[:1].isupper() and not apart and (word.isupper() or _term(word.casefold())[0] != "=")


def _cased_words(title: str) -> list[tuple[str, bool]]:
    """Give the words as written, and whether each begins the title or a part of it, where everything has a capital."""
    text, words, end = _spelt_out(title), list[tuple[str, bool]](), 0
    for found in _WORD.finditer(text):
        words.append((found[0] + (found[1] or ""), not words or bool(_BREAK.search(text, end, found.start()))))
        end = found.end()
    return words


def plain_words(title: str) -> list[str]:
    """Split a title into words as they are: no case, no accents, no punctuation."""
    return re.findall(r"[^\W_]+", _plain(title).casefold())


def _words(title: str) -> list[str]:
    return [found[0] + (found[1] or "") for found in _WORD.finditer(_spelt_out(title).casefold())]


def _spelt_out(title: str) -> str:
    text = _THOUSANDS.sub("", _APOSTROPHES.sub("", _plain(title)))
    for pattern, plain in _PHRASES:
        text = pattern.sub(plain, text)
    return text


def _plain(title: str) -> str:
    text = title[:TITLE_CHARS].translate(_QUOTES)
    if text.isascii():
        return text
    return "".join(ch for ch in unicodedata.normalize("NFKD", text) if not unicodedata.combining(ch))


_QUOTES = str.maketrans("\u2018\u2019\u02bc\u00b4`", "'''''")


@lru_cache(maxsize=65_536)
def _term(word: str) -> str:
    if word[0].isdigit():
        return word
    return _KNOWN.get(word) or _stem(word)


def _stem(word: str) -> str:
    """Take off the endings that English puts on one and the same word; short words and other scripts stay."""
    word = _american(word)
    if len(word) <= 3 or not word.isascii():
        return word
    if word.endswith("ies") and len(word) > 4:
        word = word[:-3] + "y"
    elif word.endswith(("sses", "shes", "ches", "xes", "zes")):
        word = word[:-2]
    elif word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    for ending in ("ingly", "edly", "ing", "ed", "ly"):
        stem = word[: -len(ending)]
        if word.endswith(ending) and len(stem) >= 3 and _VOWEL.search(stem):
            word = stem[:-1] if stem[-1] == stem[-2] and stem[-1] not in "lsz" else stem
            break
    return word[:-1] if word.endswith("e") and len(word) > 4 else word


def _american(word: str) -> str:
    if len(word) > 6:
        word = re.sub(r"is(e|es|ed|ing|ation)$", r"iz\1", word)
    return re.sub(r"our(s|ed|ing|ite)?$", r"or\1", word) if len(word) > 5 else word
