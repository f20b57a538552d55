"""Backbones: frozen networks whose features describe local appearance.

>>> from goodpart.detectors.backbones import load_backbone
>>> backbone = load_backbone("goodpart")            # ships with the package
>>> extractor = backbone.session(threads=2)
>>> features = extractor(images)                    # uint8 (N, H, W) or (N, H, W, 3)
>>> features["stride4"].shape, features["stride8"].shape
((N, 24, H/4, W/4), (N, 128, H/8, W/8))

A backbone is an ONNX file whatever it came from: float32 (N, 3, H, W) in, RGB, 0..255 (it
normalises by itself), feature maps out. A trained model keeps a copy of those bytes, so inspecting
needs neither torch nor the file that the backbone was read from.
"""

from goodpart.detectors.backbones.backbone import Backbone, Extractor, Output
from goodpart.detectors.backbones.load import load_backbone

__all__ = ["Backbone", "Extractor", "Output", "load_backbone"]
