"""``ensemble``: a Gaussian for every place, and a memory of what good parts show rarely.

A weighted sum of two score maps, both in deviations from held-out good parts: PaDiM's Gaussians
(:mod:`.gaussian`) and a PatchCore memory without places (:mod:`.rare_cells`). The first tells
better where parts are aligned, the second where they are not or are of several kinds. They share
the features, which is where the time goes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from goodpart.detectors.base import HeldOut, PartPixels, State
from goodpart.detectors.features import FeatureStore
from goodpart.detectors.gaussian import Gaussian
from goodpart.detectors.rare_cells import RareCells
from goodpart.detectors.score_graph import ScoreGraph
from goodpart.detectors.turns import TURNS
from goodpart.errors import ModelError
from goodpart.progress import Progress


class Ensemble(Gaussian):
    """Gaussians and a memory of rare good cells, added.

    Parameters
    ----------
    size : int
        Most features in the memory.
    weight : float
        How much the memory counts, where the Gaussians count 1.
    **others
        As for :class:`goodpart.detectors.gaussian.Gaussian`.
    """

    name = "ensemble"
    summary = "a Gaussian per place and a memory of what good parts show rarely"
    paper = (
        "Defard et al., PaDiM (2021), https://arxiv.org/abs/2011.08785; "
        "Roth et al., PatchCore (2022), https://arxiv.org/abs/2106.08265"
    )

    def __init__(
        self,
        *,
        backbone: str = "goodpart",
        resolution: int = 384,
        tone: Literal["auto", "linear", "log"] = "auto",
        shading: bool = True,
        turns: Literal["auto"] | bool = "auto",
        size: int = 1500,
        weight: float = 0.5,
        smoothing: int = 3,
        map_smoothing: float = 0.8,
        ridge: float = 0.01,
    ) -> None:
        super().__init__(
            backbone=backbone,
            resolution=resolution,
            tone=tone,
            shading=shading,
            turns=turns,
            smoothing=smoothing,
            map_smoothing=map_smoothing,
            ridge=ridge,
        )
        self.size = size
        self.weight = weight

    def raw_maps(self, images: Sequence[PartPixels]) -> list[NDArray[np.float32]]:
        """See :meth:`Detector.raw_maps`; both in their deviations, added."""
        self._check_fitted("gaussians_")
        maps = []
        for image in images:
            cells = self.cells_(image)
            maps.append(self._sum(self.gaussians_.score_map(cells), self.rare_.score_map(cells)))
        return maps

    def export(self, graph: ScoreGraph) -> str:
        """See :meth:`Detector.export`."""
        self._check_fitted("gaussians_")
        cells = self.cells_.export(graph)
        rare = graph.multiply(self.rare_.export(graph, cells), self.weight)
        return graph.node("Add", [self.gaussians_.export(graph, cells), rare])

    def state(self) -> State:
        """See :meth:`Detector.state`."""
        state = super().state()
        values = {**state.values, "remembered": self.rare_.moments.count}
        return State({**state.arrays, **self.rare_.arrays()}, state.files, values)

    def restore(self, state: State) -> Self:
        """See :meth:`Detector.restore`."""
        super().restore(state)
        try:
            self.rare_ = self._rare().restore(state.arrays, int(state.values["remembered"]))
        except KeyError as error:
            raise ModelError(f"the {self.name} model has no {error}") from None
        if len(self.rare_.axes) != self.cells_.channels:
            raise ModelError(f"the {self.name} model and its backbone do not belong together")
        return self

    def _learn(
        self,
        store: FeatureStore,
        sources: Sequence[str],
        seed: int,
        progress: Progress | None,
    ) -> list[HeldOut]:
        first = super()._learn(store, sources, seed, progress)
        if not hasattr(self, "rare_"):
            self.rare_ = self._rare()
        second = self.rare_.learn(
            store,
            first,
            sources,
            step=TURNS if self.turns_ else 1,
            rng=np.random.default_rng(seed),
            progress=progress,
        )
        return [
            HeldOut(one.index, self._sum(one.raw_map, other.raw_map))
            for one, other in zip(first, second, strict=True)
        ]

    def _sum(self, gaussian: NDArray[np.float32], rare: NDArray[np.float32]) -> NDArray[np.float32]:
        return gaussian + np.float32(self.weight) * rare

    def _rare(self) -> RareCells:
        counted: Any = sum(output.channels for output in self.cells_.backbone.outputs)
        return RareCells(
            self.cells_.grid,
            counted,
            self.gaussians_.mask,
            size=self.size,
            smoothing=self.map_smoothing,
        )
