"""The image store: PNG files named by their own SHA-256, in folders by its first digits.

``sha256sum`` of a file gives its name: nothing else is needed to see whether it is whole. The
part image is kept without loss; the heatmap is the detector's own map in 8 bits, with the range
of its values in the PNG's text.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from goodpart.decision import Inspection
from goodpart.records.errors import RecordsError, RecordsUnavailable
from goodpart.records.record import Kept

LOW, HIGH = "goodpart:low", "goodpart:high"
TEMPORARY = ".writing"
HASH = re.compile(r"[0-9a-f]{64}")

# Run lengths after the average filter: on part images as small as what OpenCV's default gives at
# level 1, and within a few per cent of level 6, in less than half the time.
PNG = [
    cv2.IMWRITE_PNG_COMPRESSION,
    1,
    cv2.IMWRITE_PNG_STRATEGY,
    cv2.IMWRITE_PNG_STRATEGY_RLE,
    cv2.IMWRITE_PNG_FILTER,
    cv2.IMWRITE_PNG_FILTER_AVG,
]


@dataclass(frozen=True)
class Encoded:
    """An inspection's pictures, ready to be written.

    Parameters
    ----------
    kept : Kept
        Their hashes.
    files : dict of str to bytes
        PNG files by hash.
    """

    kept: Kept
    files: dict[str, bytes] = field(repr=False)


class ImageStore:
    """A folder of pictures by hash.

    Parameters
    ----------
    folder : path
        Made when the first picture is written.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def encode(self, inspection: Inspection) -> Encoded:
        """Compress what an inspection holds: the part image and the heatmap, if any."""
        files: dict[str, bytes] = {}

        def add(data: bytes) -> str:
            name = hashlib.sha256(data).hexdigest()
            files[name] = data
            return name

        image = None if inspection.image is None else add(image_png(inspection.image))
        heatmap = None if inspection.raw_map is None else add(heatmap_png(inspection.raw_map))
        return Encoded(Kept(image, heatmap), files)

    def write(self, encoded: Encoded) -> Kept:
        """Write pictures that are not there yet; what returns has reached the disk.

        Raises
        ------
        RecordsUnavailable
            The disk is full, the folder cannot be written, the share is gone.
        """
        for name, data in encoded.files.items():
            try:
                self._write(name, data)
            except OSError as error:
                raise RecordsUnavailable(
                    f"{self.folder}: an image cannot be kept: {error.strerror or error}"
                ) from None
        return encoded.kept

    def keep(self, inspection: Inspection) -> Kept:
        """Compress and write the pictures of an inspection.

        Raises
        ------
        RecordsUnavailable
            See :meth:`write`.
        """
        return self.write(self.encode(inspection))

    def path(self, name: str) -> Path:
        """Where the picture of a hash lies, or would.

        Raises
        ------
        RecordsError
            It is no hash.
        """
        if not HASH.fullmatch(name):
            raise RecordsError(f"{name!r} is not the hash of an image")
        return self.folder / name[:2] / name[2:4] / f"{name}.png"

    def read(self, name: str) -> bytes | None:
        """The PNG file of a hash, or ``None`` where there is none (any more).

        Raises
        ------
        RecordsError
            The file was damaged or replaced.
        RecordsUnavailable
            It cannot be read now.
        """
        path = self.path(name)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise RecordsUnavailable(f"{path}: cannot be read: {error.strerror or error}") from None
        if hashlib.sha256(data).hexdigest() != name:
            raise RecordsError(f"{path}: the image was damaged or replaced: its hash differs")
        return data

    def read_heatmap(self, name: str) -> NDArray[np.float32] | None:
        """A kept score map: float32 (h, w), at the detector's own resolution.

        Values lie within 1/510 of the map's range of what they were.
        """
        data = self.read(name)
        return None if data is None else heatmap_values(data)

    def files(self) -> Iterator[tuple[str, os.DirEntry[str]]]:
        """Every picture: its hash and its directory entry."""
        for entry in _walk(self.folder, depth=2):
            name, _, suffix = entry.name.partition(".")
            if suffix == "png" and HASH.fullmatch(name):
                yield name, entry

    def _write(self, name: str, data: bytes) -> None:
        target = self.path(name)
        try:
            os.utime(target)  # seen again just now: retention spares what is new
            if target.stat().st_size == len(data):
                return
        except FileNotFoundError:
            pass
        temporary = self.folder / TEMPORARY / uuid.uuid4().hex
        temporary.parent.mkdir(parents=True, exist_ok=True)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(temporary, "xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)
        _sync_folder(target.parent)


def image_png(image: NDArray[Any]) -> bytes:
    """A part image as PNG: uint8 without loss; float32 0..255 (deeper images) in 16 bits.

    Parameters
    ----------
    image : ndarray, (H, W) or (H, W, 3) RGB
    """
    if image.dtype == np.uint8:
        pixels = image
    else:
        pixels = np.clip(np.rint(image.astype(np.float64) * 257.0), 0, 65535).astype(np.uint16)
    if pixels.ndim == 3:
        pixels = pixels[..., ::-1]
    done, data = cv2.imencode(".png", np.ascontiguousarray(pixels), PNG)
    if not done:
        raise RuntimeError("OpenCV could not encode a PNG")
    return data.tobytes()


def heatmap_png(raw_map: NDArray[np.float32]) -> bytes:
    """A score map in 8 bits, with the scores of 0 and 255 in the PNG's text.

    Parameters
    ----------
    raw_map : ndarray of float32, (h, w)
        What is not finite counts as the lowest.
    """
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    values = np.asarray(raw_map, dtype=np.float64)
    finite = np.isfinite(values)
    low = float(values[finite].min()) if finite.any() else 0.0
    high = float(values[finite].max()) if finite.any() else 0.0
    span = high - low or 1.0
    levels = np.where(finite, np.rint((values - low) * (255.0 / span)), 0)
    text = PngInfo()
    text.add_text(LOW, repr(low))
    text.add_text(HIGH, repr(high))
    buffer = io.BytesIO()
    Image.fromarray(levels.astype(np.uint8)).save(
        buffer, format="PNG", pnginfo=text, compress_level=1
    )
    return buffer.getvalue()


def heatmap_values(data: bytes) -> NDArray[np.float32]:
    """Scores of a file that :func:`heatmap_png` wrote: float32 (h, w)."""
    from PIL import Image

    with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
        image.load()
        try:
            low, high = float(image.info[LOW]), float(image.info[HIGH])
        except (KeyError, ValueError):
            raise RecordsError("the image is no heatmap: it does not say its scale") from None
        levels = np.asarray(image, dtype=np.float64)
    return (low + levels * ((high - low) / 255.0)).astype(np.float32)


def _walk(folder: Path | str, depth: int) -> Iterator[os.DirEntry[str]]:
    """Files exactly ``depth`` folders below; folders that vanish meanwhile are passed over."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry in entries:
        if depth == 0:
            yield entry
        elif entry.is_dir(follow_symlinks=False) and entry.name != TEMPORARY:
            yield from _walk(entry.path, depth - 1)


def _sync_folder(folder: Path) -> None:
    """Make a rename last; Windows has no such call and does it by itself."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
