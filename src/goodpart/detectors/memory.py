"""``memory``: how far each cell's features are from the nearest that a good part has shown.

After Roth, Pemula, Zepeda, Schölkopf, Brox and Gehler, *Towards total recall in industrial
anomaly detection* (PatchCore, 2022): a coreset of the good parts' features and the distance to
the nearest. Three things are different:

- The coreset is chosen from a pool of bounded size, so that neither time nor memory grows with
  the number of images.
- The place of a cell counts as two further features: on aligned parts a scratch is not excused
  by an edge that looks like it elsewhere. ``place`` says how much, 0 for not at all.
- Held-out distances need no second fit: every feature in the memory knows its source, and an
  image is compared with those of other sources.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from goodpart.detectors.backbones import Backbone
from goodpart.detectors.base import Detector, PartPixels, State
from goodpart.detectors.coreset import Bank, greedy_coreset
from goodpart.detectors.deviation import (
    Moments,
    by_size,
    deviations,
    export_deviations,
    held_out_maps,
    in_deviations,
)
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
from goodpart.errors import ModelError, TrainingError
from goodpart.progress import Progress, silent, track


class Memory(Detector):
    """Distance to the nearest good feature in a coreset.

    Parameters
    ----------
    backbone : str
        ``"goodpart"``, or what :func:`goodpart.detectors.backbones.load_backbone` takes.
    resolution : int
        Longer side of the network's input in pixels.
    tone : "auto", "linear" or "log"
        The curve through which the network sees images; ``"auto"`` takes ``"log"`` where the
        light on the good images varies, see :func:`goodpart.detectors.tone.choose_tone`.
    size : int
        Most features in the memory.
    pool : int
        Most features that the memory is chosen from.
    place : float
        How much the place counts: the distance, in typical deviations of one feature, between
        opposite sides of the part.
    smoothing : int
        Features are averaged over this many cells squared.
    map_smoothing : float
        Sigma in cells of the Gaussian blur of the score map.
    """

    bank_: Bank

    name = "memory"
    summary = "distance to the nearest good feature in a coreset"
    paper = "Roth et al., PatchCore (2022), https://arxiv.org/abs/2106.08265"

    def __init__(
        self,
        *,
        backbone: str = "goodpart",
        resolution: int = 384,
        tone: Literal["auto", "linear", "log"] = "auto",
        size: int = 3000,
        pool: int = 60_000,
        place: float = 20.0,
        smoothing: int = 3,
        map_smoothing: float = 0.8,
    ) -> None:
        self.backbone = backbone
        self.resolution = resolution
        self.tone = tone
        self.size = size
        self.pool = pool
        self.place = place
        self.smoothing = smoothing
        self.map_smoothing = map_smoothing

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
            All images are of one source.
        """
        listener = progress or silent
        sources = list(groups) if groups is not None else [str(i) for i in range(len(images))]
        members = by_size(sources)
        owner = np.unique(sources, return_inverse=True)[1]
        if owner.max() < 1:
            raise TrainingError(f"{self.name} needs good images from at least two sources")
        backbone = load_backbone(self.backbone)
        self.tone_: Tone = choose_tone(images, mask) if self.tone == "auto" else self.tone
        shape = (images[0].shape[0], images[0].shape[1])
        self._prepare(backbone, shape, cell_mask(mask, self._cells_for(backbone, shape).grid))
        with FeatureStore(self.cells_, images, progress) as store:
            distances = self._fit_bank(store, owner, np.random.default_rng(seed), listener)
        self._learned(distances, members, Moments.of(distances))
        return self

    def extend(
        self,
        images: Sequence[PartPixels],
        *,
        groups: Sequence[str] | None = None,
        progress: Progress | None = None,
    ) -> Self:
        """See :meth:`Detector.extend`.

        The memory is chosen again from itself and the new features, within its bound. Held-out
        distances are those to the memory before.
        """
        self._check_fitted("bank_")
        sources = list(groups) if groups is not None else [str(i) for i in range(len(images))]
        rng = np.random.default_rng(0)
        with FeatureStore(self.cells_, images, progress) as store:
            found = [self._with_place(store.image(index)) for index in range(len(images))]
        distances = np.stack([self.bank_.distance(features) for features in found])
        cells = np.flatnonzero(
            np.ones(distances.shape[1:], bool) if self.mask_ is None else self.mask_
        )
        each = max(1, min(len(cells), self.pool // len(images)))
        new = [f.reshape(-1, f.shape[2])[rng.choice(cells, each, replace=False)] for f in found]
        features = np.concatenate([self.bank_.features.astype(np.float32), *new])
        self.bank_ = Bank(features[greedy_coreset(features, self.size, rng, progress or silent)])
        self._learned(distances, by_size(sources), self.moments_.plus(Moments.of(distances)))
        return self

    def raw_maps(self, images: Sequence[PartPixels]) -> list[NDArray[np.float32]]:
        """See :meth:`Detector.raw_maps`; in deviations from held-out good parts."""
        self._check_fitted("bank_")
        maps = []
        for image in images:
            distance = self.bank_.distance(self._with_place(self.cells_(image)))
            maps.append(
                in_deviations(distance, self.center_, self.spread_, self.mask_, self.map_smoothing)
            )
        return maps

    def export(self, graph: ScoreGraph) -> str:
        """See :meth:`Detector.export`."""
        self._check_fitted("bank_")
        rows, columns = self.cells_.grid
        channels = self.cells_.channels
        cells = graph.transpose(self.cells_.export(graph), (0, 2, 3, 1))
        scaled = graph.multiply(graph.reshape(cells, (rows * columns, channels)), self.scale_)
        place = self._with_place(np.zeros((rows, columns, channels), np.float32))[:, :, channels:]
        full = graph.node("Concat", [scaled, graph.constant(place.reshape(-1, 2))], axis=1)
        distance = graph.reshape(self.bank_.export(graph, full), (rows, columns))
        return export_deviations(
            graph, distance, self.center_, self.spread_, self.mask_, self.map_smoothing
        )

    def state(self) -> State:
        """See :meth:`Detector.state`."""
        self._check_fitted("bank_")
        arrays: dict[str, NDArray[Any]] = {
            "bank": self.bank_.features,
            "scale": self.scale_,
            "distance_mean": self.moments_.mean,
            "distance_deviation": self.moments_.deviation,
        }
        if self.mask_ is not None:
            arrays["mask"] = self.mask_
        values = {
            "backbone": self.cells_.backbone.name,
            "size": list(self.size_),
            "tone": self.tone_,
            "images": self.moments_.count,
        }
        return State(arrays, saved_backbone(self.cells_.backbone), values)

    def restore(self, state: State) -> Self:
        """See :meth:`Detector.restore`."""
        try:
            height, width = state.values["size"]
            self.tone_ = state.values["tone"]
            backbone = restored_backbone(state, state.values["backbone"])
            self._prepare(backbone, (height, width), state.arrays.get("mask"))
            self.scale_ = state.arrays["scale"]
            self.bank_ = Bank(state.arrays["bank"])
            found = (state.arrays["distance_mean"], state.arrays["distance_deviation"])
            self._take(Moments(int(state.values["images"]), *found))
        except KeyError as error:
            raise ModelError(f"the memory model has no {error}") from None
        if self.bank_.features.shape[1] != self.cells_.channels + 2:
            raise ModelError("the memory model and its backbone do not belong together")
        return self

    def _learned(
        self, distances: NDArray[np.float32], members: list[NDArray[np.intp]], moments: Moments
    ) -> None:
        self._take(moments)
        self.held_out_ = held_out_maps(distances, members, moments, self.mask_, self.map_smoothing)

    def _take(self, moments: Moments) -> None:
        self.moments_ = moments
        self.center_, self.spread_ = deviations(moments, self.mask_)

    def _cells_for(self, backbone: Backbone, size: tuple[int, int]) -> CellFeatures:
        return CellFeatures(
            backbone,
            size,
            resolution=self.resolution,
            smoothing=self.smoothing,
            engine=self.engine,
            tone=self.tone_,
        )

    def _prepare(
        self, backbone: Backbone, size: tuple[int, int], mask: NDArray[np.bool_] | None
    ) -> None:
        self.size_ = size
        self.cells_ = self._cells_for(backbone, size)
        self.mask_ = mask

    def _fit_bank(
        self,
        store: FeatureStore,
        owner: NDArray[np.intp],
        rng: np.random.Generator,
        progress: Progress,
    ) -> NDArray[np.float32]:
        """Choose the memory; return held-out distances (N, rows, columns)."""
        images, rows, columns, _ = store.values.shape
        counts = np.ones((rows, columns), bool) if self.mask_ is None else self.mask_
        cells = np.flatnonzero(counts)
        each = max(1, min(len(cells), self.pool // images))
        self.scale_ = self._scales(store, cells, rng)
        pool, owners = [], []
        for index in range(images):
            chosen = rng.choice(cells, each, replace=False)
            values = self._with_place(store.image(index)).reshape(rows * columns, -1)
            pool.append(values[chosen])
            owners.append(np.full(each, owner[index]))
        features, belongs = np.concatenate(pool), np.concatenate(owners)
        chosen = greedy_coreset(features, self.size, rng, progress)
        self.bank_ = Bank(features[chosen])
        belongs = belongs[chosen]
        distances = np.zeros((images, rows, columns), np.float32)
        for index in track(range(images), "calibrating", images, progress):
            others = belongs != owner[index]
            found = self._with_place(store.image(index))
            distances[index] = self.bank_.distance(found, others)
        return distances

    def _scales(
        self, store: FeatureStore, cells: NDArray[np.intp], rng: np.random.Generator
    ) -> NDArray[np.float32]:
        """One over the deviation of every channel, from a few images."""
        some = rng.choice(len(store.values), min(16, len(store.values)), replace=False)
        values = [store.image(i).reshape(-1, self.cells_.channels)[cells] for i in some]
        spread = np.concatenate(values).std(axis=0)
        return (1 / np.maximum(spread, 1e-3 * max(float(spread.max()), 1e-6))).astype(np.float32)

    def _with_place(self, cells: NDArray[np.float32]) -> NDArray[np.float32]:
        """Features in units of their deviation, and the place as two further ones."""
        rows, columns, channels = cells.shape
        full = np.empty((rows, columns, channels + 2), np.float32)
        np.multiply(cells, self.scale_, out=full[:, :, :channels])
        side = max(rows, columns)
        full[:, :, channels] = (np.arange(rows) * (self.place / side))[:, None]
        full[:, :, channels + 1] = np.arange(columns) * (self.place / side)
        return full
