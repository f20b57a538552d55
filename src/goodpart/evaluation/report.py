"""The evaluation report: ``report.html``, one self-contained file, and its pictures beside it."""

from __future__ import annotations

import csv
import json
import os
import platform
import re
import shutil
import uuid
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from goodpart import __version__
from goodpart.decision.inspection import Verdict
from goodpart.decision.pictures import png_bytes
from goodpart.errors import DataError
from goodpart.evaluation import page, plots
from goodpart.evaluation.evaluate import Evaluation
from goodpart.evaluation.gallery import Card, choose, draw
from goodpart.model import Model
from goodpart.parts.dataset import Dataset
from goodpart.progress import Progress

REPORT = "report.html"
CURVES = "curves.json"


def check_out(out: Path, *, force: bool) -> None:
    """Refuse to overwrite, and to start without what the report needs.

    Raises
    ------
    DataError
        The folder holds something and ``force`` is not given, or it is no report at all.
    MissingExtraError
        matplotlib is not installed.
    """
    plots.require_matplotlib()
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not force:
        raise DataError(f"{out}: exists already; give another --out or add --force")
    if not (out / REPORT).is_file():
        raise DataError(f"{out}: exists and is not a report; even --force leaves it alone")


def write_report(
    out: Path,
    models: Sequence[Model],
    results: Sequence[Evaluation],
    dataset: Dataset,
    *,
    names: Sequence[str],
    progress: Progress | None = None,
) -> Path:
    """Write the report's folder: page, plots, gallery, ``results.csv``, ``evaluation.json``.

    Parameters
    ----------
    out : Path
        Replaced as a whole; see :func:`check_out`.
    models, results : sequences of Model and Evaluation
        The first is the one reported on, the others are put beside it.
    dataset : Dataset
    names : sequence of str
        What to call the models.
    progress : callable, optional

    Returns
    -------
    Path
        Of ``report.html``.

    Raises
    ------
    DataError
        The folder cannot be written.
    """
    temporary = out.parent / f".{out.name}.{uuid.uuid4().hex[:8]}.tmp"
    try:
        temporary.mkdir(parents=True)
        _write(temporary, models, results, dataset, names, progress)
        if out.exists():
            shutil.rmtree(out)
        os.replace(temporary, out)
    except OSError as error:
        raise DataError(f"{out}: cannot be written: {error.strerror or error}") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return out / REPORT


def _write(
    folder: Path,
    models: Sequence[Model],
    results: Sequence[Evaluation],
    dataset: Dataset,
    names: Sequence[str],
    progress: Progress | None,
) -> None:
    model, result = models[0], results[0]
    answers = [each.to_dict() for each in results]
    pictures = _plots(model, list(zip(names, results, strict=True)), dataset)
    for name, png in pictures.items():
        (folder / f"{name}.png").write_bytes(png)
    gallery = draw(model, choose(result), progress)
    body = [
        page.headline(answers[0]),
        page.section(
            "Verdicts",
            "판정 결과",
            page.confusion(result.outcomes, answers[0]),
            note=_limits_note(result),
        ),
        page.section("Scores", "점수 분포", page.wide(pictures["histogram"], "score histogram")),
    ]
    if "roc" in pictures:
        pair = page.plots((pictures["roc"], "ROC"), (pictures["pr"], "precision and recall"))
        body.append(page.section("Separation", "분리 성능", pair))
    if len(models) > 1:
        rows = page.side_by_side(names, answers)
        body.append(page.section("Models side by side, on the same images", "모델 비교", rows))
    body.append(page.section("By class", "유형별", page.by_class(answers[0])))
    body += _gallery(folder, gallery, model)
    body += _failures(result)
    counts = page.wide(pictures["counts"], "images of each class", "wide narrow")
    body.append(page.section("Data", "데이터", counts))
    if "training" in pictures:
        curve = page.wide(pictures["training"], "loss over the epochs", "wide narrow")
        body.append(page.section("Training", "학습 곡선", curve))
    body.append(_model_section(model))
    now = datetime.now().astimezone()
    text = page.page(
        title=f"{names[0]} on {dataset.root.resolve().name}",
        subtitle=f"detector {result.detector} · {len(result.seconds)} test images · "
        f"{now:%Y-%m-%d %H:%M %Z}",
        body=body,
        footer=f"goodpart {__version__} · {platform.system()} {platform.machine()}, "
        f"{os.cpu_count()} cores · Python {platform.python_version()}",
    )
    (folder / REPORT).write_text(text, encoding="utf-8")
    _write_results(folder / "results.csv", result)
    report = json.dumps(answers, indent=2, ensure_ascii=False, allow_nan=False)
    (folder / "evaluation.json").write_text(report + "\n", encoding="utf-8")


