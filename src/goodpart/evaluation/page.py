"""The report's page: figures and pictures as HTML, everything inside one file."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape
from importlib import resources
from string import Template
from typing import Any

from goodpart.decision.inspection import Verdict
from goodpart.decision.pictures import HeatScale
from goodpart.evaluation.evaluate import Outcome

KOREAN = {
    Verdict.OK: "양품",
    Verdict.NG: "불량",
    Verdict.CHECK: "재검",
    Verdict.NOT_JUDGED: "판정 불가",
}
SECTIONS = {
    "overkill": ("Good parts judged NG", "과검", "Overkill, highest scores first."),
    "escape": ("Defective parts judged OK", "미검", "Escapes, lowest scores first."),
    "check": ("Parts for a person", "재검", "Between the limits, highest scores first."),
    "typical": ("Typical parts", "대표 부품", "Around the median score of each class."),
}


def page(*, title: str, subtitle: str, body: Sequence[str], footer: str) -> str:
    """The whole page; texts are escaped, ``body`` is HTML."""
    template = resources.files("goodpart.evaluation").joinpath("report.html")
    return Template(template.read_text(encoding="utf-8")).substitute(
        title=escape(title), subtitle=escape(subtitle), body="\n".join(body), footer=escape(footer)
    )


def section(title: str, korean: str, content: str, *, note: str = "", short: bool = True) -> str:
    """A titled box; short ones are not split between sheets of paper."""
    kind = ' class="short"' if short else ""
    text = f'<p class="note">{escape(note)}</p>' if note else ""
    head = f'<h2>{escape(title)}<small lang="ko">{korean}</small></h2>'
    return f"<section{kind}>{head}{text}{content}</section>"


def image(png: bytes, alt: str) -> str:
    """A PNG inside the page."""
    data = base64.b64encode(png).decode("ascii")
    return f'<img src="data:image/png;base64,{data}" alt="{escape(alt)}">'


def plots(*pictures: tuple[bytes, str]) -> str:
    """Plots beside each other."""
    figures = "".join(f"<figure>{image(png, alt)}</figure>" for png, alt in pictures)
    return f'<div class="plots">{figures}</div>'


def wide(png: bytes, alt: str, kind: str = "wide") -> str:
    """One plot, ``"wide"`` or ``"wide narrow"``."""
    return f'<figure class="{kind}">{image(png, alt)}</figure>'


def percent(value: float | None) -> str:
    """A rate as people read it."""
    return "–" if value is None else f"{value * 100:.1f}\N{NO-BREAK SPACE}%"


def number(value: float | None, digits: int = 4) -> str:
    """A figure, or a dash for what cannot be had."""
    return "–" if value is None else f"{value:.{digits}f}"


def headline(answer: Mapping[str, Any]) -> str:
    """The figures that one looks for first."""
    seconds = answer["seconds_per_image"]
    speed = "–" if seconds["p50"] is None else f"{seconds['p50'] * 1e3:.1f} ms"
    slow = "" if seconds["p95"] is None else f"95 % within {seconds['p95'] * 1e3:.1f} ms"
    entries = [
        (number(answer["image_auroc"]), "image AUROC", _precision(answer)),
        (percent(answer["overkill"]["rate"]), "overkill · 과검", bound(answer["overkill"])),
        (percent(answer["escape"]["rate"]), "escape · 미검", bound(answer["escape"])),
        (_checked(answer), "check rate · 재검률", "of good / defective parts"),
        (speed, "per image (p50)", slow),
    ]
    if answer["pixel_auroc"] is not None:
        entries.insert(1, (number(answer["aupro"]), "AUPRO 30 %", _pixel(answer)))
    cards = (
        f'<div class="card"><span>{escape(name)}</span><b>{escape(value)}</b>'
        f"<em>{escape(detail)}</em></div>"
        for value, name, detail in entries
    )
    return f'<div class="cards">{"".join(cards)}</div>'


def _checked(answer: Mapping[str, Any]) -> str:
    found = [answer["check"][side]["rate"] for side in ("good", "defective")]
    return " / ".join("–" if rate is None else f"{rate * 100:.1f}" for rate in found) + " %"


def _precision(answer: Mapping[str, Any]) -> str:
    return f"average precision {number(answer['image_ap'], 3)}"


def _pixel(answer: Mapping[str, Any]) -> str:
    return f"pixel AUROC {number(answer['pixel_auroc'])}"


def bound(rate: Mapping[str, Any]) -> str:
    """Counts and the 95 % upper bound of a rate."""
    if rate["rate"] is None:
        return "no such parts"
    return f"{rate['count']} of {rate['n']}, at most {percent(rate['upper95'])}"


def confusion(outcomes: Sequence[Outcome], answer: Mapping[str, Any]) -> str:
    """Truth against verdict, with the bounds of the four rates."""
    head = "".join(
        f'<th>{verdict.value.replace("_", " ")}<small lang="ko">{KOREAN[verdict]}</small></th>'
        for verdict in Verdict
    )
    rows = []
    for good, name, korean in ((True, "good", "양품"), (False, "defective", "불량품")):
        mine = [outcome.verdict for outcome in outcomes if outcome.item.good == good]
        cells = []
        for verdict in Verdict:
            count = mine.count(verdict)
            right = verdict is (Verdict.OK if good else Verdict.NG)
            wrong = verdict is (Verdict.NG if good else Verdict.OK)
            kind = "none" if not count else "good" if right else "bad" if wrong else ""
            rate = _rate_of(answer, good, verdict)
            detail = f"<small>{_interval(rate)}</small>" if rate and mine else ""
            cells.append(f'<td class="{kind}">{count}{detail}</td>')
        rows.append(
            f'<tr><td>{name}<small lang="ko">{korean}</small></td>'
            f"<td>{len(mine)}</td>{''.join(cells)}</tr>"
        )
    return (
        f'<table class="matrix"><tr><th>labelled</th><th>parts<small lang="ko">부품</small></th>'
        f"{head}</tr>{''.join(rows)}</table>"
    )


def _rate_of(answer: Mapping[str, Any], good: bool, verdict: Verdict) -> Mapping[str, Any] | None:
    side = "good" if good else "defective"
    if verdict is Verdict.CHECK:
        return answer["check"][side]
    if verdict is Verdict.NOT_JUDGED:
        return answer["not_judged"][side]
    if verdict is (Verdict.NG if good else Verdict.OK):
        return answer["overkill" if good else "escape"]
    return None


def _interval(rate: Mapping[str, Any]) -> str:
    if rate["rate"] is None:
        return "–"
    return f"{percent(rate['rate'])}, at most {percent(rate['upper95'])}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A plain table; cells are escaped."""
    top = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    lines = ("".join(f"<td>{escape(cell)}</td>" for cell in row) for row in rows)
    return f"<table><tr>{top}</tr>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"


