"""Alignment: find the part in an image and the map from the part image to it.

What an alignment needs to know (the ring that serves as anchor, the looks it may have) is learned
from good images by :mod:`goodpart.parts.choose_alignment` and kept with the recipe.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from numpy.typing import NDArray

from goodpart.errors import RecipeError
from goodpart.parts.align_round import RoundAligner
from goodpart.parts.align_template import TemplateAligner
from goodpart.parts.views import Location, Views
from goodpart.recipe import AlignSection


class Aligner(Protocol):
    """Finds the part in an image."""

    def locate(self, views: Views) -> Location | None:
        """Where the part lies, or ``None`` where it is not found."""


def create_aligner(
    section: AlignSection, arrays: Mapping[str, NDArray[Any]], size: tuple[int, int]
) -> Aligner | None:
    """The aligner that a complete recipe describes; ``None`` for no alignment.

    Parameters
    ----------
    section : AlignSection
    arrays : mapping of str to ndarray
        What was learned with it.
    size : (int, int)
        Height and width of the part image.

    Raises
    ------
    RecipeError
        The section asks for an alignment that was not learned.
    """
    if section.method == "none":
        return None
    try:
        if section.method in ("circle", "ellipse"):
            return RoundAligner(section, arrays, size)
        if section.method == "template":
            return TemplateAligner(section, arrays, size)
    except KeyError as error:
        raise RecipeError(
            f"align.method={section.method}: the model has not learned {error}; train it again"
        ) from None
    raise RecipeError("align.method=auto: training has to choose an alignment first")
