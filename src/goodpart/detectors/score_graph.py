"""Build one ONNX graph from part image to score (needs the ``onnx`` package, extra ``train``).

Resizing and blurring are linear and act on rows and columns apart, so each becomes two matrices.
They are read off the very functions that inspecting calls, by applying these to unit images: an
exported network resizes exactly as goodpart does, whatever library runs it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from goodpart.detectors.backbones import Backbone
from goodpart.detectors.backbones.graph import IR_VERSION
from goodpart.errors import MissingExtraError, ModelError

Plane = NDArray[np.float32]
OLDEST_OPSET = 13


def _onnx() -> Any:
    try:
        import onnx
    except ImportError:
        raise MissingExtraError("onnx", "train") from None
    return onnx


def row_matrix(function: Callable[[Plane], Plane], size: tuple[int, int]) -> Plane:
    """What a separable linear function does to rows, (rows out, rows in).

    Parameters
    ----------
    function : callable
        From a plane (H, W) to a plane; planes whose rows are constant stay so.
    size : (int, int)
        H and W.
    """
    columns = []
    for row in range(size[0]):
        plane = np.zeros(size, np.float32)
        plane[row] = 1.0
        columns.append(np.asarray(function(plane))[:, 0])
    return np.stack(columns, axis=1).astype(np.float32)


def column_matrix(function: Callable[[Plane], Plane], size: tuple[int, int]) -> Plane:
    """The same for columns, (columns in, columns out)."""
    rows = []
    for column in range(size[1]):
        plane = np.zeros(size, np.float32)
        plane[:, column] = 1.0
        rows.append(np.asarray(function(plane))[0])
    return np.stack(rows, axis=0).astype(np.float32)


class ScoreGraph:
    """Nodes and constants of a graph; every method returns the name of its result.

    Parameters
    ----------
    size : (int, int)
        Height and width of part images.
    channels : int
        1 for grey, 3 for RGB.

    Attributes
    ----------
    image : str
        The input: float32 (1, H, W) or (1, H, W, 3) RGB, 0..255.
    """

    image = "image"

    def __init__(self, size: tuple[int, int], channels: int) -> None:
        self._helper = _onnx().helper
        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        self._opset, self._ir_version = 17, IR_VERSION
        self.size = size
        self.channels = channels

    def node(self, kind: str, inputs: Sequence[str], **attributes: Any) -> str:
        """One operator."""
        name = f"{kind.lower()}_{len(self._nodes)}"
        self._nodes.append(self._helper.make_node(kind, list(inputs), [name], name, **attributes))
        return name

    def constant(self, value: Any, dtype: Any = np.float32) -> str:
        """A constant; float16 ones are computed with in float32."""
        onnx = _onnx()
        name = f"constant_{len(self._constants)}"
        array = np.ascontiguousarray(value, dtype)
        self._constants.append(onnx.numpy_helper.from_array(array, name))
        if array.dtype == np.float16:
            return self.node("Cast", [name], to=onnx.TensorProto.FLOAT)
        return name

    def planes(self) -> str:
        """The input as (1, channels, H, W)."""
        if self.channels == 1:
            return self.reshape(self.image, (1, 1, *self.size))
        return self.transpose(self.image, (0, 3, 1, 2))

    def reshape(self, x: str, shape: Sequence[int]) -> str:
        """The same values in another shape."""
        return self.node("Reshape", [x, self.constant(shape, np.int64)])

    def transpose(self, x: str, order: Sequence[int]) -> str:
        """Axes in another order."""
        return self.node("Transpose", [x], perm=list(order))

    def separable(self, x: str, function: Callable[[Plane], Plane], size: tuple[int, int]) -> str:
        """Apply a separable linear function to the last two axes, of this size."""
        across = self.node("MatMul", [x, self.constant(column_matrix(function, size))])
        return self.node("MatMul", [self.constant(row_matrix(function, size)), across])

    def add(self, x: str, value: Any) -> str:
        """x + value."""
        return self.node("Add", [x, self.constant(value)])

    def multiply(self, x: str, value: Any) -> str:
        """x * value."""
        return self.node("Mul", [x, self.constant(value)])

    def reduce(self, kind: str, x: str, *axes: int) -> str:
        """``Sum``, ``Max`` or ``Min`` over axes, which vanish."""
        if kind == "Sum":  # its axes became an input in opset 13, those of the others later
            return self.node("ReduceSum", [x, self.constant(axes, np.int64)], keepdims=0)
        if self._opset >= 18:
            return self.node(f"Reduce{kind}", [x, self.constant(axes, np.int64)], keepdims=0)
        return self.node(f"Reduce{kind}", [x], axes=list(axes), keepdims=0)

    def backbone(self, x: str, backbone: Backbone) -> dict[str, str]:
        """A backbone's outputs by name, for RGB planes (1, 3, H, W).

        Raises
        ------
        ModelError
            It is written for operators that are too old.
        """
        network = _onnx().load_from_string(backbone.model_bytes)
        opsets = {entry.domain: entry.version for entry in network.opset_import}
        if set(opsets) - {"", "ai.onnx"} or opsets.get("", 0) < OLDEST_OPSET:
            raise ModelError(
                f"backbone {backbone.name} cannot be exported: it needs opset {OLDEST_OPSET} or "
                f"later of ONNX's own operators, not {opsets}"
            )
        self._opset, self._ir_version = opsets[""], max(IR_VERSION, network.ir_version)
        return self.network(x, backbone.model_bytes, "backbone")

    def network(self, x: str, content: bytes, name: str) -> dict[str, str]:
        """The outputs of a network of one input, by name; its results are called after ``name``.

        Its operators have to mean the same in the graph's opset: that of the backbone.
        """
        onnx = _onnx()
        network = onnx.load_from_string(content)
        graph = onnx.compose.add_prefix(network, f"{name}_").graph
        rename = {graph.input[0].name: x}
        for node in graph.node:
            node.input[:] = [rename.get(own, own) for own in node.input]
            self._nodes.append(node)
        self._constants += list(graph.initializer)
        return {out.name: f"{name}_{out.name}" for out in network.graph.output}

    def finish(
        self, outputs: Mapping[str, tuple[str, list[int]]], facts: Mapping[str, str]
    ) -> bytes:
        """The ONNX file with these outputs (name: (result, shape)) and metadata."""
        onnx, helper = _onnx(), self._helper
        tensor = helper.make_tensor_value_info
        shape = [1, *self.size] if self.channels == 1 else [1, *self.size, 3]
        for name, (result, _) in outputs.items():
            self._nodes.append(helper.make_node("Identity", [result], [name], name))
        graph = helper.make_graph(
            self._nodes,
            "goodpart",
            [tensor(self.image, onnx.TensorProto.FLOAT, shape)],
            [tensor(n, onnx.TensorProto.FLOAT, out) for n, (_, out) in outputs.items()],
            initializer=self._constants,
        )
        model = helper.make_model(
            graph,
            producer_name="goodpart",
            opset_imports=[helper.make_opsetid("", self._opset)],
            ir_version=self._ir_version,
        )
        helper.set_model_props(model, {key: facts[key] for key in sorted(facts)})
        onnx.checker.check_model(model)
        return bytes(model.SerializeToString(deterministic=True))
