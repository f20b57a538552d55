"""Read image files safely: header first, limits before decoding, whitelisted formats."""

from __future__ import annotations

import hashlib
import io
import struct
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from goodpart.errors import ImageError
from goodpart.recipe import InputSection

FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP")
LONGEST_SIDE = 65_535
"""What JPEG can hold; a decoder's memory for each line makes more of it a trap, not an image."""
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")

Source = str | Path | bytes | NDArray[Any]


@dataclass(frozen=True)
class SourceImage:
    """One decoded image.

    Parameters
    ----------
    pixels : ndarray of uint8 or uint16, (H, W) grey or (H, W, 3) RGB
    name : str
        The path as given, or ``"bytes"`` or ``"array"``.
    sha256 : str
        Of the file's bytes (of the pixels, for an array).
    """

    pixels: NDArray[Any]
    name: str
    sha256: str


def read_image(
    source: Source, *, limits: InputSection | None = None, name: str | None = None
) -> SourceImage:
    """Decode one image.

    Parameters
    ----------
    source : path, bytes or ndarray
        An array must be uint8 or uint16, (H, W) or (H, W, 3) RGB.
    limits : InputSection, optional
        Limits on bytes and pixels.
    name : str, optional
        What to call it in messages and records.

    Raises
    ------
    ImageError
        With a ``reason`` of ``"missing"``, ``"empty file"``, ``"too large"``, ``"unsupported"``,
        ``"unreadable"`` or ``"truncated"``.
    """
    limits = limits or InputSection()
    if isinstance(source, np.ndarray):
        return _from_array(source, limits, name or "array")
    if isinstance(source, bytes):
        return _decode(source, limits, name or "bytes")
    path = Path(source)
    label = name or str(source)
    return _decode(_read_bytes(path, limits, label), limits, label)


def _read_bytes(path: Path, limits: InputSection, name: str) -> bytes:
    try:
        with open(path, "rb") as file:
            data = file.read(limits.max_bytes + 1)
    except FileNotFoundError:
        raise ImageError("missing", f"{name}: no such file") from None
    except OSError as error:
        reason = error.strerror or str(error)
        raise ImageError("unreadable", f"{name}: cannot be read: {reason}") from None
    return data


def _from_array(pixels: NDArray[Any], limits: InputSection, name: str) -> SourceImage:
    if pixels.dtype not in (np.uint8, np.uint16):
        raise ImageError(
            "unsupported", f"{name}: arrays must be uint8 or uint16, not {pixels.dtype}"
        )
    if not (pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 3)) or pixels.size == 0:
        raise ImageError(
            "unsupported", f"{name}: arrays must be (H, W) or (H, W, 3), not {pixels.shape}"
        )
    _check_pixels(pixels.shape[1], pixels.shape[0], limits, name)
    pixels = np.ascontiguousarray(pixels)
    return SourceImage(pixels, name, hashlib.sha256(pixels.tobytes()).hexdigest())


def _check_pixels(width: int, height: int, limits: InputSection, name: str) -> None:
    if width * height > limits.max_pixels:
        raise ImageError(
            "too large",
            f"{name}: {width}x{height} pixels are more than the limit of {limits.max_pixels}; "
            "raise input.max_pixels if that is right",
        )


def _check_sides(width: int, height: int, name: str) -> None:
    if max(width, height) > LONGEST_SIDE:
        raise ImageError(
            "too large", f"{name}: {width}x{height} pixels; no side may exceed {LONGEST_SIDE}"
        )


