"""Which alignment to use: the one after which the good images agree best.

The good images are brought together by every alignment that fits. How well they agree is
measured on their edges, which depend on where things are and little on the light: the normalised
correlation of each image's edges with the mean edges of the others. An alignment has to be
clearly better than none, in nearly every image, and to locate nearly all of them: textures stay
as they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from goodpart.errors import DataError
from goodpart.parts.align import create_aligner
from goodpart.parts.align_template import learn_template
from goodpart.parts.angle import has_one_angle, learn_reference, polar_of
from goodpart.parts.choose_anchor import Anchor, propose_anchors
from goodpart.parts.ellipse import rescaled
from goodpart.parts.masks import shape_mask
from goodpart.parts.outline import OUTLINE_REACH, outline_of
from goodpart.parts.road import resize_matrix
from goodpart.parts.views import Views, centred
from goodpart.parts.warp import inside_share, warp_part
from goodpart.recipe import AlignSection, MaskShape, PartSection, Recipe

# Good images on which alignments are proposed; all that are given confirm the best one.
PROPOSED_ON = 32
# Side of the square in which alignments are compared, and of the one for the outline.
_SIDE = 96
_OUTLINE_SIDE = 192
_LOCATED_SHARE = 0.99
# Disagreement must fall to these shares of that of the simpler alignment.
_OVER_NONE = 0.85
_OVER_SIMPLER = 0.92
_BETTER_SHARE = 0.8
# A template can move the whole picture, a texture too: this much of it must stay inside the good
# images, and they must agree this well.
_SHOWN_SHARE = 0.95
_TEMPLATE_AGREEMENT = 0.6


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
    """An alignment that was run on the good images.

    ``section.radius`` is in image pixels. ``agreement`` and ``matrices`` have one entry for each
    image: 0 and ``None`` where the part was not located.
    """

    section: AlignSection
    arrays: dict[str, NDArray[Any]]
    agreement: NDArray[np.float64]
    matrices: list[NDArray[np.float64] | None]

    @property
    def located(self) -> float:
        return float(np.mean([matrix is not None for matrix in self.matrices]))

    @property
    def mean(self) -> float:
        return float(self.agreement.mean())


def choose_alignment(recipe: Recipe, views: Sequence[Views], *, size: tuple[int, int]) -> Chosen:
    """Choose the alignment that the recipe leaves open, and learn what it needs.

    Parameters
    ----------
    recipe : Recipe
    views : sequence of Views
        Good images, each with one part.
    size : (int, int)
        Height and width of part images without alignment.

    Raises
    ------
    DataError
        The recipe asks for an alignment that the good images do not allow.
    """
    wanted = recipe.align.method
    plain = recipe.part.model_copy(update={"size": size})
    nothing = recipe.align.model_copy(update={"method": "none", "rotation": "none"})
    if wanted == "none":
        return Chosen(_unmoved(nothing, views, size), plain)
    step = -(-len(views) // PROPOSED_ON)
    few = views[::step]
    before = _plain_agreement(few)
    scores = {"none": float(before.mean())}
    proposals: list[_Trial] = []
    for trial in _proposals(recipe.align, few, size):
        method = trial.section.method
        scores[method] = max(scores.get(method, -1.0), trial.mean)
        if wanted == method or _clearly_better(trial.agreement, before, _OVER_NONE):
            proposals.append(trial)
    for trial in _by_merit(proposals):
        confirmed = _with_rotation(trial, recipe.align.rotation, views)
        if confirmed.located >= _LOCATED_SHARE:
            align, part = _framed(recipe, confirmed, views, size)
            return Chosen(align, part, confirmed.arrays, scores)
    if wanted != "auto":
        raise DataError(
            f"align.method={wanted}: it does not locate the part in {_LOCATED_SHARE:.0%} of the "
            "good images; use align.method=none, or remove the images that differ"
        )
    return Chosen(_unmoved(nothing, views, size), plain, {}, scores)


def _clearly_better(after: NDArray[np.float64], before: NDArray[np.float64], share: float) -> bool:
    if 1 - after.mean() > share * (1 - before.mean()):
        return False
    return bool(np.mean(after > before) >= _BETTER_SHARE)


def _by_merit(trials: list[_Trial]) -> list[_Trial]:
    """Best first; of two methods the freer one has to earn its freedom."""
    freedom = {"circle": 0, "ellipse": 1, "template": 2}

    def cost(trial: _Trial) -> float:
        return (1 - trial.mean) * (1 / _OVER_SIMPLER) ** freedom[trial.section.method]

    return sorted(trials, key=cost)


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


def _plain_agreement(views: Sequence[Views]) -> NDArray[np.float64]:
    return edge_agreement(
        [cv2.resize(view.fine, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA) for view in views]
    )


def _agreement(
    views: Sequence[Views], matrices: Sequence[NDArray[np.float64] | None]
) -> NDArray[np.float64]:
    """Agreement of parts cut out by these matrices (from squares of ``_SIDE`` to images)."""
    found = [index for index, matrix in enumerate(matrices) if matrix is not None]
    agreement = np.zeros(len(views))
    if found:
        aligned = [_cut(views[index], matrices[index], _SIDE) for index in found]
        agreement[found] = edge_agreement(aligned)
    return agreement


def _cut(view: Views, matrix: NDArray[np.float64] | None, side: int) -> NDArray[Any]:
    assert matrix is not None
    return warp_part(view.fine, _to_fine(view) @ matrix, (side, side))


def _to_fine(view: Views) -> NDArray[np.float64]:
    factor = view.fine_factor
    shift = (factor - 1) / 2
    return np.array([[factor, 0, shift], [0, factor, shift], [0, 0, 1]])


def _extent(views: Sequence[Views]) -> float:
    """Longer side of the images, in their pixels."""
    return float(np.median([max(view.shape) for view in views]))


def _proposals(
    section: AlignSection, views: Sequence[Views], size: tuple[int, int]
) -> Iterator[_Trial]:
    """Every alignment that fits, run on the good images without any turn."""
    wanted = section.method
    methods = [method for method in ("circle", "ellipse") if wanted in ("auto", method)]
    for circle, anchor in propose_anchors(views, [method == "circle" for method in methods]):
        yield _anchor_trial(section, "circle" if circle else "ellipse", anchor, views)
    if wanted in ("auto", "template"):
        for rotation in ("none", "angle"):
            if section.rotation in ("auto", rotation):
                trial = _template_trial(section, rotation, views, size)
                if trial is not None:
                    yield trial


def _anchor_trial(
    section: AlignSection, method: str, anchor: Anchor, views: Sequence[Views]
) -> _Trial:
    low, middle = float(anchor.matches.min()), float(np.median(anchor.matches))
    complete = section.model_copy(
        update={
            "method": method,
            "rotation": "none",
            "radius": anchor.radius,
            "least_match": round(max(0.3, low - 0.5 * (middle - low) - 0.05), 4),
        }
    )
    radius = anchor.radius * _SIDE / _extent(views)
    matrices = [
        None if frame is None else centred(frame, radius, (_SIDE, _SIDE)) for frame in anchor.frames
    ]
    return _Trial(complete, {"looks": anchor.looks}, _agreement(views, matrices), matrices)


def _template_trial(
    section: AlignSection, rotation: str, views: Sequence[Views], size: tuple[int, int]
) -> _Trial | None:
    """Learned on every other image, so that the rest shows what it is worth."""
    given = section.model_copy(
        update={"method": "template", "rotation": rotation, "least_match": -1.0}
    )
    template = learn_template(views[::2], given, size)
    arrays = {"template": template}
    aligner = create_aligner(given, arrays, (_SIDE, _SIDE))
    assert aligner is not None
    locations = [aligner.locate(view) for view in views]
    matches = np.array([location.match for location in locations if location is not None])
    matrices = [None if location is None else location.matrix for location in locations]
    disc = shape_mask(MaskShape(shape="circle", radius=0.5), (_SIDE, _SIDE))
    shown = [
        inside_share(matrix, (int(view.shape[0]), int(view.shape[1])), disc)
        for view, matrix in zip(views, matrices, strict=True)
        if matrix is not None
    ]
    agreement = _agreement(views, matrices)
    by_chance = np.median(shown) < _SHOWN_SHARE or agreement.mean() < _TEMPLATE_AGREEMENT
    if by_chance and section.method == "auto":
        return None
    low, middle = float(matches.min()), float(np.median(matches))
    least = round(max(0.2, low - 0.5 * (middle - low) - 0.05), 4)
    complete = given.model_copy(update={"least_match": least})
    return _Trial(complete, arrays, agreement, matrices)


def _run(trial: _Trial, views: Sequence[Views]) -> _Trial:
    """Run the alignment itself, as on the line, on all the images."""
    section = trial.section
    if section.radius is not None:
        section = section.model_copy(update={"radius": section.radius * _SIDE / _extent(views)})
    aligner = create_aligner(section, trial.arrays, (_SIDE, _SIDE))
    assert aligner is not None
    locations = [aligner.locate(view) for view in views]
    matrices = [None if location is None else location.matrix for location in locations]
    return replace(trial, agreement=_agreement(views, matrices), matrices=matrices)


def _with_rotation(trial: _Trial, wanted: str, views: Sequence[Views]) -> _Trial:
    """The trial run on all images, with a common angle where that is wanted or clearly better."""
    plain = _run(trial, views)
    if trial.section.method == "template" or wanted == "none":
        return plain
    polars = []
    for view, matrix in zip(views, plain.matrices, strict=True):
        if matrix is not None:
            # The middle of the square, out to its sides.
            half = (_SIDE - 1) / 2
            frame = matrix[:2] @ np.array([[half, 0, half], [0, half, half], [0, 0, 1]])
            polars.append(polar_of(view.fine, rescaled(frame, view.fine_factor), 1.0))
    if not polars:
        return plain
    if wanted == "auto" and not has_one_angle(polars):
        return plain
    section = trial.section.model_copy(update={"rotation": "angle"})
    arrays = {**trial.arrays, "angle": learn_reference(polars)}
    turned = _run(replace(trial, section=section, arrays=arrays), views)
    if wanted == "angle" or _clearly_better(turned.agreement, plain.agreement, _OVER_NONE):
        return turned
    return plain


def _framed(
    recipe: Recipe, trial: _Trial, views: Sequence[Views], size: tuple[int, int]
) -> tuple[AlignSection, PartSection]:
    """The size of the part image and the anchor's radius in it.

    With an outline, the part and its margin fill the image; without, and where a template found
    the part, the scale stays that of the good images.
    """
    section = trial.section
    if section.method == "template":
        section = _outlined(section, trial.matrices, views, size)
        return section, recipe.part.model_copy(update={"size": size})
    assert section.radius is not None
    anchor, margin = section.radius, 1 + recipe.mask.margin
    outline = _outline(trial.matrices, views)
    if recipe.part.size == "auto" and outline is not None:
        side = min(recipe.part.max_side, 2 * outline * margin)
        square = max(32, round(side / 16) * 16)
        size = (square, square)
    fits = None if outline is None else min(size) / 2 / (outline * margin)
    scale = fits or max(size) / _extent(views)
    align = section.model_copy(
        update={
            "radius": round(anchor * scale, 3),
            "outline": None if outline is None else round(outline * scale, 3),
        }
    )
    return align, recipe.part.model_copy(update={"size": size})


def _unmoved(section: AlignSection, views: Sequence[Views], size: tuple[int, int]) -> AlignSection:
    """No alignment, with the outline of round parts that lie in the middle as they come."""
    if any(abs(view.shape[0] / view.shape[1] - 1) > 0.02 for view in views):
        return section
    shapes = [(round(view.shape[0]), round(view.shape[1])) for view in views]
    matrices = [resize_matrix(shape, (_SIDE, _SIDE)) for shape in shapes]
    return _outlined(section, matrices, views, size)


def _outlined(
    section: AlignSection,
    matrices: Sequence[NDArray[np.float64] | None],
    views: Sequence[Views],
    size: tuple[int, int],
) -> AlignSection:
    """With the outline in the part image, of parts that nothing else tells to be round."""
    found = _outline(matrices, views, strictly_round=True)
    if found is None:
        return section
    return section.model_copy(update={"outline": round(found * max(size) / _extent(views), 3)})


def _outline(
    matrices: Sequence[NDArray[np.float64] | None],
    views: Sequence[Views],
    *,
    strictly_round: bool = False,
) -> float | None:
    """Radius of the outline in image pixels, at the scale of squares that are cut out by these
    matrices."""
    scale = OUTLINE_REACH * _SIDE / _OUTLINE_SIDE
    zoom = np.array([[scale, 0, 0], [0, scale, 0], [0, 0, 1]])
    shift = (_SIDE - 1) / 2 - scale * (_OUTLINE_SIDE - 1) / 2
    zoom[:2, 2] = shift
    pairs = []
    for view, matrix in zip(views, matrices, strict=True):
        if matrix is not None:
            wider = matrix @ zoom
            image = _cut(view, wider, _OUTLINE_SIDE)
            shown = cv2.warpAffine(
                np.ones(view.fine.shape, np.uint8),
                (_to_fine(view) @ wider)[:2],
                (_OUTLINE_SIDE, _OUTLINE_SIDE),
                flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP,
            )
            pairs.append((image, shown > 0))
    found = outline_of(pairs, strictly_round=strictly_round)
    return None if found is None else found * scale * _extent(views) / _SIDE
