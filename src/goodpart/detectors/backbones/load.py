"""Find a backbone by its name or file."""

from __future__ import annotations

import hashlib
import json
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from goodpart.detectors.backbones.backbone import Backbone, Output
from goodpart.detectors.engine import Network
from goodpart.errors import ModelError

SHIPPED = "goodpart"
LARGEST_FILE = 2**30
_PROBE = 256


def load_backbone(spec: str) -> Backbone:
    """The backbone that ``spec`` names.

    Parameters
    ----------
    spec : str
        ``"goodpart"``: the one that ships with the package. A path to an ``.onnx`` file with one
        image input and feature maps as outputs. A path to a ``.safetensors`` file with timm's
        ``mobilenetv2_100`` weights (extra ``train``). ``"timm:NAME"``: a model of timm (extra
        ``timm``), which fetches its own weights where there is internet.

    Returns
    -------
    Backbone

    Raises
    ------
    ModelError
        The file is missing or is not such a network.
    MissingExtraError
        The spec needs a package that is not installed.
    """
    if spec == SHIPPED:
        return _shipped()
    if spec.startswith("timm:"):
        from goodpart.detectors.backbones.timm_models import timm_to_onnx

        return from_onnx(timm_to_onnx(spec.removeprefix("timm:")), spec)
    path = Path(spec)
    suffix = path.suffix.lower()
    if suffix not in {".onnx", ".safetensors"}:
        raise ModelError(
            f"unknown backbone {spec!r}: say 'goodpart', an .onnx or .safetensors file, "
            "or timm:NAME"
        )
    content = _read(path)
    if suffix == ".safetensors":
        content = _safetensors_to_onnx(content, path)
    return from_onnx(content, path.name)


def _shipped() -> Backbone:
    folder = resources.files("goodpart.detectors.backbones") / "weights"
    card = json.loads((folder / "goodpart.json").read_text(encoding="utf-8"))
    content = (folder / card["file"]).read_bytes()
    if hashlib.sha256(content).hexdigest() != card["sha256"]:
        raise ModelError(f"{card['file']} of the goodpart package is damaged: install it again")
    return Backbone(
        name=card["name"],
        outputs=tuple(Output(**out) for out in card["outputs"]),
        model_bytes=content,
        requires_multiple=card["requires_multiple"],
    )


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise ModelError(f"{path} is larger than {LARGEST_FILE >> 20} MiB: no backbone is")
        return path.read_bytes()
    except OSError as error:
        raise ModelError(f"cannot read the backbone {path}: {error.strerror}") from None


def from_onnx(content: bytes, name: str) -> Backbone:
    """A backbone from an ONNX file; strides and channels are found by running it once.

    Raises
    ------
    ModelError
        It does not take one image batch, or an output is not a feature map.
    """
    network = Network(content, threads=1)
    probe = np.zeros((1, 3, _PROBE, _PROBE), np.float32)
    try:
        maps = network(probe)
    except Exception as error:  # onnxruntime's exceptions have no public base class
        raise ModelError(
            f"backbone {name} does not take one float32 (1, 3, {_PROBE}, {_PROBE}) image: "
            f"{str(error).splitlines()[0]}"
        ) from None
    names = network.output_names
    outputs = tuple(_output(n, m, name) for n, m in zip(names, maps, strict=True))
    return Backbone(name, outputs, content, max(out.stride for out in outputs))


def _output(output: str, features: Any, name: str) -> Output:
    height, width = features.shape[2:] if features.ndim == 4 else (0, 0)
    if features.dtype != np.float32 or not height or height != width or _PROBE % height:
        raise ModelError(
            f"output {output} of backbone {name} has shape {features.shape} for a "
            f"{_PROBE}x{_PROBE} image: it is not a float32 feature map whose stride divides it"
        )
    return Output(output, _PROBE // height, features.shape[1])


def _safetensors_to_onnx(content: bytes, path: Path) -> bytes:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    from goodpart.detectors.backbones import mobilenetv2

    try:
        return mobilenetv2.to_onnx(load(content))
    except SafetensorError as error:
        raise ModelError(f"{path} is not a safetensors file: {error}") from None
    except (KeyError, ValueError) as error:
        raise ModelError(
            f"{path} does not hold the weights of mobilenetv2_100 under timm's names: "
            f"{str(error).splitlines()[0]}"
        ) from None
