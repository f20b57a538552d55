"""From a tray image to its parts: which are there, where, and what is wrong with the others.

What is found is not yet cut out: a :class:`Found` is the map from the *cut image* of a part to the
tray, so that one interpolation carries the pixels into the part image, alignment included.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from goodpart.errors import RecipeError
from goodpart.parts.find_boxes import BoxContent, look_into
from goodpart.parts.find_round import RoundFinder
from goodpart.parts.find_template import TemplateFinder
from goodpart.parts.pockets import Assignment, Spot, assign, reach_of, reading_order
from goodpart.parts.views import grey_of
from goodpart.recipe import TrayBox, TrayPocket, TraySection

EXAMPLE = "tray_example"
"""Key of the example's pixels, uint8 (h, w), among what the road keeps."""

# A pocket in which nothing was found counts as empty where brightness varies less than this share
# of what a part shows; otherwise something lies there that is no part like the others.
_BUSY = 0.3
_BUSY_LEVELS = 10.0
# The round part of a pocket that is looked at for that, share of a part's size.
_POCKET_DISC = 0.4


@dataclass(frozen=True)
class Found:
    """A part of a tray, or what was found in its place.

    Parameters
    ----------
    pocket : str or None
        Name in the tray; ``None`` where the problem is with the whole image, or where the image is
        a part that was cut out already.
    matrix : ndarray of float64, (3, 3)
        Cut image (x, y, 1) to tray image; affine.
    size : (int, int)
        Height and width of the cut image.
    problem : (str, str) or None
        Reason (``"empty"``, ``"cut off"``, ``"not located"``, ``"misplaced"``, ``"no part"``,
        ``"wrong size"``, ``"rotated"``) and message why there is nothing to judge.
    allowed : bool
        An empty pocket that the recipe allows: counted, not inspected.
    match : float
        How well it fits what is looked for, 0..1.
    outline : ndarray of float64, (n, 2), or None
        Around the part, the box or the pocket, in pixels of the tray image.
    """

    pocket: str | None
    matrix: NDArray[np.float64]
    size: tuple[int, int]
    problem: tuple[str, str] | None = None
    allowed: bool = False
    match: float = 1.0
    outline: NDArray[np.float64] | None = None

    @property
    def seen(self) -> bool:
        """Whether there is a part to be seen, even if it cannot be judged."""
        return self.problem is None or self.problem[0] in ("cut off", "misplaced")


class SpotFinder(Protocol):
    """Finds parts wherever they lie."""

    size: tuple[int, int]
    extent: float

    def locate(self, grey: NDArray[np.uint8]) -> list[Spot]:
        """All parts, in any order."""


def create_finder(
    section: TraySection, arrays: Mapping[str, NDArray[Any]] | None = None
) -> TrayFinder | None:
    """The finder that a complete recipe describes; ``None`` where images show one part each.

    Parameters
    ----------
    section : TraySection
        Complete, see :func:`goodpart.parts.learn_tray.complete_tray`.
    arrays : mapping of str to ndarray, optional
        What was learned with it.

    Raises
    ------
    RecipeError
        Something that has to be learned is missing.
    """
    if section.mode == "none":
        return None
    if section.mode == "boxes":
        return TrayFinder(section, None)
    if section.mode == "round":
        if section.radius is None or section.bright is None:
            raise RecipeError(
                "tray: mode round needs radius and bright; learn them with: "
                "goodpart prepare TRAYS OUT --learn"
            )
        return TrayFinder(
            section,
            RoundFinder(
                radius=section.radius,
                bright=section.bright,
                tolerance=section.tolerance,
                contrast=section.contrast,
                least_match=section.least_match,
                size=section.part or usual_cut(section.radius),
            ),
        )
    example = (arrays or {}).get(EXAMPLE)
    if example is None:
        raise RecipeError("tray: mode template needs an example; set tray.example to its image")
    return TrayFinder(
        section,
        TemplateFinder(
            np.asarray(example),
            turned=section.turned,
            tolerance=section.tolerance,
            least_match=section.least_match,
            size=section.part or (example.shape[0], example.shape[1]),
        ),
    )


def usual_cut(radius: float) -> tuple[int, int]:
    """Size of the cut image of a round part: its outline and a margin of a tenth."""
    side = 2 * round(1.1 * radius)
    return side, side


