"""What can go wrong with the records."""

from __future__ import annotations

from goodpart.errors import GoodpartError


class RecordsError(GoodpartError):
    """The database or the image store is not usable as it is: foreign, newer, damaged."""


class RecordsUnavailable(RecordsError):
    """The records cannot be read or written now: disk full, locked, connection lost.

    Whoever records may try again with the same arrival: an arrival that was recorded after all
    is not recorded twice.
    """
