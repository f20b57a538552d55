"""Reading: whatever the file, the right pixels or one clear reason."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from goodpart.errors import ImageError
from goodpart.parts.read import read_image
from goodpart.recipe import InputSection

GREY = (np.arange(48 * 64, dtype=np.uint32) * 7 % 251).reshape(48, 64).astype(np.uint8)
RGB = np.stack([GREY, GREY[::-1], 255 - GREY], axis=2)


def encode(pixels: np.ndarray, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF"])
@pytest.mark.parametrize("pixels", [GREY, RGB], ids=["grey", "color"])
def test_lossless_files_give_their_exact_pixels(kind: str, pixels: np.ndarray) -> None:
    assert np.array_equal(read_image(encode(pixels, kind)).pixels, pixels)


def test_webp_and_jpeg_are_read(tmp_path: Path) -> None:
    assert np.array_equal(read_image(encode(RGB, "WEBP", lossless=True)).pixels, RGB)
    flat = np.full((32, 32), 100, np.uint8)
    assert read_image(encode(flat, "JPEG")).pixels.shape == (32, 32)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bit_grey_keeps_all_its_bits(kind: str) -> None:
    deep = (np.arange(48 * 64) * 21).reshape(48, 64).astype(np.uint16)
    read = read_image(encode(deep, kind)).pixels
    assert read.dtype == np.uint16
    assert np.array_equal(read, deep)


def test_sixteen_bit_colour_keeps_all_its_bits(tmp_path: Path) -> None:
    import cv2

    deep = np.random.default_rng(0).integers(0, 65536, (20, 30, 3)).astype(np.uint16)
    ok, data = cv2.imencode(".png", deep[:, :, ::-1])
    assert ok
    assert np.array_equal(read_image(data.tobytes()).pixels, deep)


def test_names_in_any_script_with_spaces(tmp_path: Path) -> None:
    path = tmp_path / "부품 사진 №1 é.png"
    path.write_bytes(encode(GREY, "PNG"))
    assert np.array_equal(read_image(path).pixels, GREY)


def test_exif_rotation_is_turned_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # rotate 90 degrees clockwise to display
    read = read_image(encode(RGB, "PNG", exif=exif.tobytes())).pixels
    assert np.array_equal(read, np.rot90(RGB, -1))


def test_bytes_array_and_file_agree(tmp_path: Path) -> None:
    data = encode(RGB, "PNG")
    path = tmp_path / "a.png"
    path.write_bytes(data)
    for source in (data, path, str(path), RGB):
        assert np.array_equal(read_image(source).pixels, RGB)
    assert read_image(data).sha256 == read_image(path).sha256


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty file"),
        (b"not an image at all", "unreadable"),
        (encode(RGB, "PNG")[:-200], "truncated"),
        (encode(RGB, "BMP")[:-2000], "truncated"),
        (encode(RGB, "JPEG")[:-300], "truncated"),
    ],
)
def test_broken_bytes_have_a_reason(data: bytes, reason: str) -> None:
    with pytest.raises(ImageError) as caught:
        read_image(data, name="part.png")
    assert caught.value.reason == reason
    assert str(caught.value).startswith("part.png: ")
    assert "\n" not in str(caught.value)


def test_a_flipped_bit_in_a_png_is_noticed() -> None:
    data = bytearray(encode(RGB, "PNG"))
    data[len(data) // 2] ^= 4
    with pytest.raises(ImageError):
        read_image(bytes(data))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="no such file") as caught:
        read_image(tmp_path / "gone.png")
    assert caught.value.reason == "missing"


def test_limits_hold_before_decoding() -> None:
    data = encode(np.zeros((2000, 2000), np.uint8), "PNG")
    with pytest.raises(ImageError, match=r"2000x2000 pixels.*input\.max_pixels"):
        read_image(data, limits=InputSection(max_pixels=1_000_000))
    with pytest.raises(ImageError, match=r"input\.max_bytes"):
        read_image(data, limits=InputSection(max_bytes=100))


def test_formats_that_are_not_listed_are_refused() -> None:
    with pytest.raises(ImageError):
        read_image(encode(GREY, "GIF"))


def test_several_frames_are_refused() -> None:
    buffer = io.BytesIO()
    first = Image.fromarray(RGB)
    first.save(buffer, "TIFF", save_all=True, append_images=[first])
    with pytest.raises(ImageError, match="several frames"):
        read_image(buffer.getvalue())


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((4, 4), np.float32),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((0, 4), np.uint8),
        np.zeros(4, np.uint8),
    ],
)
def test_arrays_of_another_kind_are_refused(pixels: np.ndarray) -> None:
    with pytest.raises(ImageError) as caught:
        read_image(pixels)
    assert caught.value.reason == "unsupported"


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_damaged_files_never_raise_anything_else(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(["PNG", "JPEG", "BMP", "TIFF", "WEBP"]))
    content = bytearray(encode(RGB, kind))
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(1, len(content)))
    try:
        image = read_image(bytes(content[:cut]))
    except ImageError:
        return
    assert image.pixels.dtype in (np.uint8, np.uint16)


def test_a_tiff_whose_further_pages_are_damaged_is_unreadable() -> None:
    content = bytearray(encode(RGB, "TIFF"))
    start = int.from_bytes(content[4:8], "little")
    following = start + 2 + 12 * int.from_bytes(content[start : start + 2], "little")
    # A next page beyond the end of the file: Pillow finds that out when it counts pages.
    content[following : following + 4] = (1 << 16).to_bytes(4, "little")
    with pytest.raises(ImageError) as caught:
        read_image(bytes(content))
    assert caught.value.reason == "unreadable"