def _plots(model: Model, named: list[tuple[str, Evaluation]], dataset: Dataset) -> dict[str, bytes]:
    first = named[0][1]
    pictures = {
        "counts": plots.plot_counts(dataset.counts()),
        "histogram": plots.plot_scores(first),
    }
    if first.scores(good=True).size and first.scores(good=False).size:
        pictures["roc"] = plots.plot_roc(named)
        pictures["pr"] = plots.plot_pr(named)
    for name, data in model.artifacts.items():
        if Path(name).name == CURVES:
            pictures["training"] = plots.plot_training(json.loads(data))
    return pictures


def _limits_note(result: Evaluation) -> str:
    limits = result.limits
    if limits.ok == limits.ng:
        rule = f"One limit: a score above {limits.ng:.4g} is NG, else OK."
    else:
        rule = f"OK up to {limits.ok:.4g}, NG above {limits.ng:.4g}, CHECK between."
    return f"{rule} Upper bounds are one-sided, exact, with 95 % confidence (Clopper–Pearson)."


def _gallery(folder: Path, gallery: dict[str, list[Card]], model: Model) -> list[str]:
    (folder / "gallery").mkdir()
    key = page.color_key(model.heat_scale)
    found = []
    for name, cards in gallery.items():
        if not cards:
            continue
        title, korean, note = page.SECTIONS[name]
        parts = []
        for place, card in enumerate(cards, start=1):
            files = {caption: png_bytes(picture) for caption, picture in card.pictures.items()}
            stem = re.sub(r"[^\w.-]+", "_", f"{name}_{place:02d}_{card.outcome.part}")
            for caption, png in files.items():
                file = folder / "gallery" / f"{stem}_{caption.replace(' ', '_')}.png"
                file.write_bytes(png)
            parts.append(page.gallery_part(card.outcome, files))
        content = f'{key}<div class="gallery">{"".join(parts)}</div>'
        found.append(page.section(title, korean, content, note=note, short=False))
    return found


def _failures(result: Evaluation) -> list[str]:
    lines = [
        outcome.message or str(outcome.item.path)
        for outcome in result.outcomes
        if outcome.verdict is Verdict.NOT_JUDGED
    ]
    lines += result.problems
    if not lines:
        return []
    shown = [*lines[:50], f"and {len(lines) - 50} more"] if len(lines) > 50 else lines
    return [page.section("Not judged", "판정 불가", page.bullets(shown), short=False)]


def _model_section(model: Model) -> str:
    story, limits = model.provenance, model.limits
    calibration = model.calibration
    settings = ", ".join(f"{k}={v}" for k, v in model.recipe.detector.settings.items())
    size = model.recipe.part.size
    facts = {
        "detector": f"{model.detector.name} ({settings})" if settings else model.detector.name,
        "part image": f"{size[1]} × {size[0]} pixels, {model.recipe.input.color}",
        "limits": f"ok {limits.ok:.6g}, ng {limits.ng:.6g}",
        "trained": f"{story.get('created', '–')}, in {story.get('seconds', '–')} s, "
        f"on {story.get('parts_used', '–')} good parts",
        "model": model.id,
        "versions": ", ".join(f"{k} {v}" for k, v in story.get("versions", {}).items()),
    }
    notes: list[str] = list(calibration.get("notes", []))
    notes += [f"stands out among the good: {name}" for name in calibration.get("outliers", [])]
    notes += [f"left out: {entry['reason']}" for entry in story.get("left_out", [])]
    content: Any = page.definitions(facts) + page.bullets(notes)
    return page.section("Model", "모델", content)


def _write_results(path: Path, result: Evaluation) -> None:
    """One line for each part; the byte order mark lets Excel read Korean names."""
    with open(path, "w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "part", "label", "verdict", "score", "reason"])
        for outcome in result.outcomes:
            writer.writerow(
                [
                    outcome.item.path,
                    outcome.part,
                    outcome.item.label,
                    outcome.verdict.value,
                    "" if outcome.score is None else repr(outcome.score),
                    outcome.reason or "",
                ]
            )
