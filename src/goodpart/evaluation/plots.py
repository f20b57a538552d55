"""The report's plots, each as a PNG file. They need matplotlib (extra ``train``)."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from goodpart.decision.metrics import auroc, average_precision, pr_curve, roc_curve
from goodpart.errors import MissingExtraError
from goodpart.evaluation.evaluate import Evaluation
from goodpart.parts.statistics import Facts

INK, MUTED, RULE = "#1b2330", "#667085", "#e3e7ec"
GOOD, LIMIT = "#2f7d5b", "#c81e28"
# Told apart by people who see colours differently, and in grey print by their line styles.
SERIES = ("#c2452d", "#2a6f97", "#a8741a", "#6b4c9a", "#3f7f7f", "#94476b", "#5b6b2f", "#44546a")
STYLES = ("-", "--", "-.", ":")


def require_matplotlib() -> None:
    """Raise :class:`MissingExtraError` where there is no matplotlib."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise MissingExtraError("matplotlib", "train") from None


def _figure(width: float, height: float) -> tuple[Any, Any]:
    """A figure with one axes in the report's style (inches)."""
    require_matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    _style(axes)
    return figure, axes


def _style(axes: Any) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(MUTED)
    axes.tick_params(colors=MUTED, labelsize=9)
    axes.xaxis.label.set_color(INK)
    axes.yaxis.label.set_color(INK)
    axes.grid(color=RULE, linewidth=0.8)
    axes.set_axisbelow(True)


def _png(figure: Any) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=144, facecolor="white")
    return buffer.getvalue()


def plot_counts(counts: Mapping[tuple[str, str], int]) -> bytes:
    """How many images each class has, on the training and on the test side.

    Parameters
    ----------
    counts : mapping
        Number of images by (split, label), as :meth:`Dataset.counts` gives.
    """
    labels = sorted({label for _, label in counts}, key=lambda name: (name != "good", name))
    figure, axes = _figure(6.4, 0.9 + 0.42 * len(labels))
    rows = np.arange(len(labels))
    for place, (split, color) in enumerate((("train", "#9db4c6"), ("test", "#2a6f97"))):
        values = [counts.get((split, label), 0) for label in labels]
        bars = axes.barh(rows + (place - 0.5) * 0.38, values, 0.36, color=color, label=split)
        axes.bar_label(bars, [str(v) if v else "" for v in values], padding=3, fontsize=8)
    axes.set_yticks(rows, labels)
    axes.invert_yaxis()
    axes.grid(False, axis="y")
    axes.set_xlabel("images")
    axes.margins(x=0.12)
    axes.legend(frameon=False, fontsize=9, loc="lower right")
    return _png(figure)


def plot_training(rows: Sequence[Mapping[str, float]]) -> bytes:
    """Losses over the epochs.

    Parameters
    ----------
    rows : sequence of mappings
        One for each epoch: ``epoch`` and whatever has ``loss`` in its name.
    """
    figure, axes = _figure(6.4, 3.2)
    names = list(dict.fromkeys(name for row in rows for name in row if "loss" in name))
    positive = True
    for place, name in enumerate(names):
        points = [(row.get("epoch", n), row[name]) for n, row in enumerate(rows, 1) if name in row]
        positive = positive and all(value > 0 for _, value in points)
        style, color = STYLES[place % 4], SERIES[place % 8]
        label = name.replace("/", " ")
        axes.plot(*zip(*points, strict=True), style, color=color, label=label)
    if positive:
        axes.set_yscale("log")
    axes.set_xlabel("epoch")
    axes.set_ylabel("loss")
    axes.legend(frameon=False, fontsize=9)
    return _png(figure)


def plot_roc(results: Sequence[tuple[str, Evaluation]]) -> bytes:
    """ROC of each model with its area, and the working point of its limit ``ng``."""
    figure, axes = _figure(4.8, 4.4)
    axes.plot([0, 1], [0, 1], color=RULE, linewidth=1)
    for place, (name, result) in enumerate(results):
        good, defective = result.scores(good=True), result.scores(good=False)
        curve = roc_curve(good, defective)
        if curve is None:
            continue
        color = SERIES[place % 8]
        label = f"{name}: {auroc(good, defective):.4f}"
        # Drawn over the frame: the best curves run along it.
        axes.plot(curve.x, curve.y, STYLES[place % 4], color=color, label=label, clip_on=False)
        point = (
            float((good > result.limits.ng).mean()),
            float((defective > result.limits.ng).mean()),
        )
        axes.plot(*point, "o", color=color, markersize=7, clip_on=False, zorder=5)
    axes.plot([], [], "o", color=MUTED, label="at the limit", linestyle="none")
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    axes.set_xlabel("overkill: share of good parts above")
    axes.set_ylabel("share of defective parts above")
    axes.legend(frameon=False, fontsize=9, loc="lower right")
    return _png(figure)


