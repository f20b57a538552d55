"""Which alignment to use: the one after which the good images agree best.

The good images are brought together by every alignment that fits. How well they agree is
measured on their edges, which depend on where things are and little on the light: the normalised
correlation of each image's edges with the mean edges of the others. An alignment has to be
clearly better than none, in nearly every image, and to locate nearly all of them: textures stay
as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from goodpart.errors import DataError
from goodpart.parts.align import RoundAligner, Views, grey_of, views_of
from goodpart.parts.choose_anchor import Anchor, propose_anchors
from goodpart.parts.warp import warp_part
from goodpart.progress import Progress, track
from goodpart.recipe import AlignSection, PartSection, Recipe

# Good images looked at: for the anchor, and for the comparison.
ANCHOR_IMAGES = 48
COMPARED_IMAGES = 200
# Side of the square in which alignments are compared.
_SIDE = 96
_LOCATED_SHARE = 0.99
# Disagreement must fall to these shares of that of the simpler alignment.
_OVER_NONE = 0.85
_OVER_CIRCLE = 0.92
_BETTER_SHARE = 0.8


@dataclass(frozen=True)
class Chosen:
    """The alignment that was chosen.

    Parameters
    ----------
    align : AlignSection
        Complete.
    part : PartSection
        With the size that fits the part.
    arrays : dict of str to ndarray
        What the alignment learned.
    agreement : dict of str to float
        Agreement of the good images, -1..1, after each alignment that was tried.
    """

    align: AlignSection
    part: PartSection
    arrays: dict[str, NDArray[Any]] = field(default_factory=dict)
    agreement: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class _Trial:
    """An alignment run on the good images; lengths in source pixels."""

    section: AlignSection
    arrays: dict[str, NDArray[Any]]
    agreement: NDArray[np.float64]
    located: float
    longest: float
    outline: float | None = None


def choose_alignment(
    recipe: Recipe,
    count: int,
    read: Callable[[int], NDArray[Any]],
    *,
    size: tuple[int, int],
    progress: Progress | None = None,
) -> Chosen:
    """Choose the alignment that the recipe leaves open, and learn what it needs.

    Parameters
    ----------
    recipe : Recipe
    count : int
        Number of good images.
    read : callable
        Pixels of a good image by its index.
    size : (int, int)
        Height and width of part images without alignment.
    progress : callable, optional

    Raises
    ------
    DataError
        The recipe asks for an alignment that the good images do not allow.
    """
    wanted = recipe.align.method
    plain = recipe.part.model_copy(update={"size": size})
    if wanted == "none":
        return Chosen(recipe.align, plain)
    picked = np.unique(np.linspace(0, count - 1, min(count, COMPARED_IMAGES)).round().astype(int))
    views: list[Views] = []
    none: list[NDArray[Any]] = []
    for index in track(picked, "aligning", len(picked), progress):
        grey = grey_of(read(int(index)))
        views.append(views_of(grey))
        none.append(cv2.resize(grey, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA))
    before = edge_agreement(none)
    trials = [
        trial
        for circle, name in ((True, "circle"), (False, "ellipse"))
        if wanted in ("auto", name)
        for trial in _round_trials(recipe, views, circle)
    ]
    scores = {"none": float(before.mean())}
    best: _Trial | None = None
    for trial in trials:
        mean = float(trial.agreement.mean())
        method = trial.section.method
        scores[method] = max(scores.get(method, -1.0), mean)
        if wanted == "auto" and not _clearly_better(trial.agreement, before, _OVER_NONE):
            continue
        if best is None or _beats(trial, best):
            best = trial
    if best is None:
        if wanted != "auto":
            raise DataError(
                f"align.method={wanted}: no ring is found in at least {_LOCATED_SHARE:.0%} of the "
                "good images; use align.method=none, or remove the images that differ"
            )
        return Chosen(recipe.align.model_copy(update={"method": "none"}), plain, {}, scores)
    align, part = _framed(recipe, best, size)
    return Chosen(align, part, best.arrays, scores)


def _clearly_better(after: NDArray[np.float64], before: NDArray[np.float64], share: float) -> bool:
    if 1 - after.mean() > share * (1 - before.mean()):
        return False
    return bool(np.mean(after > before) >= _BETTER_SHARE)


def _beats(trial: _Trial, best: _Trial) -> bool:
    """Whether a trial is better than the best so far; freedom has to earn its keep."""
    if trial.section.method == best.section.method:
        return bool(trial.agreement.mean() > best.agreement.mean())
    return bool(1 - trial.agreement.mean() < _OVER_CIRCLE * (1 - best.agreement.mean()))


def edge_agreement(images: Sequence[NDArray[Any]]) -> NDArray[np.float64]:
    """Normalised correlation of each image's edges with the mean edges of the others.

    Parameters
    ----------
    images : sequence of ndarray of uint8, (h, w), all of one size

    Returns
    -------
    ndarray of float64, (n,)
    """
    edges = np.stack([_edges(image) for image in images]).reshape(len(images), -1)
    edges -= edges.mean(axis=1, keepdims=True)
    edges /= np.linalg.norm(edges, axis=1, keepdims=True) + 1e-9
    if len(edges) < 2:
        return np.ones(len(edges))
    others = edges.sum(axis=0) - edges
    others /= np.linalg.norm(others, axis=1, keepdims=True) + 1e-9
    return np.asarray((edges * others).sum(axis=1), dtype=np.float64)


def _edges(image: NDArray[Any]) -> NDArray[np.float64]:
    """Root of the gradient's length: strong edges do not drown the others."""
    smooth = cv2.GaussianBlur(image.astype(np.float32), (0, 0), 1.0)
    along_x = cv2.Sobel(smooth, cv2.CV_32F, 1, 0)
    along_y = cv2.Sobel(smooth, cv2.CV_32F, 0, 1)
    return np.sqrt(np.hypot(along_x, along_y)).astype(np.float64)


