"""What a job may ask NewsCatcher, by the provider's own names: all but paging, sorting and what the pull sets."""

from __future__ import annotations

from typing import Any

from workers.providers import reading

PAGE_SIZE = 100
_WORDS = {"anyOf": [{"type": "string", "minLength": 1}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}
_TEXT = {"type": "string", "minLength": 1}
_FLAG = {"type": "boolean"}
_UNIT = {"type": "number", "minimum": -1, "maximum": 1}
_RANK = {"type": "integer", "minimum": 1, "maximum": 999_999}
_LISTS = [
    "lang",
    "not_lang",
    "countries",
    "not_countries",
    "sources",
    "not_sources",
    "predefined_sources",
    "source_name",
    "not_author_name",
    "parent_url",
    "all_links",
    "all_domain_links",
    "all_links_text",
    "news_type",
    "iptc_tags",
    "not_iptc_tags",
    "iab_tags",
    "not_iab_tags",
    "topic",
]
_FLAGS = [
    "ranked_only",
    "is_headline",
    "is_opinion",
    "is_paid_content",
    "additional_domain_info",
    "is_news_domain",
    "include_nlp_data",
    "has_nlp",
    "include_translation_fields",
    "clustering_enabled",
    "exclude_duplicates",
    "robots_compliant",
]
_TEXTS = [
    "published_date_precision",
    "theme",
    "not_theme",
    "ORG_entity_name",
    "PER_entity_name",
    "LOC_entity_name",
    "MISC_entity_name",
    "news_domain_type",
]
_SENTIMENTS = ["title_sentiment_min", "title_sentiment_max", "content_sentiment_min", "content_sentiment_max"]

_COMMON: dict[str, Any] = {
    "api": {"enum": ["v3", "v2"], "default": "v3"},
    "page_size": {"type": "integer", "minimum": 1, "maximum": 1000, "default": PAGE_SIZE},
    "clustering_variable": reading.one_of(("content", "title", "summary")),
    "clustering_threshold": {"type": "number", "minimum": 0, "maximum": 1},
    "word_count_min": {"type": "integer", "minimum": 0},
    "word_count_max": {"type": "integer", "minimum": 0},
    **dict.fromkeys(_LISTS, _WORDS),
    **dict.fromkeys(_FLAGS, _FLAG),
    **dict.fromkeys(_TEXTS, _TEXT),
    **dict.fromkeys(_SENTIMENTS, _UNIT),
}
_V2_PAGE: dict[str, Any] = {
    "if": {"properties": {"api": {"const": "v2"}}, "required": ["api"]},
    "then": {"properties": {"page_size": {"maximum": 100}}},
}
_TIME = {"type": "string", "pattern": r"^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2})?Z?)?$"}
SEARCH: dict[str, Any] = _V2_PAGE | reading.params(
    {
        **_COMMON,
        "q": _TEXT,
        "search_in": _TEXT,
        "from_rank": _RANK,
        "to_rank": _RANK,
        "from": _TIME,
        "to": _TIME,
    },
    "q",
)
HEADLINES: dict[str, Any] = _V2_PAGE | reading.params(_COMMON)
