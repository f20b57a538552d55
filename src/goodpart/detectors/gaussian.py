"""``gaussian``: how unlikely each cell's features are under the good parts' at that place.

A backbone's features, and PaDiM's Gaussian for every cell (:mod:`.cell_gaussians`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from goodpart.detectors.base import Detector, HeldOut, PartPixels, State
from goodpart.detectors.cell_gaussians import CellGaussians
from goodpart.detectors.features import (
    CellFeatures,
    FeatureStore,
    cell_mask,
    load_backbone,
    restored_backbone,
    saved_backbone,
)
from goodpart.detectors.score_graph import ScoreGraph
from goodpart.detectors.tone import Tone, choose_tone
from goodpart.detectors.turns import lie_any_way, turned
from goodpart.errors import ModelError, TrainingError
from goodpart.progress import Progress


class Gaussian(Detector):
    """A Gaussian for every place of the part.

    Parameters
    ----------
    backbone : str
        ``"goodpart"``, or what :func:`goodpart.detectors.backbones.load_backbone` takes.
    resolution : int
        Longer side of the network's input in pixels.
    tone : "auto", "linear" or "log"
        The curve through which the network sees images; ``"auto"`` takes ``"log"`` where the
        light on the good images varies, see :func:`goodpart.detectors.tone.choose_tone`.
    shading : bool
        Also the brightness of each cell's surroundings.
    turns : "auto" or bool
        Also learn from quarter turns; ``"auto"``: where good parts lie in any orientation.
    smoothing : int
        Features are averaged over this many cells squared.
    map_smoothing : float
        Sigma in cells of the Gaussian blur of the score map.
    ridge : float
        Least shrinkage of the covariances, 0..1.
    """

    name = "gaussian"
    summary = "a Gaussian per place on the backbone's features"
    paper = "Defard et al., PaDiM (2021), https://arxiv.org/abs/2011.08785"

    def __init__(
        self,
        *,
        backbone: str = "goodpart",
        resolution: int = 384,
        tone: Literal["auto", "linear", "log"] = "auto",
        shading: bool = True,
        turns: Literal["auto"] | bool = "auto",
        smoothing: int = 3,
        map_smoothing: float = 0.8,
        ridge: float = 0.01,
    ) -> None:
        self.backbone = backbone
        self.resolution = resolution
        self.tone = tone
        self.shading = shading
        self.turns = turns
        self.smoothing = smoothing
        self.map_smoothing = map_smoothing
        self.ridge = ridge

    def fit(
        self,
        images: Sequence[PartPixels],
        *,
        groups: Sequence[str] | None = None,
        mask: NDArray[np.bool_] | None = None,
        seed: int = 0,
        workdir: Path | None = None,
        progress: Progress | None = None,
    ) -> Self:
        """See :meth:`Detector.fit`.

        Raises
        ------
        TrainingError
            Fewer than two images, or all of one source.
        """
        sources = list(groups) if groups is not None else [str(i) for i in range(len(images))]
        if len(set(sources)) < 2:
            raise TrainingError(f"{self.name} needs good images from at least two sources")
        backbone = load_backbone(self.backbone)
        self.tone_: Tone = choose_tone(images, mask) if self.tone == "auto" else self.tone
        size = (images[0].shape[0], images[0].shape[1])
        self._prepare(backbone, size, mask)
        self.turns_ = lie_any_way(images, mask) if self.turns == "auto" else self.turns
        if self.turns_ and size[0] != size[1]:
            raise TrainingError(
                f"{self.name}: turns=true needs square part images, not {size[0]}x{size[1]} pixels"
            )
        self.held_out_ = self._learn_from(images, sources, seed, progress)
        return self

    def extend(
        self,
        images: Sequence[PartPixels],
        *,
        groups: Sequence[str] | None = None,
        progress: Progress | None = None,
    ) -> Self:
        """See :meth:`Detector.extend` and :meth:`CellGaussians.extend`."""
        self._check_fitted("gaussians_")
        sources = list(groups) if groups is not None else [str(i) for i in range(len(images))]
        self.held_out_ = self._learn_from(images, sources, 0, progress)
        return self

    def raw_maps(self, images: Sequence[PartPixels]) -> list[NDArray[np.float32]]:
        """See :meth:`Detector.raw_maps`; in deviations from held-out good parts."""
        self._check_fitted("gaussians_")
        return [self.gaussians_.score_map(self.cells_(image)) for image in images]

    def export(self, graph: ScoreGraph) -> str:
        """See :meth:`Detector.export`."""
        self._check_fitted("gaussians_")
        return self.gaussians_.export(graph, self.cells_.export(graph))

    def state(self) -> State:
        """See :meth:`Detector.state`."""
        self._check_fitted("gaussians_")
        values = {
            "backbone": self.cells_.backbone.name,
            "size": list(self.size_),
            "tone": self.tone_,
            "turns": self.turns_,
            "images": self.gaussians_.moments.count,
        }
        return State(self.gaussians_.arrays(), saved_backbone(self.cells_.backbone), values)

    def restore(self, state: State) -> Self:
        """See :meth:`Detector.restore`."""
        try:
            height, width = state.values["size"]
            self.tone_, self.turns_ = state.values["tone"], bool(state.values["turns"])
            backbone = restored_backbone(state, state.values["backbone"])
            self._prepare(backbone, (height, width), None)
            self.gaussians_.restore(state.arrays, int(state.values["images"]))
        except KeyError as error:
            raise ModelError(f"the {self.name} model has no {error}") from None
        if self.gaussians_.mean.shape != (*self.cells_.grid, self.cells_.channels):
            raise ModelError(f"the {self.name} model and its backbone do not belong together")
        return self

    def _learn_from(
        self,
        images: Sequence[PartPixels],
        sources: Sequence[str],
        seed: int,
        progress: Progress | None,
    ) -> list[HeldOut]:
        with FeatureStore(self.cells_, turned(images, self.turns_), progress) as store:
            return self._learn(store, sources, seed, progress)

    def _learn(
        self,
        store: FeatureStore,
        sources: Sequence[str],
        seed: int,
        progress: Progress | None,
    ) -> list[HeldOut]:
        """Learn from the features of images and their turns; held-out maps of the images."""
        return self.gaussians_.learn(store, sources, turns=self.turns_, progress=progress)

    def _prepare(
        self, backbone: Any, size: tuple[int, int], mask: NDArray[np.bool_] | None
    ) -> None:
        self.size_ = size
        self.cells_ = CellFeatures(
            backbone,
            size,
            resolution=self.resolution,
            smoothing=self.smoothing,
            engine=self.engine,
            tone=self.tone_,
            shading=self.shading,
        )
        grid = self.cells_.grid
        self.gaussians_ = CellGaussians(
            grid,
            self.cells_.channels,
            cell_mask(mask, grid),
            ridge=self.ridge,
            smoothing=self.map_smoothing,
        )
