"""The inspector: one model, many callers."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from tests.runtime.conftest import encoded, part_pixels

from goodpart.decision import Verdict
from goodpart.errors import GoodpartError
from goodpart.model import Model
from goodpart.runtime.inspector import Inspector


def test_bytes_arrays_and_files_give_the_same_score(model: Model, tmp_path: Path) -> None:
    data = encoded(1, defect=True)
    file = tmp_path / "part.png"
    file.write_bytes(data)
    inspector = Inspector(model)
    scores = {inspector.inspect(s).score for s in (data, file, part_pixels(1, defect=True))}
    assert scores == {model.inspect(data).score}


def test_it_loads_a_folder(model_folder: Path) -> None:
    assert Inspector(model_folder).inspect(encoded(1)).verdict is Verdict.OK


def test_every_step_is_timed(model: Model) -> None:
    inspector = Inspector(model)
    inspection = inspector.inspect(encoded(1))
    assert set(inspection.timings) == {"decode", "locate", "score", "decide", "total"}
    assert inspector.timings.percentiles()["score"]["p99"] > 0


def test_broken_bytes_are_not_judged(model: Model) -> None:
    inspection = Inspector(model).inspect(encoded(1)[:-20], name="half.png")
    assert inspection.verdict is Verdict.NOT_JUDGED
    assert inspection.reason == "truncated"


def test_many_threads_get_the_scores_of_their_own_images(model: Model) -> None:
    images = [encoded(seed, defect=seed % 3 == 0) for seed in range(60)]
    expected = [model.inspect(image).score for image in images]
    inspector = Inspector(model, batch=4)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda image: inspector.inspect(image).score, images))
    assert found == expected


def test_images_that_wait_share_a_run(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    inspector = Inspector(model, batch=8)
    sizes: list[int] = []
    raw_maps = model.detector.raw_maps
    first, all_in = threading.Event(), threading.Event()

    def slow(images: list[np.ndarray]) -> list[np.ndarray]:
        sizes.append(len(images))
        if len(sizes) == 1:
            first.set()
            all_in.wait(10)
        return raw_maps(images)

    monkeypatch.setattr(model.detector, "raw_maps", slow)
    with ThreadPoolExecutor(7) as pool:
        jobs = [pool.submit(inspector.inspect, encoded(0))]
        assert first.wait(10)
        jobs += [pool.submit(inspector.inspect, encoded(seed)) for seed in range(1, 7)]
        while len(inspector._waiting) < 6:
            pass
        all_in.set()
        assert all(job.result().verdict is Verdict.OK for job in jobs)
    assert sizes == [1, 6]


def test_one_image_that_the_model_cannot_bear_does_not_fail_its_neighbours(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    inspector = Inspector(model)
    raw_maps = model.detector.raw_maps

    def picky(images: list[np.ndarray]) -> list[np.ndarray]:
        if any(image.max() > 240 for image in images):
            raise RuntimeError("too much for me")
        return raw_maps(images)

    monkeypatch.setattr(model.detector, "raw_maps", picky)
    bright = part_pixels(3, defect=True)
    found = inspector.inspect_many([(part_pixels(1), "a"), (bright, "b"), (part_pixels(2), "c")])
    assert [i.verdict for [i] in found] == [Verdict.OK, Verdict.NOT_JUDGED, Verdict.OK]
    assert found[1][0].reason == "model error"


def test_a_batch_of_none_is_refused(model: Model) -> None:
    with pytest.raises(GoodpartError, match="at least 1"):
        Inspector(model, batch=0)
