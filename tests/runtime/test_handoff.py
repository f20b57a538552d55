"""Results are withdrawn, staged and put in place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from goodpart.decision import Inspection, Limits, Verdict
from goodpart.decision.pictures import heat_scale
from goodpart.outputs.settings import FilesSection
from goodpart.runtime.handoff import Handoff
from goodpart.runtime.linefile import WatchSection
from goodpart.runtime.names import Arrival, claim_name, new_id

LIMITS = Limits(1.0, 2.0)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    for name in ("in", "claimed", "out/.goodpart/staged"):
        (tmp_path / name).mkdir(parents=True)
    return tmp_path / "out"


def handoff(results: Path, *, legacy: bool = False, **files: bool) -> Handoff:
    settings = WatchSection(handoff="legacy" if legacy else "normal")
    root = results.parent
    return Handoff(
        results,
        settings,
        FilesSection(**files),
        heat_scale(LIMITS, 0.5),
        claims=root / "claimed",
        inbox=root / "in",
    )


def arrival(results: Path, name: str = "a.png", lot: str | None = None) -> Arrival:
    arrival_id = new_id()
    path = results.parent / "claimed" / claim_name(arrival_id, name)
    path.touch()
    return Arrival(arrival_id, name, lot, path)


def part(name: str, verdict: Verdict = Verdict.OK, pocket: str | None = None) -> Inspection:
    if verdict is Verdict.NOT_JUDGED:
        return Inspection(verdict, source="a.png", part=name, reason="unreadable", pocket=pocket)
    flat = np.zeros((8, 8), np.float32)
    return Inspection(verdict, source="a.png", part=name, score=0.5, raw_map=flat, pocket=pocket)


def first_line(folder: Path) -> str:
    return (folder / "result.txt").read_text().splitlines()[0]


def test_nothing_shows_before_it_is_published(results: Path) -> None:
    hand, one = handoff(results), arrival(results)
    hand.stage(one, [part("a")])
    assert not (results / "a").exists()
    assert hand.publish(one)
    assert sorted(p.name for p in (results / "a").iterdir()) == [
        "heatmap.png",
        "histogram.png",
        "result.txt",
    ]
    assert list(hand.staged.iterdir()) == []
    assert hand.publish(one), "publishing again changes nothing"


def test_a_tray_has_a_folder_for_each_part_and_loses_all_when_the_next_fails(
    results: Path,
) -> None:
    hand, one = handoff(results), arrival(results, "tray.png")
    hand.stage(one, [part(f"tray_{p}", pocket=p) for p in ("A1", "A2")])
    hand.publish(one)
    # Another image whose name begins alike is not touched.
    other = arrival(results, "tray_A3.png")
    hand.stage(other, [part("tray_A3")])
    hand.publish(other)
    again = arrival(results, "tray.png")
    with hand.claiming(again):
        assert not (results / "tray_A1" / "result.txt").exists()
        assert not (results / "tray_A2" / "result.txt").exists()
    hand.stage(again, [part("tray", Verdict.NOT_JUDGED)])
    hand.publish(again)
    assert first_line(results / "tray") == "result : Bad"
    assert first_line(results / "tray_A3") == "result : Good"


def test_a_lot_has_its_own_results(results: Path) -> None:
    hand = handoff(results)
    for lot in (None, "L1"):
        one = arrival(results, lot=lot)
        hand.stage(one, [part("a")])
        hand.publish(one)
    with hand.claiming(arrival(results, lot="L1")):
        pass
    assert (results / "a" / "result.txt").exists()
    assert not (results / "L1" / "a" / "result.txt").exists()


def test_a_tray_under_the_fixed_name_shows_its_worst_part(results: Path) -> None:
    hand, one = handoff(results, legacy=True), arrival(results, "image.jpg")
    hand.stage(one, [part("i_1", pocket="1"), part("i_2", Verdict.NOT_JUDGED, pocket="2")])
    hand.publish(one)
    assert (results / "result.txt").read_text() == "result : Bad\nNOT_JUDGED\n"


def test_what_is_staged_without_a_claim_is_removed(results: Path) -> None:
    hand, one, other = handoff(results), arrival(results), arrival(results)
    hand.stage(one, [part("a")])
    hand.stage(other, [part("b")])
    hand.discard_orphans({other.id})
    assert [p.name for p in hand.staged.iterdir()] == [other.id]
    hand.discard(other)
    assert list(hand.staged.iterdir()) == []


def test_result_files_can_be_turned_off(results: Path) -> None:
    hand, one = handoff(results, enabled=False), arrival(results)
    with hand.claiming(one):
        hand.stage(one, [part("a")])
    assert hand.publish(one)
    assert [p.name for p in results.iterdir()] == [".goodpart"]


def test_the_fixed_name_s_result_goes_as_soon_as_a_new_image_shows(results: Path) -> None:
    hand = handoff(results, legacy=True)
    (results / "result.txt").write_text("result : Good\n")
    hand.withdraw_fixed()
    assert (results / "result.txt").exists()
    (results.parent / "in" / "image.jpg").write_bytes(b"half")
    hand.withdraw_fixed()
    assert not (results / "result.txt").exists()
