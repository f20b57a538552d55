"""Rendered parts and trays: truth and pixels agree, and every file says that it is rendered."""

from __future__ import annotations

import json
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from goodpart.errors import DataError, RecipeError
from goodpart.parts.render import (
    DEFECTS,
    KINDS,
    PartTruth,
    render_part,
    render_tray,
    write_parts,
    write_trays,
)

QUICK = settings(max_examples=12, deadline=None, derandomize=True)
kinds = st.sampled_from(KINDS)
defects = st.sampled_from(DEFECTS)
seeds = st.integers(0, 2**32 - 1)


def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def edge_points(image: np.ndarray, truth: PartTruth, count: int = 180) -> np.ndarray:
    """Outer half-level crossings along rays in the part's plane, (count, 2), in part coordinates.

    Each ray starts outside, so what is found does not depend on the rings inside.
    """
    matrix = np.array(truth.matrix)
    reach = np.linspace(0.9, 1.06, 321)
    found = []
    for turn in np.linspace(0, 2 * np.pi, count, endpoint=False):
        ray = np.array([np.cos(turn), np.sin(turn)])
        xy = (matrix[:2, :2] @ ray)[:, None] * reach + matrix[:2, 2:]
        line = cv2.remap(
            image, xy[0].astype(np.float32), xy[1].astype(np.float32), cv2.INTER_LINEAR
        ).ravel()
        half = 0.5 * (float(line[reach < 0.985].max()) * 0.85 + float(line[-30:].mean()))
        last = int(np.nonzero(line > half)[0].max())
        found.append(reach[last] * ray)
    return np.array(found)


def fitted_circle(points: np.ndarray) -> tuple[np.ndarray, float]:
    """Algebraic least-squares circle (Kasa 1976): centre and radius."""
    system = np.column_stack([points, np.ones(len(points))])
    solution = np.linalg.lstsq(system, (points**2).sum(axis=1), rcond=None)[0]
    centre = solution[:2] / 2
    return centre, float(np.sqrt(solution[2] + centre @ centre))


@QUICK
@given(seed=seeds, size=st.integers(160, 520), tilt=st.floats(0, 25))
def test_the_edge_of_a_cap_lies_where_the_truth_says(seed: int, size: int, tilt: float) -> None:
    part = render_part("cap", rng(seed), size=size, tilt=tilt)
    centre, radius = fitted_circle(edge_points(part.image, part.truth))
    assert np.hypot(*centre) * part.truth.radius < 0.3
    assert abs(radius - 1) < 0.006


def test_without_noise_the_centre_is_exact_to_a_tenth_of_a_pixel() -> None:
    for seed in range(5):
        part = render_part("cap", rng(seed), size=480, noise=0)
        centre, _ = fitted_circle(edge_points(part.image, part.truth))
        assert np.hypot(*centre) * part.truth.radius < 0.1


@QUICK
@given(seed=seeds, angle=st.floats(-180, 179.9), size=st.integers(200, 400))
def test_the_hole_of_a_tab_lies_where_angle_and_matrix_say(
    seed: int, angle: float, size: int
) -> None:
    part = render_part("tab", rng(seed), size=size, angle=angle)
    hole = (np.array(part.truth.matrix) @ [0.56, 0, 1])[:2]
    assert part.truth.angle == pytest.approx(angle, abs=1e-9)
    heading = np.rad2deg(np.arctan2(*(hole - part.truth.centre)[::-1]))
    assert (heading - angle + 180) % 360 - 180 == pytest.approx(0, abs=1e-6)
    x, y = np.meshgrid(np.arange(size), np.arange(size))
    disc = np.hypot(x - hole[0], y - hole[1]) < 0.26 * part.truth.radius
    dark = disc & (part.image < 40)
    assert np.hypot(x[dark].mean() - hole[0], y[dark].mean() - hole[1]) < 0.6
    assert dark.sum() == pytest.approx(np.pi * (0.19 * part.truth.radius) ** 2, rel=0.1)


