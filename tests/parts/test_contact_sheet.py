"""Contact sheets."""

from __future__ import annotations

import numpy as np
import pytest

from goodpart.parts.contact_sheet import SIDE, contact_sheet


def test_every_picture_has_its_place():
    red = np.zeros((90, 180, 3), np.uint8)
    red[..., 0] = 200
    grey = np.full((300, 300), 77, np.uint8)
    sheet = contact_sheet([(red, "한글 a"), (grey, "b\n" + "c" * 90)] * 4, columns=3)
    assert sheet.dtype == np.uint8
    assert (sheet[20, 20] == [200, 0, 0]).all() and (sheet[20, 20 + SIDE + 10] == 77).all()
    assert sheet.shape[1] < 3 * (SIDE + 20)
    second = sheet[10 : 10 + SIDE, 20 + SIDE : 20 + 2 * SIDE]
    assert (second == 77).all()


def test_a_sheet_of_nothing_is_refused():
    with pytest.raises(ValueError, match="at least one"):
        contact_sheet([])
