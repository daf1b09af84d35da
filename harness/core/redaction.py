"""Passwords out of whatever is shown or kept: run.json is published, errors and links are passed on."""

import re
from typing import Any

MASK = "***"

# Up to the last @ before the path, as RFC 3986 has it. A database's address may have a password with a slash
# in it (SQLAlchemy reads to the first @); a web address only where what follows the colon is no port.
_LOGIN = re.compile(
    r"(?<![\w+.-])(?P<start>(?:(?P<web>https?)|(?!https?:)[a-z][\w+.-]*)://[^\s:/@?#]*):"
    r"(?:[^\s/?#]*|(?(web)(?!\d*[/?#]))[^\s@]*)@",
    re.IGNORECASE,
)
_QUERY = re.compile(r"(?P<start>[?&](?:password|passwd|pwd|token|secret)=)[^&#\s]+", re.IGNORECASE)
_USER = re.compile(r"(?<=://)[^\s/?#]*@")


def redact(text: str) -> str:
    """The text with the password of every address in it replaced by ***."""
    return _QUERY.sub(rf"\g<start>{MASK}", _LOGIN.sub(rf"\g<start>:{MASK}@", text))


def redact_all(value: Any) -> Any:
    """The same JSON value with every text in it redacted; keys stay."""
    if isinstance(value, dict):
        return {key: redact_all(child) for key, child in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(redact_all(child) for child in value)
    return redact(value) if isinstance(value, str) else value


def is_redacted(text: str) -> bool:
    """Whether a password was taken out of this text, so that it is no address any more."""
    return MASK in text


def without_login(url: str) -> str:
    """A web address without user and password: who opens it is asked for them."""
    return _USER.sub("", redact(url))
