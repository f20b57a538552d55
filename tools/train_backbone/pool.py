"""The pool: drawn images with the teacher's features, in memory-mapped files that only grow.

One process draws while another trains; the count in ``pool.json`` says how many images are
complete. Features are taken from a wider window than the student sees, shifted so that each
level's features are centred on the student's pixels (the teacher pads below and right only), and
so that no zero padding of the teacher reaches them.

Files: ``images.u8`` (N, 160, 160, 3), ``stride4.f16`` (N, 24, 40, 40), ``stride8.f16``
(N, 32, 20, 20), ``stride16.f16`` (N, 96, 10, 10).
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from pathlib import Path

import cv2
import numpy as np
import onnxruntime as ort
from draw import draw
from safetensors.numpy import load_file

from goodpart.detectors.backbones import mobilenetv2

SIDE = 160
WINDOW = 208
MARGIN = (WINDOW - SIDE) // 2
#: output: channels, first pixel of the window, features skipped at the start
LEVELS = {"stride4": (24, 2, 5), "stride8": (32, 4, 2), "stride16": (96, 0, 1)}
DTYPES = {"images": np.uint8, "stride4": np.float16, "stride8": np.float16, "stride16": np.float16}


def shapes(count: int) -> dict[str, tuple[int, ...]]:
    """The shape of each file for ``count`` images."""
    out: dict[str, tuple[int, ...]] = {"images": (count, SIDE, SIDE, 3)}
    for name, (channels, _, _) in LEVELS.items():
        cells = SIDE // int(name.removeprefix("stride"))
        out[name] = (count, channels, cells, cells)
    return out


class Teacher:
    """MobileNetV2's features, centred on the pixels of the inner ``SIDE`` × ``SIDE`` square."""

    def __init__(self, weights: Path, threads: int = 1) -> None:
        tensors = load_file(weights)
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self.sha256 = hashlib.sha256(weights.read_bytes()).hexdigest()
        self._sessions = {
            name: ort.InferenceSession(
                mobilenetv2.to_onnx(tensors, [name]), options, providers=["CPUExecutionProvider"]
            )
            for name in LEVELS
        }

    def __call__(self, windows: np.ndarray) -> dict[str, np.ndarray]:
        """uint8 (N, WINDOW, WINDOW, 3) → float16 features by level."""
        x = np.ascontiguousarray(windows.transpose(0, 3, 1, 2), np.float32)
        found = {}
        for name, (_, start, skip) in LEVELS.items():
            stride = int(name.removeprefix("stride"))
            stop = WINDOW - (WINDOW - start) % stride
            view = np.ascontiguousarray(x[:, :, start:stop, start:stop])
            (y,) = self._sessions[name].run(None, {"image": view})
            keep = slice(skip, skip + SIDE // stride)
            found[name] = y[:, :, keep, keep].astype(np.float16)
        return found


def open_pool(folder: Path, mode: str = "r") -> dict[str, np.memmap]:
    """The pool's arrays, memory-mapped."""
    capacity = json.loads((folder / "pool.json").read_text())["capacity"]
    return {
        name: np.memmap(
            folder / f"{name}.{'u8' if name == 'images' else 'f16'}",
            DTYPES[name],
            mode,
            shape=shape,
        )
        for name, shape in shapes(capacity).items()
    }


def count(folder: Path) -> int:
    """How many images of the pool are complete."""
    try:
        return int(json.loads((folder / "pool.json").read_text())["count"])
    except FileNotFoundError:
        return 0


def _write_state(folder: Path, state: dict[str, object]) -> None:
    partial = folder / "pool.json.partial"
    partial.write_text(json.dumps(state, indent=1))
    os.replace(partial, folder / "pool.json")


def load_photos(folder: Path | None) -> list[np.ndarray]:
    """All photographs of a folder, RGB, at most 1024 pixels on the longer side."""
    photos = []
    for path in sorted(folder.iterdir()) if folder else []:
        image = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
        if image is None:
            raise SystemExit(f"{path} is not an image")
        scale = min(1.0, 1024 / max(image.shape[:2]))
        if scale < 1:
            image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        photos.append(image)
    return photos


def grow(
    folder: Path, weights: Path, photos: Path | None, capacity: int, seed: int, batch: int = 16
) -> None:
    """Draw until the pool holds ``capacity`` images; goes on where it stopped."""
    cv2.setNumThreads(1)
    folder.mkdir(parents=True, exist_ok=True)
    teacher, pictures, done = Teacher(weights), load_photos(photos), count(folder)
    state: dict[str, object] = {
        "capacity": capacity,
        "count": done,
        "seed": seed,
        "teacher_sha256": teacher.sha256,
        "photos": sorted(p.name for p in photos.iterdir()) if photos else [],
    }
    for name, shape in shapes(capacity).items():
        path = folder / f"{name}.{'u8' if name == 'images' else 'f16'}"
        with path.open("ab") as file:
            file.truncate(int(np.prod(shape)) * np.dtype(DTYPES[name]).itemsize)
    _write_state(folder, state)
    arrays, began, first = open_pool(folder, "r+"), time.perf_counter(), done
    while done < capacity:
        n = min(batch, capacity - done)
        windows = np.stack(
            [draw(np.random.default_rng([seed, done + i]), WINDOW, pictures) for i in range(n)]
        )
        for name, value in teacher(windows).items():
            arrays[name][done : done + n] = value
        inner = slice(MARGIN, MARGIN + SIDE)
        arrays["images"][done : done + n] = windows[:, inner, inner]
        done += n
        _write_state(folder, {**state, "count": done})
        if done // 1024 != (done - n) // 1024 or done == capacity:
            rate = (done - first) / (time.perf_counter() - began)
            print(f"pool: {done} of {capacity} images, {rate:.0f} a second", flush=True)
