"""A look at a file tells whether it is whole."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest
from PIL import Image
from tests.runtime.conftest import part_pixels

from goodpart.recipe import InputSection
from goodpart.runtime.whole import State, look, open_regular


def image_bytes(kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(part_pixels(1)).save(buffer, kind)
    return buffer.getvalue()


def look_at(path: Path, limits: InputSection | None = None) -> State:
    return look(path, os.lstat(path), limits or InputSection())


@pytest.mark.parametrize("kind", ["png", "jpeg", "bmp", "tiff", "webp"])
def test_an_image_is_whole_at_its_last_byte_and_not_before(kind: str, tmp_path: Path) -> None:
    data = image_bytes(kind)
    file = tmp_path / "a"
    for length in sorted({0, 1, 15, 16, 31, 32, len(data) // 2, len(data) - 2, len(data) - 1}):
        file.write_bytes(data[:length])
        # The last byte or two of some formats are padding that no decoder needs.
        if length < len(data) - 2 or kind in ("png", "bmp", "webp"):
            assert look_at(file) is State.PARTIAL, length
    file.write_bytes(data)
    assert look_at(file) is State.WHOLE


@pytest.mark.parametrize("kind", ["png", "jpeg", "bmp", "tiff", "webp"])
def test_a_file_whose_size_was_set_in_advance_is_not_whole(kind: str, tmp_path: Path) -> None:
    data = image_bytes(kind)
    file = tmp_path / "a"
    file.write_bytes(b"\0" * len(data))
    assert look_at(file) is State.PARTIAL
    if kind in ("png", "webp"):
        file.write_bytes(data[: len(data) // 2] + b"\0" * (len(data) - len(data) // 2))
        assert look_at(file) is not State.WHOLE or kind == "webp"


def test_bytes_behind_the_end_of_a_jpeg_do_not_hide_that_it_is_whole(tmp_path: Path) -> None:
    file = tmp_path / "a.jpg"
    file.write_bytes(image_bytes("jpeg") + b"camera" * 20)
    assert look_at(file) is State.WHOLE


def test_what_cannot_become_an_image_is_foreign(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("a list of things that are not images at all")
    link = tmp_path / "link.png"
    link.symlink_to(text)
    pipe = tmp_path / "pipe.png"
    os.mkfifo(pipe)
    big = tmp_path / "big.png"
    big.write_bytes(image_bytes("png"))
    assert look_at(text) is State.FOREIGN
    assert look_at(link) is State.FOREIGN
    assert look_at(pipe) is State.FOREIGN
    assert look_at(tmp_path) is State.FOREIGN
    assert look_at(big, InputSection(max_bytes=100)) is State.FOREIGN


def test_pipes_and_links_are_never_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(__file__)
    for name in ("pipe", "link"):
        with pytest.raises(OSError, match=":"):
            open_regular(tmp_path / name)
