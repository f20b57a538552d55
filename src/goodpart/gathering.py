"""From data to the part images that a detector learns: gathered, read, cut out, compared."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from goodpart.errors import DataError, ImageError
from goodpart.parts.dataset import load_dataset
from goodpart.parts.duplicates import FEW, joined, near_duplicates, thumbnail_of
from goodpart.parts.learn_road import learn_road
from goodpart.parts.read import Source, read_image
from goodpart.parts.road import PartImage, Road, RoadState, looks_grey
from goodpart.parts.statistics import to_grey
from goodpart.progress import Progress, track
from goodpart.recipe import Recipe

# Part images kept decoded; beyond this the oldest are read again when needed.
CACHE_BYTES = 512 * 2**20
WHITE_LEVELS = (1023, 4095, 16383, 65535)
# Every pair of pictures is compared: beyond this many it would take minutes.
MOST_COMPARED = 4000


@dataclass
class TrainingImages:
    """Sources of good images, what was found out about them, and what had to be left out.

    Parameters
    ----------
    sources : list of path or ndarray
    names : list of str
    groups : list of str
        Source of each image, so that copies of one stay in one fold.
    left_out : list of (str, str)
        Name and reason.
    sha256 : list of str
        Of each source, once :func:`complete_recipe` has read them.
    generated : set of str
        Names of those that a generator drew: they teach, but set no limits.
    """

    sources: list[Source]
    names: list[str]
    groups: list[str]
    left_out: list[tuple[str, str]] = field(default_factory=list)
    sha256: list[str] = field(default_factory=list)
    generated: set[str] = field(default_factory=set)


class PartSequence(Sequence[NDArray[Any]]):
    """Part images that are read when asked for, with a bounded cache.

    Parameters
    ----------
    pairs : list of (source index, part index)
        Which part of which source each image is.
    """

    def __init__(
        self,
        images: TrainingImages,
        road: Road,
        pairs: list[tuple[int, int]],
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        self._images = images
        self._road = road
        self._pairs = pairs
        self._cache: OrderedDict[int, NDArray[Any]] = OrderedDict()
        self._room = cache_bytes
        # Masks of parts that have their own, packed: one in eight bytes would be most of memory.
        self._masks: dict[int, NDArray[np.uint8]] = {}

    def __len__(self) -> int:
        return len(self._pairs)

    @overload
    def __getitem__(self, index: int) -> NDArray[Any]: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[NDArray[Any]]: ...
    def __getitem__(self, index: int | slice) -> NDArray[Any] | Sequence[NDArray[Any]]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if index < 0:
            index += len(self)
        if not 0 <= index < len(self):
            raise IndexError(index)
        if index in self._cache:
            self._cache.move_to_end(index)
            return self._cache[index]
        pixels = self.part(index).pixels
        assert pixels is not None  # only good parts that could be cut out are listed
        self.keep(index, pixels)
        return pixels

    def without(self, left_out: Collection[int]) -> PartSequence:
        """The same part images but for some."""
        kept = [index for index in range(len(self)) if index not in left_out]
        fewer = PartSequence(self._images, self._road, [self._pairs[index] for index in kept])
        for place, index in enumerate(kept):
            if index in self._cache:
                fewer.keep(place, self._cache[index])
            if index in self._masks:
                fewer._masks[place] = self._masks[index]
        return fewer

    def keep_mask(self, index: int, mask: NDArray[np.bool_]) -> None:
        """Note the mask of a part image that is not the common one."""
        self._masks[index] = np.packbits(mask)

    def mask_of(self, index: int) -> NDArray[np.bool_] | None:
        """Where pixels of a part image count; ``None``: everywhere."""
        if index not in self._masks:
            return self._road.mask
        assert self._road.recipe.part.size != "auto"
        height, width = self._road.recipe.part.size
        bits = np.unpackbits(self._masks[index], count=height * width)
        return np.asarray(bits.reshape(height, width), dtype=np.bool_)

    def hashes(self) -> list[str]:
        """SHA-256 of the images that the parts come from."""
        used = sorted({source for source, _ in self._pairs})
        return [self._images.sha256[source] for source in used]

    def part(self, index: int) -> PartImage:
        """The part image with its mask and transform, read afresh."""
        source, place = self._pairs[index]
        image = read_image(self._images.sources[source], limits=self._road.recipe.input)
        return self._road.parts(image)[place]

    def keep(self, index: int, pixels: NDArray[Any]) -> None:
        """Put a decoded part image into the cache."""
        self._cache[index] = pixels
        self._room -= pixels.nbytes
        while self._room < 0 and len(self._cache) > 1:
            _, oldest = self._cache.popitem(last=False)
            self._room += oldest.nbytes


def gather(data: str | Path | Sequence[str | Path] | NDArray[Any]) -> TrainingImages:
    """The good training images of a folder, a list of paths, or an array (N, H, W[, 3]).

    Raises
    ------
    DataError
        There is none.
    """
    if isinstance(data, np.ndarray):
        if data.ndim not in (3, 4) or len(data) == 0:
            raise DataError(
                f"an array of images must be (N, H, W) or (N, H, W, 3), not {data.shape}"
            )
        names = [f"array_{i:05d}" for i in range(len(data))]
        return TrainingImages(list(data), names, names)
    if isinstance(data, str | Path):
        items = load_dataset(data).train_good()
        if not items:
            raise DataError(f"{data}: no good training images; put them into a folder named Normal")
        paths: list[Source] = [item.path for item in items]
        images = TrainingImages(paths, [str(i.path) for i in items], [i.source for i in items])
        images.generated.update(str(item.path) for item in items if item.generated)
        return images
    paths = [Path(path) for path in data]
    if not paths:
        raise DataError("no training images given")
    names = [str(path) for path in paths]
    return TrainingImages(paths, names, names)


def add_generated(
    images: TrainingImages, folder: str | Path, recipe: Recipe, progress: Progress | None = None
) -> None:
    """Add the images of a folder that ``synthesize`` wrote to those that are learned from.

    Call it after :func:`complete_recipe`: what the recipe learns comes from real images alone.

    Raises
    ------
    DataError
        The folder holds none, or an image that is not marked as generated.
    """
    items = load_dataset(folder).train_good()
    for item in track(items, "generated", len(items), progress):
        if not item.generated:
            raise DataError(
                f"{item.path}: is not marked as generated; give a folder that goodpart synthesize "
                "wrote, real images belong to the data folder"
            )
        try:
            image = read_image(item.path, limits=recipe.input)
        except ImageError as error:
            images.left_out.append((str(item.path), str(error)))
            continue
        images.sources.append(item.path)
        images.names.append(str(item.path))
        images.groups.append(item.source)
        images.sha256.append(image.sha256)
        images.generated.add(str(item.path))
    if not images.generated:
        raise DataError(f"{folder}: no generated images that can be read")


def complete_recipe(
    recipe: Recipe, images: TrainingImages, progress: Progress | None = None
) -> tuple[Recipe, RoadState]:
    """Decide whatever the recipe leaves at ``"auto"`` on the good images.

    Images that cannot be read are moved to ``images.left_out``.

    Returns
    -------
    (recipe, state)
        The complete recipe and what the road learned besides.

    Raises
    ------
    DataError
        No image can be read.
    """
    sizes: list[tuple[int, int]] = []
    grey: list[bool] = []
    highest = 0
    readable: list[int] = []
    for index in track(range(len(images.sources)), "reading", len(images.sources), progress):
        try:
            image = read_image(images.sources[index], limits=recipe.input)
        except ImageError as error:
            images.left_out.append((images.names[index], str(error)))
            continue
        readable.append(index)
        images.sha256.append(image.sha256)
        sizes.append((image.pixels.shape[0], image.pixels.shape[1]))
        grey.append(looks_grey(image.pixels))
        if image.pixels.dtype == np.uint16:
            highest = max(highest, int(image.pixels.max()))
    if not readable:
        reason = images.left_out[0][1] if images.left_out else "none given"
        raise DataError(f"none of the good images can be read; the first: {reason}")
    images.sources = [images.sources[i] for i in readable]
    images.names = [images.names[i] for i in readable]
    images.groups = [images.groups[i] for i in readable]
    given, size = recipe.input, recipe.part.size
    if size == "auto":
        size = _common_size(sizes, recipe.part.max_side)
    color = given.color
    if color == "auto":
        color = "grey" if all(grey) else "color"
    seen = next(level for level in WHITE_LEVELS if highest <= level) if highest else 65535
    level = seen if given.white_level == "auto" else given.white_level
    given = given.model_copy(update={"color": color, "white_level": level})
    return learn_road(
        recipe.model_copy(update={"input": given}),
        len(images.sources),
        lambda index: read_image(images.sources[index], limits=given, name=images.names[index]),
        size=size,
        progress=progress,
    )


def _common_size(sizes: list[tuple[int, int]], max_side: int) -> tuple[int, int]:
    """The median size, the longer side at most ``max_side``, in multiples of 16."""
    height, width = np.median(np.array(sizes), axis=0)
    scale = min(1.0, max_side / max(height, width))
    rounded = [max(32, round(float(side) * scale / 16) * 16) for side in (height, width)]
    return rounded[0], rounded[1]


@dataclass(frozen=True)
class CutParts:
    """Part images with what belongs to them.

    Parameters
    ----------
    images : PartSequence
    names : list of str
    groups : list of str
        What is held out together: images of one source, and captures of one part where the
        recipe says so.
    mask : ndarray of bool, (H, W), optional
        Common to all parts; ``None`` where everything counts.
    shown : list of int
        Which part each image shows, as far as can be told: the index of its first image.
    """

    images: PartSequence
    names: list[str]
    groups: list[str]
    mask: NDArray[np.bool_] | None
    shown: list[int]


def cut_parts(images: TrainingImages, road: Road, progress: Progress | None = None) -> CutParts:
    """Run every source down the road; parts that cannot be judged are left out and named.

    Images that show one and the same part are found, see :func:`same_parts`.
    """
    pairs: list[tuple[int, int]] = []
    names: list[str] = []
    groups: list[str] = []
    kept: list[NDArray[Any]] = []
    thumbnails: list[NDArray[np.uint8]] = []
    parts = PartSequence(images, road, pairs)
    room = CACHE_BYTES
    for index in track(range(len(images.sources)), "locating", len(images.sources), progress):
        image = read_image(images.sources[index], limits=road.recipe.input)
        for place, part in enumerate(road.parts(image)):
            name = images.names[index] + (f" [{part.pocket}]" if part.pocket else "")
            if part.problem is not None or part.pixels is None:
                message = part.problem[1] if part.problem else "no part found"
                images.left_out.append((name, message))
                continue
            pairs.append((index, place))
            names.append(name)
            groups.append(images.groups[index])
            thumbnails.append(thumbnail_of(to_grey(part.pixels)))
            if part.mask is not None and part.mask is not road.mask:
                parts.keep_mask(len(names) - 1, part.mask)
            if part.pixels.nbytes <= room:
                room -= part.pixels.nbytes
                kept.append(part.pixels)
    if not pairs:
        reason = images.left_out[0][1] if images.left_out else "no parts"
        raise DataError(f"no part could be located in the good images; the first: {reason}")
    for index, pixels in enumerate(kept):
        parts.keep(index, pixels)
    shown = same_parts(thumbnails, progress)
    if road.recipe.part.captures == "together":
        groups = _held_together(groups, shown)
    return CutParts(parts, names, groups, road.mask, shown)


def same_parts(
    thumbnails: Sequence[NDArray[np.uint8]], progress: Progress | None = None
) -> list[int]:
    """Which part each part image shows, as far as can be told.

    Parameters
    ----------
    thumbnails : sequence of ndarray of uint8
        Of part images, see :func:`goodpart.parts.duplicates.thumbnail_of`.
    progress : callable, optional

    Returns
    -------
    list of int
        The index of the first image that shows it, as ``stats`` finds near-duplicates
        (:mod:`goodpart.parts.duplicates`). Of fewer than 20 images, which do not tell what is
        individual in one, and of more than 4,000, each counts as another part.
    """
    count = len(thumbnails)
    if not FEW <= count <= MOST_COMPARED:
        return list(range(count))
    alike = near_duplicates(np.stack(thumbnails), ["good"] * count, progress)
    return joined(((match.first, match.second) for match in alike), count)


def _held_together(groups: list[str], shown: list[int]) -> list[str]:
    """Groups of images that share a source or show one part."""
    first = {group: index for index, group in reversed(list(enumerate(groups)))}
    of_source = ((first[group], index) for index, group in enumerate(groups))
    pairs = [*of_source, *((one, index) for index, one in enumerate(shown))]
    return [groups[one] for one in joined(pairs, len(groups))]
