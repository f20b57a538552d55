"""One trained network of the autoencoder at work: restoring, comparing, calibrating."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from goodpart.detectors.autoencoder_data import Shape
from goodpart.detectors.autoencoder_presets import BLOCK, COMPARED, Configuration
from goodpart.detectors.autoencoder_scores import heatmap, wrapped_heatmap
from goodpart.detectors.base import HeldOut
from goodpart.detectors.cell_gaussians import CellGaussians
from goodpart.detectors.engine import EngineName, Network
from goodpart.detectors.features import FeatureStore, cell_mask
from goodpart.detectors.turns import turned
from goodpart.progress import Progress, track

Floats = NDArray[np.float32]


class Member:
    """A network in onnxruntime, and how good parts differ from what it makes of them.

    Parameters
    ----------
    onnx : bytes
    made : Configuration
    shape : (int, int, int)
        Channels, height, width of the network's input.
    mask : ndarray of bool, (height, width), optional
        True where pixels count.
    engine : str
        What runs the network.

    Attributes
    ----------
    gaussians : CellGaussians
        Of the preset ``restore``: learned by :meth:`calibrate`, or restored by the owner.
    """

    def __init__(
        self,
        onnx: bytes,
        made: Configuration,
        shape: Shape,
        mask: NDArray[np.bool_] | None,
        engine: EngineName = "onnxruntime",
    ) -> None:
        self._network = Network(onnx, engine=engine)
        self._made = made
        self.grid = (shape[1] // BLOCK, shape[2] // BLOCK)
        self.channels = sum(made.widths[:COMPARED])
        self.gaussians = CellGaussians(self.grid, self.channels, cell_mask(mask, self.grid))

    def restored(self, prepared: NDArray[Any]) -> Floats:
        """What the network makes of a prepared part.

        Parameters
        ----------
        prepared : ndarray, (H, W, C)
            See :func:`goodpart.detectors.autoencoder_data.prepare`.

        Returns
        -------
        ndarray of float32, (C, H, W)
            In the unit of the network's input: 0..1 for the seed.
        """
        return self._network(self._given(prepared)[None])[0][0]

    def __call__(self, prepared: NDArray[Any]) -> Floats:
        """How differently the encoder sees a part and its restored version.

        Returns
        -------
        ndarray of float32, (rows, columns, channels)
            Not negative; see :class:`goodpart.detectors.autoencoder_networks.Comparison`.
        """
        differences = self._network(self._given(prepared)[None])[1][0]
        return np.ascontiguousarray(differences.transpose(1, 2, 0))

    def score_map(self, prepared: NDArray[Any]) -> Floats:
        """float32: grey levels (H, W) for the seed, deviations (rows, columns) for ``restore``."""
        if self._made.network == "seed":
            image = np.rint(prepared[..., 0]).astype(np.uint8)
            draw = wrapped_heatmap if self._made.scoring == "wrapped" else heatmap
            return draw(image, self.restored(prepared)[0])
        return self.gaussians.score_map(self(prepared))

    def calibrate(
        self,
        parts: Sequence[NDArray[Any]],
        held: Sequence[int],
        sources: Sequence[str],
        *,
        turns: bool,
        progress: Progress | None = None,
    ) -> list[HeldOut]:
        """Maps of parts that the network did not learn from.

        For ``restore`` these parts also say what is normal, beside those of earlier calls; each
        is then compared with those of other sources alone.

        Parameters
        ----------
        parts : sequence of ndarray
            All prepared parts.
        held : sequence of int
            Which of them are held out.
        sources : sequence of str
            Of all parts.
        turns : bool
            The parts lie in any orientation: each also counts at its quarter turns, which says
            more about every place.
        progress : callable, optional
        """
        if self._made.network == "seed":
            listed = track(held, "calibrating", len(held), progress)
            return [HeldOut(index, self.score_map(parts[index])) for index in listed]
        chosen, names = [parts[index] for index in held], [sources[index] for index in held]
        with FeatureStore(self, turned(chosen, turns), progress) as store:
            found = self.gaussians.learn(store, names, turns=turns, progress=progress)
        return [HeldOut(held[one.index], one.raw_map) for one in found]

    def pairs(
        self, parts: Sequence[NDArray[Any]], held: Sequence[int]
    ) -> Iterator[tuple[Floats, Floats]]:
        """Input and output for each of these parts, in the same unit."""
        for index in held:
            yield self._given(parts[index]), self.restored(parts[index])

    def _given(self, prepared: NDArray[Any]) -> Floats:
        """As the network takes it: (C, H, W); the seed's bytes as 0..1."""
        given = np.ascontiguousarray(prepared.transpose(2, 0, 1), dtype=np.float32)
        return given / np.float32(255) if self._made.network == "seed" else given
