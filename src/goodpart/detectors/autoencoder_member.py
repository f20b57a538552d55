"""One trained network of the autoencoder at work: restoring, mapping, calibrating."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from goodpart.detectors.autoencoder_presets import Configuration
from goodpart.detectors.autoencoder_residual import Moments, Normal, features
from goodpart.detectors.autoencoder_scores import heatmap, wrapped_heatmap
from goodpart.detectors.base import HeldOut
from goodpart.detectors.engine import EngineName, Network
from goodpart.progress import Progress, track

Floats = NDArray[np.float32]


class Member:
    """A network in onnxruntime, and what good parts look like to it.

    Parameters
    ----------
    onnx : bytes
    made : Configuration
    normal : Normal, optional
        Of the preset ``restore``; filled by :meth:`calibrate`.
    engine : str
        What runs the network.
    """

    def __init__(
        self,
        onnx: bytes,
        made: Configuration,
        normal: Normal | None = None,
        engine: EngineName = "onnxruntime",
    ) -> None:
        self._network = Network(onnx, engine=engine)
        self._made = made
        self.normal = normal

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

    def score_map(self, prepared: NDArray[Any]) -> Floats:
        """float32 (H, W): grey levels for the seed, deviations from normal for ``restore``."""
        if self._made.network == "seed":
            image = np.rint(prepared[..., 0]).astype(np.uint8)
            draw = wrapped_heatmap if self._made.scoring == "wrapped" else heatmap
            return draw(image, self.restored(prepared)[0])
        assert self.normal is not None
        return self.normal.score_map(self._features(prepared))

    def calibrate(
        self,
        parts: Sequence[NDArray[Any]],
        held: Sequence[int],
        *,
        turns: bool,
        progress: Progress | None = None,
    ) -> list[HeldOut]:
        """Maps of parts that the network did not learn from.

        For ``restore`` these parts also say what is normal; each is then compared with the
        others alone. A single part has nothing to be compared with and gives no map.

        Parameters
        ----------
        parts : sequence of ndarray
            All prepared parts.
        held : sequence of int
            Which of them are held out.
        turns : bool
            See :meth:`goodpart.detectors.autoencoder_residual.Moments.normal`.
        progress : callable, optional
        """
        if self._made.network == "seed":
            listed = track(held, "calibrating", len(held), progress)
            return [HeldOut(index, self.score_map(parts[index])) for index in listed]
        moments: Moments | None = None
        for index in track(held, "comparing", len(held), progress):
            stack = self._features(parts[index])
            moments = moments or Moments.empty(stack.shape)
            moments.add(stack)
        assert moments is not None
        self.normal = moments.normal(turns=turns)
        found: list[HeldOut] = []
        for index in track(held, "calibrating", len(held), progress):
            if len(held) > 1:
                stack = self._features(parts[index])
                normal = moments.without(stack).normal(turns=turns)
                found.append(HeldOut(index, normal.score_map(stack)))
        return found

    def pairs(
        self, parts: Sequence[NDArray[Any]], held: Sequence[int]
    ) -> Iterator[tuple[Floats, Floats]]:
        """Input and output for each of these parts, in the same unit."""
        for index in held:
            yield self._given(parts[index]), self.restored(parts[index])

    def _features(self, prepared: NDArray[Any]) -> Floats:
        return features(self._given(prepared), self.restored(prepared))

    def _given(self, prepared: NDArray[Any]) -> Floats:
        """As the network takes it: (C, H, W); the seed's bytes as 0..1."""
        given = np.ascontiguousarray(prepared.transpose(2, 0, 1), dtype=np.float32)
        return given / np.float32(255) if self._made.network == "seed" else given
