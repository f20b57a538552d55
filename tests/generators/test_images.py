from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("torch")

from goodpart.errors import DataError
from goodpart.generators.base import Shape
from goodpart.generators.frame import whole_images
from goodpart.generators.images import read_real_images
from goodpart.generators.synthesis import marked_png


def good(data: Path) -> Path:
    return data / "train" / "good"


def one_line(error: pytest.ExceptionInfo[DataError]) -> str:
    text = str(error.value)
    assert "\n" not in text
    return text


def test_good_training_images_are_read_and_resized(data: Path) -> None:
    real = read_real_images(data)
    assert (len(real.pixels), real.size, real.channels) == (12, (32, 32), 1)
    assert whole_images(real, Shape(1, 16, 24)).array.shape == (12, 16, 24, 1)


def test_fewer_than_eight_images_are_refused(data: Path) -> None:
    for path in sorted(good(data).iterdir())[7:]:
        path.unlink()
    with pytest.raises(DataError) as error:
        read_real_images(data)
    assert "7 good training images" in one_line(error) and "at least 8" in one_line(error)


def test_unreadable_images_are_named_and_do_not_count(data: Path) -> None:
    files = sorted(good(data).iterdir())
    files[0].write_bytes(b"no image")
    assert [name for name, _ in read_real_images(data).left_out] == [str(files[0])]
    for path in files[1:5]:
        path.write_bytes(b"no image")
    with pytest.raises(DataError, match="7 good training images"):
        read_real_images(data)


def test_mixed_sizes_are_refused(data: Path) -> None:
    cv2.imwrite(str(good(data) / "wide.png"), np.zeros((32, 40), np.uint8))
    with pytest.raises(DataError) as error:
        read_real_images(data)
    assert "wide.png" in one_line(error) and "40x32" in one_line(error)


def test_colour_and_grey_mixed_are_refused(data: Path) -> None:
    red = np.zeros((32, 32, 3), np.uint8)
    red[..., 2] = 200
    cv2.imwrite(str(good(data) / "red.png"), red)
    with pytest.raises(DataError) as error:
        read_real_images(data)
    assert "red.png in colour" in one_line(error)


def test_three_equal_channels_are_grey(data: Path) -> None:
    for path in good(data).iterdir():
        cv2.imwrite(str(path), cv2.imread(str(path), cv2.IMREAD_COLOR))
    assert read_real_images(data).channels == 1


def test_sixteen_bits_are_brought_to_eight_by_one_level(data: Path) -> None:
    for path in good(data).iterdir():
        grey = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        cv2.imwrite(str(path), grey.astype(np.uint16) * 16)
    pixels = np.stack(read_real_images(data).pixels)
    assert pixels.dtype == np.uint8 and 100 < pixels.max() <= 255


def test_generated_images_teach_no_generator(data: Path) -> None:
    for index in range(3):
        image = marked_png(np.zeros((20, 20), np.uint8), "id")
        (good(data) / f"drawn{index}.png").write_bytes(image)
    assert len(read_real_images(data).pixels) == 12
