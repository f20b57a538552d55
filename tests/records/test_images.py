"""The image store: without loss, by hash, whole or not at all."""

from __future__ import annotations

import hashlib

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from goodpart.parts.read import read_image
from goodpart.records import ImageStore, Kept, RecordsError
from goodpart.records.images import heatmap_png, heatmap_values, image_png

RANDOM = np.random.default_rng(0)


@pytest.fixture
def store(tmp_path):
    return ImageStore(tmp_path / "images")


@pytest.mark.parametrize("shape", [(33, 47), (33, 47, 3)])
def test_a_part_image_is_kept_without_loss(store, inspection, shape):
    pixels = RANDOM.integers(0, 256, shape).astype(np.uint8)
    kept = store.keep(inspection(image=pixels))
    assert kept.heatmap is None
    np.testing.assert_array_equal(read_image(store.path(kept.image)).pixels, pixels)


def test_a_deeper_image_is_kept_in_sixteen_bits():
    pixels = RANDOM.uniform(0, 255, (20, 30)).astype(np.float32)
    read = cv2.imdecode(np.frombuffer(image_png(pixels), np.uint8), cv2.IMREAD_UNCHANGED)
    assert read.dtype == np.uint16
    np.testing.assert_allclose(read / 257.0, pixels, atol=0.5 / 257 + 1e-4)


def test_a_file_is_named_by_its_own_hash(store, inspection):
    image = np.zeros((8, 8), np.uint8)
    kept = store.keep(inspection(image=image, raw_map=np.ones((4, 4), np.float32)))
    for name in (kept.image, kept.heatmap):
        path = store.path(name)
        assert path.stem == name == hashlib.sha256(path.read_bytes()).hexdigest()
        assert path.parent.parent.parent == store.folder
    assert {name for name, _ in store.files()} == {kept.image, kept.heatmap}


def test_the_same_picture_is_written_once(store, inspection):
    image = np.zeros((8, 8), np.uint8)
    first = store.keep(inspection(image=image))
    inode = store.path(first.image).stat().st_ino
    assert store.keep(inspection(image=image)) == first
    assert store.path(first.image).stat().st_ino == inode


def test_a_file_that_was_cut_short_is_written_again(store, inspection):
    encoded = store.encode(inspection(image=np.zeros((8, 8), np.uint8)))
    store.write(encoded)
    path = store.path(encoded.kept.image)
    path.write_bytes(path.read_bytes()[:10])
    store.write(encoded)
    assert store.read(encoded.kept.image) == encoded.files[encoded.kept.image]


def test_an_inspection_without_pictures_keeps_none(store, inspection):
    assert store.keep(inspection("NOT_JUDGED")) == Kept()
    assert not store.folder.exists() and list(store.files()) == []


def test_a_replaced_picture_is_noticed(store, inspection):
    kept = store.keep(inspection(image=np.zeros((8, 8), np.uint8)))
    store.path(kept.image).write_bytes(image_png(np.ones((8, 8), np.uint8)))
    with pytest.raises(RecordsError, match="damaged or replaced"):
        store.read(kept.image)


def test_a_picture_that_was_pruned_is_none(store):
    assert store.read("0" * 64) is None and store.read_heatmap("0" * 64) is None


@pytest.mark.parametrize("name", ["../../etc/passwd", "", "a" * 63, "A" * 64, "0" * 64 + "\n"])
def test_only_a_hash_names_a_file(store, name):
    with pytest.raises(RecordsError, match="not the hash"):
        store.path(name)


@settings(max_examples=60, deadline=None)
@given(
    hnp.arrays(
        np.float32,
        hnp.array_shapes(min_dims=2, max_dims=2, max_side=9),
        elements=st.floats(-1e6, 1e6, width=32),
    )
)
def test_a_heatmap_comes_back_within_half_a_step(raw_map):
    values = heatmap_values(heatmap_png(raw_map))
    assert values.dtype == np.float32 and values.shape == raw_map.shape
    step = (float(raw_map.max()) - float(raw_map.min())) / 255
    tolerance = step / 2 + 1e-6 * max(1.0, float(np.abs(raw_map).max()))
    assert np.abs(values.astype(float) - raw_map).max() <= tolerance


def test_a_heatmap_with_gaps_shows_them_as_the_lowest(store, inspection):
    raw_map = np.array([[np.nan, 1], [2, np.inf]], np.float32)
    kept = store.keep(inspection(raw_map=raw_map))
    np.testing.assert_allclose(store.read_heatmap(kept.heatmap), [[1, 1], [2, 1]])


def test_a_picture_without_a_scale_is_no_heatmap(store, inspection):
    kept = store.keep(inspection(image=np.zeros((8, 8), np.uint8)))
    with pytest.raises(RecordsError, match="no heatmap"):
        store.read_heatmap(kept.image)
