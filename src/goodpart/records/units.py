"""Times, ages and sizes as people write them."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

from goodpart.records.errors import RecordsError

_AGES = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_SIZES = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4}


def parse_age(text: str) -> timedelta:
    """An age such as ``90d``, ``12h``, ``2w``, ``30m``.

    Raises
    ------
    RecordsError
        It is not written like that.
    """
    match = re.fullmatch(r"(\d{1,5})([mhdw])", text.strip())
    if not match:
        raise RecordsError(f"{text!r} is no age; write it like 90d, 12h, 2w or 30m")
    return timedelta(**{_AGES[match[2]]: int(match[1])})


def parse_moment(text: str) -> datetime:
    """A time: ``2026-03-01``, ``2026-03-01 14:30`` (of this machine's time zone) or an age ago.

    Returns
    -------
    datetime
        Aware.

    Raises
    ------
    RecordsError
        It is neither.
    """
    try:
        return datetime.fromisoformat(text.strip()).astimezone()
    except ValueError:
        pass
    try:
        return datetime.now(timezone.utc) - parse_age(text)
    except RecordsError:
        raise RecordsError(
            f"{text!r} is no time; write it like 2026-03-01, '2026-03-01 14:30' or 7d"
        ) from None


def parse_size(text: str) -> int:
    """Bytes: ``50GB``, ``500M``, ``1.5T``; powers of 1000, or of 1024 with an i (``50GiB``).

    Raises
    ------
    RecordsError
        It is not written like that.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(i?)B?", text.strip(), re.IGNORECASE)
    if not match:
        raise RecordsError(f"{text!r} is no size; write it like 50GB, 500MB or 1.5TB")
    base = 1024 if match[3] else 1000
    return int(float(match[1]) * base ** _SIZES[match[2].upper()])


def format_size(count: int) -> str:
    """Bytes for people."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"