def test_the_notch_shows_where_the_angle_says_and_nowhere_else() -> None:
    for angle in (-170, -60, 0, 45, 130):
        part = render_part("notched", rng(3), size=400, angle=angle)
        turn = np.deg2rad(np.arange(360))
        rim = 0.95 * part.truth.radius
        x = (part.truth.centre[0] + rim * np.cos(turn)).astype(np.float32)
        y = (part.truth.centre[1] + rim * np.sin(turn)).astype(np.float32)
        around = cv2.remap(part.image, x, y, cv2.INTER_LINEAR).ravel()
        dark = np.rad2deg(np.angle(np.exp(1j * turn[around < 45]).mean()))
        assert (dark - angle + 180) % 360 - 180 == pytest.approx(0, abs=1)
        assert (around < 45).sum() < 20


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("defect", [None, *DEFECTS])
def test_the_same_seed_gives_the_same_pixels(kind: str, defect: str | None) -> None:
    one, two = (render_part(kind, rng(11), size=160, defect=defect) for _ in range(2))
    assert np.array_equal(one.image, two.image)
    assert np.array_equal(one.mask, two.mask)
    assert one.truth == two.truth
    other = render_part(kind, rng(12), size=160, defect=defect)
    assert not np.array_equal(one.image, other.image)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(kind=kinds, defect=defects, seed=seeds, severity=st.floats(0, 1))
def test_the_mask_covers_what_differs_from_the_same_part_without_the_defect(
    kind: str, defect: str, seed: int, severity: float
) -> None:
    options = {"size": 240, "noise": 0.0}
    good = render_part(kind, rng(seed), **options)
    bad = render_part(kind, rng(seed), defect=defect, severity=severity, **options)
    assert not good.mask.any()
    assert bad.truth.centre == good.truth.centre
    assert bad.truth.label == defect
    marked = bad.mask > 0
    assert marked.sum() >= 8, "even the faintest defect is visible"
    difference = np.abs(bad.image.astype(int) - good.image)
    if defect == "Reverse":  # the whole part counts, its blurred edge lies outside
        marked = cv2.dilate(bad.mask, np.ones((7, 7), np.uint8)) > 0
    assert difference[~marked].max(initial=0) <= 5
    assert difference[marked].max() >= 4


def test_a_more_severe_defect_changes_more() -> None:
    for defect in ("Bending", "Stain", "Scratch"):
        change = []
        for severity in (0.0, 0.5, 1.0):
            total = 0.0
            for seed in range(8):
                good = render_part("cap", rng(seed), size=160, noise=0)
                bad = render_part(
                    "cap", rng(seed), size=160, noise=0, defect=defect, severity=severity
                )
                total += float(np.abs(bad.image.astype(int) - good.image).sum())
            change.append(total)
        assert change[0] < change[1] < change[2]


def test_classes_differ_in_the_way_their_names_say() -> None:
    def ring(part, low: float, high: float) -> np.ndarray:
        y, x = np.indices(part.image.shape)
        away = np.hypot(x - part.truth.centre[0], y - part.truth.centre[1]) / part.truth.radius
        return part.image[(away > low) & (away < high)]

    for seed in range(6):
        good = render_part("cap", rng(seed), size=200)
        back = render_part("cap", rng(seed), size=200, defect="Reverse")
        # No bright bead on the back, and no darker floor in its middle.
        assert ring(good, 0.68, 0.73).std() > ring(back, 0.68, 0.73).std()
        assert ring(back, 0, 0.3).mean() > ring(good, 0, 0.3).mean()
        bent = render_part("cap", rng(seed), size=200, defect="Bending", severity=1)
        edge = edge_points(bent.image, bent.truth, 90)
        straight = edge_points(good.image, good.truth, 90)
        assert np.hypot(*edge.T).std() > 3 * np.hypot(*straight.T).std()


