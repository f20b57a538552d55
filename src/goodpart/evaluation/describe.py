"""A model in words and numbers: layers, arrays, limits, provenance."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np

from goodpart.model import load
from goodpart.model_folder import read_manifest


def describe(folder: Path) -> dict[str, Any]:
    """Everything that ``info`` shows, from a model folder whose files are checked.

    Parameters
    ----------
    folder : Path

    Returns
    -------
    dict
        Plain values. ``layers`` come from the detector where it keeps a list of them, else from
        its networks (the ONNX files) where the package ``onnx`` is installed.

    Raises
    ------
    ModelError
        The model cannot be loaded.
    """
    load(folder)
    manifest = read_manifest(folder)
    detector = manifest["detector"]
    layers = detector["values"].get("layers") or network_layers(folder, detector["files"])
    arrays = [
        row
        for name in manifest["files"]
        if name.endswith(".safetensors")
        for row in array_rows(folder, name)
    ]
    calibration = dict(manifest["calibration"])
    scores = np.array(list(calibration.pop("good_scores", {}).values()), dtype=np.float64)
    spread = None
    if scores.size:
        low, middle, high = np.quantile(scores, [0, 0.5, 1])
        spread = {"n": scores.size, "min": float(low), "median": float(middle), "max": float(high)}
    kept = sum(int(np.prod(row["shape"], dtype=np.int64)) for row in arrays)
    return {
        "model": str(folder),
        "format": manifest["format"],
        "id": manifest["id"],
        "detector": detector["name"],
        "settings": detector["settings"],
        "layers": layers,
        "arrays": arrays,
        "parameters": sum(layer["parameters"] for layer in layers),
        "numbers_in_arrays": kept,
        "bytes": sum(entry["bytes"] for entry in manifest["files"].values()),
        "files": manifest["files"],
        "limits": manifest["limits"],
        "level": manifest["level"],
        "calibration": calibration,
        "held_out_scores": spread,
        "metrics": manifest.get("metrics"),
        "provenance": manifest["provenance"],
        "recipe": manifest["recipe"],
    }


def array_rows(folder: Path, name: str) -> list[dict[str, Any]]:
    """Names, shapes and types in a safetensors file, from its header alone."""
    with open(folder / name, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
    return [
        {"file": name, "name": key, "shape": entry["shape"], "type": entry["dtype"]}
        for key, entry in header.items()
        if key != "__metadata__"
    ]


def network_layers(folder: Path, files: list[str]) -> list[dict[str, Any]]:
    """The nodes with parameters of ONNX networks, with the shapes of their outputs.

    Without the package ``onnx`` one row for each network, with its size unknown (0 parameters).
    """
    rows: list[dict[str, Any]] = []
    for name in sorted(files):
        if not name.endswith(".onnx"):
            continue
        try:
            import onnx
        except ImportError:
            rows.append({"name": name, "kind": "network", "output": [], "parameters": 0})
            continue
        rows += _nodes(onnx.load_from_string((folder / name).read_bytes()))
    return rows


def _nodes(network: Any) -> list[dict[str, Any]]:
    from onnx import shape_inference

    graph = shape_inference.infer_shapes(network).graph
    weights = {entry.name: int(np.prod(entry.dims, dtype=np.int64)) for entry in graph.initializer}
    shapes = {
        value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim][1:]
        for value in (*graph.value_info, *graph.output)
    }
    return [
        {
            "name": node.name or node.output[0],
            "kind": node.op_type,
            "output": shapes.get(node.output[0], []),
            "parameters": sum(weights.get(given, 0) for given in node.input),
        }
        for node in graph.node
        if any(given in weights for given in node.input)
    ]
