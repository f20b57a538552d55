"""Write a run's averaged weights as the backbone that ships: ONNX file and the card beside it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from network import Shape, Student, to_onnx
from safetensors.numpy import load_file

from goodpart.detectors.backbones.load import from_onnx


def _unwhiten(whiten: dict[str, np.ndarray]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """From the student's whitened coordinates back to the teacher's channels, by output."""
    inverse = {
        level: np.linalg.inv(whiten[f"{level}.matrix"].astype(np.float64))
        for level in ("stride4", "stride8", "stride16")
    }
    a, b = inverse["stride8"], inverse["stride16"]
    both = np.block([[a, np.zeros((len(a), len(b)))], [np.zeros((len(b), len(a))), b]])
    mean = np.concatenate([whiten["stride8.mean"], whiten["stride16.mean"]])
    return {"stride4": (inverse["stride4"], whiten["stride4.mean"]), "stride8": (both, mean)}


def _as_learned(shape: Shape) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    return {
        "stride4": (np.eye(shape.out4), np.zeros(shape.out4)),
        "stride8": (np.eye(shape.out8), np.zeros(shape.out8)),
    }


def onnx_of_run(
    run: Path, *, space: str = "whitened", metadata: dict[str, str] | None = None
) -> bytes:
    """The run's averaged weights as ONNX, outputs ``whitened`` as learned or the ``teacher``'s."""
    text = json.loads((run / "run.json").read_text())
    shape = Shape(**{k: tuple(v) if isinstance(v, list) else v for k, v in text["shape"].items()})
    state = load_file(run / f"state-{text['progress']['step']}.safetensors")
    weights = {k[8:]: v for k, v in state.items() if k.startswith("average.")}
    if space == "whitened":
        colour = _as_learned(shape)
    else:
        colour = _unwhiten(load_file(run / "whitening.safetensors"))
    return to_onnx(weights, shape, colour, metadata or {})


def untrained(seed: int = 0) -> bytes:
    """The network with its starting weights, as ONNX: what architecture alone is worth."""
    torch.manual_seed(seed)
    weights = {k: v.numpy() for k, v in Student(Shape()).state_dict().items()}
    return to_onnx(weights, Shape(), _as_learned(Shape()), {})


def export(run: Path, folder: Path, version: str, space: str = "whitened") -> dict[str, Any]:
    """Write ``goodpart.onnx`` and ``goodpart.json``; returns the card."""
    text = json.loads((run / "run.json").read_text())
    figures = text["progress"]["history"][-1]
    name = f"goodpart-{version}"
    metadata = {
        "name": name,
        "version": version,
        "licence": "Apache-2.0",
        "input": "image: float32 (N, 3, H, W), RGB, 0..255; H and W multiples of 16",
        "training": json.dumps(figures),
    }
    content = onnx_of_run(run, space=space, metadata=metadata)
    backbone = from_onnx(content, name)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "goodpart.onnx").write_bytes(content)
    card = {
        "name": name,
        "version": version,
        "file": "goodpart.onnx",
        "sha256": hashlib.sha256(content).hexdigest(),
        "licence": "Apache-2.0",
        "input": metadata["input"],
        "requires_multiple": 16,
        "outputs": [
            {"name": o.name, "stride": o.stride, "channels": o.channels} for o in backbone.outputs
        ],
        "training": {**figures, "images": text["progress"]["step"] * text["settings"]["batch"]},
    }
    (folder / "goodpart.json").write_text(json.dumps(card, indent=2) + "\n")
    return card
