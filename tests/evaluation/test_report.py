"""The report: one self-contained page and its pictures on disk."""

from __future__ import annotations

import csv
import json
import re
from html.parser import HTMLParser

import pytest
from PIL import Image

from goodpart.errors import DataError
from goodpart.evaluation.evaluate import evaluate, require_test_items
from goodpart.evaluation.report import check_out, write_report
from goodpart.parts.dataset import load_dataset

VOID = {"meta", "img", "br", "link", "input"}


class Checker(HTMLParser):
    """Notes tags that are not closed in order, and every address."""

    def __init__(self):
        super().__init__()
        self.open, self.wrong, self.addresses = [], [], []

    def handle_starttag(self, tag, attrs):
        self.addresses += [v for k, v in attrs if k in ("src", "href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)


@pytest.fixture(scope="module")
def report(model, data, tmp_path_factory):
    """A report of the discs, compared with itself, its model with a training curve."""
    dataset = load_dataset(data)
    result = evaluate(model, require_test_items(dataset))
    curve = [{"epoch": n, "train/loss": 1 / n, "learning_rate": 0.1} for n in (1, 2, 3)]
    curve[2]["validation/loss"] = 0.4
    model.artifacts["training/curves.json"] = json.dumps(curve).encode()
    out = tmp_path_factory.mktemp("report") / "out"
    write_report(out, [model, model], [result, result], dataset, names=["a <b>", "b"])
    del model.artifacts["training/curves.json"]
    return out


def test_the_page_is_well_formed_and_needs_nothing_from_outside(report):
    text = (report / "report.html").read_text(encoding="utf-8")
    checker = Checker()
    checker.feed(text)
    assert not checker.wrong and not checker.open
    assert len(checker.addresses) > 10
    assert all(address.startswith("data:image/png;base64,") for address in checker.addresses)
    assert not re.search(r"https?://", text)
    assert "$" not in re.sub(r"base64,[^\"]*", "", text)


def test_names_are_escaped(report):
    text = (report / "report.html").read_text(encoding="utf-8")
    assert "a &lt;b&gt;" in text and "<b>b" not in text


def test_operators_find_their_words(report):
    text = (report / "report.html").read_text(encoding="utf-8")
    for word in ("양품", "불량", "재검", "판정 불가", "과검", "미검"):
        assert word in text


def test_every_section_has_its_pictures_on_disk_too(report):
    for name in ("counts", "histogram", "roc", "pr", "training"):
        with Image.open(report / f"{name}.png") as picture:
            picture.load()
    assert len(list((report / "gallery").glob("typical_*_overlay.png"))) == 4
    assert len(list((report / "gallery").glob("typical_*_ground_truth.png"))) == 2


def test_the_table_of_results_has_a_line_for_each_part(report):
    with open(report / "results.csv", encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 14
    assert {row["verdict"] for row in rows if row["label"] == "spot"} == {"NG"}
    figures = json.loads((report / "evaluation.json").read_text(encoding="utf-8"))
    assert len(figures) == 2 and figures[0]["image_auroc"] == 1.0


def test_mistakes_come_first_in_the_gallery(model, data, tmp_path):
    from dataclasses import replace

    from goodpart.decision import Limits

    dataset = load_dataset(data)
    strict = replace(model, limits=Limits(1e-6, 1e-6))
    result = evaluate(strict, require_test_items(dataset))
    write_report(tmp_path / "r", [strict], [result], dataset, names=["strict"])
    text = (tmp_path / "r" / "report.html").read_text(encoding="utf-8")
    assert "Good parts judged NG" in text and "Defective parts judged OK" not in text
    assert len(list((tmp_path / "r" / "gallery").glob("overkill_*_heatmap.png"))) == 6


def test_good_parts_alone_make_a_report_without_curves(model, data, tmp_path):
    (tmp_path / "d" / "test").mkdir(parents=True)
    (tmp_path / "d" / "test" / "good").symlink_to(data / "test" / "good")
    dataset = load_dataset(tmp_path / "d")
    result = evaluate(model, require_test_items(dataset))
    page = write_report(tmp_path / "r", [model], [result], dataset, names=["m"])
    assert "Separation" not in page.read_text(encoding="utf-8")


def test_a_folder_with_something_else_is_never_overwritten(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(DataError, match="exists already"):
        check_out(tmp_path, force=False)
    with pytest.raises(DataError, match="leaves it alone"):
        check_out(tmp_path, force=True)
    (tmp_path / "report.html").write_text("")
    check_out(tmp_path, force=True)
    check_out(tmp_path / "new", force=False)
