"""One form for all addresses of one page.  Pure; the rules are the tables at the top.

What is dropped is on a list of known trackers, never "all but": an unknown parameter may be what tells two pages apart.
Nothing in the path is dropped but what is known to mean the same page: AMP forms, index files, session ids.
"""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import ip_address


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


TRACKER_NAMES = _words("""
    fbclid gclid gclsrc dclid gbraid wbraid msclkid yclid twclid ttclid li_fat_id igshid igsh si epik rdt_cid
    irclickid irgwc wickedid s_cid s_kwcid ef_id oly_anon_id oly_enc_id rb_clickid clickid cjevent mkwid dicbo dm_i
    mc_cid mc_eid mkt_tok _hsenc _hsmi __hstc __hssc __hsfp hsctatracking ml_subscriber ml_subscriber_hash
    _ga _gl gaa_at gaa_n gaa_ts gaa_sig cmpid cmp ncid nsid sref srnd smid smtyp smprod ocid xtor ito ftag taid tpcc
    guccounter cvid wt.mc_id wtmcid wpisrc wpmm reflink partnerref partner_ref feature_src spm trk trkcampaign trkinfo
    __twitter_impression twitter_impression ns_mchannel ns_source ns_campaign ns_linkname ns_fee icid intcid int_cmp
    soc_src soc_trk mod_source rss_source cmp_id zanpid ranmid raneaid ransiteid admitad_uid amp_js_v amp_gsa usqp
    sharetoken share_id _branch_match_id _branch_referrer _openstat redirectedfrom algo_expid utm via_utm
    fb_action_ids fb_action_types fb_source fb_ref action_object_map action_type_map
""")
"""Parameters that say how a reader came, and nothing about the page."""

TRACKER_FAMILIES = re.compile(
    r"(?:utm|mtm|matomo|piwik|hsa|at|guce|bsft|itm|vero|sailthru)_\w+"
    r"|pk_(?:campaign|kwd|keyword|source|medium|content|cid|cpn|vid)"
    r"|[a-z]{1,4}clid"
)
"""The same, for names that share a beginning or an end."""

REFERRER_NAMES = _words("ref referrer referer source src")
REFERRERS = re.compile(r"(?=.*[aeiouy])(?![a-f]+$)[a-z]{2,16}(?:[-_.][a-z]{2,16}){0,2}")
"""Values of these that look like a name, not like an id: ``ref=homepage`` goes, ``ref=0xabc`` stays."""

ORIGIN_NAMES = _words("from via cid medium campaign channel track partner mod feed") | REFERRER_NAMES
ORIGINS = re.compile(
    r"(?:rss|atom|feed|newsletter|newsfeed|home|homepage|front|frontpage|side|sidebar|footer|header|menu|nav|widget"
    r"|related|trending|popular|e?-?mail|push|sms|app|mobile|web|social|share|sharing|twitter|tw|x|facebook|fb|linkedin"
    r"|reddit|telegram|tg|whatsapp|wa|instagram|ig|youtube|yt|tiktok|pinterest|discord|flipboard|pocket|smartnews"
    r"|newsbreak|hackernews|hn|google|googlenews|gnews|bing|yahoo|msn|applenews|duckduckgo|cryptopanic|coinmarketcap|cmc"
    r"|coingecko|direct|referral|organic|affiliate|banner|ads|cpc|amp|copylink)"
    r"(?:[-_.](?:page|feed|link|top|bottom|button|share|card|box|com|app|web|bot))*"
)
"""Values of these that name a place that readers come from; any other value stays."""

OTHER_LOOKS = frozenset(
    {("amp", ""), ("amp", "1"), ("amp", "true"), ("outputtype", "amp"), ("output", "amp"), ("format", "amp")}
    | {("m", "1"), ("mobile", "1"), ("view", "mobile"), ("print", "1"), ("print", "true")}
)
"""Parameters with these values ask for another look of the same page."""

SESSION_NAMES = _words("jsessionid phpsessid aspsessionid sessionid session_id cfid cftoken")
SESSION_IN_PATH = re.compile(r";(?:jsessionid|phpsessid|sessionid)=[^/;?]*", re.IGNORECASE)
SAME_SITE = _words("www m mobile amp")
"""First labels of a host that serve the same pages; ``de.`` or ``blog.`` may not."""
AMP_STEPS = _words("amp amp.html")
AMP_ENDS = ((".amp.html", ".html"), (".amp", ""))
INDEX_FILES = re.compile(r"(?:index|default)\.(?:html?|php|aspx?|jsp)", re.IGNORECASE)
DEFAULT_PORTS = frozenset({80, 443})  # for either scheme: both become https
AMP_CACHE = re.compile(
    r"https?://(?:[^/]+\.cdn\.ampproject\.org/[a-z](?:/s)?|(?:www\.)?google\.[a-z.]{2,6}/amp(?:/s)?)/(.+)", re.I | re.S
)
"""Copies that Google keeps of AMP pages; the page's own address follows."""
OWN_PAGE = re.compile(r"!|/.")
"""Beginnings of fragments that name a page (``#!/story/1``, ``#/story/1``); others are places on the page."""
CHARS_MAX = 8_192
"""Longer is no address, and stays as it is."""

