"""``report.html`` of a synthesis: figures, the training, drawn images beside their nearest real."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from goodpart.decision.pictures import png_bytes
from goodpart.evaluation.page import bullets, definitions, number, page, section, table, wide
from goodpart.generators.synthesis import Synthesis, sheet
from goodpart.parts.contact_sheet import contact_sheet

PAIRS = 12
_MEANING = {
    "kid": "kernel distance to the real images; 0: no difference found",
    "kid_between_real_halves": "the same between halves of the real images",
    "precision": "drawn images that lie among the real ones",
    "recall": "real images that lie among the drawn ones",
    "coverage": "real images that have a drawn one near",
}


def report(found: Synthesis) -> bytes:
    """The page as UTF-8 HTML; everything is inside."""
    summary = found.summary()
    body = [
        section("Counts", "개수", _counts(summary)),
        section(
            "How good they are",
            "품질",
            _figures(summary["figures"]),
            note="In the features of goodpart's backbone: compare generators on the same real "
            "images, not with published figures.",
        ),
        section(
            "Nearest real images",
            "가장 가까운 실제 이미지",
            wide(png_bytes(pairs(found)), "generated images beside their nearest real ones"),
            note="Left of each pair: generated. Right: the real image most like it.",
            short=False,
        ),
        section(
            "Kept and rejected",
            "통과와 탈락",
            wide(png_bytes(sheet(found)), "kept and rejected images"),
            short=False,
        ),
    ]
    curve = found.trained.files.get("training/losses.png")
    if curve is not None:
        body.insert(2, section("Training", "학습", wide(curve, "losses", "wide narrow")))
    pictures = sorted(n for n in found.trained.files if n.startswith("training/pictures/"))
    if pictures:
        last = found.trained.files[pictures[-1]]
        grid = wide(last, "the same 16 noises", "wide narrow")
        body.insert(3, section("Last picture of training", "마지막 학습 그림", grid))
    collapses = found.trained.provenance.get("collapses", [])
    if collapses:
        lines = [f"epoch {entry['epoch']}: {entry['trouble']}" for entry in collapses]
        body.insert(1, section("Collapses", "붕괴", bullets(lines)))
    training = found.trained.provenance
    return page(
        title="Generated parts",
        subtitle=f"{len(found.drawn.kept)} images by {found.trained.generator.name}, learned from "
        f"{training.get('images')} real ones",
        body=body,
        footer="These images are generated: they may train a detector, never measure one.",
    ).encode("utf-8")


def pairs(found: Synthesis) -> Any:
    """Drawn images beside the real ones most like them."""
    entries = []
    for pixels, judged in found.drawn.kept[:PAIRS]:
        name = found.real.items[judged.nearest].path.name
        both = np.concatenate([pixels, found.parts.pixels[judged.nearest]], axis=1)
        entries.append((both, f"distance {judged.distance:.2f}\n{name}"))
    return contact_sheet(entries, columns=4)


def _counts(summary: Mapping[str, Any]) -> str:
    training = summary["generator"]["training"]
    found = {
        "wanted": str(summary["wanted"]),
        "drawn": str(summary["drawn"]),
        **{verdict: str(count) for verdict, count in sorted(summary["counts"].items())},
        "trained": f"{training['epochs']} epochs, {training['seconds'] / 60:.1f} minutes",
    }
    return definitions(found)


def _figures(figures: Mapping[str, Any]) -> str:
    rows = [
        [name, meaning, number(figures[name]), number(figures["kept"][name])]
        for name, meaning in _MEANING.items()
    ]
    return table(("figure", "meaning", "all drawn", "kept"), rows)
