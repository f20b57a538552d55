"""``autoencoder``: a network that restores good parts; what it cannot restore is a defect.

Two presets share everything but the network and how a residual becomes a score: ``restore``, the
default, and ``seed``, the small network that goodpart continues. Every number of a preset is a
setting. Networks are trained with torch and run, also here, in onnxruntime.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from goodpart.decision.maps import resize_mask, score_of
from goodpart.detectors.autoencoder_data import (
    Splits,
    common_shape,
    export_normalised,
    normalise,
    prepare,
    pretraining_images,
    split,
)
from goodpart.detectors.autoencoder_member import Member
from goodpart.detectors.autoencoder_presets import (
    Augment,
    Configuration,
    Scoring,
    configure,
    setting_names,
)
from goodpart.detectors.autoencoder_scores import (
    WRAPPED_LIMIT,
    variance_score,
    wrapped_score,
)
from goodpart.detectors.base import Detector, HeldOut, PartPixels, State
from goodpart.detectors.turns import looks_alike_turned
from goodpart.errors import ModelError, TrainingError
from goodpart.parts.road import resize_part
from goodpart.progress import Progress, track

if TYPE_CHECKING:
    from goodpart.detectors.autoencoder_training import Trained
    from goodpart.detectors.score_graph import ScoreGraph


class Autoencoder(Detector):
    """Restores a part and compares.

    Settings left at ``None`` are as the preset says; see
    :class:`~goodpart.detectors.autoencoder_presets.Configuration` for what they mean.

    Parameters
    ----------
    preset : "restore" or "seed"
    weights : str, optional
        Folder with ``encoder_epoch_30.pth`` and ``decoder_epoch_30.pth`` to start from (preset
        ``seed``); with ``epochs=0`` they are used as they are.
    pretrain : str, optional
        Data folder of other good parts to train on first.
    pretrain_epochs : int
    precision : "auto", "32-true" or "bf16-mixed"
        Of training; inspecting always computes in 32 bit.
    max_minutes : float, optional
        Time budget of each network's training.
    """

    name = "autoencoder"
    summary = (
        "restores good parts with a small network trained from nothing; draws what it expected"
    )
    paper = (
        "restore: Zavrtanik et al., DRAEM (2021), Schlüter et al., Natural synthetic anomalies "
        "(2022), scored as in PaDiM, Defard et al. (2021); seed: denoising autoencoder, Vincent et "
        "al. (2008)"
    )

    def __init__(
        self,
        *,
        preset: str = "restore",
        size: int | None = None,
        epochs: int | None = None,
        batch: int | None = None,
        rate: float | None = None,
        course: Literal["constant", "cosine"] | None = None,
        weight_decay: float | None = None,
        clip: float | None = None,
        noise: float | None = None,
        augment: Augment | None = None,
        corrupt: bool | None = None,
        variational: bool | None = None,
        divergence: float | None = None,
        ssim: float | None = None,
        widths: tuple[int, ...] | None = None,
        skips: tuple[int, ...] | None = None,
        networks: int | None = None,
        patience: int | None = None,
        scoring: Scoring | None = None,
        weights: str | None = None,
        pretrain: str | None = None,
        pretrain_epochs: int = 10,
        precision: Literal["auto", "32-true", "bf16-mixed"] = "auto",
        max_minutes: float | None = None,
    ) -> None:
        self.preset = preset
        self.size, self.epochs, self.batch = size, epochs, batch
        self.rate, self.course, self.weight_decay, self.clip = rate, course, weight_decay, clip
        self.noise, self.augment, self.corrupt = noise, augment, corrupt
        self.variational, self.divergence = variational, divergence
        self.ssim = ssim
        self.widths, self.skips, self.networks = widths, skips, networks
        self.patience, self.scoring = patience, scoring
        self.weights, self.pretrain, self.pretrain_epochs = weights, pretrain, pretrain_epochs
        self.precision, self.max_minutes = precision, max_minutes
        made = self.configuration()  # wrong numbers are an error now, not after an hour
        if weights is not None and made.network != "seed":
            raise ValueError("weights: published weights belong to the preset seed")

    def configuration(self) -> Configuration:
        """The preset with this detector's settings in their places."""
        return configure(self.preset, {name: getattr(self, name) for name in setting_names()})

    @property
    def own_limit(self) -> float | None:  # type: ignore[override]
        """13.0 for the wrapped score, which it belongs to; ``None`` otherwise."""
        return WRAPPED_LIMIT if self.configuration().scoring == "wrapped" else None

    @property
    def heat_range(self) -> tuple[float, float] | None:  # type: ignore[override]
        """Grey levels for the preset ``seed``, whose score is not its map's highest value."""
        return (0.0, 255.0) if self.configuration().network == "seed" else None

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
        """Train the networks and take statistics of held-out parts; see :meth:`Detector.fit`."""
        from goodpart.training import require_torch

        require_torch()
        made = self.configuration()
        self.shape_ = common_shape(images[0], made)
        self.mask_ = None if mask is None else resize_mask(mask, self.shape_[1:])
        listed = track(range(len(images)), "preparing", len(images), progress)
        prepared = [self._for_training(images[index]) for index in listed]
        sources = list(groups) if groups is not None else [str(i) for i in range(len(images))]
        splits = split(sources, made)
        self.guarantee = splits.guarantee
        self.turns_ = (
            looks_alike_turned(prepared)
            if made.augment == "auto"
            else (made.augment == "rotations" and self.shape_[1] == self.shape_[2])
        )
        with tempfile.TemporaryDirectory() as temporary:
            trained = self._train(prepared, splits, seed, workdir or Path(temporary), progress)
        self.weights_ = [one.weights for one in trained]
        self.files_ = [one.onnx for one in trained]
        self.layers_ = trained[0].layers
        self.artifacts_ = {name: data for one in trained for name, data in one.curves.items()}
        self.members_ = [self._member(one.onnx) for one in trained]
        self.trainings_ = [_summary(one) for one in trained]
        self.warnings_ = []
        self.held_out_ = [
            held_out
            for member, held in zip(self.members_, splits.held_out, strict=True)
            for held_out in member.calibrate(
                prepared, held, sources, turns=self.turns_, progress=progress
            )
        ]
        self.held_out_.sort(key=lambda held: held.index)
        self._look_for_collapse(prepared, splits)
        return self

    def extend(
        self,
        images: Sequence[PartPixels],
        *,
        groups: Sequence[str] | None = None,
        progress: Progress | None = None,
    ) -> Self:
        """See :meth:`Detector.extend`.

        The networks stay as they are; what good parts show at each place is learned anew.

        Raises
        ------
        TrainingError
            The preset ``seed`` has learned nothing but its network.
        """
        self._check_fitted("members_")
        if self.configuration().network == "seed":
            raise TrainingError(
                "the autoencoder's preset seed cannot learn more images later: train it again "
                "with all of them, or use the preset restore"
            )
        sources = list(groups) if groups is not None else [str(i) for i in range(len(images))]
        prepared = [self._for_training(image) for image in images]
        every = range(len(images))
        found = [
            member.calibrate(prepared, every, sources, turns=self.turns_, progress=progress)
            for member in self.members_
        ]
        # No network has seen these images, so that each is judged by all of them.
        self.held_out_ = [
            HeldOut(each[0].index, _mean([one.raw_map for one in each]))
            for each in zip(*found, strict=True)
        ]
        return self

    def raw_maps(self, images: Sequence[PartPixels]) -> list[NDArray[np.float32]]:
        """See :meth:`Detector.raw_maps`.

        For the seed maps have the size that the network sees, for ``restore`` a quarter of it.
        """
        self._check_fitted("members_")
        maps = []
        for image in images:
            prepared = self._prepare(image)
            maps.append(_mean([member.score_map(prepared) for member in self.members_]))
        return maps

    def export(self, graph: ScoreGraph) -> str:
        """See :meth:`Detector.export`; of the preset ``restore``."""
        self._check_fitted("members_")
        if self.configuration().network == "seed":
            return super().export(graph)
        size = self.shape_[1:]
        planes = graph.planes()
        if graph.size != size:
            planes = graph.separable(planes, lambda plane: resize_part(plane, size), graph.size)
        given = export_normalised(graph, planes, self.shape_, self.mask_)
        maps = []
        for index, (member, onnx) in enumerate(zip(self.members_, self.files_, strict=True)):
            outputs = graph.network(given, onnx, f"network_{index}")
            maps.append(member.gaussians.export(graph, outputs["differences"]))
        return graph.multiply(graph.node("Sum", maps), 1 / len(maps))

    def score(self, raw_map: NDArray[np.float32], mask: NDArray[np.bool_] | None = None) -> float:
        """See :meth:`Detector.score`: the seed's scores are variances of large differences."""
        kind = self.configuration().scoring
        peak = score_of(raw_map, mask)
        if kind == "peak" or not np.isfinite(peak):
            return peak
        counted = (
            raw_map
            if mask is None
            else raw_map[resize_mask(mask, (raw_map.shape[0], raw_map.shape[1]))]
        )
        return variance_score(counted) if kind == "variance" else wrapped_score(counted)

    def reconstruct(self, image: PartPixels) -> PartPixels:
        """What the networks expected to see.

        Returns
        -------
        ndarray of uint8, (H, W) or (H, W, 3) RGB
            Of the image's size; grey where the network sees grey.
        """
        self._check_fitted("members_")
        small = resize_part(image, self.shape_[1:])
        prepared = self._prepare(image)
        drawn = np.mean([member.restored(prepared) for member in self.members_], axis=0)
        drawn = drawn.transpose(1, 2, 0)
        if self.configuration().network == "seed":
            drawn = drawn * 255
        else:
            level, spread = normalise(small, self.mask_)[1:]
            drawn = drawn * spread + level
        bytes_ = np.rint(np.clip(drawn, 0, 255)).astype(np.uint8)
        height, width = image.shape[:2]
        full: Any = cv2.resize(bytes_, (width, height), interpolation=cv2.INTER_LINEAR)
        return np.asarray(full)

    def state(self) -> State:
        """See :meth:`Detector.state`."""
        self._check_fitted("members_")
        arrays = {
            f"network_{index}/{name}": values
            for index, weights in enumerate(self.weights_)
            for name, values in weights.items()
        }
        compared = []
        if self.configuration().network == "restore":
            for index, member in enumerate(self.members_):
                compared.append(member.gaussians.moments.count)
                for name, values in member.gaussians.arrays().items():
                    arrays[f"cells_{index}/{name}"] = values
        if self.mask_ is not None:
            arrays["mask"] = self.mask_
        return State(
            arrays=arrays,
            files={f"network_{i}.onnx": data for i, data in enumerate(self.files_)},
            values={
                "configuration": asdict(self.configuration()),
                "input": list(self.shape_),
                "turns": bool(self.turns_),
                "layers": self.layers_,
                "parameters": sum(layer["parameters"] for layer in self.layers_),
                "trainings": self.trainings_,
                "compared": compared,
            },
        )

    def restore(self, state: State) -> Self:
        """See :meth:`Detector.restore`."""
        arrays, values, made = state.arrays, state.values, self.configuration()
        try:
            channels, height, width = values["input"]
            self.shape_ = (int(channels), int(height), int(width))
            self.layers_, self.trainings_ = values["layers"], values["trainings"]
            self.turns_ = bool(values["turns"])
            self.files_ = [state.files[f"network_{i}.onnx"] for i in range(len(state.files))]
            self.mask_ = arrays["mask"].astype(np.bool_) if "mask" in arrays else None
            self.weights_, self.members_ = [], []
            for index, data in enumerate(self.files_):
                self.weights_.append(_below(f"network_{index}/", arrays))
                member = self._member(data)
                if made.network == "restore":
                    learned = _below(f"cells_{index}/", arrays)
                    member.gaussians.restore(learned, int(values["compared"][index]))
                self.members_.append(member)
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(f"the autoencoder's state is incomplete: {error!r}") from None
        return self

    def _train(
        self,
        prepared: list[NDArray[Any]],
        splits: Splits,
        seed: int,
        folder: Path,
        progress: Progress | None,
    ) -> list[Trained]:
        from goodpart.detectors.autoencoder_training import Job, train_network

        job = Job(
            configuration=self.configuration(),
            shape=self.shape_,
            turns=self.turns_,
            seed=seed,
            folder=folder,
            precision=self.precision,
            max_minutes=self.max_minutes,
            weights=self.weights,
        )
        earlier: list[NDArray[Any]] = []
        if self.pretrain is not None:
            found = pretraining_images(self.pretrain, self.shape_[0])
            earlier = [self._for_training(image) for image in found]
        return [
            train_network(
                job,
                [prepared[i] for i in learned],
                [prepared[i] for i in watched],
                name=f"network_{number}",
                pretraining=earlier,
                pretrain_epochs=self.pretrain_epochs,
                early_stop=splits.may_stop,
                progress=progress,
            )
            for number, (learned, watched) in enumerate(
                zip(splits.learned, splits.watched, strict=True)
            )
        ]

    def _member(self, onnx: bytes) -> Member:
        return Member(onnx, self.configuration(), self.shape_, self.mask_, self.engine)

    def _look_for_collapse(self, prepared: list[NDArray[Any]], splits: Splits) -> None:
        from goodpart.training.collapse import compare

        for member, held in zip(self.members_, splits.held_out, strict=True):
            warning = compare(member.pairs(prepared, held)).warning()
            if warning is not None:
                self.warnings_.append(warning)

    def _prepare(self, image: PartPixels) -> NDArray[Any]:
        """(H, W, C) as the network takes it: 0..255 for the seed, else normalised float32."""
        return prepare(image, self.shape_, self.configuration(), self.mask_)

    def _for_training(self, image: PartPixels) -> NDArray[Any]:
        """The same in half the memory, since all of them are kept."""
        prepared = self._prepare(image)
        return prepared.astype(np.float16) if prepared.dtype == np.float32 else prepared


def _mean(maps: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    return np.asarray(np.mean(maps, axis=0), dtype=np.float32)


def _below(folder: str, arrays: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """The arrays whose names begin so, without that beginning."""
    return {k.removeprefix(folder): v for k, v in arrays.items() if k.startswith(folder)}


def _summary(trained: Trained) -> dict[str, Any]:
    """A training in a few JSON values."""
    outcome = trained.outcome
    if outcome is None:
        return {"epochs": 0}
    last = outcome.history[-1]
    return {
        "epochs": len(outcome.history),
        "best_epoch": outcome.best_epoch,
        "stopped": outcome.stopped,
        "seconds": round(outcome.seconds, 1),
        "precision": outcome.precision,
        **{name: last[name] for name in last if "/" in name},
    }
