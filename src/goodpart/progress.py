"""How long work tells where it stands, without knowing who listens."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Progress = Callable[[str, int, int], None]
"""Called as ``progress(stage, done, total)``: a short stage name and how many of how many."""

T = TypeVar("T")


def silent(stage: str, done: int, total: int) -> None:
    """A listener that ignores everything."""


def track(
    items: Iterable[T], stage: str, total: int, progress: Progress | None = None
) -> Iterator[T]:
    """Yield ``items`` and report after each.

    Parameters
    ----------
    items : iterable
    stage : str
        Short name of the work, shown to people.
    total : int
        How many items there are.
    progress : callable, optional
    """
    listener = progress or silent
    listener(stage, 0, total)
    for done, item in enumerate(items, start=1):
        yield item
        listener(stage, done, total)
