"""The three result files of the line: ``heatmap.png``, ``histogram.png`` and ``result.txt``."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor

import numpy as np
from numpy.typing import NDArray

from goodpart.decision import Inspection, Verdict
from goodpart.decision.pictures import (
    HISTOGRAM_SIZE,
    HeatScale,
    Picture,
    png_bytes,
    render_heatmap,
    render_histogram,
    result_text,
)

HEATMAP, HISTOGRAM, RESULT = "heatmap.png", "histogram.png", "result.txt"
ORDER = (HEATMAP, HISTOGRAM, RESULT)
"""``result.txt`` comes last: who sees it, sees the pictures that belong to it."""

_WORST_FIRST = (Verdict.NG, Verdict.NOT_JUDGED, Verdict.CHECK, Verdict.OK)


def worst(inspections: Sequence[Inspection]) -> Inspection:
    """The inspection that speaks for a whole image: NG before NOT_JUDGED before CHECK before OK.

    Parameters
    ----------
    inspections : sequence of Inspection
        At least one.
    """
    return min(inspections, key=lambda inspection: _WORST_FIRST.index(inspection.verdict))


def legacy_text(inspection: Inspection) -> str:
    """``result : Good`` for OK alone; for the others ``result : Bad`` and the verdict below."""
    if inspection.verdict is Verdict.OK:
        return "result : Good\n"
    return f"result : Bad\n{inspection.verdict}\n"


def result_files(
    inspection: Inspection,
    scale: HeatScale,
    *,
    pictures: bool = True,
    legacy: bool = False,
    pool: Executor | None = None,
) -> dict[str, bytes]:
    """The files for one inspection, by name.

    Always all of them: where nothing was scored the pictures say so, so that none of an earlier
    part stays.

    Parameters
    ----------
    inspection : Inspection
    scale : HeatScale
        Of the model.
    pictures : bool
        Whether the two pictures are wanted.
    legacy : bool
        The short text that the original line's camera program reads.
    pool : Executor, optional
        Draws one picture while the other is drawn here.
    """
    files = {}
    if pictures:
        score_map = inspection.score_map
        if score_map is None:
            notice = png_bytes(_notice(inspection))
            files = {HEATMAP: notice, HISTOGRAM: notice}
        else:
            arguments = (score_map, scale, inspection)
            drawn = None if pool is None else pool.submit(_histogram, *arguments)
            files[HEATMAP] = png_bytes(render_heatmap(score_map, scale))
            files[HISTOGRAM] = _histogram(*arguments) if drawn is None else drawn.result()
    text = legacy_text(inspection) if legacy else result_text(inspection)
    files[RESULT] = text.encode("utf-8")
    return files


def _histogram(score_map: NDArray[np.float32], scale: HeatScale, inspection: Inspection) -> bytes:
    return png_bytes(
        render_histogram(score_map, scale, score=inspection.score, mask=inspection.mask)
    )


def _notice(inspection: Inspection) -> Picture:
    import cv2

    height, width = HISTOGRAM_SIZE
    picture = np.full((height, width, 3), 245, dtype=np.uint8)
    lines = (str(inspection.verdict).replace("_", " "), inspection.reason or "")
    for row, line in enumerate(lines):
        text = line.encode("ascii", "replace").decode("ascii")
        place = (40, height // 2 + 50 * row)
        cv2.putText(
            picture, text, place, cv2.FONT_HERSHEY_SIMPLEX, 1.2, (90, 90, 100), 2, cv2.LINE_AA
        )
    return picture
