"""Values in the one form that is stored and hashed, whichever database keeps them."""

from __future__ import annotations

import hashlib
import json
import math
from datetime import datetime, timezone
from typing import Any


def storable(text: str) -> str:
    """Text that every database takes: lone surrogates and NUL become visible escapes.

    File names that are not UTF-8 reach Python with lone surrogates in them.
    """
    return text.encode("utf-8", "backslashreplace").decode("utf-8").replace("\0", "\\x00")


def optional(text: str | None) -> str | None:
    """:func:`storable`, for text that may be missing."""
    return None if text is None else storable(text)


def number(value: float | None) -> float | None:
    """A float that survives every database: not finite is missing, minus zero is zero."""
    if value is None:
        return None
    value = float(value)
    return value + 0.0 if math.isfinite(value) else None


def canonical(value: Any) -> str:
    """JSON with sorted keys, no spaces, shortest floats; datetimes as UTC to the microsecond.

    Raises
    ------
    ValueError
        A number is not finite.
    TypeError
        JSON cannot hold it.
    """
    text = json.dumps(
        value,
        sort_keys=True,
        separators=(",", ":"),
        ensure_ascii=False,
        allow_nan=False,
        default=_plain,
    )
    # A lone surrogate becomes its own JSON escape, so that the text stays the same value.
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return moment(value)
    raise TypeError(f"{type(value).__name__} cannot be kept as JSON")


def moment(value: datetime) -> str:
    """ISO 8601 in UTC, always to the microsecond."""
    return value.astimezone(timezone.utc).isoformat(timespec="microseconds")


def digest(value: Any) -> str:
    """SHA-256, in hex, of a value's canonical JSON."""
    return hashlib.sha256(canonical(value).encode("utf-8")).hexdigest()


def now() -> datetime:
    """The time, UTC."""
    return datetime.now(timezone.utc)
