"""The quick median is numpy's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from goodpart.parts.medians import median_of


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40))
def test_it_is_the_middle_of_even_and_odd_counts(values: list[float]) -> None:
    assert median_of(np.array(values)) == pytest.approx(float(np.median(values)))
