"""A trained model: the recipe, the detector, the limits; inspect with it, save it, load it.

On disk it is a folder: ``manifest.json`` and the files that it lists with their SHA-256. Nothing
in it is executed on loading. It is written to a temporary folder and renamed, so that a crash
leaves the old model or the new one.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
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
from goodpart.parts.read import Source, SourceImage, read_image
from goodpart.parts.road import PartImage, Road, RoadState
from goodpart.recipe import Recipe, parse_recipe

FORMAT = 1
MANIFEST = "manifest.json"
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
        target = Path(path)
        check_free(target, force=force)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            temporary = target.parent / f".{target.name}.{uuid.uuid4().hex[:8]}.tmp"
            temporary.mkdir()
            try:
                self._write(temporary)
                _replace_folder(temporary, target)
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
        except OSError as error:
            raise ModelError(f"{target}: cannot be written: {error.strerror or error}") from None
        return target

    def _write(self, folder: Path) -> None:
        from safetensors.numpy import save

        state = self.detector.state()
        files = {**self.artifacts, **state.files}
        if state.arrays:
            # safetensors writes memory as it lies: a transposed array would come back as another.
            files[ARRAYS] = save({k: np.ascontiguousarray(v) for k, v in state.arrays.items()})
        if self.road.arrays:
            files[ROAD] = save({k: np.ascontiguousarray(v) for k, v in self.road.arrays.items()})
        for name, data in files.items():
            file = folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            _write_synced(file, data)
        manifest = {
            "format": FORMAT,
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
            "files": {
                name: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
                for name, data in sorted(files.items())
            },
        }
        _write_synced(folder / MANIFEST, _manifest_bytes(manifest))


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
        data = {name: _checked(folder, name, entry) for name, entry in manifest["files"].items()}
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


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a model folder, without loading the model.

    Raises
    ------
    ModelError
    """
    try:
        text = (folder / MANIFEST).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ModelError(
            f"{folder}: not a model folder (no {MANIFEST}); train one with: goodpart train"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"{folder}: the manifest cannot be read: {error}") from None
    try:
        manifest = json.loads(text)
    except ValueError as error:
        raise ModelError(f"{folder}: the manifest is damaged: {error}") from None
    version = manifest.get("format") if isinstance(manifest, dict) else None
    if not isinstance(version, int):
        raise ModelError(f"{folder}: the manifest is damaged: no format version")
    if version > FORMAT:
        raise ModelError(
            f"{folder}: written by a newer goodpart (format {version}, this one reads up to "
            f"{FORMAT}); update goodpart"
        )
    return manifest


def change_manifest(folder: Path, **changes: Any) -> None:
    """Change entries of a model folder's manifest, such as its limits; all or nothing.

    Raises
    ------
    ModelError
        The folder is no model, or cannot be written.
    """
    manifest = {**read_manifest(folder), **changes}
    temporary = folder / f".{MANIFEST}.{uuid.uuid4().hex[:8]}.tmp"
    try:
        try:
            _write_synced(temporary, _manifest_bytes(manifest))
            os.replace(temporary, folder / MANIFEST)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise ModelError(f"{folder}: cannot be written: {error.strerror or error}") from None


def _manifest_bytes(manifest: dict[str, Any]) -> bytes:
    return json.dumps(manifest, indent=2, ensure_ascii=False, allow_nan=False).encode("utf-8")


def check_free(target: Path, *, force: bool) -> None:
    """Refuse to overwrite.

    Raises
    ------
    ModelError
        The target exists and ``force`` is not given, or it is not a model at all.
    """
    if not target.exists():
        return
    if not force:
        raise ModelError(f"{target}: exists already; give another --out or add --force")
    if not (target / MANIFEST).is_file() and (target.is_file() or any(target.iterdir())):
        raise ModelError(f"{target}: exists and is not a model; even --force leaves it alone")


def _checked(folder: Path, name: str, entry: dict[str, Any]) -> bytes:
    file = (folder / name).resolve()
    if not file.is_relative_to(folder.resolve()):
        raise ModelError(f"{folder}: the manifest names a file outside the folder: {name}")
    try:
        data = file.read_bytes()
    except OSError:
        raise ModelError(f"{folder}: {name} is missing; copy the whole folder again") from None
    if hashlib.sha256(data).hexdigest() != entry["sha256"]:
        raise ModelError(f"{folder}: {name} has changed since training; copy the folder again")
    return data


def _write_synced(file: Path, data: bytes) -> None:
    with open(file, "wb") as handle:
        handle.write(data)
        handle.flush()
        os.fsync(handle.fileno())


def _replace_folder(new: Path, target: Path) -> None:
    """Put a folder in the place of another; a crash in between leaves the old one beside it."""
    if not target.exists():
        os.replace(new, target)
        return
    old = target.parent / f".{target.name}.{uuid.uuid4().hex[:8]}.old"
    os.replace(target, old)
    try:
        os.replace(new, target)
    except OSError:
        os.replace(old, target)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _ms(start: float) -> float:
    return (time.perf_counter() - start) * 1e3


__all__ = ["Model", "Prepared", "change_manifest", "check_free", "load", "read_manifest"]
