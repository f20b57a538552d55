"""The tone curve through which a backbone sees part images.

Light multiplies: under half the light a scratch has half its contrast. Where the light on good
parts varies, equal contrast has to count equally in the dark and in the bright, which a
logarithm does (the model behind homomorphic filtering: Oppenheim, Schafer and Stockham, 1968).
Where it does not vary, grey levels as they are serve better.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from goodpart.detectors.base import PartPixels
from goodpart.detectors.score_graph import ScoreGraph

Tone = Literal["linear", "log"]

# Grey levels below which the logarithm is nearly linear, so that noise in black does not count.
DARK = np.float32(4.0)
# Keeps 0 at 0 and 255 at 255.
_GAIN = np.float32(255.0 / np.log1p(255.0 / 4.0))
# The light varies where the mean brightness of good parts does by more than this, as a standard
# deviation of its logarithm (about a fifth up and down).
LIGHT_VARIES = 0.2
# Images that are looked at to tell.
_SAMPLE = 32


def choose_tone(images: Sequence[PartPixels], mask: NDArray[np.bool_] | None) -> Tone:
    """The curve for good parts under this light.

    Parameters
    ----------
    images : sequence of ndarray, uint8 or float32 0..255, (H, W) or (H, W, 3)
        Up to 32 of them are read.
    mask : ndarray of bool, (H, W), optional
        True where pixels count.
    """
    chosen = np.unique(np.linspace(0, len(images) - 1, _SAMPLE).astype(int))
    counted: Any = ... if mask is None else mask
    means = np.array([images[int(index)][counted].mean(dtype=np.float64) for index in chosen])
    return "log" if np.log(means + float(DARK)).std() > LIGHT_VARIES else "linear"


def apply_tone(image: NDArray[np.float32], tone: Tone) -> NDArray[np.float32]:
    """The image through its curve, 0..255 as before."""
    if tone == "linear":
        return image
    return _GAIN * np.log(np.maximum(image, 0) / DARK + 1)


def export_tone(graph: ScoreGraph, planes: str, tone: Tone) -> str:
    """Add :func:`apply_tone` to a graph."""
    if tone == "linear":
        return planes
    light = graph.node("Relu", [planes])
    return graph.multiply(graph.node("Log", [graph.add(graph.multiply(light, 1 / DARK), 1)]), _GAIN)