def _round_trials(recipe: Recipe, views: Sequence[Views], circle: bool) -> list[_Trial]:
    step = max(1, len(views) // ANCHOR_IMAGES)
    anchors = propose_anchors(views[::step], circle=circle)
    trials = (_try_anchor(recipe, views, anchor, circle) for anchor in anchors)
    return [trial for trial in trials if trial.located >= _LOCATED_SHARE]


def _try_anchor(recipe: Recipe, views: Sequence[Views], anchor: Anchor, circle: bool) -> _Trial:
    """Run the alignment itself on all images, at the scale that keeps the image's extent."""
    low, middle = float(anchor.matches.min()), float(np.median(anchor.matches))
    longest = float(np.median([max(view.fine.shape) / view.fine_factor for view in views]))
    section = recipe.align.model_copy(
        update={
            "method": "circle" if circle else "ellipse",
            "radius": anchor.radius * _SIDE / longest,
            "least_match": max(0.3, low - 0.5 * (middle - low) - 0.05),
        }
    )
    aligner = RoundAligner(section, anchor.looks, (_SIDE, _SIDE))
    aligned: dict[int, NDArray[Any]] = {}
    for index, view in enumerate(views):
        # The fine view stands for the source: same geometry, less to read.
        location = aligner.locate(np.asarray(view.fine, dtype=np.uint8))
        if location is not None:
            aligned[index] = warp_part(view.fine, location.matrix, (_SIDE, _SIDE))
    located = len(aligned) / len(views)
    agreement = np.zeros(len(views))
    if aligned:
        agreement[list(aligned)] = edge_agreement(list(aligned.values()))
    outline = outline_of(list(aligned.values())) if aligned else None
    scale = longest / _SIDE
    return _Trial(
        section.model_copy(update={"radius": anchor.radius}),
        {"looks": anchor.looks},
        agreement,
        located,
        longest,
        None if outline is None else outline * scale,
    )


def outline_of(aligned: Sequence[NDArray[Any]]) -> float | None:
    """Radius of the part's outline: the outermost strong ring that good images agree on.

    Parameters
    ----------
    aligned : sequence of ndarray of uint8, (n, n)
        Parts centred, at one scale.

    Returns
    -------
    float or None
        In pixels; ``None`` where there is no common outline.
    """
    side = aligned[0].shape[0]
    centre = ((side - 1) / 2, (side - 1) / 2)
    reach = side * 0.6
    radii = np.linspace(0, reach, 128)
    found = []
    for image in aligned:
        polar: Any = cv2.warpPolar(
            image, (128, 180), centre, reach, cv2.INTER_LINEAR | cv2.WARP_FILL_OUTLIERS
        )
        profile = cv2.GaussianBlur(polar.astype(np.float32).mean(axis=0)[None], (0, 0), 1.5)[0]
        # Beyond the inscribed circle rays leave the image.
        slope = np.abs(np.gradient(profile)) * (radii < side / 2)
        peaks = (slope[1:-1] >= slope[:-2]) & (slope[1:-1] > slope[2:])
        strong = np.flatnonzero(peaks & (slope[1:-1] > 0.25 * slope.max())) + 1
        if strong.size:
            found.append(radii[strong[-1]])
    if len(found) < 0.9 * len(aligned):
        return None
    middle = float(np.median(found))
    agreed = np.mean(np.abs(np.array(found) - middle) < 0.08 * middle)
    return middle if agreed >= 0.8 else None


def _framed(
    recipe: Recipe, best: _Trial, size: tuple[int, int]
) -> tuple[AlignSection, PartSection]:
    """The size of the part image and the anchor's radius in it.

    With an outline, the part and its margin fill the image; without, the scale stays that of the
    source image.
    """
    section, margin = best.section, 1 + recipe.mask.margin
    assert section.radius is not None
    anchor, outline = section.radius, best.outline
    if recipe.part.size == "auto" and outline is not None:
        side = min(recipe.part.max_side, 2 * outline * margin)
        square = max(32, round(side / 16) * 16)
        size = (square, square)
    fits = None if outline is None else min(size) / 2 / (outline * margin)
    scale = fits or max(size) / best.longest
    align = section.model_copy(
        update={
            "radius": round(anchor * scale, 3),
            "outline": None if outline is None else round(outline * scale, 3),
        }
    )
    return align, recipe.part.model_copy(update={"size": size})