_PARTS = re.compile(r"(?:https?:)?//+([^/?#\\]*)([^?#]*)(?:\?([^#]*))?(?:#(.*))?", re.I | re.S)
_PLACE = re.compile(r"(?:(.*)@)?(\[[\da-f:.]+\]|[^\s:@\[\]%]*)(?::(\d{0,5}))?", re.I | re.A | re.S)
_HOST = re.compile(r"\[[\da-f:.]+\]|[a-z\d_.-]+", re.A)
_BREAKS = re.compile("[\t\n\r\0]")
_AMPERSANDS = re.compile("&(?:amp;)+")
_PREFIXES = re.compile("^(?:amp;)+")  # what &amp; leaves where one of its letters was an escape
_STRAY = re.compile("%(?![0-9A-Fa-f]{2})")
_ESCAPES = re.compile("%([0-9A-Fa-f]{2})")
_PLAIN = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_FOREIGN = re.compile(r"[^!-~]|[\"<>\\^`{|}]")


def canonical(url: str) -> str:
    """Give the one form; what cannot be read as a web address comes back as it is, without outer white space.

    Idempotent, and never raises.
    """
    text = _AMPERSANDS.sub("&", _BREAKS.sub("", url)).strip()
    if len(text) > CHARS_MAX:
        return text
    address = text
    while copy := AMP_CACHE.fullmatch(address):
        address = "https://" + copy[1]
    found = _PARTS.fullmatch(address)
    place = _place(found[1]) if found else None
    if found is None or place is None:
        return text
    _, path, query, fragment = found.groups(default="")
    one_form = f"https://{place}{_path(path)}{_query(query)}{_fragment(fragment)}"
    return one_form if one_form == address or not AMP_CACHE.fullmatch(one_form) else canonical(one_form)


def _place(authority: str) -> str | None:
    """Give the host, with its port where it is no default; None where there is none, or a user's name."""
    found = _PLACE.fullmatch(authority)
    if found is None or (found[1] or "").strip(":"):
        return None
    host, port = _site(found[2].lower()), int(found[3] or 443)
    if not _HOST.fullmatch(host):
        return None
    return host if port in DEFAULT_PORTS else f"{host}:{port}"


@lru_cache(maxsize=4096)
def _site(host: str) -> str:
    if not host.isascii():
        try:
            host = host.encode("idna").decode("ascii").lower()
        except UnicodeError:
            return ""
    host = host.rstrip(".")
    if _is_number(host):
        return host
    while (bare := _without_first(host)) != host:
        host = bare
    return host


def _without_first(host: str) -> str:
    first, _, rest = host.partition(".")
    return rest if first in SAME_SITE and "." in rest else host  # m.co would be left without a name


def _is_number(host: str) -> bool:
    try:
        ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


def _path(path: str) -> str:
    path = _escaped(path)
    if ";" in path:
        path = SESSION_IN_PATH.sub("", path)
    steps: list[str] = []
    for step in path.split("/"):
        if step == "..":
            del steps[-1:]
        elif step not in ("", "."):
            steps.append(step)
    while steps and (bare := _without_look(steps)) != steps:
        steps = bare
    return "".join(f"/{step}" for step in steps)


def _without_look(steps: list[str]) -> list[str]:
    """Leave out one AMP form (``/amp/story``, ``/story/amp``, ``/story.amp.html``) or index file."""
    last = steps[-1].lower()
    if INDEX_FILES.fullmatch(last) or (last in AMP_STEPS and len(steps) > 1):
        return steps[:-1]
    if steps[0].lower() == "amp" and len(steps) > 1:
        return steps[1:]
    for end, plain in AMP_ENDS:
        if last.endswith(end) and len(last) > len(end):
            return [*steps[:-1], steps[-1][: -len(end)] + plain]
    return steps


def _query(query: str) -> str:
    if not query:
        return ""
    parts = (_PREFIXES.sub("", _escaped(part)).rstrip("=") for part in query.split("&"))
    kept = sorted(part for part in parts if part and not _says_nothing(part))
    return "?" + "&".join(kept) if kept else ""


def _says_nothing(part: str) -> bool:
    name, _, value = part.lower().partition("=")
    return (
        name in TRACKER_NAMES
        or name in SESSION_NAMES
        or (name, value) in OTHER_LOOKS
        or (name in ORIGIN_NAMES and (not value or ORIGINS.fullmatch(value) is not None))
        or (name in REFERRER_NAMES and REFERRERS.fullmatch(value) is not None)
        or TRACKER_FAMILIES.fullmatch(name) is not None
    )


def _fragment(fragment: str) -> str:
    return f"#{_escaped(fragment)}" if OWN_PAGE.match(fragment) else ""


def _escaped(text: str) -> str:
    """Write each character in its one form: escapes in upper case, and only where an address needs them."""
    if "%" in text:
        text = _AMPERSANDS.sub("&", _ESCAPES.sub(_escape, _STRAY.sub("%25", text)))
    if _FOREIGN.search(text):
        text = _FOREIGN.sub(lambda found: _quoted(found[0]), text)
    return text


def _escape(found: re.Match[str]) -> str:
    code = int(found[1], 16)
    return chr(code) if code in _PLAIN else f"%{found[1].upper()}"


def _quoted(char: str) -> str:
    return "".join(f"%{byte:02X}" for byte in char.encode("utf-8", "surrogatepass"))
