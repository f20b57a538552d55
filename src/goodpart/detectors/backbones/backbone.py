"""A backbone and the session that runs it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from goodpart.detectors.engine import EngineName, Network
from goodpart.errors import ModelError


@dataclass(frozen=True)
class Output:
    """One feature map of a backbone.

    Parameters
    ----------
    name : str
        Such as ``"stride8"``.
    stride : int
        Pixels of the image per feature: the map of an (H, W) image is (H / stride, W / stride).
    channels : int
    """

    name: str
    stride: int
    channels: int


@dataclass(frozen=True)
class Backbone:
    """A network and what is known about it.

    Parameters
    ----------
    name : str
        What it is called in a model's provenance, such as ``"goodpart-1"``.
    outputs : tuple of Output
        In the file's order.
    model_bytes : bytes
        The ONNX file.
    requires_multiple : int
        Height and width of the images must be multiples of this.
    """

    name: str
    outputs: tuple[Output, ...]
    model_bytes: bytes = field(repr=False)
    requires_multiple: int

    @cached_property
    def sha256(self) -> str:
        """Hash of the ONNX file."""
        return hashlib.sha256(self.model_bytes).hexdigest()

    def session(self, threads: int | None = None, engine: EngineName = "onnxruntime") -> Extractor:
        """Load the network into an engine.

        Parameters
        ----------
        threads : int, optional
            For one image batch; by default what inspecting uses.
        engine : "onnxruntime" or "openvino"

        Raises
        ------
        ModelError
            The engine cannot run the network.
        MissingExtraError
            The engine is not installed.
        """
        return Extractor(self, Network(self.model_bytes, engine=engine, threads=threads))


class Extractor:
    """Images in, feature maps out; made by :meth:`Backbone.session`."""

    def __init__(self, backbone: Backbone, network: Network) -> None:
        self.backbone = backbone
        self._network = network

    def __call__(
        self, images: NDArray[np.uint8] | NDArray[np.float32]
    ) -> dict[str, NDArray[np.float32]]:
        """Features of a batch of images.

        Parameters
        ----------
        images : ndarray of uint8 (or float32 in 0..255)
            (N, H, W) grey or (N, H, W, 3) RGB; grey counts as three equal channels.

        Returns
        -------
        dict of str to ndarray of float32, (N, C, H / stride, W / stride)
            By output name. An image's features don't depend on the batch it is in.

        Raises
        ------
        ModelError
            The shape is none of those, or H or W is not a multiple of
            ``backbone.requires_multiple``.
        """
        batch = as_input(images)
        multiple, (height, width) = self.backbone.requires_multiple, batch.shape[2:]
        if height % multiple or width % multiple or not height or not width:
            raise ModelError(
                f"backbone {self.backbone.name} takes images whose sides are multiples of "
                f"{multiple}, not {width}x{height}: resize or pad them"
            )
        maps = self._network(batch)
        return {out.name: maps[i] for i, out in enumerate(self.backbone.outputs)}


def as_input(images: NDArray[np.uint8] | NDArray[np.float32]) -> NDArray[np.float32]:
    """(N, H, W) or (N, H, W, 3) → float32 (N, 3, H, W), values unchanged."""
    if images.ndim == 3:
        grey = images.astype(np.float32)[:, None]
        return np.repeat(grey, 3, axis=1)
    if images.ndim != 4 or images.shape[3] != 3:
        raise ModelError(
            f"a backbone takes images of shape (N, H, W) or (N, H, W, 3), not {images.shape}"
        )
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2), dtype=np.float32)
