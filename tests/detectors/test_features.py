"""Features of a part image on a grid of cells."""

from __future__ import annotations

import numpy as np
import pytest

from goodpart.detectors.backbones import load_backbone
from goodpart.detectors.features import SHADE_UNIT, SHADES, CellFeatures


@pytest.mark.parametrize("color", [False, True])
def test_shading_tells_how_bright_the_surroundings_are(color: bool) -> None:
    image = np.full((128, 128), 60, np.uint8)
    image[:, 64:] = 160
    if color:
        image = np.repeat(image[:, :, None], 3, axis=2)
    backbone = load_backbone("goodpart")
    plain = CellFeatures(backbone, (128, 128), resolution=128)
    shaded = CellFeatures(backbone, (128, 128), resolution=128, shading=True)
    cells = shaded(image)
    assert cells.shape[2] == shaded.channels == plain.channels + len(SHADES)
    np.testing.assert_array_equal(cells[:, :, : plain.channels], plain(image))
    near, wide = cells[8, :, -2] * SHADE_UNIT, cells[8, :, -1] * SHADE_UNIT
    assert near[0] == pytest.approx(60, abs=1)
    assert near[-1] == pytest.approx(160, abs=1)
    # The wider surroundings of a cell beside the step hold more of the other side.
    assert near[9] > wide[9] > near[6]
