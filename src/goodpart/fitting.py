"""From data to a calibrated model: complete the recipe, fit the detector, set the limits."""

from __future__ import annotations

import hashlib
import platform
import time
from collections.abc import Collection, Sequence
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from goodpart.calibration import defect_files, score_defects, set_again, set_limits
from goodpart.decision.pictures import png_bytes
from goodpart.detectors import Detector, create_detector
from goodpart.detectors.auto import AUTO, choose_detector, explain
from goodpart.detectors.engine import FAST_ENGINES, EngineName
from goodpart.detectors.engine_check import ENTRY, compare_engines
from goodpart.detectors.registry import default_detector
from goodpart.detectors.view import behind_view
from goodpart.errors import DataError
from goodpart.gathering import add_generated, complete_recipe, cut_parts, gather
from goodpart.model import Model
from goodpart.parts.contact_sheet import contact_sheet
from goodpart.parts.road import Road
from goodpart.progress import Progress
from goodpart.recipe import Recipe

OUTLIER_SHEET = "outliers.png"
MOST_ON_SHEET = 60


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
        chosen = default_detector(aligned=recipe.align.method != "none")
    merged = {**recipe.detector.settings, **(settings or {})}
    if chosen != AUTO:
        create_detector(chosen, merged)  # a wrong setting is an error now, not after the cutting
    cut = cut_parts(images, Road(recipe, road_state), progress)
    parts, names, groups, mask, shown = cut.images, cut.names, cut.groups, cut.mask, cut.shown
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
    limits, level, calibration = set_limits(learner, recipe, names, shown, parts.mask_of)
    sheet = outlier_sheet(parts, names, calibration)
    dropped = list(calibration["outliers"]) if drop_outliers else []
    if dropped:
        out = {index for index, name in enumerate(names) if name in set(dropped)}
        parts = parts.without(out)
        names = [name for index, name in enumerate(names) if index not in out]
        groups = [group for index, group in enumerate(groups) if index not in out]
        shown = [part for index, part in enumerate(shown) if index not in out]
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
        limits, level, calibration = set_limits(learner, recipe, names, shown, parts.mask_of)
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
