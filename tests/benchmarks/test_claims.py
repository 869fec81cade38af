"""What README, the page of evidence and the model cards say was measured."""

import re

import claims
import pytest
from common import ROOT

CARDS = sorted((ROOT / "mocop_sklearn" / "model_file" / "shipped").glob("*.md"))
FIGURE = re.compile(r"(?<![\d.])\d\.\d{3}(?![\d])")


@pytest.mark.parametrize("page", claims.DOCUMENTS, ids=lambda path: path.stem)
def test_the_tables_of_a_page_are_those_of_the_results(page):
    text = page.read_text()
    assert len(claims.PLACE.findall(text)) == text.count("<!-- figures:") >= 2
    assert claims.filled(text) == text, "run: python benchmarks/report.py"


@pytest.mark.parametrize("page", [*claims.DOCUMENTS, *CARDS], ids=lambda path: path.stem)
def test_each_figure_in_the_text_of_a_page_is_in_a_table(page):
    tables = (ROOT / "docs" / "benchmarks.md").read_text() + "\n".join(
        line for name in claims.TABLES for line in claims.TABLES[name]()
    )
    text = claims.PLACE.sub("", page.read_text())
    figures = FIGURE.findall(text)
    assert figures
    assert sorted(set(figures) - set(FIGURE.findall(tables))) == []


def test_a_table_stands_between_its_comments_and_marks_the_best(monkeypatch):
    runs = {
        "a": [{"score": 0.5, "score_far": 0.2}, {"score": 0.7, "score_far": 0.4}],
        "b": [{"score": 0.61, "score_far": 0.1}],
    }
    monkeypatch.setattr(claims, "_json", lambda name: {"retrieval": {"corpus": runs}})
    columns = claims.NCI60_COLUMNS
    made = claims.retrieval("corpus", {"first": "a", "second": "b", "none": "chance"}, columns, 2, (max, max))
    assert made == [
        "|  | score | far molecules |",
        "| --- | --- | --- |",
        "| first | 0.60 | **0.30** |",
        "| second | **0.61** | 0.10 |",
        "| none | 0.00 | 0.00 |",
    ]
    monkeypatch.setitem(claims.TABLES, "own", lambda: made)
    page = "before\n<!-- figures: own -->\n\nold\n\n<!-- end of figures -->\nafter\n"
    text = claims.filled(page)
    assert text == page.replace("old", "\n".join(made))
    assert claims.filled(text) == text
    with pytest.raises(KeyError, match="strange"):
        claims.filled(page.replace("own", "strange"))