@QUICK
@given(kind=kinds, size=st.integers(32, 300), seed=seeds, angle=st.floats(-720, 720))
def test_any_size_and_angle_gives_a_part_inside_its_picture(
    kind: str, size: int, seed: int, angle: float
) -> None:
    part = render_part(kind, rng(seed), size=size, angle=angle)
    assert part.image.shape == part.mask.shape == (size, size)
    assert part.image.dtype == part.mask.dtype == np.uint8
    assert -180 <= part.truth.angle < 180
    assert part.truth.axes[0] >= part.truth.axes[1] > 0
    border = np.concatenate([part.image[0], part.image[-1], part.image[:, 0], part.image[:, -1]])
    assert np.median(border) < 30 < np.percentile(part.image, 60)


def test_the_slant_shows_in_the_axes() -> None:
    truth = render_part("cap", rng(0), tilt=20).truth
    assert truth.axes[1] / truth.axes[0] == pytest.approx(np.cos(np.deg2rad(20)))
    assert truth.axes[0] == pytest.approx(truth.radius)


def test_a_tray_states_where_its_parts_are() -> None:
    tray = render_tray("cap", rng(5), size=(900, 750), tilt=12, gradient=0.4)
    assert [pocket.name for pocket in tray.truth.pockets] == [
        "top_left",
        "centre",
        "top_right",
        "bottom_left",
        "bottom_right",
    ]
    for pocket in tray.truth.pockets:
        assert pocket.part is not None
        assert not (pocket.empty or pocket.cut_off or pocket.touching)
        assert pocket.visible == 1
        centre, radius = fitted_circle(edge_points(tray.image, pocket.part))
        assert np.hypot(*centre) * pocket.part.radius < 0.3
        assert abs(radius - 1) < 0.01
        assert np.hypot(*np.subtract(pocket.part.centre, pocket.pocket)) < 0.15 * 124


def test_empty_pockets_are_dark_and_cut_parts_cross_the_border() -> None:
    emptied = render_tray("cap", rng(1), size=(600, 500), empty=1)
    assert all(pocket.empty and pocket.part is None for pocket in emptied.truth.pockets)
    assert np.percentile(emptied.image, 99) < 40
    cut = render_tray("cap", rng(1), size=(600, 500), cut_off=1)
    for pocket in cut.truth.pockets:
        assert pocket.part is not None
        assert pocket.cut_off == (pocket.name != "centre")
        x, y = pocket.part.centre
        inside = min(x + 0.5, 599.5 - x, y + 0.5, 499.5 - y)
        assert (inside < pocket.part.axes[0]) == pocket.cut_off
        assert (0.3 < pocket.visible < 0.97) == pocket.cut_off


def test_the_visible_share_agrees_with_the_pixels() -> None:
    tray = render_tray("cap", rng(4), size=(600, 500), cut_off=1, noise=0, variation=0)
    y, x = np.indices(tray.image.shape)
    for pocket in tray.truth.pockets:
        assert pocket.part is not None
        inverse = np.linalg.inv(np.array(pocket.part.matrix))
        u, v, _ = inverse @ np.stack([x.ravel(), y.ravel(), np.ones(x.size)])
        seen = (np.hypot(u, v) < 1).sum() / (np.pi * np.prod(pocket.part.axes))
        assert pocket.visible == pytest.approx(seen, abs=0.01)


@pytest.mark.parametrize("kind", KINDS)
def test_touching_parts_meet_and_do_not_overlap(kind: str) -> None:
    tray = render_tray(kind, rng(8), size=(800, 600), layout=(2, 3), touching=1, tilt=10)
    pairs = [pocket.part for pocket in tray.truth.pockets if pocket.touching]
    assert len(pairs) >= 2
    assert len(pairs) % 2 == 0
    for part in pairs:
        assert part is not None
        others = [other for other in pairs if other is not part and other is not None]
        distances = [np.hypot(*np.subtract(part.centre, other.centre)) for other in others]
        near = min(distances)
        if kind == "tab":
            assert 2 * 0.6 * part.axes[1] < near < 2.2 * part.axes[0]
        else:
            other = others[int(np.argmin(distances))]
            apart = np.linalg.inv(np.array(part.matrix)[:2, :2]) @ np.subtract(
                other.centre, part.centre
            )
            # In the part's own plane both are circles, and touch at the sum of their radii.
            limit = 1 + other.radius / part.radius
            assert np.hypot(*apart) == pytest.approx(limit, abs=0.02)