class TrayFinder:
    """Finds and names the parts of tray images.

    Parameters
    ----------
    section : TraySection
    spots : SpotFinder or None
        ``None`` for fixed boxes.
    """

    def __init__(self, section: TraySection, spots: SpotFinder | None) -> None:
        self.section = section
        self.spots = spots

    def find(self, pixels: NDArray[Any], name: str) -> list[Found]:
        """The parts of a tray, in the order of the recipe's pockets or else in reading order.

        Parameters
        ----------
        pixels : ndarray of uint8 or float32 0..255, (H, W) or (H, W, 3) RGB
        name : str
            File name, for the recipe's exceptions and for messages.

        Returns
        -------
        list of Found
            Never empty, and at least one that is not ``allowed``: whatever is wrong with a tray
            is told, nothing is raised.
        """
        size = (pixels.shape[0], pixels.shape[1])
        problem = self._wrong_size(size, name)
        if problem is not None:
            return [Found(None, np.eye(3), size, problem=problem)]
        if size == self.section.part:
            return [Found(None, np.eye(3), size)]
        boxes, skipped = self._exceptions(name)
        grey = grey_of(pixels)
        if self.spots is None:
            found = [self._in_box(grey, box, name) for box in boxes if box.name not in skipped]
        else:
            spots = self.spots.locate(grey)
            found = self._named(self.spots, grey, spots, skipped, name)
        if all(one.problem is not None and one.problem[0] == "empty" for one in found):
            message = f"{name}: no part is found on this tray"
            return [Found(None, np.eye(3), size, problem=("no part", message))]
        return found

    def _wrong_size(self, size: tuple[int, int], name: str) -> tuple[str, str] | None:
        wanted = self.section.size
        if wanted is None or size == wanted or size == self.section.part:
            return None
        is_, should = f"{size[1]}x{size[0]}", f"{wanted[1]}x{wanted[0]}"
        if size == wanted[::-1]:
            return (
                "rotated",
                f"{name}: {is_} pixels where {should} were learned: the image is turned by 90°",
            )
        return "wrong size", f"{name}: {is_} pixels where {should} were learned"

    def _exceptions(self, name: str) -> tuple[list[TrayBox], set[str]]:
        """Boxes and skipped pockets for a file."""
        boxes = {box.name: box for box in self.section.boxes}
        skipped: set[str] = set()
        for exception in self.section.exceptions:
            if any(matches(name, pattern) for pattern in exception.files):
                boxes.update({box.name: box for box in exception.boxes})
                skipped.update(exception.skip)
        return list(boxes.values()), skipped

    def _empty(
        self, pocket: str, matrix: NDArray[np.float64], size: tuple[int, int], name: str
    ) -> Found:
        return Found(
            pocket,
            matrix,
            size,
            problem=("empty", f"{name}: the pocket {pocket} is empty"),
            allowed=self.section.allow_empty,
            match=0.0,
            outline=corners_of(matrix, size),
        )

    def _in_box(self, grey: NDArray[np.uint8], box: TrayBox, name: str) -> Found:
        matrix = np.array([[1, 0, box.x], [0, 1, box.y], [0, 0, 1]], dtype=np.float64)
        size = (box.height, box.width)
        content = look_into(grey, box, self.section.contrast)
        if content is BoxContent.EMPTY:
            return self._empty(box.name, matrix, size, name)
        problem = None
        if content is BoxContent.CUT_OFF:
            problem = _cut_off(box.name, name)
        return Found(box.name, matrix, size, problem, outline=corners_of(matrix, size))

    def _named(
        self,
        finder: SpotFinder,
        grey: NDArray[np.uint8],
        spots: Sequence[Spot],
        skipped: set[str],
        name: str,
    ) -> list[Found]:
        pockets = self.section.pockets
        if not pockets:
            centres = np.array([spot.centre for spot in spots]).reshape(-1, 2)
            order = reading_order(centres, finder.extent)
            return [
                self._found(finder, spots[index], str(number), name)
                for number, index in enumerate(order, start=1)
            ]
        lying = assign(spots, pockets, finder.extent)
        turned = _turned_layout(spots, pockets, finder.extent, grey.shape, lying)
        if turned is not None:
            message = f"{name}: the tray lies turned by {turned}°"
            size = (grey.shape[0], grey.shape[1])
            return [Found(None, np.eye(3), size, problem=("rotated", message))]
        found = []
        for pocket, index in zip(pockets, lying.held, strict=True):
            if pocket.name in skipped:
                continue
            if index is None:
                found.append(self._without_part(finder, grey, pocket, name))
                continue
            one = self._found(finder, spots[index], pocket.name, name)
            if index in lying.displaced and one.problem is None:
                message = f"{name}: the part lies beside the pocket {pocket.name}"
                one = _with_problem(one, ("misplaced", message))
            found.append(one)
        for number, index in enumerate(lying.outside, start=1):
            one = self._found(finder, spots[index], f"outside{number}", name)
            message = f"{name}: a part lies outside every pocket"
            found.append(_with_problem(one, one.problem or ("misplaced", message)))
        return found

    @staticmethod
    def _found(finder: SpotFinder, spot: Spot, pocket: str, name: str) -> Found:
        return Found(
            pocket,
            spot.matrix,
            finder.size,
            problem=_cut_off(pocket, name) if spot.cut_off else None,
            match=spot.match,
            outline=spot.outline,
        )

    def _without_part(
        self, finder: SpotFinder, grey: NDArray[np.uint8], pocket: TrayPocket, name: str
    ) -> Found:
        """An empty pocket, or one with something in it that is no part like the others."""
        matrix = np.eye(3)
        matrix[:2, 2] = pocket.x - (finder.size[1] - 1) / 2, pocket.y - (finder.size[0] - 1) / 2
        empty = self._empty(pocket.name, matrix, finder.size, name)
        usual = self.section.contrast
        least = _BUSY_LEVELS if usual is None else max(_BUSY_LEVELS, _BUSY * usual)
        if _variation(grey, pocket, _POCKET_DISC * finder.extent) < least:
            return empty
        message = f"{name}: what lies in the pocket {pocket.name} does not look like a part"
        return _with_problem(empty, ("not located", message))


