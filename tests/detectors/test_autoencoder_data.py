from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goodpart.detectors.autoencoder_corrupt import corrupt
from goodpart.detectors.autoencoder_data import normalise, split
from goodpart.detectors.autoencoder_presets import configure
from goodpart.detectors.turns import looks_alike_turned
from goodpart.errors import DataError

RNG = np.random.default_rng(0)


@given(st.lists(st.integers(0, 30), min_size=2, max_size=80), st.sampled_from(["restore", "seed"]))
@settings(max_examples=60, deadline=None)
def test_no_source_is_learned_from_and_held_out(numbers: list[int], preset: str) -> None:
    sources = [str(number) for number in numbers]
    made = configure(preset, {})
    if len(set(sources)) < (4 if preset == "restore" else 2):
        with pytest.raises(DataError, match="sources"):
            split(sources, made)
        return
    found = split(sources, made)
    for learned, watched, held in zip(found.learned, found.watched, found.held_out, strict=True):
        assert learned and held
        if preset == "restore":
            assert len({sources[i] for i in held}) > 1, "each is compared with others"
        assert not {sources[i] for i in learned} & {sources[i] for i in held}
        if found.may_stop:
            assert not {sources[i] for i in learned} & {sources[i] for i in watched}
    if preset == "restore":
        assert sorted(i for held in found.held_out for i in held) == list(range(len(sources)))


def test_stopping_early_never_looks_at_the_parts_that_set_limits() -> None:
    sources = [str(i) for i in range(60)]
    for made in (configure("restore", {"patience": 3}), configure("seed", {})):
        found = split(sources, made)
        assert found.may_stop
        for watched, held in zip(found.watched, found.held_out, strict=True):
            assert watched and not set(watched) & set(held)


def test_normalising_takes_out_light() -> None:
    image = RNG.integers(0, 120, (32, 32)).astype(np.uint8)
    plain, _, _ = normalise(image, None)
    bright, _, _ = normalise(image + 100, None)
    assert np.allclose(plain, bright, atol=1e-5)
    assert abs(float(plain.mean())) < 1e-5


def test_parts_in_any_orientation_may_be_turned_and_marked_ones_not() -> None:
    rows, columns = np.mgrid[:32, :32]
    ring = np.cos(np.hypot(rows - 15.5, columns - 15.5))
    free, marked = [], []
    for _ in range(40):
        image = (ring + RNG.normal(0, 0.1, (32, 32)))[..., None].astype(np.float32)
        free.append(image)
        with_mark = image.copy()
        with_mark[4:8, 14:18] += 2
        marked.append(with_mark)
    assert looks_alike_turned(free)
    assert not looks_alike_turned(marked)
    assert not looks_alike_turned([image[:16] for image in free])
    # Prepared images are kept in half precision, in which large ones overflow when summed.
    large = [np.kron(image, np.ones((12, 12, 1))).astype(np.float16) for image in marked]
    assert not looks_alike_turned(large)


def test_corruption_stays_inside_its_mask() -> None:
    image = RNG.normal(0, 1, (64, 64, 1)).astype(np.float32)
    for seed in range(20):
        dirty, mask = corrupt(image, [image], np.random.default_rng(seed))
        change = np.abs(dirty - image)[..., 0]
        assert dirty.dtype == np.float32 and set(np.unique(mask)) <= {0.0, 1.0}
        assert (change[mask == 1] > 0.1).all()
        assert mask.mean() < 0.5
