"""Run an ONNX network without torch: onnxruntime as the base engine, OpenVINO as an extra.

Thread count: inspecting uses ``GOODPART_THREADS`` threads, by default two (or one on a machine
with a single core): more rarely pay at batch 1, and on a busy machine every further thread waits
for the slowest. Spinning is off for the same reason: a thread that spins takes the core from the
work it waits for.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from goodpart.errors import MissingExtraError, ModelError

EngineName = Literal["onnxruntime", "openvino", "openvino-bf16"]
ENGINES: tuple[EngineName, ...] = ("onnxruntime", "openvino", "openvino-bf16")
# Less exact than fp32: taken only as goodpart.detectors.engine_check says.
FAST_ENGINES: tuple[EngineName, ...] = ("openvino-bf16",)


def default_threads() -> int:
    """Threads for one inspection: ``GOODPART_THREADS``, or two where there are two cores."""
    wanted = os.environ.get("GOODPART_THREADS", "")
    if wanted.isdigit() and int(wanted) > 0:
        return int(wanted)
    return max(1, min(2, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 2))


class Network:
    """A loaded ONNX network.

    Parameters
    ----------
    model : bytes
        The ONNX file.
    engine : "onnxruntime", "openvino" or "openvino-bf16"
        The last computes in bfloat16, whose numbers have 8 bits of precision.
    threads : int, optional
        See :func:`default_threads`.

    Attributes
    ----------
    output_names : list of str

    Raises
    ------
    ModelError
        The bytes are not a network that the engine can run.
    """

    def __init__(
        self, model: bytes, *, engine: EngineName = "onnxruntime", threads: int | None = None
    ) -> None:
        self.engine = engine
        count = threads or default_threads()
        if engine in ("openvino", "openvino-bf16"):
            precision = "bf16" if engine == "openvino-bf16" else "f32"
            self._run, self.output_names = _openvino(model, count, precision)
        else:
            self._run, self.output_names = _onnxruntime(model, count)

    def __call__(self, *inputs: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """All outputs for float32 inputs, such as a batch (N, C, H, W), in the file's order."""
        return list(self._run([np.ascontiguousarray(x, dtype=np.float32) for x in inputs]))


def _onnxruntime(model: bytes, threads: int) -> tuple[Any, list[str]]:
    # Its official builds report their use to their maker over the network, and keep an identifier
    # and a spool in the home folder, unless told otherwise before they are loaded.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = onnxruntime.InferenceSession(
            model, sess_options=options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # onnxruntime's exceptions have no public base class
        raise ModelError(f"the network cannot be loaded by onnxruntime: {_line(error)}") from None
    names = [given.name for given in session.get_inputs()]

    def run(inputs: Sequence[NDArray[np.float32]]) -> Sequence[NDArray[np.float32]]:
        return session.run(None, dict(zip(names, inputs, strict=True)))

    return run, [output.name for output in session.get_outputs()]


def _openvino(model: bytes, threads: int, precision: str) -> tuple[Any, list[str]]:
    try:
        import openvino
    except ImportError:
        raise MissingExtraError("openvino", "openvino") from None
    core = openvino.Core()
    try:
        # Said on purpose: OpenVINO takes bf16 by itself where the processor has it, and then
        # scores differ from those that the limits were set on.
        compiled = core.compile_model(
            core.read_model(model),
            "CPU",
            {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": threads},
        )
    except RuntimeError as error:
        raise ModelError(f"the network cannot be loaded by OpenVINO: {_line(error)}") from None

    def run(inputs: Sequence[NDArray[np.float32]]) -> Sequence[NDArray[np.float32]]:
        result = compiled(list(inputs))
        return [np.array(result[output], dtype=np.float32) for output in compiled.outputs]

    return run, [output.get_any_name() for output in compiled.outputs]


def _line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else error.__class__.__name__
