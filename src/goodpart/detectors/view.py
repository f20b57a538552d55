"""Detectors that see the part image in another form: in tiles, or unwrapped.

Everything outside keeps to the part image: the view is taken before the detector and undone on
its score maps, so that regions, masks and heatmaps need not know of it.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self, overload

import numpy as np
from numpy.typing import NDArray

from goodpart.detectors.base import Detector, HeldOut, PartPixels, State
from goodpart.parts.polar import PolarView
from goodpart.parts.tiles import put_together, tiles_of
from goodpart.progress import Progress
from goodpart.recipe import Recipe


class Viewed(Detector):
    """A detector behind a view; stands for it in name, settings and everything learned.

    Parameters
    ----------
    inner : Detector
        Scores the views.
    size : (int, int)
        Height and width of the part image.
    """

    def __init__(self, *, inner: Detector, size: tuple[int, int]) -> None:
        self.inner = inner
        self.size = size
        self._stand_for_inner()

    def _stand_for_inner(self) -> None:
        for name in (
            "name",
            "summary",
            "paper",
            "guarantee",
            "own_limit",
            "heat_range",
            "engine",
            "artifacts_",
            "warnings_",
        ):
            if hasattr(self.inner, name):
                setattr(self, name, getattr(self.inner, name))

    @abstractmethod
    def _counted(self, mask: NDArray[np.bool_] | None) -> list[int]:
        """Which views of a part image are looked at: those in which something counts."""

    @abstractmethod
    def _view(self, image: PartPixels, place: int) -> PartPixels:
        """One view of a part image."""

    @abstractmethod
    def _view_mask(self, mask: NDArray[np.bool_] | None) -> NDArray[np.bool_] | None:
        """The mask that all views have in common."""

    @abstractmethod
    def _together(self, maps: dict[int, NDArray[np.float32]]) -> NDArray[np.float32]:
        """The score map of a part image from those of its views."""

    def fit(
        self,
        images: Sequence[PartPixels],
        *,
        groups: Sequence[str] | None = None,
        mask: NDArray[np.bool_] | None = None,
        seed: int = 0,
        workdir: Path | None = None,
        progress: Progress | None = None,
    ) -> Self:
        """See :meth:`Detector.fit`: the views of one image share its group, so its fold."""
        self.places_ = self._counted(mask)
        sources = list(groups) if groups is not None else [str(i) for i in range(len(images))]
        self.inner.fit(
            _Views(self, images),
            groups=[source for source in sources for _ in self.places_],
            mask=self._view_mask(mask),
            seed=seed,
            workdir=workdir,
            progress=progress,
        )
        self._gather()
        return self

    def extend(
        self,
        images: Sequence[PartPixels],
        *,
        groups: Sequence[str] | None = None,
        progress: Progress | None = None,
    ) -> Self:
        """See :meth:`Detector.extend`."""
        sources = list(groups) if groups is not None else [str(i) for i in range(len(images))]
        self.inner.extend(
            _Views(self, images),
            groups=[source for source in sources for _ in self.places_],
            progress=progress,
        )
        self._gather()
        return self

    def _gather(self) -> None:
        """Held-out maps of whole images: of those whose views were all held out."""
        self._stand_for_inner()
        count = len(self.places_)
        by_image: dict[int, dict[int, NDArray[np.float32]]] = {}
        for held in self.inner.held_out_:
            image, place = divmod(held.index, count)
            by_image.setdefault(image, {})[self.places_[place]] = held.raw_map
        self.held_out_ = [
            HeldOut(image, self._together(maps))
            for image, maps in sorted(by_image.items())
            if len(maps) == count
        ]

    def raw_maps(self, images: Sequence[PartPixels]) -> list[NDArray[np.float32]]:
        """See :meth:`Detector.raw_maps`; one view at a time, so that memory stays that of one."""
        self._check_fitted("places_")
        return [
            self._together(
                {place: self.inner.raw_map(self._view(image, place)) for place in self.places_}
            )
            for image in images
        ]

    def score(self, raw_map: NDArray[np.float32], mask: NDArray[np.bool_] | None = None) -> float:
        """See :meth:`Detector.score`."""
        return self.inner.score(raw_map, mask)

    def settings(self) -> dict[str, Any]:
        """The settings of the detector behind the view."""
        return self.inner.settings()

    def state(self) -> State:
        """See :meth:`Detector.state`."""
        self._check_fitted("places_")
        state = self.inner.state()
        return State(state.arrays, state.files, {**state.values, "views": self.places_})

    def restore(self, state: State) -> Self:
        """See :meth:`Detector.restore`."""
        values = dict(state.values)
        self.places_ = [int(place) for place in values.pop("views", self._counted(None))]
        self.inner.restore(State(state.arrays, state.files, values))
        self._stand_for_inner()
        return self


class _Views(Sequence[PartPixels]):
    """All views of all images, cut when asked for."""

    def __init__(self, viewed: Viewed, images: Sequence[PartPixels]) -> None:
        self._viewed = viewed
        self._images = images

    def __len__(self) -> int:
        return len(self._images) * len(self._viewed.places_)

    @overload
    def __getitem__(self, index: int) -> PartPixels: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[PartPixels]: ...
    def __getitem__(self, index: int | slice) -> PartPixels | Sequence[PartPixels]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        image, place = divmod(index % len(self), len(self._viewed.places_))
        return self._viewed._view(self._images[image], self._viewed.places_[place])


class Tiled(Viewed):
    """Every tile is an image of its own, and one detector learns them all.

    Time grows with the part's area; memory is that of one tile.

    Parameters
    ----------
    inner : Detector
    size : (int, int)
    tile : int
        Side of a tile in pixels.
    overlap : float
        See :func:`goodpart.parts.tiles.tiles_of`.
    """

    def __init__(
        self, *, inner: Detector, size: tuple[int, int], tile: int, overlap: float
    ) -> None:
        super().__init__(inner=inner, size=size)
        self.tiles = tiles_of(size, tile, overlap)

    def _counted(self, mask: NDArray[np.bool_] | None) -> list[int]:
        return [i for i, tile in enumerate(self.tiles) if mask is None or tile.cut(mask).any()]

    def _view(self, image: PartPixels, place: int) -> PartPixels:
        return np.ascontiguousarray(self.tiles[place].cut(image))

    def _view_mask(self, mask: NDArray[np.bool_] | None) -> NDArray[np.bool_] | None:
        # Every tile has another; the score leaves masked pixels out.
        return None

    def _together(self, maps: dict[int, NDArray[np.float32]]) -> NDArray[np.float32]:
        return put_together([maps.get(i) for i in range(len(self.tiles))], self.tiles, self.size)


class Unwrapped(Viewed):
    """The detector sees the polar view of round parts."""

    def __init__(self, *, inner: Detector, size: tuple[int, int]) -> None:
        super().__init__(inner=inner, size=size)
        self._polar = PolarView(size)

    def _counted(self, mask: NDArray[np.bool_] | None) -> list[int]:
        return [0]

    def _view(self, image: PartPixels, place: int) -> PartPixels:
        return self._polar.unwrap(image)

    def _view_mask(self, mask: NDArray[np.bool_] | None) -> NDArray[np.bool_] | None:
        if mask is None:
            return None
        return np.asarray(self._polar.unwrap(mask.astype(np.uint8)) > 0, dtype=np.bool_)

    def _together(self, maps: dict[int, NDArray[np.float32]]) -> NDArray[np.float32]:
        return self._polar.wrap(maps[0])


def behind_view(detector: Detector, recipe: Recipe) -> Detector:
    """The detector as the recipe's part section has it look at part images.

    Parameters
    ----------
    detector : Detector
    recipe : Recipe
        With its part size complete.
    """
    part = recipe.part
    assert part.size != "auto"
    if part.view == "polar":
        return Unwrapped(inner=detector, size=part.size)
    if part.tile is not None and max(part.size) > part.tile:
        return Tiled(inner=detector, size=part.size, tile=part.tile, overlap=part.overlap)
    return detector