def plot_pr(results: Sequence[tuple[str, Evaluation]]) -> bytes:
    """Precision over recall of each model, with its average precision."""
    figure, axes = _figure(4.8, 4.4)
    for place, (name, result) in enumerate(results):
        good, defective = result.scores(good=True), result.scores(good=False)
        curve = pr_curve(good, defective)
        if curve is None:
            continue
        label = f"{name}: {average_precision(good, defective):.4f}"
        style, color = STYLES[place % 4], SERIES[place % 8]
        axes.plot(curve.x, curve.y, style, color=color, label=label, clip_on=False)
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    axes.set_xlabel("recall: share of defective parts found")
    axes.set_ylabel("precision: share of finds that are defective")
    axes.legend(frameon=False, fontsize=9, loc="lower left")
    return _png(figure)


def plot_scores(result: Evaluation, bins: int = 48) -> bytes:
    """Score histograms of good and of defective parts, one above the other, with the limits."""
    sides = [
        [label for label in result.labels() if (label == "good") == good] for good in (True, False)
    ]
    sides = [labels for labels in sides if labels]
    figure, first = _figure(8.6, 1.2 + 1.6 * len(sides))
    figure.delaxes(first)
    panels = figure.subplots(len(sides), 1, sharex=True, squeeze=False)[:, 0]
    edges, log = _bins(result, bins)
    limits = sorted({result.limits.ok, result.limits.ng})
    for axes, labels in zip(panels, sides, strict=True):
        _style(axes)
        groups = [result.scores(label=label) for label in labels]
        colors = [GOOD] if labels == ["good"] else [SERIES[i % 8] for i in range(len(labels))]
        axes.hist(groups, bins=edges, stacked=True, color=colors, label=labels, linewidth=0)
        for value in limits:
            axes.axvline(value, color=INK, linewidth=1.2, linestyle="--")
        axes.legend(frameon=False, fontsize=9)
        axes.grid(False, axis="x")
        axes.set_ylabel("parts")
        axes.yaxis.get_major_locator().set_params(integer=True)
        if log:
            axes.set_xscale("log")
    words = ["limit"] if len(limits) == 1 else ["ok", "ng"]
    for word, value in zip(words, limits, strict=True):
        panels[0].annotate(
            f"{word} {value:.3g}",
            (value, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(0, 3),
            textcoords="offset points",
            ha="center",
            fontsize=9,
            color=INK,
        )
    panels[-1].set_xlabel("score (higher = less like a good part)")
    return _png(figure)


def _bins(result: Evaluation, count: int) -> tuple[Any, bool]:
    """Common bin edges over all scores and limits; logarithmic where they spread widely."""
    values = np.append(result.scores(), [result.limits.ok, result.limits.ng])
    low, high = float(values.min()), float(values.max())
    if low > 0 and high > 12 * float(np.median(values)):
        return np.geomspace(low * 0.98, high * 1.02, count + 1), True
    pad = (high - low or 1.0) * 0.02
    return np.linspace(low - pad, high + pad, count + 1), False


def plot_measures(facts: Sequence[Facts]) -> bytes:
    """Brightness against focus of each image, by class: odd images lie apart."""
    figure, axes = _figure(6.4, 4.4)
    labels = sorted({each.item.label for each in facts}, key=lambda name: (name != "good", name))
    for place, label in enumerate(labels):
        own = [each for each in facts if each.item.label == label]
        axes.plot(
            [each.brightness for each in own],
            [each.focus for each in own],
            "os^vD*PX"[place % 8],
            color=GOOD if label == "good" else SERIES[place % 8],
            markersize=4,
            alpha=0.7,
            label=label,
            linestyle="none",
        )
    axes.set_xlabel("brightness (mean grey level)")
    axes.set_ylabel("focus (variance of the Laplacian / variance)")
    if all(each.focus > 0 for each in facts):
        axes.set_yscale("log")
    axes.legend(frameon=False, fontsize=9)
    return _png(figure)
