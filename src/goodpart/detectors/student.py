"""``student``: where a small network that learned good parts alone fails to follow the backbone.

After Bergmann, Fauser, Sattlegger and Steger, *Uninformed students: student-teacher anomaly
detection with discriminative latent embeddings* (2020), and Batzner, Heckler and König,
*EfficientAD: accurate visual anomaly detection at millisecond-level latencies* (2024): a student
predicts from the pixels of good parts what a frozen network, the teacher, says of them; on what
it has never seen it predicts wrongly. Four things are different:

- The teacher is goodpart's backbone, and what is predicted are its features' deviations from the
  mean at each place, whitened: small directions count as much as large ones.
- Each of two students learns one half of the sources, and a held-out part is judged by the one
  that did not see it; on the line their distances are averaged.
- Distances are expressed in deviations from what held-out good parts show at the same cell.
- There is no autoencoder beside it, and nothing but good parts is learned from.

The image is seen small (``resolution``), for low latency. Students are trained with torch
and run, also here, in onnxruntime.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from goodpart.detectors.backbones import Backbone
from goodpart.detectors.base import Detector, PartPixels, State
from goodpart.detectors.deviation import (
    Moments,
    by_size,
    deviations,
    export_deviations,
    held_out_maps,
    in_deviations,
)
from goodpart.detectors.engine import Network
from goodpart.detectors.features import (
    CellFeatures,
    FeatureStore,
    cell_mask,
    load_backbone,
    restored_backbone,
    saved_backbone,
)
from goodpart.detectors.score_graph import ScoreGraph
from goodpart.errors import ModelError, TrainingError
from goodpart.parts.dataset import folds
from goodpart.parts.road import resize_part
from goodpart.progress import Progress, track

if TYPE_CHECKING:
    from goodpart.detectors.student_network import Course

STUDENT_FILE = "student.onnx"
OUTPUT = "output"


class Student(Detector):
    """Two small networks that follow the backbone on good parts.

    Parameters
    ----------
    backbone : str
        ``"goodpart"``, or what :func:`goodpart.detectors.backbones.load_backbone` takes.
    resolution : int
        Longer side of both networks' input in pixels.
    networks : int
        Students, at least two; each learns without one fold of the sources.
    widths : (int, int)
        Channels at stride 4, and at strides 8 and 16.
    steps : int
        Training steps of each student.
    batch : int
        Images in a step.
    rate, weight_decay : float
        Of AdamW.
    ridge : float
        Shrinkage of the covariance that features are whitened with, 0..1.
    smoothing : int
        Features are averaged over this many cells squared.
    map_smoothing : float
        Sigma in cells of the Gaussian blur of the score map.
    precision : "auto", "32-true" or "bf16-mixed"
        Of training; inspecting computes as its engine says.
    max_minutes : float, optional
        Time budget of each student's training.
    """

    name = "student"
    summary = "two small networks that follow the backbone on good parts"
    paper = "Batzner et al., EfficientAD (2024), https://arxiv.org/abs/2303.14535"

    def __init__(
        self,
        *,
        backbone: str = "goodpart",
        resolution: int = 256,
        networks: int = 2,
        widths: tuple[int, int] = (16, 32),
        steps: int = 400,
        batch: int = 8,
        rate: float = 2e-3,
        weight_decay: float = 0.05,
        ridge: float = 0.02,
        smoothing: int = 3,
        map_smoothing: float = 0.8,
        precision: Literal["auto", "32-true", "bf16-mixed"] = "auto",
        max_minutes: float | None = None,
    ) -> None:
        if networks < 2:
            raise ValueError("networks: at least two, so that every part is held out by one")
        self.backbone = backbone
        self.resolution = resolution
        self.networks = networks
        self.widths = widths
        self.steps, self.batch = steps, batch
        self.rate, self.weight_decay = rate, weight_decay
        self.ridge = ridge
        self.smoothing = smoothing
        self.map_smoothing = map_smoothing
        self.precision = precision
        self.max_minutes = max_minutes

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
        """See :meth:`Detector.fit`.

        Raises
        ------
        TrainingError
            All images are of one source.
        MissingExtraError
            torch is not installed.
        """
        from goodpart.training import require_torch

        require_torch()
        sources = list(groups) if groups is not None else [str(i) for i in range(len(images))]
        members = by_size(sources)
        if len(set(sources)) < 2:
            raise TrainingError(f"{self.name} needs good images from at least two sources")
        fold_of = folds(sources, min(self.networks, len(set(sources))))
        backbone = load_backbone(self.backbone)
        size = (images[0].shape[0], images[0].shape[1])
        self.channels_ = 1 if images[0].ndim == 2 else 3
        self._prepare(backbone, size, cell_mask(mask, self._cells_for(backbone, size).grid))
        with tempfile.TemporaryDirectory(prefix="goodpart-student-") as temporary:
            folder = workdir or Path(temporary)
            pixels = self._gather_pixels(images, Path(temporary) / "pixels", progress)
            with FeatureStore(self.cells_, images, progress) as store:
                self._teach(pixels, store, fold_of, seed, folder, progress)
                distances = self._held_out(pixels, store, fold_of, progress)
            del pixels
        self._take(Moments.of(distances))
        self.held_out_ = held_out_maps(
            distances, members, self.moments_, self.mask_, self.map_smoothing
        )
        self.warnings_ = []
        return self

    def raw_maps(self, images: Sequence[PartPixels]) -> list[NDArray[np.float32]]:
        """See :meth:`Detector.raw_maps`; in deviations from held-out good parts."""
        self._check_fitted("students_")
        maps = []
        for image in images:
            small = self._small(image)
            away = self._apart(self._planes(small), self.cells_(small))
            distance = np.sqrt(np.einsum("mhwk,mhwk->mhw", away, away)).mean(axis=0)
            maps.append(
                in_deviations(distance, self.center_, self.spread_, self.mask_, self.map_smoothing)
            )
        return maps

    def export(self, graph: ScoreGraph) -> str:
        """See :meth:`Detector.export`."""
        self._check_fitted("students_")
        rows, columns = self.cells_.grid
        count, channels = len(self.whitening_), self.cells_.channels
        cells = graph.transpose(self.cells_.export(graph), (0, 2, 3, 1))
        planes = graph.planes()
        if graph.size != self.cells_.input_size:
            planes = graph.separable(planes, self._small, graph.size)
        said = graph.network(planes, self.student_file_, "student")[OUTPUT]
        said = graph.reshape(graph.transpose(said, (0, 2, 3, 1)), (rows, columns, count, channels))
        white = [
            graph.node("MatMul", [graph.add(cells, -mean), graph.constant(whitening)])
            for mean, whitening in zip(self.mean_, self.whitening_, strict=True)
        ]
        taught = graph.node("Concat", white, axis=3)
        taught = graph.reshape(taught, (rows, columns, count, channels))
        away = graph.node("Sub", [taught, said])
        squared = graph.reduce("Sum", graph.node("Mul", [away, away]), 3)
        total = graph.reduce("Sum", graph.node("Sqrt", [squared]), 2)
        return export_deviations(
            graph,
            graph.multiply(total, 1 / count),
            self.center_,
            self.spread_,
            self.mask_,
            self.map_smoothing,
        )

    def state(self) -> State:
        """See :meth:`Detector.state`."""
        self._check_fitted("students_")
        arrays: dict[str, NDArray[Any]] = {
            "mean": self.mean_,
            "whitening": self.whitening_,
            "distance_mean": self.moments_.mean,
            "distance_deviation": self.moments_.deviation,
        }
        if self.mask_ is not None:
            arrays["mask"] = self.mask_
        values = {
            "backbone": self.cells_.backbone.name,
            "size": list(self.size_),
            "channels": self.channels_,
            "images": self.moments_.count,
            "layers": self.layers_,
            "parameters": sum(layer["parameters"] for layer in self.layers_),
            "trainings": self.trainings_,
        }
        files = {**saved_backbone(self.cells_.backbone), STUDENT_FILE: self.student_file_}
        return State(arrays, files, values)

    def restore(self, state: State) -> Self:
        """See :meth:`Detector.restore`."""
        try:
            height, width = state.values["size"]
            backbone = restored_backbone(state, state.values["backbone"])
            self._prepare(backbone, (height, width), state.arrays.get("mask"))
            self.channels_ = int(state.values["channels"])
            self.layers_, self.trainings_ = state.values["layers"], state.values["trainings"]
            self.mean_, self.whitening_ = state.arrays["mean"], state.arrays["whitening"]
            self._keep(state.files[STUDENT_FILE])
            found = (state.arrays["distance_mean"], state.arrays["distance_deviation"])
            self._take(Moments(int(state.values["images"]), *found))
        except KeyError as error:
            raise ModelError(f"the student model has no {error}") from None
        if self.mean_.shape[1:] != (*self.cells_.grid, self.cells_.channels):
            raise ModelError("the student model and its backbone do not belong together")
        return self

    def _take(self, moments: Moments) -> None:
        self.moments_ = moments
        self.center_, self.spread_ = deviations(moments, self.mask_)

    def _cells_for(self, backbone: Backbone, size: tuple[int, int]) -> CellFeatures:
        return CellFeatures(
            backbone,
            size,
            resolution=self.resolution,
            smoothing=self.smoothing,
            engine=self.engine,
        )

    def _prepare(
        self, backbone: Backbone, size: tuple[int, int], mask: NDArray[np.bool_] | None
    ) -> None:
        self.size_ = size
        self.cells_ = self._cells_for(backbone, size)
        self.mask_ = mask

    def _keep(self, student: bytes) -> None:
        self.student_file_ = student
        self.students_ = Network(student, engine=self.engine)

    def _small(self, image: PartPixels) -> NDArray[np.float32]:
        return resize_part(image.astype(np.float32), self.cells_.input_size)

    def _planes(self, small: NDArray[np.float32]) -> NDArray[np.float32]:
        """(1, channels, H, W)."""
        return small[None, None] if small.ndim == 2 else small.transpose(2, 0, 1)[None]

    def _gather_pixels(
        self, images: Sequence[PartPixels], file: Path, progress: Progress | None
    ) -> NDArray[np.float16]:
        """What students see of all images, in a file that leaves memory alone."""
        shape = (len(images), self.channels_, *self.cells_.input_size)
        pixels = np.memmap(file, dtype=np.float16, mode="w+", shape=shape)
        for index in track(range(len(images)), "resizing", len(images), progress):
            pixels[index] = self._planes(self._small(images[index]))[0]
        return pixels

    def _teach(
        self,
        pixels: NDArray[np.float16],
        store: FeatureStore,
        fold_of: list[int],
        seed: int,
        folder: Path,
        progress: Progress | None,
    ) -> None:
        from goodpart.detectors.student_network import Lesson, teach, together

        belongs_to = hashlib.sha256(np.ascontiguousarray(pixels).data).hexdigest()
        lessons, taught = [], []
        for fold in range(max(fold_of) + 1):
            learned = [index for index, own in enumerate(fold_of) if own != fold]
            mean, whitening = self._whitening(store, learned)
            lesson = Lesson(pixels, store.values, learned, mean, whitening, self.mask_)
            lessons.append(lesson)
            taught.append(
                teach(
                    lesson,
                    self._course(),
                    name=f"student_{fold}",
                    seed=seed,
                    folder=folder,
                    belongs_to=belongs_to,
                    progress=progress,
                )
            )
        self.mean_ = np.stack([lesson.mean for lesson in lessons])
        self.whitening_ = np.stack([lesson.whitening for lesson in lessons])
        shape = (self.channels_, *self.cells_.input_size)
        student, self.layers_ = together([one.network for one in taught], shape)
        self._keep(student)
        self.trainings_ = [
            {
                "epochs": len(one.outcome.history),
                "loss": one.outcome.history[-1]["train/loss"],
                "stopped": one.outcome.stopped,
                "seconds": round(one.outcome.seconds, 1),
                "precision": one.outcome.precision,
            }
            for one in taught
        ]
        self.artifacts_ = {name: data for one in taught for name, data in one.curves.items()}

    def _course(self) -> Course:
        from goodpart.detectors.student_network import Course

        return Course(
            widths=self.widths,
            steps=self.steps,
            batch=self.batch,
            rate=self.rate,
            weight_decay=self.weight_decay,
            precision=self.precision,
            max_minutes=self.max_minutes,
        )

    def _whitening(
        self, store: FeatureStore, learned: list[int]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Mean at each place (h, w, K), and a whitening (K, K) that all places share."""
        rows, columns = self.cells_.grid
        channels = self.cells_.channels
        counts = np.ones((rows, columns), bool) if self.mask_ is None else self.mask_
        mean = np.zeros((rows, columns, channels), np.float32)
        scatter = np.zeros((channels, channels))
        for row in range(rows):
            band = store.rows(row, row + 1)[learned, 0]
            mean[row] = band.mean(axis=0)
            flat = (band - mean[row])[:, counts[row]].reshape(-1, channels)
            scatter += flat.T @ flat
        covariance = scatter / max(1, len(learned) * int(counts.sum()))
        level = max(float(np.trace(covariance)) / channels, 1e-6)
        shrunk = (1 - self.ridge) * covariance + self.ridge * level * np.eye(channels)
        return mean, np.linalg.inv(np.linalg.cholesky(shrunk)).T.astype(np.float32)

    def _apart(
        self, planes: NDArray[np.float32], cells: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Whitened features less what each student says they are, (students, h, w, K)."""
        rows, columns, channels = cells.shape
        said = self.students_(planes)[0].reshape(-1, channels, rows, columns)
        white = (cells - self.mean_).reshape(len(said), -1, channels) @ self.whitening_
        return white.reshape(-1, rows, columns, channels) - said.transpose(0, 2, 3, 1)

    def _held_out(
        self,
        pixels: NDArray[np.float16],
        store: FeatureStore,
        fold_of: list[int],
        progress: Progress | None,
    ) -> NDArray[np.float32]:
        """Distances (N, h, w), each by the student that did not see the image."""
        distances = np.zeros(store.values.shape[:3], np.float32)
        for index in track(range(len(fold_of)), "calibrating", len(fold_of), progress):
            away = self._apart(pixels[index : index + 1].astype(np.float32), store.image(index))
            distances[index] = np.linalg.norm(away[fold_of[index]], axis=2)
        return distances
