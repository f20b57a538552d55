"""The line's memory: every inspection in a database, its picture in an image store, an audit
trail over both.

Names are imported when first used: SQLAlchemy is loaded by those who keep records.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from goodpart.records.database import Records, default_url
    from goodpart.records.errors import RecordsError, RecordsUnavailable
    from goodpart.records.images import ImageStore
    from goodpart.records.record import Count, Filter, Kept, Message, Pending, Record, Review

_WHERE = {
    "Count": "goodpart.records.record",
    "Filter": "goodpart.records.record",
    "ImageStore": "goodpart.records.images",
    "Kept": "goodpart.records.record",
    "Message": "goodpart.records.record",
    "Pending": "goodpart.records.record",
    "Record": "goodpart.records.record",
    "Records": "goodpart.records.database",
    "RecordsError": "goodpart.records.errors",
    "RecordsUnavailable": "goodpart.records.errors",
    "Review": "goodpart.records.record",
    "default_url": "goodpart.records.database",
}

__all__ = [
    "Count",
    "Filter",
    "ImageStore",
    "Kept",
    "Message",
    "Pending",
    "Record",
    "Records",
    "RecordsError",
    "RecordsUnavailable",
    "Review",
    "default_url",
]


def __getattr__(name: str) -> Any:
    import importlib

    if name not in _WHERE:
        raise AttributeError(f"module 'goodpart.records' has no attribute {name!r}")
    value = getattr(importlib.import_module(_WHERE[name]), name)
    globals()[name] = value
    return value
