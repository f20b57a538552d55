"""A trained model: the recipe, the detector, the limits; inspect with it, save it, load it.

What lies on disk: :mod:`goodpart.model_folder`.
"""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from goodpart.decision import Inspection, Limits, Verdict
from goodpart.decision.judge import judge
from goodpart.decision.pictures import HeatScale, heat_scale
from goodpart.detectors import Detector, State, create_detector
from goodpart.detectors.engine import EngineName
from goodpart.detectors.engine_check import engine_for
from goodpart.detectors.view import behind_view
from goodpart.errors import DataError, ImageError, ModelError, RecipeError
from goodpart.model_folder import MANIFEST, read_files, read_manifest, write_folder
from goodpart.parts.read import Source, SourceImage, read_image
from goodpart.parts.road import PartImage, Road, RoadState
from goodpart.recipe import Recipe, parse_recipe

ARRAYS = "detector.safetensors"
ROAD = "road.safetensors"


@dataclass(frozen=True)
class Prepared:
    """A part image that waits for its score map.

    Parameters
    ----------
    pixels : ndarray, (H, W) or (H, W, 3) RGB
        What the detector scores.
    mask : ndarray of bool, (H, W), optional
    common : dict
        What the inspection will say whatever the score.
    timings : dict of str to float
        Milliseconds of the steps so far.
    """

    pixels: NDArray[Any]
    mask: NDArray[np.bool_] | None
    common: dict[str, Any]
    timings: dict[str, float]

    def failed(self, error: Exception) -> Inspection:
        """NOT_JUDGED: the detector raised ``error``."""
        message = f"{self.common['source']}: the detector failed: {type(error).__name__}: {error}"
        return Inspection(
            Verdict.NOT_JUDGED,
            reason="model error",
            message=message.splitlines()[0],
            timings=dict(self.timings),
            **self.common,
        )


@dataclass
class Model:
    """A trained and calibrated model.

    Parameters
    ----------
    recipe : Recipe
        Complete: nothing is ``"auto"`` any more.
    detector : Detector
        Fitted.
    limits : Limits
    level : float
        Above it a pixel may belong to a region.
    calibration : dict
        How the limits came about: the rate asked for, the guarantee, the scores of the good
        images by name (``good_scores``), what stands out (``outliers``).
    provenance : dict
        Training data fingerprint, counts, times, library versions.
    artifacts : dict of str to bytes
        Further files to keep, such as training curves, by relative path.
    road : RoadState
        What alignment and checks learned.
    id : str
        Unique for each training.
    """

    recipe: Recipe
    detector: Detector
    limits: Limits
    level: float
    calibration: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    artifacts: dict[str, bytes] = field(default_factory=dict)
    road: RoadState = field(default_factory=RoadState)
    id: str = field(default_factory=lambda: uuid.uuid4().hex)

    def __post_init__(self) -> None:
        self._road = Road(self.recipe, self.road)

    @property
    def mask(self) -> NDArray[np.bool_] | None:
        """True where pixels of a part image count, (H, W); ``None``: everywhere."""
        return self._road.mask

    @property
    def heat_scale(self) -> HeatScale:
        """What the colours of heatmaps stand for: the same for every part."""
        if self.detector.heat_range is not None:
            return HeatScale(*self.detector.heat_range)
        return heat_scale(self.limits, self.level)

    def inspect(self, source: Source, *, name: str | None = None) -> Inspection:
        """Inspect an image that shows one part.

        Parameters
        ----------
        source : path, bytes or ndarray
            See :func:`goodpart.parts.read.read_image`.
        name : str, optional
            What to call it in the inspection.

        Returns
        -------
        Inspection
            NOT_JUDGED with the reason where the image or the model fails.

        Raises
        ------
        DataError
            The image is a tray of several parts: use :meth:`inspect_all`.
        """
        found = self.inspect_all(source, name=name)
        if len(found) != 1:
            raise DataError(f"{found[0].source}: shows {len(found)} parts; use inspect_all")
        return found[0]

    def inspect_all(self, source: Source, *, name: str | None = None) -> list[Inspection]:
        """Inspect every part of an image: one inspection per pocket of a tray, never none."""
        found: list[Inspection] = []
        for item in self.prepare(source, name=name):
            if isinstance(item, Inspection):
                found.append(item)
                continue
            start = time.perf_counter()
            try:
                raw_map = self.detector.raw_map(item.pixels)
            except Exception as error:
                # Engines raise many kinds; whatever it was, the part was not judged and says so.
                found.append(item.failed(error))
                continue
            found.append(self.conclude(item, raw_map, score_ms=_ms(start)))
        return found

    def prepare(self, source: Source, *, name: str | None = None) -> list[Inspection | Prepared]:
        """The first half of :meth:`inspect_all`, up to the part images that a detector scores.

        Returns
        -------
        list of Inspection or Prepared
            In the order of the parts; an inspection (NOT_JUDGED) where nothing can be scored.
        """
        start = time.perf_counter()
        try:
            image = read_image(source, limits=self.recipe.input, name=name)
        except ImageError as error:
            label = name or (str(source) if isinstance(source, str | Path) else "image")
            return [
                Inspection(
                    Verdict.NOT_JUDGED,
                    source=label,
                    part=Path(label).stem,
                    reason=error.reason,
                    message=str(error),
                    limits=self.limits,
                    model_id=self.id,
                    timings={"total": _ms(start)},
                )
            ]
        decoded = time.perf_counter()
        parts = self._road.parts(image)
        located = time.perf_counter()
        shared = {
            "decode": (decoded - start) * 1e3,
            "locate": (located - decoded) * 1e3 / len(parts),
        }
        return [self._prepare_part(image, part, shared) for part in parts]

    def _prepare_part(
        self, image: SourceImage, part: PartImage, timings: dict[str, float]
    ) -> Inspection | Prepared:
        stem = Path(image.name).stem
        common: dict[str, Any] = {
            "source": image.name,
            "part": stem if part.pocket is None else f"{stem}_{part.pocket}",
            "limits": self.limits,
            "image": part.pixels,
            "mask": part.mask,
            "transform": part.transform,
            "pocket": part.pocket,
            "sha256": image.sha256,
            "model_id": self.id,
        }
        if part.problem is not None or part.pixels is None:
            reason, message = part.problem or ("not located", f"{image.name}: no part found")
            return Inspection(
                Verdict.NOT_JUDGED, reason=reason, message=message, timings=dict(timings), **common
            )
        return Prepared(part.pixels, part.mask, common, timings)

    def conclude(
        self, prepared: Prepared, raw_map: NDArray[np.float32], *, score_ms: float
    ) -> Inspection:
        """The second half of :meth:`inspect_all`: from a score map to the inspection.

        Parameters
        ----------
        prepared : Prepared
        raw_map : ndarray of float32, (h, w)
            What the detector says of ``prepared.pixels``.
        score_ms : float
            Milliseconds that the detector took, for the timings.
        """
        start = time.perf_counter()
        result = judge(
            raw_map,
            size=(prepared.pixels.shape[0], prepared.pixels.shape[1]),
            limits=self.limits,
            level=self.level,
            mask=prepared.mask,
            mm_per_pixel=self._scale(prepared.common["transform"]),
            score=self.detector.score(raw_map, prepared.mask),
        )
        steps = {**prepared.timings, "score": score_ms, "decide": _ms(start)}
        steps["total"] = sum(steps.values())
        failed = result.verdict is Verdict.NOT_JUDGED
        source = prepared.common["source"]
        return Inspection(
            result.verdict,
            score=None if failed else result.score,
            reason="model error" if failed else None,
            message=f"{source}: the score is not a finite number" if failed else None,
            regions=result.regions,
            raw_map=raw_map,
            timings=steps,
            **prepared.common,
        )

    def _scale(self, transform: NDArray[np.float64]) -> float | None:
        """Millimetres for a pixel of the part image; the recipe gives those of the source's."""
        given = self.recipe.part.mm_per_pixel
        if given is None:
            return None
        return given * float(np.sqrt(abs(np.linalg.det(transform[:2, :2]))))

    def save(self, path: str | Path, *, force: bool = False) -> Path:
        """Write the model folder.

        Raises
        ------
        ModelError
            The folder exists and ``force`` is not given, or cannot be written.
        """
        from safetensors.numpy import save

        state = self.detector.state()
        files = {**self.artifacts, **state.files}
        if state.arrays:
            # safetensors writes memory as it lies: a transposed array would come back as another.
            files[ARRAYS] = save({k: np.ascontiguousarray(v) for k, v in state.arrays.items()})
        if self.road.arrays:
            files[ROAD] = save({k: np.ascontiguousarray(v) for k, v in self.road.arrays.items()})
        manifest = {
            "id": self.id,
            "detector": {
                "name": self.detector.name,
                "settings": self.detector.settings(),
                "values": state.values,
                "files": sorted(state.files),
            },
            "recipe": self.recipe.model_dump(mode="json"),
            "limits": {"ok": self.limits.ok, "ng": self.limits.ng},
            "level": self.level,
            "calibration": self.calibration,
            "provenance": self.provenance,
        }
        target = Path(path)
        write_folder(target, files, manifest, force=force)
        return target


