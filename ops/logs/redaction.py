"""What no log record may hold: known secrets wherever they stand, and whatever is named like a secret."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from urllib.parse import unquote

from structlog.typing import EventDict, Processor, WrappedLogger

REDACTED = "REDACTED"
SECRET_FIELDS = frozenset(
    {"apikey", "api_key", "auth", "authorization", "cookie", "key", "passwd", "pwd", "set_cookie"}
)
SECRET_ENDINGS = ("token", "password", "secret", "api_key", "apikey", "authorization", "private_key", "signing_key")
STRUCTLOGS_OWN = frozenset({"_record", "_from_structlog"})  # taken off again before anything is written

_NAMED_IN_TEXT = re.compile(
    r"""((?:token|password|passwd|secret|api[_-]?key|authorization|signing_key|private_key|cookie)["']?\s*[=:]\s*)"""
    r"""(?:(?:bearer|basic|token)\s+)?(["'])?(?(2).*?\2|[^\s"'&,;})\]]+)""",
    re.IGNORECASE,
)
_IN_ADDRESS = re.compile(r"(\w://[^\s/@:]*:)[^\s/@]+(?=@)")


class Redaction:
    """Cuts secrets out of values of any depth; what it is given is never changed."""

    def __init__(self, secrets: Iterable[str]) -> None:
        """``secrets`` are cut out wherever they stand, as they are and as they are without percent signs."""
        known = {form for secret in secrets if secret for form in (secret, unquote(secret))}
        self._known = sorted(known, key=len, reverse=True)

    def text(self, text: str) -> str:
        """Cut out what is known, and what stands behind a name like ``password=``."""
        for secret in self._known:
            if secret in text:
                text = text.replace(secret, REDACTED)
        if "=" in text or ":" in text:
            text = _IN_ADDRESS.sub(rf"\1{REDACTED}", _NAMED_IN_TEXT.sub(rf"\1\2{REDACTED}\2", text))
        return text

    def lines(self, lines: bytes) -> bytes:
        """Cut what is known out of finished lines."""
        for secret in self._known:
            if (raw := secret.encode()) in lines:
                lines = lines.replace(raw, REDACTED.encode())
        return lines

    def value(self, value: object) -> object:
        """Give the value without secrets; what is no plain data becomes its text, as it would in the line."""
        if value is None or isinstance(value, (bool, int, float)):
            return value
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self._name(name): self.field(name, inner) for name, inner in value.items()}
        if isinstance(value, (list, tuple, set, frozenset)):
            return [self.value(inner) for inner in value]
        return self.text(repr(value))

    def field(self, name: object, value: object) -> object:
        """Give the value of a field, which says nothing where its name is that of a secret."""
        return REDACTED if named_like_a_secret(name) else self.value(value)

    def _name(self, name: object) -> str:
        return self.text(name if isinstance(name, str) else repr(name))


def named_like_a_secret(name: object) -> bool:
    """Whether fields of this name are never shown."""
    if not isinstance(name, str):
        return False
    plain = name.lower().replace("-", "_")
    return plain in SECRET_FIELDS or plain.endswith(SECRET_ENDINGS)


def redactor(secrets: Iterable[str]) -> Processor:
    """Make a processor that cuts secrets out of every field of an event."""
    redaction = Redaction(secrets)

    def process(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        return {
            name: value if name in STRUCTLOGS_OWN else redaction.field(name, value) for name, value in event.items()
        }

    return process
