"""The report's gallery: which parts to show, and their pictures.

Parts are chosen from their scores after the run and inspected once more for their pictures, so
that nothing large is kept meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import cv2
import numpy as np

from goodpart.decision.inspection import Inspection
from goodpart.decision.maps import resize_map
from goodpart.decision.pictures import (
    HeatScale,
    Picture,
    color_map,
    render_overlay,
)
from goodpart.detectors.base import PartPixels
from goodpart.drawing import as_picture
from goodpart.errors import ImageError
from goodpart.evaluation.evaluate import Evaluation, Outcome
from goodpart.model import Model
from goodpart.parts.read import read_image
from goodpart.progress import Progress, track

SIDE = 256
MISTAKES = 6
TYPICAL = 2


@runtime_checkable
class Reconstructs(Protocol):
    """A detector that can draw the part as it thinks it should look."""

    def reconstruct(self, image: PartPixels) -> PartPixels:
        """The reconstruction of a part image: uint8, (H, W) or (H, W, 3) RGB."""


@dataclass(frozen=True)
class Card:
    """One part of the gallery.

    Parameters
    ----------
    outcome : Outcome
    pictures : dict of str to ndarray
        Captions and uint8 (h, w, 3) RGB pictures, at most 256 pixels on a side.
    """

    outcome: Outcome
    pictures: dict[str, Picture]


def choose(result: Evaluation) -> dict[str, list[Outcome]]:
    """Which parts to show, by section.

    Returns
    -------
    dict
        ``overkill``: good parts judged NG, highest scores first; ``escape``: defective parts
        judged OK, lowest scores first; ``check``: parts for a person; ``typical``: those around
        the median score of each class.
    """
    judged = [outcome for outcome in result.outcomes if outcome.score is not None]

    def score(outcome: Outcome) -> float:
        assert outcome.score is not None
        return outcome.score

    wrong = [outcome for outcome in judged if outcome.wrong]
    overkill = sorted((o for o in wrong if o.item.good), key=score, reverse=True)
    escape = sorted((o for o in wrong if not o.item.good), key=score)
    check = sorted((o for o in judged if o.verdict.value == "CHECK"), key=score, reverse=True)
    shown = {id(outcome) for outcome in (*overkill[:MISTAKES], *escape[:MISTAKES])}
    typical: list[Outcome] = []
    for label in result.labels():
        own = sorted((o for o in judged if o.item.label == label), key=score)
        first = max(0, (len(own) - TYPICAL) // 2)
        typical += [o for o in own[first : first + TYPICAL] if id(o) not in shown]
    return {
        "overkill": overkill[:MISTAKES],
        "escape": escape[:MISTAKES],
        "check": check[:MISTAKES],
        "typical": typical[: 2 * MISTAKES],
    }


def draw(
    model: Model, chosen: dict[str, list[Outcome]], progress: Progress | None = None
) -> dict[str, list[Card]]:
    """Inspect the chosen parts once more and draw them."""
    scale = model.heat_scale
    wanted = [(section, outcome) for section, found in chosen.items() for outcome in found]
    cards: dict[str, list[Card]] = {section: [] for section in chosen}
    for section, outcome in track(wanted, "gallery", len(wanted), progress):
        inspection = model.inspect_all(outcome.item.path)[outcome.place]
        cards[section].append(Card(outcome, _pictures(model, outcome, inspection, scale)))
    return cards


def _pictures(
    model: Model, outcome: Outcome, inspection: Inspection, scale: HeatScale
) -> dict[str, Picture]:
    if inspection.image is None:
        return {}
    pictures = {"part": _small(as_picture(inspection.image)[0])}
    if isinstance(model.detector, Reconstructs):
        drawn = model.detector.reconstruct(inspection.image)
        pictures["reconstruction"] = _small(as_picture(drawn)[0])
    if inspection.raw_map is not None:
        size = _size(inspection.image.shape[:2])
        pictures["heatmap"] = color_map(resize_map(inspection.raw_map, size), scale)
    overlay = render_overlay(inspection, scale)
    if overlay is not None:
        pictures["overlay"] = _small(overlay)
    truth = _truth(outcome, inspection)
    if truth is not None:
        pictures["ground truth"] = truth
    return pictures


def _truth(outcome: Outcome, inspection: Inspection) -> Picture | None:
    """The ground truth's outline on the part image."""
    if outcome.item.mask is None or inspection.transform is None or inspection.image is None:
        return None
    try:
        mask = read_image(outcome.item.mask).pixels
    except ImageError:
        return None  # named among the evaluation's problems already
    if mask.ndim == 3:
        mask = mask.max(axis=2)
    height, width = inspection.image.shape[:2]
    laid = cv2.warpPerspective(
        (mask > 0).astype(np.uint8),
        inspection.transform,
        (width, height),
        flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP,
    )
    contours, _ = cv2.findContours(laid, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    picture, _ = as_picture(inspection.image)
    thickness = max(1, round(min(height, width) / 200))
    cv2.drawContours(picture, contours, -1, (255, 214, 0), thickness, cv2.LINE_AA)
    return _small(picture)


def _size(shape: Sequence[int]) -> tuple[int, int]:
    scale = min(1.0, SIDE / max(shape))
    return max(1, round(shape[0] * scale)), max(1, round(shape[1] * scale))


def _small(picture: Picture) -> Picture:
    height, width = _size(picture.shape[:2])
    return np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA))
