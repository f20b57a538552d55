"""What every detector offers: learn from good part images, give a score map for one."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from goodpart.decision.maps import score_of
from goodpart.detectors.engine import EngineName
from goodpart.errors import ModelError, NotFittedError, TrainingError
from goodpart.progress import Progress

if TYPE_CHECKING:
    from goodpart.detectors.score_graph import ScoreGraph

PartPixels = NDArray[Any]
"""A part image: uint8, or float32 0..255; (H, W) grey or (H, W, 3) RGB."""


@dataclass(frozen=True)
class HeldOut:
    """The score map of a training image, by a model that did not see it.

    Parameters
    ----------
    index : int
        Of the image in the sequence given to ``fit``.
    raw_map : ndarray of float32, (h, w)
    """

    index: int
    raw_map: NDArray[np.float32]


@dataclass(frozen=True)
class State:
    """What a fitted detector keeps: plain arrays, network files, and a few JSON values.

    Parameters
    ----------
    arrays : dict of str to ndarray
        Saved as safetensors.
    files : dict of str to bytes
        Saved under their names, such as ``network.onnx``.
    values : dict
        JSON values.
    """

    arrays: dict[str, NDArray[Any]] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)


class Detector(ABC):
    """Base of all detectors, in scikit-learn's manners.

    The constructor takes keyword-only settings and only stores them under their own names;
    ``fit`` returns self; learned state ends in ``_``. Thresholds are not a detector's business.

    Attributes
    ----------
    name : str
        What ``--detector`` calls it.
    guarantee : "cross-fitted" or "split"
        How :attr:`held_out_` comes about: each image scored by a model fitted without its fold,
        or a part of the images never used for fitting.
    own_limit : float or None
        A limit that belongs to the detector's score whatever the data; ``None``: set on the data.
    heat_range : (float, float) or None
        What the first and the last colour of heatmaps stand for; ``None``: set by the limits,
        which is right where the score is the map's highest value.
    engine : "onnxruntime", "openvino" or "openvino-bf16"
        What runs networks; see :func:`goodpart.load`. The first two compute in fp32.
    held_out_ : list of HeldOut
        Filled by ``fit``; what limits are set from. Not saved.
    artifacts_ : dict of str to bytes
        Files that ``fit`` leaves for the model folder, such as training curves.
    warnings_ : list of str
        What ``fit`` found that a person should know.
    """

    name: ClassVar[str]
    summary: ClassVar[str] = ""
    paper: ClassVar[str] = ""
    guarantee: str = "cross-fitted"
    own_limit: float | None = None
    heat_range: tuple[float, float] | None = None
    engine: EngineName = "onnxruntime"

    held_out_: list[HeldOut]
    artifacts_: dict[str, bytes]
    warnings_: list[str]

    @abstractmethod
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
        """Learn from good part images, all of one size.

        Parameters
        ----------
        images : sequence of ndarray
            Read as needed, perhaps several times: a sequence that loads lazily is fine.
        groups : sequence of str, optional
            Source of each image: those of one source share a fold.
        mask : ndarray of bool, (H, W), optional
            True where pixels count.
        seed : int
            The same images and seed give the same detector.
        workdir : path, optional
            Where a long training keeps checkpoints and curves; interrupted, it goes on from there.
        progress : callable, optional
        """

    def extend(
        self,
        images: Sequence[PartPixels],
        *,
        groups: Sequence[str] | None = None,
        progress: Progress | None = None,
    ) -> Self:
        """Learn more good part images, in seconds, without those learned before.

        :attr:`held_out_` is then that of these images alone, each scored as by a model that saw
        everything but its group. Changes the detector in place.

        Raises
        ------
        TrainingError
            This detector cannot.
        """
        raise TrainingError(
            f"{self.name} cannot learn more images later: train it again with all of them"
        )

    @abstractmethod
    def raw_maps(self, images: Sequence[PartPixels]) -> list[NDArray[np.float32]]:
        """Score maps at the detector's own resolution, higher = less like a good part.

        Batching changes speed, not values.

        Returns
        -------
        list of ndarray of float32, (h, w)

        Raises
        ------
        NotFittedError
        """

    def export(self, graph: ScoreGraph) -> str:
        """Add everything from the graph's input to the raw map (h, w); return the map's name.

        Raises
        ------
        ModelError
            This detector cannot be exported.
        """
        raise ModelError(
            f"{self.name} cannot be exported to ONNX with these settings; ensemble, gaussian, "
            "memory, student, variation and the autoencoder's preset restore can, in a plain view"
        )

    @abstractmethod
    def state(self) -> State:
        """Everything that :meth:`restore` needs."""

    @abstractmethod
    def restore(self, state: State) -> Self:
        """Take the learned state of a saved detector with the same settings; never runs code.

        Raises
        ------
        ModelError
            The state does not fit.
        """

    def raw_map(self, image: PartPixels) -> NDArray[np.float32]:
        """:meth:`raw_maps` of a single image."""
        return self.raw_maps([image])[0]

    def score(self, raw_map: NDArray[np.float32], mask: NDArray[np.bool_] | None = None) -> float:
        """One number for a part, from its raw map: the highest value that counts.

        See :func:`goodpart.decision.maps.score_of`.
        """
        return score_of(raw_map, mask)

    def settings(self) -> dict[str, Any]:
        """The constructor's settings by name."""
        names = [
            name for name in inspect.signature(type(self).__init__).parameters if name != "self"
        ]
        return {name: getattr(self, name) for name in names}

    def _check_fitted(self, attribute: str) -> None:
        if not hasattr(self, attribute):
            raise NotFittedError(f"this {self.name} detector has not been fitted: call fit first")
