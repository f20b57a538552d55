"""The quality gate: which drawn images may train a detector.

Three questions to each: does a detector that learned from the real good images take it for a good
part; is it near enough to a real image; is it no copy of one, neither in the backbone's features
nor, since those tell a blurred copy well from its original, in its coarse pixels? Scales come
from the real images themselves: scores and distances that each of them has when it is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from goodpart.detectors import Detector, create_detector
from goodpart.detectors.base import PartPixels
from goodpart.errors import TrainingError
from goodpart.generators.config import GateSettings
from goodpart.generators.measures import Describer, Standard, distances
from goodpart.parts.views import grey_of
from goodpart.progress import Progress

KEPT = "kept"
ANOMALOUS = "anomalous"
FAR = "too far"
COPY = "a copy"
COARSE = 32  # side in pixels


@dataclass(frozen=True)
class Judgement:
    """What the gate says of one drawn image.

    Parameters
    ----------
    verdict : str
        ``"kept"``, ``"anomalous"`` (the detector), ``"too far"`` or ``"a copy"``.
    score : float
        Of the detector, as a multiple of the limit.
    distance : float
        To the nearest real image, as a multiple of the median distance of a real image to its
        nearest other.
    nearest : int
        Index of that real image.
    vector : ndarray of float32, (D,)
        Standardised description.
    """

    verdict: str
    score: float
    distance: float
    nearest: int
    vector: NDArray[np.float32]

    @property
    def kept(self) -> bool:
        """Whether it may train a detector."""
        return self.verdict == KEPT


class Gate:
    """Learns from real images what a drawn one must be like.

    Parameters
    ----------
    settings : GateSettings

    Raises
    ------
    RecipeError
        There is no such detector, or it has no such settings.
    """

    def __init__(self, settings: GateSettings) -> None:
        self.settings = settings
        create_detector(settings.detector, settings.detector_settings)

    def fit(
        self,
        real: Sequence[PartPixels],
        sources: Sequence[str],
        *,
        mask: NDArray[np.bool_] | None = None,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> Gate:
        """Learn scales from real images, (H, W) or (H, W, 3) uint8, all of the drawn size.

        ``mask`` is true where pixels count.

        Raises
        ------
        TrainingError
            The detector gives no held-out scores.
        """
        size = (real[0].shape[0], real[0].shape[1])
        given: dict[str, Any] = dict(self.settings.detector_settings)
        if self.settings.detector == "gaussian":
            given.setdefault("resolution", min(384, max(128, *size)))
        self.detector_: Detector = create_detector(self.settings.detector, given)
        self.detector_.fit(real, groups=list(sources), mask=mask, seed=seed, progress=progress)
        self.mask_ = mask
        scores = [self.detector_.score(held.raw_map, mask) for held in self.detector_.held_out_]
        if not scores or not np.isfinite(scores).all() or max(scores) <= 0:
            raise TrainingError(
                f"gate: the detector {self.settings.detector} gives no usable scores on the real "
                "images; set another with gate.detector"
            )
        self.limit_ = max(scores) * self.settings.tolerance
        self._describe = Describer(size)
        vectors = self._describe(real, progress)
        self.standard_ = Standard.of(vectors)
        self.real_ = self.standard_(vectors)
        own = distances(self.real_, self.real_)
        self.coarse_ = _coarse(real, mask)
        coarse = distances(self.coarse_, self.coarse_)
        # Copies of one source are no measure of how far apart good parts are.
        names = np.asarray(sources)
        same = names[:, None] == names[None]
        own[same] = np.inf
        coarse[same] = np.inf
        nearest = own.min(axis=1)
        if not np.isfinite(nearest).all():
            raise TrainingError("gate: the real images come from a single source")
        self.scale_ = max(float(np.median(nearest)), 1e-9)
        self.farthest_ = float(nearest.max()) / self.scale_ * self.settings.farthest
        self.nearest_ = float(nearest.min()) / self.scale_ * self.settings.copy_share
        self.coarse_nearest_ = float(coarse.min()) * self.settings.copy_share
        return self

    def judge(self, images: Sequence[PartPixels]) -> list[Judgement]:
        """Judge drawn images of the same size as the real ones."""
        vectors = self.standard_(self._describe(images))
        found = distances(vectors, self.real_) / self.scale_
        coarse = distances(_coarse(images, self.mask_), self.coarse_).min(axis=1)
        maps = self.detector_.raw_maps(images)
        judged = []
        for raw_map, row, vector, apart in zip(maps, found, vectors, coarse, strict=True):
            score = self.detector_.score(raw_map, self.mask_) / self.limit_
            nearest = int(row.argmin())
            verdict = self._verdict(score, float(row[nearest]), float(apart))
            judged.append(Judgement(verdict, score, float(row[nearest]), nearest, vector))
        return judged

    def _verdict(self, score: float, distance: float, coarse: float) -> str:
        if distance < self.nearest_ or coarse < self.coarse_nearest_:
            return COPY
        if not score <= 1:  # a score that is no number is no good one
            return ANOMALOUS
        return FAR if distance > self.farthest_ else KEPT


def _coarse(images: Sequence[PartPixels], mask: NDArray[np.bool_] | None) -> NDArray[np.float32]:
    """Vectors (N, 1024) of grey images of 32 × 32 without their mean, whatever the light."""
    size = (COARSE, COARSE)
    small = [cv2.resize(grey_of(i), size, interpolation=cv2.INTER_AREA) for i in images]
    rows = np.stack(small).reshape(len(small), -1).astype(np.float32)
    if mask is None:
        return np.asarray(rows - rows.mean(axis=1, keepdims=True))
    counts = cv2.resize(mask.astype(np.uint8) * 255, size, interpolation=cv2.INTER_AREA) == 255
    inside = counts.ravel()
    rows -= rows[:, inside].mean(axis=1, keepdims=True)
    return np.asarray(rows * inside)
