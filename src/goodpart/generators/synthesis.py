"""The work of ``synthesize``: train or load, draw, sort out, measure, write a data folder.

What is written is a data folder in the layout of class folders: ``good/*.png``, each named and
marked as generated, ``index.csv``, ``synthesis.json`` with hashes and figures, the contact sheet,
and the generator. It is written beside its place and renamed.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import shutil
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from goodpart.decision.pictures import png_bytes
from goodpart.errors import DataError, TrainingError
from goodpart.generators.base import Shape
from goodpart.generators.config import SynthesisSettings
from goodpart.generators.frame import Parts, locate_parts, whole_images
from goodpart.generators.gate import Gate, Judgement
from goodpart.generators.images import RealImages
from goodpart.generators.measures import measure
from goodpart.generators.registry import create_generator
from goodpart.generators.trained import TrainedGenerator, train_generator
from goodpart.parts.contact_sheet import contact_sheet
from goodpart.parts.dataset import GOOD, INDEX_NAME, SHEET_NAME
from goodpart.progress import Progress, silent

FORMAT = 1
SUMMARY = "synthesis.json"
MARK = "goodpart:generated"
COLUMNS = ("file", "source", "class", "generated", "score", "distance", "nearest")
SHOWN = 24
# Figures need no more, and memory stays bounded however many are drawn.
MOST_MEASURED = 1000


@dataclass
class Drawn:
    """What came of drawing.

    Parameters
    ----------
    kept : list of (ndarray, Judgement)
        Images at the generator's size.
    rejected : list of (ndarray, Judgement)
        The first of them, for the contact sheet.
    counts : dict of str to int
        Of every verdict.
    vectors : ndarray of float32, (N, D)
        Descriptions of the first images as they were drawn, kept or not.
    """

    kept: list[tuple[NDArray[np.uint8], Judgement]] = field(default_factory=list)
    rejected: list[tuple[NDArray[np.uint8], Judgement]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    vectors: list[NDArray[np.float32]] = field(default_factory=list)


@dataclass
class Synthesis:
    """Generated images with everything that is known of them.

    Parameters
    ----------
    parts : Parts
        Of the real images.
    trained : TrainedGenerator
    gate : Gate
    drawn : Drawn
    figures : dict
        See :func:`goodpart.generators.measures.measure`; of all drawn images, and under
        ``"kept"`` of those that were kept.
    settings : SynthesisSettings
    wanted : int
    """

    parts: Parts
    trained: TrainedGenerator
    gate: Gate
    drawn: Drawn
    figures: dict[str, Any]
    settings: SynthesisSettings
    wanted: int

    @property
    def real(self) -> RealImages:
        """The images that the generator learned from."""
        return self.parts.real

    def summary(self) -> dict[str, Any]:
        """The answer in plain values."""
        return {
            "format": FORMAT,
            "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "generator": {
                "id": self.trained.id,
                "name": self.trained.generator.name,
                "settings": self.trained.generator.settings(),
                "shape": [self.trained.shape.height, self.trained.shape.width],
                "training": self.trained.provenance,
            },
            "settings": self.settings.model_dump(mode="json"),
            "real": {"images": len(self.real.pixels), "data_sha256": self.real.data_sha256},
            "left_out": [{"name": n, "reason": r} for n, r in self.real.left_out],
            "wanted": self.wanted,
            "drawn": sum(self.drawn.counts.values()),
            "counts": dict(self.drawn.counts),
            "figures": self.figures,
        }


def synthesize(
    real: RealImages,
    count: int,
    settings: SynthesisSettings,
    *,
    workdir: Path,
    trained: TrainedGenerator | None = None,
    progress: Progress | None = None,
    say: Callable[[str], None] | None = None,
) -> Synthesis:
    """Train a generator (or take a trained one), draw images and sort them out.

    Parameters
    ----------
    real : RealImages
    count : int
        How many images are wanted.
    settings : SynthesisSettings
    workdir : Path
        For checkpoints; interrupted, the same call goes on from there.
    trained : TrainedGenerator, optional
        Draw with it; nothing is trained.
    progress : callable, optional
    say : callable, optional
        Told sentences that a person should read.

    Raises
    ------
    DataError
        The trained generator draws colour where the images are grey, or the other way round.
    RecipeError
        The layers cannot make the size.
    TrainingError
        The training failed, or the gate keeps nothing.
    """
    gate = Gate(settings.gate)  # wrong settings are an error now, not after the training
    if trained is None:
        generator = create_generator(settings.generator, settings.settings)
        fitting = generator.fitting_shape
        if settings.align:
            parts = locate_parts(real, fitting, progress=progress)
        else:
            parts = whole_images(real, fitting(*real.size, real.channels))
        images = parts.array
        trained = train_generator(
            generator,
            Shape(real.channels, *images.shape[1:3]),
            images,
            folder=workdir,
            seed=settings.seed,
            progress=progress,
            say=say,
            accelerator=settings.accelerator,
            devices=settings.devices,
        )
        trained.provenance["data_sha256"] = real.data_sha256
        trained.provenance["located"] = parts.places is not None
    else:
        parts = _parts_for(trained, real, progress)
    sources = [item.source for item in parts.real.items]
    gate.fit(parts.pixels, sources, mask=parts.mask, seed=settings.seed, progress=progress)
    drawn = _draw(trained, gate, parts, count, settings, progress or silent)
    vectors = np.stack(drawn.vectors)
    figures: dict[str, Any] = measure(gate.real_, vectors, seed=settings.seed)
    kept = np.stack([judged.vector for _, judged in drawn.kept[:MOST_MEASURED]])
    figures["kept"] = measure(gate.real_, kept, seed=settings.seed)
    return Synthesis(parts, trained, gate, drawn, figures, settings, count)


def _parts_for(trained: TrainedGenerator, real: RealImages, progress: Progress | None) -> Parts:
    """Real images as a generator that was trained before has seen them."""
    shape = trained.shape
    if shape.channels != real.channels:
        kinds = {1: "grey", 3: "colour"}
        raise DataError(
            f"the generator draws {kinds[shape.channels]} images and the real ones are "
            f"{kinds[real.channels]}; take the generator that was trained on them"
        )
    if not trained.provenance.get("located"):
        return whole_images(real, shape)
    parts = locate_parts(real, lambda height, width, channels: shape, progress=progress)
    if parts.places is None:
        raise DataError(
            "the generator draws parts that are located in their images, and in these no part is; "
            "take the generator that was trained on them"
        )
    return parts


def _draw(
    trained: TrainedGenerator,
    gate: Gate,
    parts: Parts,
    count: int,
    settings: SynthesisSettings,
    progress: Progress,
) -> Drawn:
    drawn = Drawn()
    most = max(64, round(count * settings.gate.draws))
    batch: list[NDArray[np.uint8]] = []
    progress("drawing", 0, count)
    for image in trained.draw(settings.seed):
        batch.append(parts.blank(image))
        if len(batch) < 16:
            continue
        for pixels, judged in zip(batch, gate.judge(batch), strict=True):
            if len(drawn.kept) == count:
                break
            drawn.counts[judged.verdict] += 1
            if len(drawn.vectors) < MOST_MEASURED:
                drawn.vectors.append(judged.vector)
            if judged.kept:
                drawn.kept.append((pixels, judged))
            elif len(drawn.rejected) < SHOWN:
                drawn.rejected.append((pixels, judged))
        batch = []
        progress("drawing", len(drawn.kept), count)
        if len(drawn.kept) == count or sum(drawn.counts.values()) >= most:
            break
    if not drawn.kept:
        reasons = ", ".join(f"{n} {verdict}" for verdict, n in drawn.counts.most_common())
        raise TrainingError(
            f"the gate kept none of {sum(drawn.counts.values())} drawn images ({reasons}): train "
            "longer (--set epochs=...), or look at the pictures in the training folder and loosen "
            "the gate (--set gate.tolerance=1.5, --set gate.farthest=1.5)"
        )
    return drawn


def check_free(out: Path, *, force: bool) -> None:
    """Refuse to overwrite.

    Raises
    ------
    DataError
        The target exists and ``force`` is not given, or it is not a synthesis at all.
    """
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not force:
        raise DataError(f"{out}: exists already; name another folder or add --force")
    if not (out / SUMMARY).is_file():
        raise DataError(f"{out}: exists and is no synthesis; even --force leaves it alone")


def write_synthesis(found: Synthesis, out: Path, *, report: bytes, force: bool) -> dict[str, Any]:
    """Write the data folder and return its summary.

    Parameters
    ----------
    found : Synthesis
    out : Path
    report : bytes
        ``report.html``.
    force : bool
        Replace an earlier synthesis.

    Raises
    ------
    DataError
        It exists, or cannot be written.
    """
    check_free(out, force=force)
    temporary = out.parent / f".{out.name}.{uuid.uuid4().hex[:8]}.tmp"
    try:
        try:
            temporary.mkdir(parents=True)
            summary = _write(found, temporary, report)
            old = out.parent / f".{out.name}.{uuid.uuid4().hex[:8]}.old"
            if out.exists():
                os.replace(out, old)
            os.replace(temporary, out)
            shutil.rmtree(old, ignore_errors=True)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        raise DataError(f"{out}: cannot be written: {error.strerror or error}") from None
    return summary


def _write(found: Synthesis, folder: Path, report: bytes) -> dict[str, Any]:
    (folder / GOOD).mkdir()
    hashes: dict[str, str] = {}
    with open(folder / INDEX_NAME, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        for number, (pixels, judged) in enumerate(found.drawn.kept, start=1):
            name = f"{GOOD}/generated_{found.trained.id[:8]}_{number:06d}.png"
            # At the real images' size and place: recipes and alignment are learned at that.
            placed = found.parts.put_back(pixels, judged.nearest)
            data = marked_png(placed, found.trained.id)
            (folder / name).write_bytes(data)
            hashes[name] = hashlib.sha256(data).hexdigest()
            nearest = found.real.items[judged.nearest]
            writer.writerow(
                {
                    "file": name,
                    # It is most like this real image: the two must not lie in different folds.
                    "source": nearest.source,
                    "class": GOOD,
                    "generated": "true",
                    "score": f"{judged.score:.4f}",
                    "distance": f"{judged.distance:.4f}",
                    "nearest": nearest.path.name,
                }
            )
    (folder / SHEET_NAME).write_bytes(png_bytes(sheet(found)))
    (folder / "report.html").write_bytes(report)
    found.trained.save(folder / "generator")
    summary = {**found.summary(), "sha256": hashes}
    text = json.dumps(summary, indent=1, ensure_ascii=False, allow_nan=False)
    (folder / SUMMARY).write_text(text + "\n", encoding="utf-8")
    return summary


def sheet(found: Synthesis) -> NDArray[np.uint8]:
    """Kept images, then rejected ones with the reason."""
    shown = [*found.drawn.kept[:SHOWN], *found.drawn.rejected]
    return contact_sheet(
        (pixels, f"{judged.verdict}\nscore {judged.score:.2f} dist. {judged.distance:.2f}")
        for pixels, judged in shown
    )


def marked_png(pixels: NDArray[np.uint8], generator: str) -> bytes:
    """A PNG whose metadata says that a generator drew it; data folders read the mark."""
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    information = PngInfo()
    information.add_text(MARK, generator)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG", pnginfo=information)
    return buffer.getvalue()