def test_large_touching_parts_do_not_overlap_either() -> None:
    # Outlines are polygons: on large parts their points lie pixels apart.
    tray = render_tray("cap", rng(8), touching=1, tilt=0)
    centres = np.array([p.part.centre for p in tray.truth.pockets if p.part and p.touching])
    radii = [p.part.radius for p in tray.truth.pockets if p.part and p.touching]
    assert len(centres) >= 2
    apart = np.linalg.norm(centres[:, None] - centres, axis=2) + np.diag([np.inf] * len(centres))
    assert apart.min() == pytest.approx(2 * np.mean(radii), abs=6)


def test_defects_are_drawn_where_they_are_asked_for() -> None:
    wanted = {"centre": "Stain", "top_left": "Reverse"}
    tray = render_tray("cap", rng(2), size=(600, 500), defects=wanted, empty=0.5, severity=0.8)
    assert tray.truth.label == "Reverse"
    labels = {p.name: p.part.label for p in tray.truth.pockets if p.part is not None}
    assert {name: label for name, label in labels.items() if label != "Normal"} == wanted
    for pocket in tray.truth.pockets:
        x, y = (round(value) for value in pocket.pocket)
        assert tray.mask[y - 70 : y + 70, max(x - 70, 0) : x + 70].any() == (pocket.name in wanted)


def test_a_grid_is_named_in_reading_order_and_the_same_for_the_same_seed() -> None:
    one, two = (
        render_tray("notched", rng(6), size=(500, 300), layout=(2, 3), defect_probability=0.5)
        for _ in range(2)
    )
    names = [pocket.name for pocket in one.truth.pockets]
    assert names == ["r1c1", "r1c2", "r1c3", "r2c1", "r2c2", "r2c3"]
    assert np.array_equal(one.image, two.image)
    assert np.array_equal(one.mask, two.mask)
    assert one.truth == two.truth


def test_shift_and_turn_move_the_whole_tray() -> None:
    still = {"size": (600, 500), "jitter": 0, "size_jitter": 0, "tilt": 0}
    plain = render_tray("cap", rng(0), shift=(0, 0), turn=0, **still).truth
    moved = render_tray("cap", rng(0), shift=(30, -12), turn=90, **still).truth
    middle = np.array([299.5, 249.5])
    for before, after in zip(plain.pockets, moved.pockets, strict=True):
        x, y = np.subtract(before.pocket, middle)
        assert after.pocket == pytest.approx((middle[0] - y + 30, middle[1] + x - 12))
    assert any(pocket.cut_off or pocket.visible == 0 for pocket in moved.pockets)


