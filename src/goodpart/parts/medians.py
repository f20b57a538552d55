"""The median of one row of numbers, for robust fits that need hundreds of them an image."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def median_of(values: NDArray[Any]) -> float:
    """What ``np.median`` gives, without its care for axes and for what is not a number.

    That care takes longer than all the rest of a fit.

    Parameters
    ----------
    values : ndarray of float, (n,)
        Finite; at least one.
    """
    middle = len(values) // 2
    if len(values) % 2:
        return float(np.partition(values, middle)[middle])
    return float(np.partition(values, (middle - 1, middle))[middle - 1 : middle + 1].mean())