def _decode(data: bytes, limits: InputSection, name: str) -> SourceImage:
    from PIL import Image, ImageOps

    if not data:
        raise ImageError("empty file", f"{name}: the file has no bytes")
    if len(data) > limits.max_bytes:
        raise ImageError(
            "too large",
            f"{name}: more than {limits.max_bytes} bytes; raise input.max_bytes if that is right",
        )
    try:
        with warnings.catch_warnings():
            # The limit on pixels is our own, checked below before anything is decoded.
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError:
        raise ImageError("too large", f"{name}: far more pixels than the limit") from None
    except Exception as error:  # Pillow's parsers raise many kinds on hostile headers
        raise ImageError(
            "unreadable",
            f"{name}: not a readable {', '.join(FORMATS)} image ({error.__class__.__name__})",
        ) from None
    try:
        with image, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _check_sides(image.width, image.height, name)
            _check_pixels(image.width, image.height, limits, name)
            if getattr(image, "n_frames", 1) > 1:  # reads the headers of further pages
                raise ImageError(
                    "unsupported", f"{name}: has several frames or pages, one is needed"
                )
            if image.format == "PNG":
                _check_png(data, name)
            if image.format in ("PNG", "TIFF") and _bits(image, data) > 8 and image.mode == "RGB":
                pixels = _decode_deep_color(data, name)
            else:
                image.load()
                pixels = _to_array(ImageOps.exif_transpose(image), name)
    except ImageError:
        raise
    except Exception as error:  # decoders raise many kinds on broken data
        reason = "truncated" if "truncat" in str(error).lower() else "unreadable"
        raise ImageError(reason, f"{name}: cannot be decoded to its end: {error}") from None
    return SourceImage(pixels, name, hashlib.sha256(data).hexdigest())


def _bits(image: Any, data: bytes) -> int:
    """Bits per channel as the file has them (Pillow reduces 16-bit colour to 8)."""
    if image.format == "PNG":
        return data[24]
    bits = getattr(image, "tag_v2", {}).get(258, (8,))
    return int(max(bits)) if isinstance(bits, tuple) else int(bits)


def _check_png(data: bytes, name: str) -> None:
    """Check the CRC of every chunk: Pillow skips those of the pixel data."""
    position = 8
    while position + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, position)
        end = position + 12 + length
        if end > len(data):
            break
        kind = data[position + 4 : position + 8]
        (crc,) = struct.unpack_from(">I", data, end - 4)
        if zlib.crc32(data[position + 4 : end - 4]) != crc:
            raise ImageError("unreadable", f"{name}: a part of the file is corrupt (checksum)")
        if kind == b"IEND":
            return
        position = end
    raise ImageError("truncated", f"{name}: the file ends before the image does")


def _decode_deep_color(data: bytes, name: str) -> NDArray[Any]:
    import cv2

    # EXIF is followed here as in the other branch: IMREAD_COLOR_RGB applies it.
    flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_ANYDEPTH
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    if pixels is None or pixels.dtype != np.uint16:
        raise ImageError("unreadable", f"{name}: this 16-bit colour image cannot be decoded")
    return pixels


def _to_array(image: Any, name: str) -> NDArray[Any]:
    """Pixels as uint8 or uint16, grey or RGB; transparency is dropped, not blended."""
    mode = image.mode
    if mode == "L":
        pixels = np.asarray(image)
    elif mode == "LA":
        pixels = np.asarray(image.getchannel("L"))
    elif mode == "1" or (mode == "P" and _grey_palette(image)):
        pixels = np.asarray(image.convert("L"))
    elif mode in ("RGB", "RGBA", "P", "PA", "CMYK", "YCbCr", "RGBX"):
        rgb = image if mode == "RGB" else image.convert("RGB")
        pixels = np.asarray(rgb)
    elif mode in ("I;16", "I;16B", "I;16L", "I;16N"):
        pixels = np.asarray(image).astype(np.uint16)
    elif mode == "I":
        wide = np.asarray(image)
        if wide.min() < 0 or wide.max() > 65535:
            raise ImageError("unsupported", f"{name}: 32-bit grey values outside 0..65535")
        pixels = wide.astype(np.uint16)
    else:
        raise ImageError("unsupported", f"{name}: pixels of the kind {mode} are not supported")
    return np.ascontiguousarray(pixels)


def _grey_palette(image: Any) -> bool:
    """Whether every palette entry is grey (8-bit BMPs of grey cameras are such files)."""
    palette = np.asarray(image.getpalette("RGB") or [], dtype=np.uint8).reshape(-1, 3)
    return bool((palette == palette[:, :1]).all())