def test_a_five_megapixel_tray_is_quick_and_its_truth_goes_to_json() -> None:
    render_tray("cap", rng(0), size=(300, 250))  # the textures are made once
    start = time.process_time()
    tray = render_tray("cap", rng(0), size=(2450, 1750))
    assert time.process_time() - start < 1.5
    assert tray.image.shape == (1750, 2450)
    back = json.loads(json.dumps(tray.truth.to_dict()))
    assert back["size"] == [2450, 1750]
    assert back["pockets"][1]["part"]["centre"] == list(tray.truth.pockets[1].part.centre)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: render_part("screw", rng(0)), "kind 'screw'"),
        (lambda: render_part("cap", rng(0), defect="Rust"), "defect 'Rust'"),
        (lambda: render_part("cap", rng(0), size=8), "size = 8"),
        (lambda: render_part("cap", rng(0), severity=1.5), "severity = 1.5"),
        (lambda: render_part("cap", rng(0), tilt=float("nan")), "tilt = nan"),
        (lambda: render_tray("cap", rng(0), size=(10, 10)), "size 10x10"),
        (lambda: render_tray("cap", rng(0), layout=(0, 3)), "layout"),
        (lambda: render_tray("cap", rng(0), empty=2), "empty = 2"),
        (lambda: render_tray("cap", rng(0), size=(99, 99), defects={"x": "Stain"}), "no pocket"),
    ],
)
def test_what_cannot_be_rendered_is_named_in_one_line(call, message: str) -> None:
    with pytest.raises(RecipeError, match=message.replace("(", r"\(")) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_class_folders_hold_tagged_pictures_that_are_the_same_every_time(tmp_path: Path) -> None:
    seen = []
    for name in ("a", "b"):
        paths = write_parts(
            tmp_path / name,
            normal=3,
            defective=2,
            size=64,
            progress=lambda done, total: seen.append((done, total)),
        )
    assert seen == [(n, 9) for n in range(1, 10)] * 2
    folders = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert folders == ["Bending", "Normal", "Reverse", "Stain"]
    assert paths[0] == tmp_path / "b" / "Normal" / "rendered_cap_0001.png"
    assert len({path.name for path in paths}) == 9
    for path in paths:
        twin = tmp_path / "a" / path.relative_to(tmp_path / "b")
        assert path.read_bytes() == twin.read_bytes()
        with Image.open(path) as image:
            assert image.info["Source"] == "rendered by goodpart"
            assert image.info["Class"] == path.parent.name
            assert image.mode == "L"


def test_the_benchmark_layout_has_a_mask_for_each_defective_part(tmp_path: Path) -> None:
    write_parts(tmp_path, normal=5, defective=2, defects=("Scratch",), size=96, layout="benchmark")
    found = sorted(str(p.relative_to(tmp_path).as_posix()) for p in tmp_path.rglob("*.png"))
    assert found == [
        "ground_truth/Scratch/rendered_cap_0006_mask.png",
        "ground_truth/Scratch/rendered_cap_0007_mask.png",
        "test/Scratch/rendered_cap_0006.png",
        "test/Scratch/rendered_cap_0007.png",
        "test/good/rendered_cap_0005.png",
        *(f"train/good/rendered_cap_000{n}.png" for n in range(1, 5)),
    ]
    mask = cv2.imread(str(tmp_path / found[0]), cv2.IMREAD_UNCHANGED)
    assert set(np.unique(mask)) == {0, 255}


def test_trays_are_written_with_the_truth_beside_them(tmp_path: Path) -> None:
    paths = write_trays(
        tmp_path, normal=2, defective=1, defects=("Stain",), size=(300, 260), per_tray=2, empty=0.3
    )
    truth = json.loads((tmp_path / "truth.json").read_text(encoding="utf-8"))
    assert truth["source"] == "rendered by goodpart"
    assert [str(p.relative_to(tmp_path).as_posix()) for p in paths] == list(truth["trays"])
    stained = truth["trays"]["Stain/rendered_cap_tray_0003.png"]
    parts = [p["part"] for p in stained["pockets"] if p["part"]]
    assert sum(part["label"] == "Stain" for part in parts) == 2
    with Image.open(paths[0]) as image:
        assert image.size == (300, 260)
        assert image.info["Source"] == "rendered by goodpart"


def test_a_folder_that_is_not_empty_is_refused_and_force_keeps_what_others_put_there(
    tmp_path: Path,
) -> None:
    write_parts(tmp_path, normal=4, defective=0, size=48)
    own = tmp_path / "Normal" / "mine.png"
    own.write_bytes(b"mine")
    with pytest.raises(DataError, match="not empty"):
        write_parts(tmp_path, normal=1, defective=0, size=48)
    assert len(list(tmp_path.rglob("rendered_*.png"))) == 4
    write_parts(tmp_path, normal=1, defective=0, size=48, force=True)
    assert [p.name for p in tmp_path.rglob("rendered_*.png")] == ["rendered_cap_0001.png"]
    assert own.read_bytes() == b"mine"
    with pytest.raises(DataError, match="is a file"):
        write_trays(own, normal=1)
