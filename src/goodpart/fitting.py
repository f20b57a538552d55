"""From data to a calibrated model: complete the recipe, fit the detector, set the limits."""

from __future__ import annotations

import hashlib
import platform
import time
from collections import OrderedDict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from goodpart.calibration import defect_files, score_defects, set_again, set_limits
from goodpart.decision.pictures import png_bytes
from goodpart.detectors import Detector, create_detector
from goodpart.detectors.auto import AUTO, choose_detector, explain
from goodpart.detectors.engine import FAST_ENGINES, EngineName
from goodpart.detectors.engine_check import ENTRY, compare_engines
from goodpart.detectors.registry import DEFAULT
from goodpart.detectors.view import behind_view
from goodpart.errors import DataError, ImageError
from goodpart.model import Model
from goodpart.parts.contact_sheet import contact_sheet
from goodpart.parts.dataset import load_dataset
from goodpart.parts.learn_road import learn_road
from goodpart.parts.read import Source, read_image
from goodpart.parts.road import PartImage, Road, RoadState, looks_grey
from goodpart.progress import Progress, track
from goodpart.recipe import Recipe

# Part images kept decoded; beyond this the oldest are read again when needed.
CACHE_BYTES = 512 * 2**20
WHITE_LEVELS = (1023, 4095, 16383, 65535)
OUTLIER_SHEET = "outliers.png"
MOST_ON_SHEET = 60


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


def cut_parts(
    images: TrainingImages, road: Road, progress: Progress | None = None
) -> tuple[PartSequence, list[str], list[str], NDArray[np.bool_] | None]:
    """Run every source down the road; parts that cannot be judged are left out and named.

    Returns
    -------
    (parts, names, groups, mask)
        ``mask`` is common to all parts, or ``None`` where everything counts.
    """
    pairs: list[tuple[int, int]] = []
    names: list[str] = []
    groups: list[str] = []
    kept: list[NDArray[Any]] = []
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
    return parts, names, groups, road.mask


def fit(
    data: str | Path | Sequence[str | Path] | NDArray[Any],
    *,
    detector: str | None = None,
    recipe: Recipe | None = None,
    settings: dict[str, Any] | None = None,
    drop_outliers: bool = False,
    defects: str | Path | None = None,
    generated: str | Path | None = None,
    engine: EngineName = "onnxruntime",
    workdir: str | Path | None = None,
    progress: Progress | None = None,
) -> Model:
    """Train a detector on good images and set its limits.

    Parameters
    ----------
    data : path, sequence of paths, or ndarray
        A data folder in any layout (only its good training images are opened), a list of good
        images, or a uint8 array (N, H, W) or (N, H, W, 3).
    detector : str, optional
        Overrides the recipe's; ``"auto"``: see :mod:`goodpart.detectors.auto`.
    recipe : Recipe, optional
    settings : dict, optional
        Further settings of the detector, over the recipe's.
    drop_outliers : bool
        Learn again without the images that stand out. What alignment and checks learned stays.
    defects : path, optional
        Folder of defective parts, for a recipe with ``limits.escape``; in class folders their
        training side is taken by itself.
    generated : path, optional
        Folder that ``synthesize`` wrote: its images are learned from as well. The recipe and the
        limits come from real images alone.
    engine : "onnxruntime", "openvino" or "openvino-bf16"
        What computes held-out scores, and judges later. A fast one is given up for onnxruntime,
        with a warning, where it changes a training image's verdict: see
        :mod:`goodpart.detectors.engine_check`.
    workdir : path, optional
        Where a long training keeps checkpoints; interrupted, it goes on from there.
    progress : callable, optional

    Returns
    -------
    Model

    Raises
    ------
    DataError, RecipeError, TrainingError

    Examples
    --------
    >>> import numpy as np
    >>> from goodpart import fit
    >>> good = np.random.default_rng(0).integers(0, 255, (12, 64, 64), dtype=np.uint8)
    >>> model = fit(good, detector="variation")
    >>> model.inspect(good[0]).verdict
    <Verdict.OK: 'OK'>
    """
    begin = time.perf_counter()
    images = gather(data)
    total = len(images.sources)
    given = recipe or Recipe()
    recipe, road_state = complete_recipe(given, images, progress)
    if generated is not None:
        add_generated(images, generated, recipe, progress)
    chosen = detector or recipe.detector.name
    if chosen == "auto-default":
        chosen = DEFAULT
    merged = {**recipe.detector.settings, **(settings or {})}
    if chosen != AUTO:
        create_detector(chosen, merged)  # a wrong setting is an error now, not after the cutting
    parts, names, groups, mask = cut_parts(images, Road(recipe, road_state), progress)
    choice: dict[str, Any] = {}
    if chosen == AUTO:
        chosen, trials = choose_detector(
            parts, groups=groups, mask=mask, seed=recipe.seed, progress=progress
        )
        told = {"trials": [trial.to_dict() for trial in trials], "why": explain(chosen, trials)}
        choice = {"choice": told}

    learner = _new_learner(chosen, merged, recipe, engine)
    section = recipe.detector.model_copy(update={"name": chosen, "settings": learner.settings()})
    recipe = recipe.model_copy(update={"detector": section})
    if generated is not None and images.generated.isdisjoint(names):
        raise DataError(
            f"{generated}: none of the generated images passes the checks that the real ones set; "
            f"the first: {images.left_out[-1][1]}"
        )
    folder = None if workdir is None else Path(workdir)
    learner.fit(
        parts, groups=groups, mask=mask, seed=recipe.seed, workdir=folder, progress=progress
    )
    _keep_real(learner, names, images.generated)
    limits, level, calibration = set_limits(learner, recipe, names, parts.mask_of)
    sheet = outlier_sheet(parts, names, calibration)
    dropped = list(calibration["outliers"]) if drop_outliers else []
    if dropped:
        out = {index for index, name in enumerate(names) if name in set(dropped)}
        parts = parts.without(out)
        names = [name for index, name in enumerate(names) if index not in out]
        groups = [group for index, group in enumerate(groups) if index not in out]
        learner = _new_learner(chosen, merged, recipe, engine).fit(
            parts,
            groups=groups,
            mask=mask,
            seed=recipe.seed,
            # Checkpoints of the first training belong to other images.
            workdir=None if folder is None else folder / "without_outliers",
            progress=progress,
        )
        _keep_real(learner, names, images.generated)
        limits, level, calibration = set_limits(learner, recipe, names, parts.mask_of)
    hashes = parts.hashes()
    provenance: dict[str, Any] = {
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "images_given": total,
        "parts_used": len(parts),
        "generated_used": sum(name in images.generated for name in names),
        "left_out": [{"name": name, "reason": reason} for name, reason in images.left_out],
        "dropped": dropped,
        "image_sha256": hashes,
        "data_sha256": fingerprint(hashes),
        **choice,
        "versions": versions(),
        "warnings": list(getattr(learner, "warnings_", [])),
    }
    model = Model(
        recipe,
        learner,
        limits,
        level,
        calibration,
        provenance,
        artifacts={**getattr(learner, "artifacts_", {}), **sheet},
        road=road_state,
    )
    if recipe.limits.escape is not None:
        _limit_escapes(model, data, defects, progress)
    if engine in FAST_ENGINES:
        exact = _new_learner(chosen, merged, recipe, "onnxruntime").restore(learner.state())
        check = compare_engines(learner, exact, parts, names, parts.mask_of, progress)
        model.provenance[ENTRY] = check.to_dict(model.limits)
        differing = check.differing(model.limits)
        if differing:
            safe = fit(
                data,
                detector=chosen,
                recipe=given,
                settings=settings,
                drop_outliers=drop_outliers,
                defects=defects,
                generated=generated,
                progress=progress,
            )
            safe.provenance["warnings"].append(
                f"{engine} is not taken: it judges {len(differing)} of {len(parts)} training "
                f"images differently, {differing[0]} among them; scores differ by up to "
                f"{check.deviation(model.limits):.2%} of the limit"
            )
            return safe
    model.provenance["seconds"] = round(time.perf_counter() - begin, 2)
    return model