def by_class(answer: Mapping[str, Any]) -> str:
    """The per-class table."""
    head = ("class", "parts", "OK", "CHECK", "NG", "not judged", "wrong (95 % interval)", "AUROC")
    rows = []
    for label, row in answer["by_class"].items():
        wrong = row.get("overkill", row.get("escape"))
        interval = wrong["interval95"]
        spread = "" if interval is None else f" ({percent(interval[0])} to {percent(interval[1])})"
        counts = [str(row[key]) for key in ("n", "ok", "check", "ng", "not_judged")]
        rows.append([label, *counts, percent(wrong["rate"]) + spread, number(row["image_auroc"])])
    return table(head, rows)


def side_by_side(names: Sequence[str], answers: Sequence[Mapping[str, Any]]) -> str:
    """Several models on the same images."""
    head = ("model", "detector", "AUROC", "AP", "pixel AUROC", "AUPRO", "overkill", "escape", "ms")
    rows = []
    for name, answer in zip(names, answers, strict=True):
        seconds = answer["seconds_per_image"]["p50"]
        figures = [
            number(answer[key]) for key in ("image_auroc", "image_ap", "pixel_auroc", "aupro")
        ]
        costs = [percent(answer[key]["rate"]) for key in ("overkill", "escape")]
        speed = "–" if seconds is None else f"{seconds * 1e3:.1f}"
        rows.append([name, answer["detector"], *figures, *costs, speed])
    return table(head, rows)


def definitions(pairs: Mapping[str, str]) -> str:
    """Names and values."""
    entries = (f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in pairs.items())
    return f"<dl>{''.join(entries)}</dl>"


def bullets(lines: Sequence[str]) -> str:
    """A list; empty without lines."""
    if not lines:
        return ""
    return f"<ul>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>"


def color_key(scale: HeatScale) -> str:
    """What the colours of the heatmaps stand for."""
    limit = "" if scale.limits is None else "; the limit lies in the middle"
    return (
        f'<p class="key"><span>{scale.low:.3g}</span><span class="bar"></span>'
        f"<span>{scale.high:.3g}</span><span>score of a pixel{limit}; the scale is the same for "
        "every part</span></p>"
    )


def gallery_part(outcome: Outcome, pictures: Mapping[str, bytes]) -> str:
    """One part with its pictures."""
    tag = f'<span class="tag {outcome.verdict.value}">{outcome.verdict.value} '
    tag += f"{KOREAN[outcome.verdict]}</span>"
    score = "" if outcome.score is None else f"<span>score {outcome.score:.4g}</span>"
    figures = "".join(
        f"<figure>{image(png, name)}<figcaption>{escape(name)}</figcaption></figure>"
        for name, png in pictures.items()
    )
    head = f"{tag}<code>{escape(outcome.part)}</code><span>labelled {escape(outcome.item.label)}"
    return f'<div class="part"><p>{head}</span>{score}</p><div>{figures}</div></div>'