def load(path: str | Path, *, engine: EngineName | None = None) -> Model:
    """Load a model folder.

    Parameters
    ----------
    path : path
    engine : "onnxruntime", "openvino" or "openvino-bf16", optional
        What runs networks, by default what the limits were set on. The first two compute in fp32
        and agree to 1e-3 of a score; see :mod:`goodpart.detectors.engine_check` for the last. The
        number of threads is set by ``GOODPART_THREADS``, see :mod:`goodpart.detectors.engine`.

    Raises
    ------
    ModelError
        Missing, of a newer format, changed since it was written, or incomplete; or a fast engine
        that its limits were not set on.
    """
    from safetensors.numpy import load as load_arrays

    folder = Path(path)
    manifest = read_manifest(folder)
    try:
        data = read_files(folder, manifest)
        entry = manifest["detector"]
        own = set(entry["files"])
        state = State(
            arrays=load_arrays(data[ARRAYS]) if ARRAYS in data else {},
            files={name: data[name] for name in own},
            values=entry["values"],
        )
        recipe = parse_recipe(manifest["recipe"], where=str(folder / MANIFEST))
        detector = create_detector(entry["name"], entry["settings"])
        limits = Limits(**manifest["limits"])
        detector.engine = engine_for(engine, manifest["provenance"], limits, str(folder))
        detector = behind_view(detector, recipe).restore(state)
        return Model(
            recipe=recipe,
            detector=detector,
            limits=limits,
            level=float(manifest["level"]),
            calibration=manifest["calibration"],
            provenance=manifest["provenance"],
            artifacts={n: d for n, d in data.items() if n not in own | {ARRAYS, ROAD}},
            road=RoadState(load_arrays(data[ROAD]) if ROAD in data else {}),
            id=manifest["id"],
        )
    except RecipeError as error:
        raise ModelError(f"{folder}: not a model of this version: {error}") from None
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{folder}: the manifest is damaged: {error!r}") from None


def _ms(start: float) -> float:
    return (time.perf_counter() - start) * 1e3
