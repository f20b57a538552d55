"""Find parts of any shape on a tray, at any angle, from the image of one."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from goodpart.errors import RecipeError
from goodpart.parts.edges import Fit, Pose, example_of, fit_pose, likeness, rough_fit
from goodpart.parts.pockets import Spot, reaches_out
from goodpart.parts.search import (
    Searcher,
    Shape,
    from_reduced,
    gradient_field,
    reduced,
    to_reduced,
)

# Reach in pixels of a part at the sizes where it is searched and where its edges are fitted.
SEARCH_REACH = 14
FIT_REACH = 100
_LEAST_HIT = 0.4
# Angles are searched this close, in pixels at the part's reach.
_ANGLE_STEP = 3.0
# An angle at which the example looks this much like at another is not searched for its own.
_ALIKE = 0.8
# Turns compared where the edges are fitted, pixels at the part's reach.
_TURN_STEP = 1.5
_TURNS_TRIED = 3
# Turns scoring less than this share of the best are not tried.
_TURN_WORTH = 0.6
# A turn scores at least this, 1 where every edge lies as in the example.
_LEAST_TURN = 0.1
# Where this share of a part is found nothing else lies.
_SURE = 0.7
# Turns are compared on the fitted image reduced by this.
_SCAN_FACTOR = 2
_TURNS_APART = float(np.deg2rad(8))
# Below this share of points that say something of the turn a part has none.
_LEAST_TURNING = 0.004
# Edges have to be at least this strong, 1 as in the example.
_LEAST_LIGHT = 0.2
# After the first step a hit has to fulfil these shares of what is asked for in the end.
_ROUGH_LIGHT, _ROUGH_MATCH = 0.85, 0.7


class TemplateFinder:
    """Finds parts that look like an example, by their edges.

    Parameters
    ----------
    example : ndarray of uint8, (h, w)
        One good part, cut closely, upright: found parts are turned as it is.
    turned : bool
        Whether parts may lie at any angle; otherwise nearly as in the example.
    tolerance : float
        How much larger or smaller a part may be.
    least_match : float
        Share of the example's edges that has to be found.
    size : (int, int)
        Height and width of the cut image; the example's middle becomes its middle.

    Raises
    ------
    RecipeError
        The example shows no edges.
    """

    def __init__(
        self,
        example: NDArray[np.uint8],
        *,
        turned: bool,
        tolerance: float,
        least_match: float,
        size: tuple[int, int],
    ) -> None:
        self.size = size
        self._tolerance = tolerance
        self._least_match = least_match
        self._fit_factor = max(1, int(max(example.shape) / 2 / FIT_REACH))
        fine = reduced(example, self._fit_factor)
        found = example_of(fine)
        if found is None:
            raise RecipeError("tray.example: the image shows no edges; give one good part on it")
        self._example, shape = found, found.shape
        scan = _gradient_length(reduced(fine, _SCAN_FACTOR))
        self._scan_edge = float(np.quantile(scan, 0.95))
        # Averaging drops what is left over at the far sides: the middle moves with it.
        self._middle = np.array(
            [
                from_reduced((fine.shape[1] - 1) / 2, self._fit_factor),
                from_reduced((fine.shape[0] - 1) / 2, self._fit_factor),
            ]
        ) - np.array([(example.shape[1] - 1) / 2, (example.shape[0] - 1) / 2])
        self._shape = shape
        self._has_turn = turned and float(found.turning.mean()) > _LEAST_TURNING
        self.extent = 2 * shape.reach * self._fit_factor
        self._outline = self._hull(shape)
        self._search_factor = max(1, int(shape.reach / SEARCH_REACH))
        small = shape.scaled(1 / self._search_factor)
        angles, self._perfect = self._searched_angles(fine, small, turned)
        self._angles = angles
        self._searched = [small.turned(angle) for angle in angles]
        self._searchers: dict[tuple[int, int], Searcher] = {}

    @staticmethod
    def _hull(shape: Shape) -> NDArray[np.float32]:
        hull: Any = cv2.convexHull(shape.points.astype(np.float32))
        return np.asarray(hull[:, 0, :], dtype=np.float32)

    def _searched_angles(
        self, fine: NDArray[Any], small: Shape, turned: bool
    ) -> tuple[list[float], float]:
        """Angles that together cover all, and the score of the example against itself."""
        coarse = reduced(fine, self._search_factor)
        border = int(np.ceil(small.reach)) + 4
        padded = np.pad(coarse, border, mode="edge")
        self._edge = float(np.quantile(_gradient_length(coarse), 0.95))
        field = gradient_field(padded, edge=self._edge)
        count = int(np.ceil(2 * np.pi * small.reach / _ANGLE_STEP))
        angles = np.arange(count) * (2 * np.pi / count)
        size = (padded.shape[0], padded.shape[1])
        scores = np.array([_best(Searcher([small.turned(a)], size), field) for a in angles])
        perfect = float(scores[0])
        if not turned:
            return [0.0], perfect
        # Looking alike depends on the difference of two angles only.
        alike = np.flatnonzero(scores >= _ALIKE * perfect)
        chosen: list[int] = []
        covered = np.zeros(count, dtype=bool)
        for index in range(count):
            if not covered[index]:
                chosen.append(index)
                covered[(index + alike) % count] = True
        return [float(angles[index]) for index in chosen], perfect

    def locate(self, grey: NDArray[np.uint8]) -> list[Spot]:
        """All parts of a tray that look like the example.

        Parameters
        ----------
        grey : ndarray of uint8, (H, W)
        """
        fine = reduced(grey, self._fit_factor)
        coarse = reduced(fine, self._search_factor)
        size = (coarse.shape[0], coarse.shape[1])
        if min(size) < 8:
            return []
        if size not in self._searchers:
            self._searchers[size] = Searcher(self._searched, size, perfect=self._perfect)
        hits = self._searchers[size].search(
            gradient_field(coarse, edge=self._edge), least=_LEAST_HIT
        )
        half = reduced(fine, _SCAN_FACTOR) if self._has_turn and hits else None
        field = None if half is None else gradient_field(half, edge=self._scan_edge)
        fits: list[Fit] = []
        for hit in hits:
            place = complex(*(from_reduced(value, self._search_factor) for value in hit.centre))
            if any(self._holds(fit, place) for fit in fits):
                continue
            fit = self._fit(fine, field, place, self._angles[hit.shape])
            if fit is not None:
                fits.append(fit)
        shape = (grey.shape[0], grey.shape[1])
        return [self._spot(fit, shape) for fit in self._apart(fits)]

    def _holds(self, fit: Fit, place: complex) -> bool:
        """Whether a place lies within a part that fits well: no other part has its centre there."""
        if fit.support < _SURE:
            return False
        inside = (place - fit.pose.centre) / fit.pose.factor
        return cv2.pointPolygonTest(self._outline, (inside.real, inside.imag), False) > 0

    def _fit(
        self, fine: NDArray[Any], field: NDArray[np.complex64] | None, place: complex, angle: float
    ) -> Fit | None:
        start = Pose(complex(np.cos(angle), np.sin(angle)), place)
        rough = rough_fit(fine, self._example, start)
        if rough.light < _ROUGH_LIGHT * _LEAST_LIGHT:
            return None
        if rough.outer_support < _ROUGH_MATCH * self._least_match:
            return None
        turns = [rough.pose.angle]
        if field is not None:
            turns = self._likely_turns(field, rough.pose) or turns
        best = self._best_turned(fine, rough.pose, turns)
        # The less of a part is seen, the more of that has to fit.
        least = self._least_match + 0.4 * (1 - best.visible)
        if best.visible < 0.3 or best.light < _LEAST_LIGHT:
            return None
        if max(best.support, best.outer_support) < least:
            return None
        if abs(best.pose.scale - 1) > self._tolerance + 0.01:
            return None
        return best

    def _best_turned(self, fine: NDArray[Any], start: Pose, turns: list[float]) -> Fit:
        """Of the likely turns the one at which edges and brightness agree best."""
        fits = []
        for angle in turns:
            factor = complex(np.cos(angle), np.sin(angle)) * start.scale
            fits.append(fit_pose(fine, self._example, Pose(factor, start.centre)))
        if len(fits) == 1:
            return fits[0]
        return max(
            fits,
            key=lambda fit: (
                fit.support + fit.turn_support + 0.5 * likeness(fine, self._example, fit.pose)
            ),
        )

    def _likely_turns(self, field: NDArray[np.complex64], start: Pose) -> list[float]:
        """The angles at which the points that say something of it fit best."""
        pose = Pose(start.factor / _SCAN_FACTOR, to_reduced_complex(start.centre))
        used = np.flatnonzero(self._example.turning > 0.02)
        weights = self._example.turning[used]
        count = int(np.ceil(2 * np.pi * self._shape.reach * pose.scale / _TURN_STEP))
        angles = np.arange(count) * (2 * np.pi / count)
        factors = np.exp(1j * angles)
        points = self._shape.points[used, 0] + 1j * self._shape.points[used, 1]
        normals = self._shape.normals[used, 0] + 1j * self._shape.normals[used, 1]
        places = np.outer(factors * pose.scale, points) + pose.centre
        pair = field.view(np.float32).reshape(*field.shape, 2)
        seen: Any = cv2.remap(
            pair,
            places.real.astype(np.float32),
            places.imag.astype(np.float32),
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_CONSTANT,
        )
        directions = seen[..., 0] + 1j * seen[..., 1]
        scores = (np.conj(np.outer(factors, normals)) * directions).real @ weights
        peaks = np.flatnonzero((scores >= np.roll(scores, 1)) & (scores >= np.roll(scores, -1)))
        least = max(_TURN_WORTH * float(scores.max()), _LEAST_TURN * float(weights.sum()))
        peaks = peaks[scores[peaks] >= least]
        likely: list[float] = []
        for angle in angles[peaks[np.argsort(-scores[peaks])]]:
            if all(abs(_turn_between(angle, other)) > _TURNS_APART for other in likely):
                likely.append(float(angle))
            if len(likely) == _TURNS_TRIED:
                break
        return likely

    def _apart(self, fits: list[Fit]) -> list[Fit]:
        """Of fits that overlap the better one."""
        kept: list[Fit] = []
        least = 0.7 * self._shape.width
        for fit in sorted(fits, key=lambda item: -item.support * item.visible):
            if all(abs(fit.pose.centre - other.pose.centre) > least for other in kept):
                kept.append(fit)
        return kept

    def _spot(self, fit: Fit, shape: tuple[int, int]) -> Spot:
        factor = fit.pose.factor if self._has_turn else complex(fit.pose.scale)
        pose = Pose(factor, fit.pose.centre)
        centre = from_reduced(np.array([pose.centre.real, pose.centre.imag]), self._fit_factor)
        turn = np.array([[factor.real, -factor.imag], [factor.imag, factor.real]])
        middle = np.array([(self.size[1] - 1) / 2, (self.size[0] - 1) / 2])
        matrix = np.eye(3)
        matrix[:2, :2] = turn
        matrix[:2, 2] = centre - turn @ (middle + self._middle)
        outline = self._outline @ turn.T * self._fit_factor + centre
        return Spot(
            matrix=matrix,
            centre=matrix[:2] @ [*middle, 1.0],
            outline=outline,
            match=fit.support,
            cut_off=reaches_out(outline, shape),
        )


def to_reduced_complex(place: complex) -> complex:
    """A place x + i y of the fitted image in the one on which turns are compared."""
    return complex(to_reduced(place.real, _SCAN_FACTOR), to_reduced(place.imag, _SCAN_FACTOR))


def _turn_between(first: float, second: float) -> float:
    """Difference of two angles in radians, within -pi..pi."""
    return float(np.angle(np.exp(1j * (first - second))))


def _gradient_length(grey: NDArray[Any]) -> NDArray[np.float32]:
    wide = grey.astype(np.float32)
    gx = cv2.Scharr(wide, cv2.CV_32F, 1, 0, scale=1 / 32)
    gy = cv2.Scharr(wide, cv2.CV_32F, 0, 1, scale=1 / 32)
    return np.asarray(np.hypot(gx, gy))


def _best(searcher: Searcher, field: NDArray[np.complex64]) -> float:
    hits = searcher.search(field, least=0.0)
    return hits[0].score if hits else 0.0