def _new_learner(
    name: str, settings: dict[str, Any], recipe: Recipe, engine: EngineName
) -> Detector:
    """A detector on its engine, behind the recipe's view."""
    created = create_detector(name, settings)
    created.engine = engine
    return behind_view(created, recipe)


def _keep_real(learner: Detector, names: Sequence[str], generated: Collection[str]) -> None:
    """Drop held-out maps of generated images: limits are set on real ones."""
    learner.held_out_ = [held for held in learner.held_out_ if names[held.index] not in generated]


def _limit_escapes(
    model: Model, data: Any, defects: str | Path | None, progress: Progress | None
) -> None:
    """Set the limits for the escape rate that the recipe asks for."""
    folder = defects if defects is not None else data
    if not isinstance(folder, str | Path):
        raise DataError("limits.escape needs defective images: give a folder of them as defects")
    scores, problems = score_defects(model, defect_files(Path(folder)), progress)
    model.provenance["warnings"] += [f"defective image left out: {text}" for text in problems]
    story = {**model.calibration, "defect_scores": scores, "history": []}
    model.limits, model.calibration = set_again(story, model.recipe.limits, why="trained")


def outlier_sheet(
    parts: Sequence[NDArray[Any]], names: Sequence[str], calibration: dict[str, Any]
) -> dict[str, bytes]:
    """A contact sheet of the good images that stand out, highest first, as a file of the model.

    Returns
    -------
    dict of str to bytes
        Empty where none stands out.
    """
    outliers = calibration["outliers"][:MOST_ON_SHEET]
    if not outliers:
        return {}
    places = {name: index for index, name in enumerate(names)}
    scores = calibration["good_scores"]
    sheet = contact_sheet(
        (parts[places[name]], f"{Path(name).name}\nscore {scores[name]:.4g}") for name in outliers
    )
    return {OUTLIER_SHEET: png_bytes(sheet)}


def fingerprint(hashes: Sequence[str]) -> str:
    """SHA-256 over the images' own, whatever their order."""
    return hashlib.sha256("".join(sorted(hashes)).encode()).hexdigest()


def versions() -> dict[str, str]:
    """Versions of goodpart, Python and the libraries that decide scores."""
    found = {"python": platform.python_version()}
    for name in ("goodpart", "numpy", "opencv-python-headless", "onnxruntime", "torch"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
