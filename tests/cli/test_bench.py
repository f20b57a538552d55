"""``goodpart bench`` as users call it."""

from __future__ import annotations

import json


def test_it_times_every_step(goodpart, model_folder, caps):
    done = goodpart("bench", model_folder, caps, "--count", "12", "--json")
    answer = json.loads(done.stdout)
    assert answer["inspections"] + answer["not_judged"] == 12
    times = answer["milliseconds"]
    assert set(times) == {"total", "decode", "locate", "score", "decide"}
    assert all(0 <= row["p50"] <= row["p95"] for row in times.values())
    assert times["total"]["p50"] >= times["score"]["p50"]
    assert answer["images_per_second"] > 0 and answer["threads"] >= 1
    assert 10 < answer["peak_memory_mb"] < 10_000


def test_it_prints_a_table_for_people(goodpart, model_folder, caps):
    image = sorted((caps / "Normal").iterdir())[0]
    done = goodpart("bench", model_folder, image, "--count", "3")
    assert "p95" in done.stdout and "images/s" in done.stdout and "cores" in done.stdout


def test_images_that_cannot_be_judged_are_an_error(goodpart, model_folder, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"no image")
    done = goodpart("bench", model_folder, tmp_path, "--count", "2")
    assert done.returncode == 2 and "none of the images" in done.stderr
