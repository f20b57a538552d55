"""Pockets of a tray: which part lies in which, and what parts are called without any."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from goodpart.recipe import TrayPocket

# A part whose centre is this near to an empty pocket's, in sizes of a part, lies beside it.
_BESIDE = 1.0


@dataclass(frozen=True)
class Spot:
    """A part that was found on a tray, not yet named.

    Parameters
    ----------
    matrix : ndarray of float64, (3, 3)
        Cut image to tray image, see :class:`goodpart.parts.find.Found`.
    centre : ndarray of float64, (2,)
        (x, y) in pixels of the tray image.
    outline : ndarray of float64, (n, 2)
        Around the part, in pixels of the tray image.
    match : float
        How well it fits, 0..1.
    cut_off : bool
        Whether the border of the image cuts it.
    """

    matrix: NDArray[np.float64]
    centre: NDArray[np.float64]
    outline: NDArray[np.float64]
    match: float
    cut_off: bool


def reaches_out(outline: NDArray[np.float64], shape: tuple[int, int]) -> bool:
    """Whether an outline crosses the border of an image (height, width) by more than a pixel."""
    height, width = shape
    low, high = outline.min(axis=0), outline.max(axis=0)
    return bool((low < -1.5).any() or high[0] > width + 0.5 or high[1] > height + 0.5)


def reading_order(centres: NDArray[np.float64], extent: float) -> list[int]:
    """Order of places read line by line, from the upper left.

    Parameters
    ----------
    centres : ndarray of float64, (n, 2)
        (x, y).
    extent : float
        Size of a part: places are in one line where they differ by less than half of it in y.
    """
    if len(centres) == 0:
        return []
    order: list[int] = []
    for row in rows_of(centres[:, 1], extent / 2):
        order += sorted(row, key=lambda index: (centres[index, 0], index))
    return order


def rows_of(values: NDArray[np.float64], gap: float) -> list[list[int]]:
    """Indices grouped so that neighbours within a group lie less than ``gap`` apart, ascending."""
    groups: list[list[int]] = []
    last = -np.inf
    for index in np.argsort(values, kind="stable"):
        if values[index] - last >= gap:
            groups.append([])
        groups[-1].append(int(index))
        last = values[index]
    return groups


def reach_of(places: NDArray[np.float64], extent: float) -> float:
    """How far from its pocket's centre a part may lie: half way to the next pocket.

    Parameters
    ----------
    places : ndarray of float64, (n, 2)
    extent : float
        Size of a part, for a tray with a single pocket.
    """
    if len(places) < 2:
        return extent / 2
    apart = np.linalg.norm(places[:, None] - places[None], axis=2)
    np.fill_diagonal(apart, np.inf)
    return float(apart.min() / 2)


def tray_shift(
    centres: NDArray[np.float64], places: NDArray[np.float64], reach: float
) -> NDArray[np.float64]:
    """How far the whole tray lies from where it usually does, (2,) in pixels.

    The median over the parts of their way from the nearest pocket; zero with fewer than three.
    """
    if len(centres) < 3 or len(places) < 3:
        return np.zeros(2)
    ways = centres[:, None] - places[None]
    nearest = np.linalg.norm(ways, axis=2).argmin(axis=1)
    own = ways[np.arange(len(centres)), nearest]
    shift = np.median(own, axis=0)
    return np.asarray(shift if np.linalg.norm(shift) < reach else np.zeros(2), dtype=np.float64)


@dataclass(frozen=True)
class Assignment:
    """Which part lies in which pocket, all by index.

    Parameters
    ----------
    held : list of int or None
        The spot of each pocket.
    displaced : set of int
        Those of them that lie beside their pocket rather than in it.
    outside : list of int
        Spots that belong to no pocket.
    """

    held: list[int | None]
    displaced: set[int]
    outside: list[int]


def assign(spots: Sequence[Spot], pockets: Sequence[TrayPocket], extent: float) -> Assignment:
    """Tell which spot lies in each pocket.

    Parameters
    ----------
    spots : sequence of Spot
    pockets : sequence of TrayPocket
    extent : float
        Size of a part in pixels.
    """
    held: list[int | None] = [None] * len(pockets)
    if not spots:
        return Assignment(held, set(), [])
    places = np.array([(pocket.x, pocket.y) for pocket in pockets], dtype=np.float64)
    centres = np.array([spot.centre for spot in spots])
    reach = reach_of(places, extent)
    moved = places + tray_shift(centres, places, reach)
    apart = np.linalg.norm(centres[:, None] - moved[None], axis=2)
    left = set(range(len(spots)))
    displaced = set()
    # The closest pairs first, so that each pocket and each part is taken once.
    for flat in np.argsort(apart, axis=None):
        spot, pocket = divmod(int(flat), len(pockets))
        if apart[spot, pocket] > max(reach, _BESIDE * extent):
            break
        if spot in left and held[pocket] is None:
            held[pocket] = spot
            left.discard(spot)
            if apart[spot, pocket] > reach:
                displaced.add(spot)
    return Assignment(held, displaced, sorted(left))


def pocket_names(places: NDArray[np.float64], extent: float) -> list[str]:
    """Names for the pockets of a layout, from where they lie.

    Up to three lines and columns are named in words (``top_left``, ``centre``, ...), larger
    layouts by line and column (``r2c5``). A column's number counts along its line.

    Parameters
    ----------
    places : ndarray of float64, (n, 2)
    extent : float
        Size of a part.
    """
    rows = rows_of(places[:, 1], extent / 2)
    columns = rows_of(places[:, 0], extent / 2)
    names = [""] * len(places)
    if len(rows) <= 3 and len(columns) <= 3:
        row_of = {index: number for number, row in enumerate(rows) for index in row}
        column_of = {index: number for number, column in enumerate(columns) for index in column}
        for index in range(len(places)):
            vertical = _WORDS[len(rows)][0][row_of[index]]
            horizontal = _WORDS[len(columns)][1][column_of[index]]
            names[index] = "_".join(word for word in (vertical, horizontal) if word) or "centre"
        if len(set(names)) == len(names):
            return names
    for number, row in enumerate(rows, start=1):
        for column, index in enumerate(sorted(row, key=lambda i: places[i, 0]), start=1):
            names[index] = f"r{number}c{column}"
    return names


_WORDS: dict[int, tuple[tuple[str, ...], tuple[str, ...]]] = {
    1: (("",), ("",)),
    2: (("top", "bottom"), ("left", "right")),
    3: (("top", "", "bottom"), ("left", "", "right")),
}
