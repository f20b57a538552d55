"""timm's models as backbones, with a stand-in for timm: no weights, no internet."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from goodpart.detectors.backbones import Output, load_backbone
from goodpart.errors import ModelError

torch = pytest.importorskip("torch", reason="exporting needs the extra train")
pytest.importorskip("onnxscript", reason="exporting needs the extra train")


class Pyramid(torch.nn.Module):
    """Average pooling at strides 2, 4 and 8, as timm's ``features_only`` models look."""

    feature_info = SimpleNamespace(reduction=lambda: [2, 4, 8])
    pretrained_cfg = {"mean": (0.5, 0.4, 0.3), "std": (0.2, 0.25, 0.5)}  # noqa: RUF012

    def forward(self, x):  # type: ignore[no-untyped-def]
        return [torch.nn.functional.avg_pool2d(x, s) for s in (2, 4, 8)]


def create_model(name: str, *, pretrained: bool, features_only: bool) -> torch.nn.Module:
    assert pretrained and features_only
    if name != "pyramid":
        raise RuntimeError(f"Unknown model ({name})\nand a second line")
    return Pyramid()


@pytest.fixture(autouse=True)
def timm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", SimpleNamespace(create_model=create_model))


@pytest.mark.slow
def test_its_maps_at_strides_four_to_sixteen_come_normalised_its_way() -> None:
    backbone = load_backbone("timm:pyramid")
    assert backbone.name == "timm:pyramid"
    assert backbone.outputs == (Output("stride4", 4, 3), Output("stride8", 8, 3))
    maps = backbone.session(threads=1)(np.full((3, 32, 48), 102, np.uint8))
    assert maps["stride4"].shape == (3, 3, 8, 12)
    expected = [(0.4 - 0.5) / 0.2, (0.4 - 0.4) / 0.25, (0.4 - 0.3) / 0.5]
    np.testing.assert_allclose(maps["stride8"][0, :, 0, 0], expected, atol=1e-5)


def test_a_name_that_timm_does_not_know_is_refused_in_one_line() -> None:
    with pytest.raises(ModelError, match=r"'nothing'.*Unknown model") as caught:
        load_backbone("timm:nothing")
    assert "\n" not in str(caught.value)
