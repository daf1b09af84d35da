"""Removes passwords from what is shown or stored: run.json, error messages, links."""

import re
from typing import Any

MASK = "***"

# Up to the last @ before the path, as in RFC 3986. In a database's address the password may contain a slash
# (SQLAlchemy reads up to the first @); in a web address only if what follows the colon is not a port.
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
    """The same JSON value with every string in it redacted; keys are unchanged."""
    if isinstance(value, dict):
        return {key: redact_all(child) for key, child in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(redact_all(child) for child in value)
    return redact(value) if isinstance(value, str) else value


def is_redacted(text: str) -> bool:
    """Whether a password was removed from this text, so that it cannot be used as an address."""
    return MASK in text


def without_login(url: str) -> str:
    """A web address without user and password; the browser will ask for them."""
    return _USER.sub("", redact(url))
