"""Render one tray image: several parts in their pockets, with all that goes wrong on a line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from goodpart.errors import RecipeError
from goodpart.parts.render.layout import (
    Layout,
    Pocket,
    cut_shift,
    lay_out,
    neighbour,
    touch,
    usual_radius,
    visible_share,
)
from goodpart.parts.render.light import draw_light
from goodpart.parts.render.part import check_range, lens_blur
from goodpart.parts.render.pose import Pose
from goodpart.parts.render.scene import Placed, draw_part, draw_tray, expose, light_falloff
from goodpart.parts.render.truth import (
    DEFECTS,
    NORMAL,
    Defect,
    Kind,
    PocketTruth,
    RenderedTray,
    TrayTruth,
    check_defect,
    check_kind,
)

MIN_SIDE, MAX_PIXELS = 64, 200_000_000
_WHOLE = 1 - 1e-6


@dataclass(frozen=True)
class _Filling:
    """What lies in one pocket."""

    pocket: Pocket
    pose: Pose
    seed: int
    empty: bool = False
    touching: bool = False


def render_tray(
    kind: Kind,
    rng: np.random.Generator,
    *,
    size: tuple[int, int] = (2448, 2048),
    layout: Layout = "five",
    radius: float | None = None,
    jitter: float = 0.06,
    size_jitter: float = 0.004,
    shift: tuple[float, float] | None = None,
    turn: float | None = None,
    tilt: float = 4.0,
    gradient: float = 0.15,
    empty: float = 0.0,
    touching: float = 0.0,
    cut_off: float = 0.0,
    defects: Mapping[str, Defect] | None = None,
    defect_probability: float = 0.0,
    severity: float | None = None,
    angle: float | None = None,
    variation: float = 1.0,
    noise: float = 1.0,
) -> RenderedTray:
    """Render a tray as the camera above it would photograph it.

    Parameters
    ----------
    kind : {"cap", "notched", "tab"}
    rng : numpy.random.Generator
        Asked for one number: everything follows from it and the options.
    size : (int, int)
        Width and height in pixels.
    layout : "five" or (int, int)
        Five pockets (``top_left``, ``centre``, ``top_right``, ``bottom_left``, ``bottom_right``)
        or a grid of (rows, columns), named ``r1c1``, ``r1c2``, ... in reading order.
    radius : float, optional
        Radius of a part (half length of a tab) in pixels; fills the pockets when not given.
    jitter : float
        Largest displacement of a part in its pocket, in radii, along x and y each.
    size_jitter : float
        Relative standard deviation of the radius from part to part.
    shift : (float, float), optional
        Displacement of the whole tray in pixels; a few pixels at random when not given.
    turn : float, optional
        Turn of the whole tray in degrees; up to 0.5 either way when not given.
    tilt : float
        Largest slant of the tray in degrees, 0 to 60. Circles become ellipses, the same for all.
    gradient : float
        Largest fall of the light from one side of the image to the other, 0 to 1.
    empty, touching, cut_off : float
        Probability for each pocket that it holds no part; that its part touches its nearest
        neighbour; that it lies so that the image border cuts its part. One part is at most one of
        these, and a pocket inside the tray is never cut off.
    defects : mapping of pocket name to defect, optional
        Which parts are defective; those pockets are never empty and never cut off.
    defect_probability : float
        For each other part that is not cut off, the probability of a defect of any class.
    severity : float, optional
        0 to 1; drawn for each part when not given.
    angle : float, optional
        Turn of every part within the tray, in degrees; any, when not given.
    variation, noise : float
        As in :func:`render_part`.

    Returns
    -------
    RenderedTray

    Raises
    ------
    RecipeError
        For an unknown kind, defect, pocket or layout, or a number outside its range.
    """
    check_kind(kind)
    _check(size, radius, jitter, tilt, gradient, variation, noise, severity)
    for name, value in (
        ("empty", empty),
        ("touching", touching),
        ("cut_off", cut_off),
        ("defect_probability", defect_probability),
    ):
        check_range(name, value, 0, 1)
    seed = int(rng.integers(2**62))
    draw, scene_rng, noise_rng = (np.random.default_rng([seed, part]) for part in (1, 2, 3))
    moved = draw.normal(0, 0.002 * min(size), 2) if shift is None else np.asarray(shift, float)
    turned = float(draw.uniform(-0.5, 0.5)) if turn is None else turn
    slant, slant_azimuth = float(draw.uniform(0, tilt)), float(draw.uniform(-180, 180))
    fall, fall_azimuth = float(draw.uniform(0, gradient)), float(draw.uniform(0, 2 * np.pi))
    pockets = lay_out(layout, size, (float(moved[0]), float(moved[1])), turned)
    wanted = dict(defects or {})
    _check_wanted(wanted, pockets)
    nominal = usual_radius(layout, size) if radius is None else radius

    def fill(index: int) -> _Filling:
        own = np.random.default_rng([seed, 4, index])
        away = own.uniform(-jitter, jitter, 2) * nominal
        swell = 1 + size_jitter * float(np.clip(own.normal(), -2.5, 2.5))
        any_angle = float(own.uniform(-180, 180))
        pose = Pose(
            centre=(
                pockets[index].centre[0] + float(away[0]),
                pockets[index].centre[1] + float(away[1]),
            ),
            radius=nominal * swell,
            angle=turned + (any_angle if angle is None else angle),
            tilt=slant,
            tilt_azimuth=slant_azimuth,
        )
        return _Filling(pockets[index], pose, int(own.integers(2**62)))

    fillings = [fill(index) for index in range(len(pockets))]
    _disturb(kind, fillings, draw, size, layout, set(wanted), (empty, touching, cut_off))
    canvas = draw_tray(size, [filling.pocket.centre for filling in fillings], nominal, scene_rng)
    blur = lens_blur(nominal)
    mask = np.zeros((size[1], size[0]), np.uint8)
    truths = []
    for filling in fillings:
        own = np.random.default_rng([filling.seed, 5])
        light = draw_light(own, filling.pocket.view, variation)
        chance, which, degree = own.random(), int(own.integers(len(DEFECTS))), float(own.random())
        defect = wanted.get(filling.pocket.name)
        seen = 0.0 if filling.empty else visible_share(kind, filling.pose, size)
        # What the border cuts off cannot show its class, so it is left normal.
        if defect is None and seen > _WHOLE and chance < defect_probability:
            defect = DEFECTS[which]
        degree = degree if severity is None else severity
        if not filling.empty:
            placed = Placed(kind, filling.pose, light, filling.seed, defect, degree)
            marked = draw_part(canvas, placed, blur)
            if marked is not None:
                mask |= marked
        truths.append(_pocket_truth(kind, filling, seen, defect, degree))
    canvas *= light_falloff(size, fall, fall_azimuth)
    labels = [t.part.label for t in truths if t.part is not None and t.part.label != NORMAL]
    truth = TrayTruth(size, kind, labels[0] if labels else NORMAL, tuple(truths))
    return RenderedTray(expose(canvas, blur, noise, noise_rng), mask, truth)


def _check(
    size: tuple[int, int],
    radius: float | None,
    jitter: float,
    tilt: float,
    gradient: float,
    variation: float,
    noise: float,
    severity: float | None,
) -> None:
    if min(size) < MIN_SIDE or size[0] * size[1] > MAX_PIXELS:
        raise RecipeError(
            f"size {size[0]}x{size[1]} cannot be rendered: choose sides of {MIN_SIDE} and more, "
            f"at most {MAX_PIXELS // 1_000_000} million pixels"
        )
    if radius is not None:
        check_range("radius", radius, 4, max(size))
    check_range("jitter", jitter, 0, 1)
    check_range("tilt", tilt, 0, 60)
    check_range("gradient", gradient, 0, 1)
    check_range("variation", variation, 0, 10)
    check_range("noise", noise, 0, 20)
    if severity is not None:
        check_range("severity", severity, 0, 1)


def _check_wanted(wanted: Mapping[str, Defect], pockets: list[Pocket]) -> None:
    names = {pocket.name for pocket in pockets}
    for name, defect in wanted.items():
        check_defect(defect)
        if name not in names:
            raise RecipeError(f"no pocket '{name}' in the layout: choose of {', '.join(names)}")


def _disturb(
    kind: Kind,
    fillings: list[_Filling],
    draw: np.random.Generator,
    size: tuple[int, int],
    layout: Layout,
    keep: set[str],
    chances: tuple[float, float, float],
) -> None:
    """Empty pockets, cut parts off and push parts together, in place."""
    empty, touching, cut_off = chances
    border = _at_border(layout, len(fillings))
    free: set[int] = set()
    together: list[int] = []
    for index, filling in enumerate(fillings):
        chance, share = draw.random(3), float(draw.uniform(0.15, 0.6))
        kept = filling.pocket.name in keep
        if chance[0] < empty and not kept:
            fillings[index] = replace(filling, empty=True)
        elif chance[1] < cut_off and not kept and border[index]:
            dx, dy = cut_shift(kind, filling.pose, size, share)
            pocket, pose = filling.pocket, filling.pose
            fillings[index] = replace(
                filling,
                pocket=replace(pocket, centre=(pocket.centre[0] + dx, pocket.centre[1] + dy)),
                pose=replace(pose, centre=(pose.centre[0] + dx, pose.centre[1] + dy)),
            )
        else:
            free.add(index)
            if chance[2] < touching:
                together.append(index)
    pockets = [filling.pocket for filling in fillings]
    for index in together:
        other = neighbour(pockets, index, free) if index in free else None
        if other is None:
            continue
        one, two = touch(kind, fillings[index].pose, fillings[other].pose)
        fillings[index] = replace(fillings[index], pose=one, touching=True)
        fillings[other] = replace(fillings[other], pose=two, touching=True)
        free -= {index, other}


def _at_border(layout: Layout, count: int) -> list[bool]:
    if layout == "five":
        return [True, False, True, True, True]
    rows, columns = layout
    return [
        index // columns in (0, rows - 1) or index % columns in (0, columns - 1)
        for index in range(count)
    ]


def _pocket_truth(
    kind: Kind, filling: _Filling, seen: float, defect: Defect | None, degree: float
) -> PocketTruth:
    return PocketTruth(
        name=filling.pocket.name,
        pocket=filling.pocket.centre,
        empty=filling.empty,
        cut_off=not filling.empty and seen < _WHOLE,
        touching=filling.touching,
        visible=seen,
        part=None
        if filling.empty
        else filling.pose.truth(kind, defect or NORMAL, degree if defect else None),
    )
