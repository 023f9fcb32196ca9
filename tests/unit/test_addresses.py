"""One form for the addresses of one page, and never one form for two pages."""

from __future__ import annotations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from workers.addresses import ORIGIN_NAMES, SESSION_NAMES, TRACKER_FAMILIES, TRACKER_NAMES, canonical

PAGE = "https://example.org/news/story"
PIECES = st.sampled_from(
    [
        *("http://", "https://", "//", "www.", "m.", "amp", "/amp", ".amp", ".html", "/index.html", "&amp;", "amp;"),
        *("%2e%2e", "%", "%25", "%41", "..", "/", ".", "?", "#", "#!", "=", "&", "utm_source", "ref=home", ":80", "@"),
        *("[::1]", "ex.org", "ü", " ", "\t", "\\", ";jsessionid=", "google.com/amp/s/", "a.cdn.ampproject.org/c/s/"),
    ]
)
NASTY = st.lists(st.one_of(PIECES, st.text(max_size=3)), max_size=12).map("".join)
STEPS = st.lists(st.text("abcXYZ0189-_~é", min_size=1, max_size=8), min_size=1, max_size=4)
NAMES = st.text("abcdefghijklmnopqrstuvwxyz_", min_size=1, max_size=8)
VALUES = st.text("abcXYZ019", min_size=1, max_size=6)


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/news/story",
        "HTTPS://WWW.Example.ORG./news/story/",
        "https://m.example.org:443/news//./x/../story?#comments",
        "https://example.org/news/story?utm_source=a&fbclid=b&GUCCOUNTER=1&at_medium=RSS",
        "https://example.org/news/story?ref=homepage&source=newsletter-top",
        "https://example.org/amp/news/story",
        "https://example.org/news/story/amp/index.html",
        "https://amp.example.org/news/story?amp=1&outputType=amp",
        "https://www.google.com/amp/s/www.example.org/news/story",
        "https://example-org.cdn.ampproject.org/c/s/example.org/news/story",
        "https://example.org/news/story;jsessionid=1A2B",
        "  https://@example.org/new%73/story#:~:text=hello ",
        "//example.org/news/story",
    ],
)
def test_one_page_has_one_form(url: str) -> None:
    assert canonical(url) == PAGE


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("?id=1", "?id=2"),
        ("?ref=0xabc", "?ref=0xdef"),
        ("?source=12", "?source=13"),
        ("?pk_id=1", "?pk_id=2"),
        ("/a%2Fb", "/a/b"),
        ("/a;v=1", "/a;v=2"),
        ("/a+b", "/a b"),
        ("#!/a", "#!/b"),
        ("#/a", "#/b"),
        (":8443/a", "/a"),
        ("/en/a", "/fr/a"),
        ("/A", "/a"),
    ],
)
def test_two_pages_keep_two_forms(one: str, other: str) -> None:
    assert canonical("https://example.org" + one) != canonical("https://example.org" + other)


@pytest.mark.parametrize(
    "url", ["", "not an address", "mailto:a@b.c", "http://[::1", "https://me:pw@a.b/", "http://a:9x/"]
)
def test_what_is_no_web_address_comes_back_as_it_is(url: str) -> None:
    assert canonical(url) == url


def test_subdomains_with_pages_of_their_own_stay() -> None:
    assert canonical("https://de.example.org/") == "https://de.example.org"
    assert canonical("https://m.co/a") == "https://m.co/a"


@settings(max_examples=600, deadline=None)
@given(NASTY, st.sampled_from(["", "http://ex.org", "https://ex.org/a?"]))
def test_it_never_raises_and_doing_it_twice_changes_nothing(nasty: str, start: str) -> None:
    once = canonical(start + nasty)
    assert canonical(once) == once


@settings(max_examples=300, deadline=None)
@given(STEPS, STEPS)
def test_pages_that_differ_in_path_are_never_joined(one: list[str], other: list[str]) -> None:
    assume(one != other)
    paths = ["https://ex.org/" + "/".join(steps) for steps in (one, other)]
    assert canonical(paths[0]) != canonical(paths[1])


@settings(max_examples=300, deadline=None)
@given(NAMES, VALUES, VALUES)
def test_pages_that_differ_in_an_unknown_parameter_are_never_joined(name: str, one: str, other: str) -> None:
    assume(one != other and name not in TRACKER_NAMES | SESSION_NAMES | ORIGIN_NAMES)
    assume(
        not TRACKER_FAMILIES.fullmatch(name) and name not in {"amp", "output", "format", "m", "mobile", "view", "print"}
    )
    assert canonical(f"{PAGE}?{name}={one}") != canonical(f"{PAGE}?{name}={other}")
    assert canonical(f"{PAGE}?{name}={one}") != canonical(PAGE)
