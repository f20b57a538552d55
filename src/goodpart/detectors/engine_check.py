"""When a faster, less exact engine may judge: only where it changes no training image's verdict.

Engines that compute in fp32 agree to 1e-3 of a score and are changed freely. Others (bfloat16)
move every score a little. A model may be trained on such an engine: its limits are then set on
held-out scores of that engine, and every training image is scored by it and by the fp32 engine.
Both scores stay in the model, so that each later change of the limits can be checked without the
images.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from goodpart.decision import Limits
from goodpart.detectors.base import Detector, PartPixels
from goodpart.detectors.engine import FAST_ENGINES, EngineName
from goodpart.errors import ModelError
from goodpart.progress import Progress, track

ENTRY = "engine"


@dataclass(frozen=True)
class EngineCheck:
    """Scores of the training images on a fast engine and on the fp32 one.

    Parameters
    ----------
    name : str
        The fast engine.
    scores : dict of str to (float, float)
        By image: on the fast engine, and in fp32.
    """

    name: EngineName
    scores: dict[str, tuple[float, float]]

    @classmethod
    def of(cls, provenance: Mapping[str, Any]) -> EngineCheck | None:
        """What a model's provenance says; ``None`` where it was trained in fp32."""
        entry = provenance.get(ENTRY)
        if entry is None:
            return None
        return cls(entry["name"], {key: (a, b) for key, (a, b) in entry["scores"].items()})

    def to_dict(self, limits: Limits) -> dict[str, Any]:
        """Plain values for the provenance, with the deviation stated."""
        return {
            "name": self.name,
            "images": len(self.scores),
            "deviation": self.deviation(limits),
            "scores": {key: list(pair) for key, pair in self.scores.items()},
        }

    def deviation(self, limits: Limits) -> float:
        """Largest difference of a score, as a share of the limit."""
        apart = max(abs(fast - exact) for fast, exact in self.scores.values())
        return apart / max(abs(limits.ng), 1e-9)

    def differing(self, limits: Limits) -> list[str]:
        """Images whose verdict is another one on the fast engine."""
        return [
            name
            for name, (fast, exact) in self.scores.items()
            if limits.verdict(fast) is not limits.verdict(exact)
        ]

    def require(self, limits: Limits) -> None:
        """Refuse limits at which a verdict differs.

        Raises
        ------
        ModelError
        """
        differing = self.differing(limits)
        if differing:
            raise ModelError(
                f"at the limit {limits.ng:.6g} {self.name} and fp32 judge {differing[0]} "
                f"differently ({len(differing)} of {len(self.scores)} training images): choose "
                "another limit, or train again without --engine"
            )


def compare_engines(
    fast: Detector,
    exact: Detector,
    parts: Sequence[PartPixels],
    names: Sequence[str],
    mask_of: Callable[[int], NDArray[np.bool_] | None],
    progress: Progress | None = None,
) -> EngineCheck:
    """Score every part on both engines.

    Parameters
    ----------
    fast, exact : Detector
        The same detector on the two engines.
    parts : sequence of ndarray
    names : sequence of str
    mask_of : callable
        Where pixels of a part count, by its index; ``None``: everywhere.
    progress : callable, optional
    """
    scores = {}
    for index in track(range(len(parts)), "comparing", len(parts), progress):
        mask = mask_of(index)
        scores[names[index]] = (
            fast.score(fast.raw_map(parts[index]), mask),
            exact.score(exact.raw_map(parts[index]), mask),
        )
    return EngineCheck(fast.engine, scores)


def engine_for(
    wanted: EngineName | None, provenance: Mapping[str, Any], limits: Limits, where: str
) -> EngineName:
    """The engine that a model is to be loaded into.

    Parameters
    ----------
    wanted : str or None
        ``None``: the one that its limits were set on.
    provenance : mapping
    limits : Limits
    where : str
        The model, for messages.

    Raises
    ------
    ModelError
        A fast engine that the limits were not set on, or that changes a verdict.
    """
    own = EngineCheck.of(provenance)
    chosen = wanted or (own.name if own else "onnxruntime")
    if chosen in FAST_ENGINES:
        if own is None or own.name != chosen:
            raise ModelError(
                f"{where}: its limits were not set on {chosen}, so it may not judge; train it "
                f"with --engine {chosen}"
            )
        own.require(limits)
    return chosen