def matches(name: str, pattern: str) -> bool:
    """Whether a file is meant by a pattern of the recipe, by its name or its stem."""
    path = Path(name)
    return fnmatch(path.name, pattern) or fnmatch(path.stem, pattern) or name == pattern


def corners_of(matrix: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.float64]:
    """The corners of a cut image in the tray image, (4, 2)."""
    height, width = size
    corners = np.array([[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]])
    return np.asarray(corners @ matrix[:2, :2].T + matrix[:2, 2], dtype=np.float64)


def _cut_off(pocket: str, name: str) -> tuple[str, str]:
    return "cut off", f"{name}: the part in {pocket} is cut off by the border of the image"


def _with_problem(found: Found, problem: tuple[str, str]) -> Found:
    return Found(
        found.pocket,
        found.matrix,
        found.size,
        problem=problem,
        match=found.match,
        outline=found.outline,
    )


def _variation(grey: NDArray[np.uint8], pocket: TrayPocket, radius: float) -> float:
    """How much brightness varies in a pocket, dust and scratches apart: grey levels."""
    step = max(1, int(radius / 24))
    x0, x1 = (int(np.clip(pocket.x + side * radius, 0, grey.shape[1])) for side in (-1, 1))
    y0, y1 = (int(np.clip(pocket.y + side * radius, 0, grey.shape[0])) for side in (-1, 1))
    window = grey[y0:y1:step, x0:x1:step]
    if window.size == 0:
        return 0.0
    rows = np.arange(y0, y1, step)[:, None] - pocket.y
    columns = np.arange(x0, x1, step) - pocket.x
    disc = window[rows**2 + columns**2 <= radius**2]
    if disc.size == 0:
        return 0.0
    low, high = np.quantile(disc, (0.05, 0.95))
    return float(high - low)


def _turned_layout(
    spots: Sequence[Spot],
    pockets: Sequence[TrayPocket],
    extent: float,
    shape: tuple[int, ...],
    lying: Assignment,
) -> int | None:
    """The turn in degrees after which the parts lie in the pockets, where they do not as it is."""
    if len(spots) < 2 or len(lying.outside) + len(lying.displaced) < len(spots) / 2:
        return None
    middle = np.array([(shape[1] - 1) / 2, (shape[0] - 1) / 2])
    places = np.array([(pocket.x, pocket.y) for pocket in pockets]) - middle
    reach = reach_of(places, extent)
    best: tuple[int, int] | None = None
    for turn, matrix in (
        (90, np.array([[0, -1], [1, 0]])),
        (180, -np.eye(2)),
        (270, np.array([[0, 1], [-1, 0]])),
    ):
        turned = places @ matrix.T
        apart = np.linalg.norm(turned[:, None] - places[None], axis=2).min(axis=1)
        if (apart < reach).all():
            continue  # the layout looks the same that way round
        moved = [
            TrayPocket(name=pocket.name, x=float(x), y=float(y))
            for pocket, (x, y) in zip(pockets, turned + middle, strict=True)
        ]
        other = assign(spots, moved, extent)
        left = len(other.outside) + len(other.displaced)
        if left < len(spots) / 4 and (best is None or left < best[0]):
            best = (left, turn)
    return None if best is None else best[1]
