"""Result files: only OK is Good."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from goodpart.decision import Inspection, Limits, Verdict
from goodpart.decision.pictures import heat_scale
from goodpart.outputs.result_files import legacy_text, result_files, worst

SCALE = heat_scale(Limits(1.0, 2.0), 0.8)


def inspection(verdict: Verdict) -> Inspection:
    if verdict is Verdict.NOT_JUDGED:
        return Inspection(verdict, source="a.png", part="a", reason="truncated")
    raw_map = np.random.default_rng(0).random((16, 16), dtype=np.float32)
    image = np.zeros((64, 64), np.uint8)
    return Inspection(verdict, source="a.png", part="a", score=1.5, raw_map=raw_map, image=image)


@pytest.mark.parametrize("verdict", list(Verdict))
@pytest.mark.parametrize("legacy", [True, False])
def test_only_ok_is_good_and_the_others_say_what_they_are(verdict: Verdict, legacy: bool) -> None:
    text = result_files(inspection(verdict), SCALE, legacy=legacy)["result.txt"].decode()
    lines = text.splitlines()
    assert lines[0] == ("result : Good" if verdict is Verdict.OK else "result : Bad")
    if verdict is not Verdict.OK:
        assert str(verdict) in lines[1]


@pytest.mark.parametrize("verdict", list(Verdict))
def test_both_pictures_are_always_there(verdict: Verdict) -> None:
    files = result_files(inspection(verdict), SCALE)
    assert list(files)[-1] == "result.txt"
    for name in ("heatmap.png", "histogram.png"):
        picture = cv2.imdecode(np.frombuffer(files[name], np.uint8), cv2.IMREAD_COLOR)
        assert picture is not None


def test_pictures_can_be_left_out() -> None:
    assert list(result_files(inspection(Verdict.OK), SCALE, pictures=False)) == ["result.txt"]


def test_the_old_text_is_what_a_camera_program_compares() -> None:
    assert legacy_text(inspection(Verdict.OK)) == "result : Good\n"
    assert legacy_text(inspection(Verdict.CHECK)) == "result : Bad\nCHECK\n"


def test_the_worst_part_speaks_for_a_tray() -> None:
    order = [Verdict.OK, Verdict.CHECK, Verdict.NOT_JUDGED, Verdict.NG]
    for place in range(1, 4):
        parts = [inspection(verdict) for verdict in order[: place + 1]]
        assert worst(parts).verdict is order[place]
