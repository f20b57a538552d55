"""Export a model as one ONNX file that runs outside goodpart: part image in, score and map out.

Resizing, normalisation, backbone and scoring are inside. What is not: reading the file, finding
and aligning the part, and its checks. The input is a part image as goodpart cuts it out, of the
size that the metadata names; the example script beside says how to use it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from goodpart import __version__
from goodpart.decision.maps import resize_map, resize_mask
from goodpart.detectors.engine import Network
from goodpart.detectors.score_graph import ScoreGraph
from goodpart.errors import ModelError
from goodpart.model import Model

# What is taken for agreement between engines: relative, of the score.
TOLERANCE = 1e-3
# Stands for minus infinity where pixels do not count.
NEVER = np.float32(-1e30)


def to_onnx(model: Model) -> bytes:
    """The ONNX file of a model, checked against the model on one image.

    Returns
    -------
    bytes
        Input ``image``: float32 (1, H, W) grey or (1, H, W, 3) RGB, 0..255. Outputs ``score``:
        float32 (1,), not clamped, to be compared with the limits; ``score_map``: float32 (H, W).

    Raises
    ------
    ModelError
        The detector cannot be exported, or the result does not agree with it.
    MissingExtraError
        The package ``onnx`` is not installed.
    """
    detector = model.detector
    size = model.recipe.part.size
    assert size != "auto"
    graph = ScoreGraph(size, 1 if model.recipe.input.color == "grey" else 3)
    raw_map = detector.export(graph)
    probe = _probe(graph)
    expected = detector.raw_map(probe)
    shape = (expected.shape[0], expected.shape[1])
    counted = raw_map
    if model.mask is not None:
        away = np.where(resize_mask(model.mask, shape), np.float32(0), NEVER)
        counted = graph.add(raw_map, away)
    score = graph.reshape(graph.reduce("Max", counted, 0, 1), (1,))
    score_map = graph.separable(raw_map, lambda plane: resize_map(plane, size), shape)
    outputs = {"score": (score, [1]), "score_map": (score_map, list(size))}
    content = graph.finish(outputs, facts(model))
    found = float(Network(content)(probe[None])[0][0])
    wanted = detector.score(expected, model.mask)
    if not abs(found - wanted) <= TOLERANCE * max(abs(wanted), 1e-6):
        raise ModelError(
            f"the exported network scores {found:.6g} where the model scores {wanted:.6g}; "
            "please report this"
        )
    return content


def facts(model: Model) -> dict[str, str]:
    """What the ONNX file says of itself in its metadata."""
    size = model.recipe.part.size
    aligned = model.recipe.align.method
    note = (
        "part images as they come, resized to part_size"
        if aligned == "none" and model.recipe.tray.mode == "none"
        else f"part images cut out and aligned by goodpart (tray {model.recipe.tray.mode}, align "
        f"{aligned}): the network does neither"
    )
    return {
        "goodpart.version": __version__,
        "goodpart.model_id": model.id,
        "goodpart.detector": model.detector.name,
        "goodpart.limits": json.dumps({"ok": model.limits.ok, "ng": model.limits.ng}),
        "goodpart.region_level": repr(model.level),
        "goodpart.part_size": json.dumps(size),
        "goodpart.color": str(model.recipe.input.color),
        "goodpart.white_level": str(model.recipe.input.white_level),
        "goodpart.input": note,
    }


def export_onnx(model: Model, out: Path, *, force: bool = False) -> tuple[Path, Path]:
    """Write the ONNX file and an example script that runs it.

    Returns
    -------
    (Path, Path)
        The network, and the script beside it.

    Raises
    ------
    ModelError
        See :func:`to_onnx`; or a file exists and ``force`` is not given, or can't be written.
    """
    if out.suffix.lower() != ".onnx":
        raise ModelError(f"{out}: give --out a name that ends in .onnx")
    script = out.with_name(f"{out.stem}_example.py")
    for path in (out, script):
        if path.exists() and not force:
            raise ModelError(f"{path}: exists already; give another --out or add --force")
    content = to_onnx(model)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_bytes(content)
        script.write_text(EXAMPLE.replace("NETWORK", out.name), encoding="utf-8")
    except OSError as error:
        raise ModelError(f"{out}: cannot be written: {error.strerror or error}") from None
    return out, script


def _probe(graph: ScoreGraph) -> NDArray[np.float32]:
    """A smooth picture with an edge, in whole grey levels."""
    y, x = np.mgrid[: graph.size[0], : graph.size[1]]
    plane = 128 + 60 * np.sin(x / 9.0) * np.cos(y / 13.0) + 40 * (x > graph.size[1] / 2)
    rounded: Any = np.clip(np.rint(plane), 0, 255).astype(np.float32)
    return rounded if graph.channels == 1 else np.repeat(rounded[..., None], 3, axis=2)


EXAMPLE = '''"""Judge part images with NETWORK: needs numpy, Pillow and onnxruntime, not goodpart.

    python SCRIPT part.png [more.png ...] [--ok LIMIT] [--ng LIMIT]
"""

import argparse
import json
import os
from pathlib import Path

import numpy as np

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # before onnxruntime is loaded
import onnxruntime
from PIL import Image

parser = argparse.ArgumentParser()
parser.add_argument("images", nargs="+")
parser.add_argument("--ok", type=float)
parser.add_argument("--ng", type=float)
given = parser.parse_args()

session = onnxruntime.InferenceSession(str(Path(__file__).with_name("NETWORK")))
facts = session.get_modelmeta().custom_metadata_map
limits = json.loads(facts["goodpart.limits"])
ok = limits["ok"] if given.ok is None else given.ok
ng = limits["ng"] if given.ng is None else given.ng
height, width = json.loads(facts["goodpart.part_size"])
mode = "L" if facts["goodpart.color"] == "grey" else "RGB"

for name in given.images:
    image = Image.open(name)
    if image.size != (width, height):
        raise SystemExit(f"{name}: not {width}x{height}; takes {facts['goodpart.input']}")
    if image.mode.startswith("I"):  # 16 bit
        white = float(facts["goodpart.white_level"])
        pixels = np.minimum(np.asarray(image, dtype=np.float32) * np.float32(255.0 / white), 255)
    else:
        pixels = np.asarray(image.convert(mode), dtype=np.float32)
    score, score_map = session.run(["score", "score_map"], {"image": pixels[None]})
    value = float(score[0])
    verdict = "OK" if value <= ok else "NG" if value > ng else "CHECK"
    y, x = np.unravel_index(score_map.argmax(), score_map.shape)
    print(f"{name} {verdict} {value:.6g} highest at x={x} y={y}")
'''.replace("SCRIPT", "NETWORK_example.py")
