"""Which ring serves as the anchor: found on the good images, not typed in.

Every good image offers ellipses. Starting from those of a few images, the one that looks most
alike in every other image is gathered; rings that are found in nearly all images and look alike
are proposed as anchors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from goodpart.parts.align_round import fit_anchor, look_of
from goodpart.parts.ellipse import Candidate, Frame, find_ellipses, frame_radius
from goodpart.parts.views import Views

_SEEDS = 10
_ROUNDS = 3
_LOOKS = 4
# An ellipse that looks less like the others than this is not taken for the same ring.
_SAME_RING = 0.35
_FOUND_SHARE = 0.95
_MOST_ANCHORS = 8
# Rings that share more than this of their ellipses are one.
_ONE_RING = 0.8


@dataclass(frozen=True)
class Anchor:
    """A ring that good images have in common.

    Parameters
    ----------
    frames : list of ndarray (2, 3) or None
        The ring in each image, unit circle to source pixels; ``None`` where it was not found.
    looks : ndarray of float32, (k, n)
        What it and its surroundings look like.
    matches : ndarray of float64
        How well each found ring matches the looks learned from the other images.
    radius : float
        Median radius in source pixels.
    """

    frames: list[Frame | None]
    looks: NDArray[np.float32]
    matches: NDArray[np.float64]
    radius: float


def propose_anchors(
    views: Sequence[Views], circles: Sequence[bool] = (False,)
) -> list[tuple[bool, Anchor]]:
    """Rings that nearly all images show, most alike first.

    Parameters
    ----------
    views : sequence of Views
        Of good images.
    circles : sequence of bool
        Whether to fit circles or ellipses; both may be asked for.

    Returns
    -------
    list of (circle, Anchor)
    """
    candidates = [find_ellipses(view.coarse) for view in views]
    looks = [
        np.stack([look_of(view.coarse, c.frame) for c in found]) if found else None
        for view, found in zip(views, candidates, strict=True)
    ]
    seeds = np.unique(np.linspace(0, len(views) - 1, min(_SEEDS, len(views))).round().astype(int))
    rings: dict[tuple[int, ...], float] = {}
    for seed in seeds:
        found = looks[seed]
        for look in found if found is not None else []:
            members, match = _gather(look, looks)
            rings[members] = match
    anchors: list[tuple[bool, Anchor]] = []
    taken: list[tuple[int, ...]] = []
    for members, _ in sorted(rings.items(), key=lambda pair: -pair[1]):
        if len(taken) == _MOST_ANCHORS:
            break
        if any(_shared(members, other) > _ONE_RING for other in taken):
            continue
        fitted = [(circle, _fit(members, views, candidates, looks, circle)) for circle in circles]
        kept = [(circle, anchor) for circle, anchor in fitted if anchor is not None]
        if kept:
            taken.append(members)
            anchors += kept
    return anchors


def _gather(
    look: NDArray[np.float32], looks: Sequence[NDArray[np.float32] | None]
) -> tuple[tuple[int, ...], float]:
    """The ellipse of each image (-1: none) that looks most alike, and the mean likeness."""
    models = look[None, :]
    members: tuple[int, ...] = ()
    for _ in range(_ROUNDS):
        best = [(-1, 0.0) if found is None else _best(found, models) for found in looks]
        chosen = tuple(index if match >= _SAME_RING else -1 for index, match in best)
        likeness = sum(match for index, match in best if match >= _SAME_RING) / len(looks)
        if chosen == members:
            break
        members = chosen
        own = [
            found[i] for found, i in zip(looks, chosen, strict=True) if found is not None and i >= 0
        ]
        if not own:
            break
        models = cluster_looks(np.stack(own), _LOOKS)
    return members, likeness


def _best(found: NDArray[np.float32], models: NDArray[np.float32]) -> tuple[int, float]:
    matches = (found @ models.T).max(axis=1)
    index = int(matches.argmax())
    return index, float(matches[index])


def _shared(first: tuple[int, ...], second: tuple[int, ...]) -> float:
    same = sum(a == b and a >= 0 for a, b in zip(first, second, strict=True))
    return same / max(1, sum(a >= 0 for a in first))


def cluster_looks(looks: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """A few mean looks that together stand for all: spherical k-means (Dhillon and Modha, 2001)
    from farthest-first seeds.

    Parameters
    ----------
    looks : ndarray of float32, (m, n), unit rows
    count : int
        At most so many; a cluster smaller than an eighth of the looks is dropped.
    """
    mean = looks.mean(axis=0)
    centres = [looks[int((looks @ mean).argmax())]]
    while len(centres) < min(count, len(looks)):
        nearest = (looks @ np.stack(centres).T).max(axis=1)
        if nearest.min() > 0.98:
            break
        centres.append(looks[int(nearest.argmin())])
    models = np.stack(centres)
    owner = np.zeros(len(looks), dtype=int)
    for _ in range(8):
        owner = (looks @ models.T).argmax(axis=1)
        for index in range(len(models)):
            if (owner == index).any():
                mean = looks[owner == index].mean(axis=0)
                models[index] = mean / (np.linalg.norm(mean) + 1e-6)
    sizes = np.bincount(owner, minlength=len(models))
    kept = sizes >= max(1, len(looks) / 8)
    return models[kept] if kept.any() else models[:1]


def _fit(
    members: tuple[int, ...],
    views: Sequence[Views],
    candidates: Sequence[list[Candidate]],
    looks: Sequence[NDArray[np.float32] | None],
    circle: bool,
) -> Anchor | None:
    """Fit the ring in every image; None where it is not found in nearly all."""
    if sum(index >= 0 for index in members) < _FOUND_SHARE * len(members):
        return None
    frames: list[Frame | None] = []
    own: list[NDArray[np.float32]] = []
    for view, found, look, index in zip(views, candidates, looks, members, strict=True):
        fitted = fit_anchor(view, found[index], circle=circle) if index >= 0 else None
        frames.append(None if fitted is None else fitted[0])
        if fitted is not None and look is not None:
            own.append(look[index])
    fitted_frames = [frame for frame in frames if frame is not None]
    if len(fitted_frames) < _FOUND_SHARE * len(members):
        return None
    stacked = np.stack(own)
    return Anchor(
        frames=frames,
        looks=cluster_looks(stacked, _LOOKS),
        matches=_left_out_matches(stacked),
        radius=float(np.median([frame_radius(frame) for frame in fitted_frames])),
    )


def _left_out_matches(looks: NDArray[np.float32], count: int = 5) -> NDArray[np.float64]:
    """Match of each look with looks learned from the others, in folds."""
    matches = np.ones(len(looks))
    fold = np.arange(len(looks)) % min(count, len(looks))
    for index in range(fold.max() + 1):
        if (fold != index).any():
            models = cluster_looks(looks[fold != index], _LOOKS)
            matches[fold == index] = (looks[fold == index] @ models.T).max(axis=1)
    return matches
