"""Write small convolutional networks as ONNX files (needs the ``onnx`` package, extra ``train``).

One writer serves the shipped backbone and the networks read from safetensors files, so that no
exporter has to trace anything and the same weights always give the same bytes. Weights may be
stored in half precision and cast to float32 in the graph; onnxruntime does that once, on loading.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from goodpart.errors import MissingExtraError

OPSET = 17
IR_VERSION = 8


def _onnx() -> Any:
    try:
        import onnx
    except ImportError as error:
        raise MissingExtraError("onnx", "train") from error
    return onnx


class GraphWriter:
    """Builds an ONNX graph node by node; every method returns the name of its result.

    The input is ``image``: float32 (N, 3, H, W), RGB, 0..255, with N, H and W free.

    Parameters
    ----------
    half : bool
        Keep the weights of convolutions in half precision.
    """

    image = "image"

    def __init__(self, *, half: bool = False) -> None:
        self._half = half
        self._helper = _onnx().helper
        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        self._channels: dict[str, int] = {self.image: 3}

    def _node(self, kind: str, inputs: Sequence[str], channels: int, **attributes: Any) -> str:
        name = f"{kind.lower()}_{len(self._nodes)}"
        self._nodes.append(self._helper.make_node(kind, list(inputs), [name], name, **attributes))
        self._channels[name] = channels
        return name

    def constant(self, value: np.ndarray, *, half: bool = False) -> str:
        """A constant tensor, stored as float16 and cast where ``half``."""
        onnx = _onnx()
        name = f"weight_{len(self._constants)}"
        array = np.ascontiguousarray(value, np.float16 if half else value.dtype)
        self._constants.append(onnx.numpy_helper.from_array(array, name))
        if not half:
            return name
        return self._node("Cast", [name], 0, to=onnx.TensorProto.FLOAT)

    def normalise(self, x: str, mean: np.ndarray, scale: np.ndarray) -> str:
        """``(x - mean) * scale`` per channel."""
        shape = (1, -1, 1, 1)
        centred = self._node(
            "Sub",
            [x, self.constant(np.asarray(mean, np.float32).reshape(shape))],
            self._channels[x],
        )
        scaled = self.constant(np.asarray(scale, np.float32).reshape(shape))
        return self._node("Mul", [centred, scaled], self._channels[x])

    def conv(
        self,
        x: str,
        weight: np.ndarray,
        bias: np.ndarray,
        *,
        stride: int = 1,
        groups: int = 1,
        pads: tuple[int, int, int, int] | None = None,
    ) -> str:
        """A convolution; ``pads`` (top, left, bottom, right) default to keeping the size."""
        kernel = weight.shape[-1]
        half = kernel // 2
        return self._node(
            "Conv",
            [
                x,
                self.constant(np.asarray(weight, np.float32), half=self._half),
                self.constant(np.asarray(bias, np.float32)),
            ],
            weight.shape[0],
            kernel_shape=[kernel, kernel],
            strides=[stride, stride],
            group=groups,
            pads=list(pads or (half, half, half, half)),
        )

    def relu(self, x: str) -> str:
        """max(x, 0)."""
        return self._node("Relu", [x], self._channels[x])

    def relu6(self, x: str) -> str:
        """min(max(x, 0), 6)."""
        limits = [self.constant(np.array(v, np.float32)) for v in (0, 6)]
        return self._node("Clip", [x, *limits], self._channels[x])

    def add(self, a: str, b: str) -> str:
        """a + b."""
        return self._node("Add", [a, b], self._channels[a])

    def enlarge(self, x: str) -> str:
        """Twice as high and wide, bilinear, pixel areas aligned (half-pixel centres)."""
        scales = self.constant(np.array([1, 1, 2, 2], np.float32))
        return self._node(
            "Resize",
            [x, "", scales],
            self._channels[x],
            mode="linear",
            coordinate_transformation_mode="half_pixel",
        )

    def finish(self, outputs: Mapping[str, str], metadata: Mapping[str, str]) -> bytes:
        """The ONNX file with these outputs (name → result) and metadata."""
        onnx, helper = _onnx(), self._helper
        for name, result in outputs.items():
            self._nodes.append(helper.make_node("Identity", [result], [name], name))
        graph = helper.make_graph(
            self._nodes,
            "goodpart",
            [helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, ["n", 3, "h", "w"])],
            [
                helper.make_tensor_value_info(
                    name,
                    onnx.TensorProto.FLOAT,
                    ["n", self._channels[result], f"{name}_h", f"{name}_w"],
                )
                for name, result in outputs.items()
            ],
            initializer=self._constants,
        )
        model = helper.make_model(
            graph,
            producer_name="goodpart",
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
        )
        helper.set_model_props(model, {k: metadata[k] for k in sorted(metadata)})
        onnx.checker.check_model(model)
        return bytes(model.SerializeToString(deterministic=True))
