"""Learn from a folder of trays where their parts lie: size, shape, an example, the pockets.

Parts are first told from the tray by brightness (Otsu, 1979); the size that comes back again and
again is the part's. Where its outline is an ellipse the parts are round, otherwise the most
usual one becomes the example. What was learned then finds the parts on the same trays, and where
they lie again and again is a pocket.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from goodpart.errors import DataError, ImageError, RecipeError
from goodpart.parts import ellipse
from goodpart.parts.ellipse import frame_radius, refine
from goodpart.parts.find import EXAMPLE, SpotFinder, create_finder, usual_cut
from goodpart.parts.find_boxes import variation
from goodpart.parts.find_round import FIT_RADIUS, outline_step
from goodpart.parts.pockets import pocket_names, reach_of, reading_order
from goodpart.parts.read import read_image
from goodpart.parts.search import from_reduced, reduced, rotation, to_reduced
from goodpart.parts.views import grey_of
from goodpart.parts.warp import warp_part
from goodpart.progress import Progress, track
from goodpart.recipe import TrayPocket, TraySection

# Trays that are looked at, and the longer side at which blobs are told from the tray.
LEARN_TRAYS = 24
_BLOB_SIDE = 512
# Blobs whose areas differ by less than this factor are of one size.
_SAME_AREA = 1.3
# Least area of a part, share of the tray.
_LEAST_AREA = 0.0008
# A blob that overlaps its ellipse this much (intersection over union) is round.
_ROUND = 0.965
# An example is cut with this much of the tray around it, share of its longer side.
_MARGIN = 0.06
# Places that hold a part on this share of the trays are pockets.
_POCKET_SHARE = 0.15

Reader = Callable[[int], NDArray[Any]]


@dataclass(frozen=True)
class _Blob:
    """Something that differs from the tray in brightness, in pixels of the reduced tray."""

    tray: int
    factor: int
    contour: NDArray[np.int32]
    area: float
    bright: bool
    whole: bool

    def roundness(self) -> float:
        """Overlap with the ellipse of the same moments, 0..1."""
        moments = cv2.moments(self.contour)
        cx, cy = moments["m10"] / moments["m00"], moments["m01"] / moments["m00"]
        spread = (
            np.array([[moments["mu20"], moments["mu11"]], [moments["mu11"], moments["mu02"]]])
            / moments["m00"]
        )
        variances, axes = np.linalg.eigh(spread)
        half = 2 * np.sqrt(np.maximum(variances, 1e-6))
        turns = np.linspace(0, 2 * np.pi, 180, endpoint=False)
        ring = (axes @ (half[:, None] * np.stack([np.cos(turns), np.sin(turns)]))).T
        ring = ring + np.array([cx, cy])
        x, y, width, height = cv2.boundingRect(self.contour)
        shape = (height + 8, width + 8)
        shift = np.array([x - 4, y - 4])
        own, other = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
        cv2.fillPoly(own, [self.contour - shift], 1)
        cv2.fillPoly(other, [np.round(ring - shift).astype(np.int32)], 1)
        union = int(np.count_nonzero(own | other))
        return int(np.count_nonzero(own & other)) / max(1, union)


def complete_tray(
    section: TraySection, count: int, read: Reader, progress: Progress | None = None
) -> tuple[TraySection, dict[str, NDArray[Any]]]:
    """Learn what a recipe leaves open about its trays.

    Parameters
    ----------
    section : TraySection
        What it sets stays as it is.
    count : int
        Number of trays.
    read : callable
        Pixels of a tray by its index, uint8 or float32 0..255; may raise
        :class:`~goodpart.errors.ImageError`, which leaves the tray out.
    progress : callable, optional

    Returns
    -------
    (section, arrays)
        Complete, and what :func:`goodpart.parts.find.create_finder` needs besides.

    Raises
    ------
    DataError
        No parts are found that resemble each other.
    RecipeError
        The example cannot be used.
    """
    if section.mode == "none":
        return section, {}
    known = section.part is not None and section.contrast is not None
    if section.mode == "template" and section.example is not None and known:
        return _with_example(section, read_example(section.example))
    if section.mode == "round" and None not in (section.radius, section.bright, section.part):
        return section, {}
    if section.mode == "boxes" and section.contrast is not None:
        return section, {}
    trays = _sample(count, read, progress)
    if section.mode == "boxes":
        return _complete_boxes(section, trays), {}
    return _complete(section, trays)


def learn_tray(
    section: TraySection, count: int, read: Reader, progress: Progress | None = None
) -> tuple[TraySection, dict[str, NDArray[Any]]]:
    """Learn everything about trays that a recipe does not say: also the mode and the pockets.

    Parameters, return values and errors as for :func:`complete_tray`.
    """
    trays = _sample(count, read, progress)
    sizes = {tray.shape for tray in trays}
    if section.size is None and len(sizes) == 1:
        height, width = trays[0].shape
        section = section.model_copy(update={"size": (height, width)})
    if section.mode == "boxes":
        return _complete_boxes(section, trays), {}
    section, arrays = _complete(section, trays)
    if not section.pockets:
        finder = create_finder(section, arrays)
        assert finder is not None and finder.spots is not None
        pockets = _learn_pockets(finder.spots, trays)
        section = section.model_copy(update={"pockets": pockets})
    return section, arrays


def read_example(path: str) -> NDArray[np.uint8]:
    """The grey image of an example part.

    Raises
    ------
    RecipeError
        It cannot be read.
    """
    try:
        image = read_image(path)
    except ImageError as error:
        raise RecipeError(f"tray.example: {error}") from None
    pixels = image.pixels
    if pixels.dtype == np.uint16:
        pixels = (pixels / max(1.0, float(pixels.max()) / 255)).astype(np.float32)
    return grey_of(pixels)


def _sample(count: int, read: Reader, progress: Progress | None) -> list[NDArray[np.uint8]]:
    picked = np.unique(np.linspace(0, count - 1, min(count, LEARN_TRAYS)).round().astype(int))
    trays = []
    for index in track(picked, "learning trays", len(picked), progress):
        try:
            trays.append(grey_of(read(int(index))))
        except ImageError:
            continue  # whoever works on all trays names it
    if not trays:
        raise DataError("none of the trays can be read")
    return trays


def _complete_boxes(section: TraySection, trays: Sequence[NDArray[np.uint8]]) -> TraySection:
    """What a box with a part usually shows: the upper cluster of what boxes show."""
    shown = np.array([variation(tray, box) for tray in trays for box in section.boxes])
    shown = shown[shown > 0]
    if shown.size == 0:
        raise DataError("tray.boxes: every box lies outside the images; check x, y and the size")
    usual = float(np.median(shown[shown >= 0.5 * np.quantile(shown, 0.9)]))
    return section.model_copy(update={"contrast": round(max(usual, 1.0), 2)})


def _complete(
    section: TraySection, trays: Sequence[NDArray[np.uint8]]
) -> tuple[TraySection, dict[str, NDArray[Any]]]:
    if section.mode == "template" and section.example is not None:
        return _with_example(section, read_example(section.example))
    every = [blob for number, tray in enumerate(trays) for blob in _blobs(tray, number)]
    blobs = _usual_blobs(every)
    if section.mode == "none":
        roundness = float(np.median([blob.roundness() for blob in blobs[:40]]))
        mode = "round" if roundness >= _ROUND else "template"
        section = section.model_copy(update={"mode": mode})
    if section.mode == "template":
        return _with_example(section, _cut_example(blobs, every, trays))
    return _with_radius(section, blobs, trays), {}


def _with_example(
    section: TraySection, example: NDArray[np.uint8]
) -> tuple[TraySection, dict[str, NDArray[Any]]]:
    low, high = np.quantile(example, (0.05, 0.95))
    update: dict[str, Any] = {"part": section.part or (example.shape[0], example.shape[1])}
    if section.example is not None:
        # The pixels are kept from here on; where the file lay is nobody's business.
        update["example"] = Path(section.example).name
    if section.contrast is None:
        update["contrast"] = round(max(1.0, float(high - low)), 2)
    return section.model_copy(update=update), {EXAMPLE: example}


def _blobs(grey: NDArray[np.uint8], tray: int) -> list[_Blob]:
    """Outlines of what is brighter, or darker, than the tray."""
    factor = max(1, max(grey.shape) // _BLOB_SIDE)
    small = cv2.GaussianBlur(reduced(grey, factor), (0, 0), 1.0)
    _, binary = cv2.threshold(small, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    border = np.concatenate([binary[0], binary[-1], binary[:, 0], binary[:, -1]])
    bright = float(border.mean()) < 127.5  # the tray is what lies at the border
    if not bright:
        binary = 255 - binary
    contours, _ = cv2.findContours(binary, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    height, width = small.shape
    found = []
    for contour in contours:
        area = float(cv2.contourArea(contour))
        if area < _LEAST_AREA * height * width:
            continue
        x, y, wide, high = cv2.boundingRect(contour)
        whole = x > 1 and y > 1 and x + wide < width - 1 and y + high < height - 1
        found.append(_Blob(tray, factor, np.asarray(contour), area, bright, whole))
    return found


def _usual_blobs(blobs: Sequence[_Blob]) -> list[_Blob]:
    """The blobs of the size that comes back most, the most usual first.

    Raises
    ------
    DataError
        There are none.
    """
    whole = [blob for blob in blobs if blob.whole]
    if not whole:
        raise DataError(
            "no parts are told from the trays by their brightness; give [[tray.boxes]], or "
            "tray.mode with tray.radius or tray.example"
        )
    areas = np.array([blob.area * blob.factor**2 for blob in whole])
    # Many of a size, and rather the parts than the dust: area counts beside number.
    votes = [np.sum((areas >= a) & (areas <= a * _SAME_AREA)) * np.sqrt(a) for a in areas]
    low = areas[int(np.argmax(votes))]
    chosen = np.flatnonzero((areas >= low) & (areas <= low * _SAME_AREA))
    middle = float(np.median(areas[chosen]))
    order = chosen[np.argsort(np.abs(np.log(areas[chosen] / middle)), kind="stable")]
    return [whole[index] for index in order]


def _with_radius(
    section: TraySection, blobs: Sequence[_Blob], trays: Sequence[NDArray[np.uint8]]
) -> TraySection:
    """Radius, polarity, contrast and cut size of round parts."""
    bright = blobs[0].bright if section.bright is None else section.bright
    radii, steps = [], []
    for blob in blobs[:60]:
        rough = float(np.sqrt(blob.area / np.pi)) * blob.factor
        factor = max(1, int(rough / FIT_RADIUS))
        fine = reduced(trays[blob.tray], factor)
        moments = cv2.moments(blob.contour)
        centre = [moments[key] / moments["m00"] for key in ("m10", "m01")]
        x, y = (to_reduced(from_reduced(value, blob.factor), factor) for value in centre)
        radius = rough / factor
        start = ellipse.Candidate(np.array([[radius, 0.0, x], [0.0, radius, y]]), bright)
        fitted = refine(fine, start)
        if fitted is not None and fitted[1] > 0.6:
            radii.append(frame_radius(fitted[0]) * factor)
            steps.append(abs(outline_step(fine, fitted[0])[1]))
    if not radii:
        raise DataError(
            "the parts on the trays have no clear round outline; use tray.mode template with "
            "tray.example, or [[tray.boxes]]"
        )
    radius = section.radius or round(float(np.median(radii)), 2)
    update: dict[str, Any] = {
        "radius": radius,
        "bright": bright,
        "part": section.part or usual_cut(radius),
    }
    if section.contrast is None:
        update["contrast"] = round(max(1.0, float(np.median(steps))), 2)
    return section.model_copy(update=update)


def _cut_example(
    blobs: Sequence[_Blob], every: Sequence[_Blob], trays: Sequence[NDArray[np.uint8]]
) -> NDArray[np.uint8]:
    """The most usual part, its longer side level, with a little of the tray around it.

    A part with nothing else in its picture is preferred: a neighbour's edge is not its own.
    """
    cuts = [_cut_around(blob) for blob in blobs[:60]]
    alone = [
        number
        for number, (matrix, size) in enumerate(cuts)
        if not any(
            _shows(matrix, size, other)
            for other in every
            if other.tray == blobs[number].tray and other is not blobs[number]
        )
    ]
    number = alone[0] if alone else 0
    matrix, size = cuts[number]
    return np.asarray(warp_part(trays[blobs[number].tray], matrix, size), dtype=np.uint8)


def _cut_around(blob: _Blob) -> tuple[NDArray[np.float64], tuple[int, int]]:
    """Cut image to tray around a blob, its longer side level, and the size of the cut image."""
    (cx, cy), (wide, high), degrees = cv2.minAreaRect(blob.contour)
    if high > wide:
        wide, high, degrees = high, wide, degrees - 90
    margin = _MARGIN * wide
    size = (
        2 * int(np.ceil((high / 2 + margin) * blob.factor)),
        2 * int(np.ceil((wide / 2 + margin) * blob.factor)),
    )
    matrix = np.eye(3)
    matrix[:2, :2] = rotation(float(np.deg2rad(degrees)))
    centre = np.array([from_reduced(cx, blob.factor), from_reduced(cy, blob.factor)])
    middle = np.array([(size[1] - 1) / 2, (size[0] - 1) / 2])
    matrix[:2, 2] = centre - matrix[:2, :2] @ middle
    return matrix, size


def _shows(matrix: NDArray[np.float64], size: tuple[int, int], blob: _Blob) -> bool:
    """Whether a cut image shows some of a blob."""
    outline = from_reduced(blob.contour[:, 0, :].astype(np.float64), blob.factor)
    inside = (outline - matrix[:2, 2]) @ np.linalg.inv(matrix[:2, :2]).T
    return bool(((inside > 0) & (inside < (size[1], size[0]))).all(axis=1).any())


def _learn_pockets(
    finder: SpotFinder, trays: Sequence[NDArray[np.uint8]]
) -> tuple[TrayPocket, ...]:
    """Places that hold a part on many trays; none where parts lie anywhere."""
    spots = [spot.centre for tray in trays for spot in finder.locate(tray) if not spot.cut_off]
    if not spots:
        raise DataError("what was learned finds no part on the trays; give [[tray.boxes]]")
    centres = np.array(spots)
    left = np.ones(len(centres), dtype=bool)
    near = 0.3 * finder.extent
    # A few trays say nothing of what comes back: there every place counts.
    least = 1 if len(trays) < 4 else max(2, round(_POCKET_SHARE * len(trays)))
    places: list[NDArray[np.float64]] = []
    while left.any():
        ways = np.linalg.norm(centres[:, None] - centres[None], axis=2)
        members = (ways < near) & left[None, :]
        counts = np.where(left, members.sum(axis=1), 0)
        densest = int(counts.argmax())
        if counts[densest] < least:
            break
        place = np.median(centres[members[densest]], axis=0)
        places.append(np.asarray(place))
        left &= np.linalg.norm(centres - place, axis=1) > finder.extent / 2
    if not places or left.sum() > 0.3 * len(centres):
        return ()
    found = np.array(places)
    # Where a layout is clear, a part that lies as far from its pockets as they lie from each other
    # shows one more, which is seldom filled.
    for place in centres[left]:
        ways = np.linalg.norm(found - place, axis=1)
        if len(found) > 1 and ways.min() > 0.8 * 2 * reach_of(found, finder.extent):
            found = np.vstack([found, place])
    found = found[reading_order(found, finder.extent)]
    names = pocket_names(found, finder.extent)
    return tuple(
        TrayPocket(name=name, x=round(float(x), 1), y=round(float(y), 1))
        for name, (x, y) in zip(names, found, strict=True)
    )
