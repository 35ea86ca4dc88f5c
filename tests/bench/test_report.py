"""What a run writes down."""

import json
from xml.etree import ElementTree as ET

import pytest


@pytest.fixture
def rows(bench):
    """One row of each kind."""
    ratio = bench("ratio")
    return [
        ratio.Row(name="import", unit="ms", ours=[1.1], theirs=[1.0], at_most=1.25),
        ratio.Figures(name="added to a call, p50", unit="ms", ours=2.0, theirs=3.0),
        ratio.NotMeasured(name="in Azure's worker", goal=">= 0.6", why="there is none"),
    ]


def test_results_hold_every_row(bench, rows, tmp_path):
    """Programs find each row with the same members, measured or not."""
    file = tmp_path / "results.json"

    bench("report").write_results(rows, file)

    found = json.loads(file.read_text())
    assert [row["name"] for row in found] == [
        "import, ms",
        "added to a call, p50, ms",
        "in Azure's worker",
    ]
    assert all({"ours", "peer", "ratio", "goal", "met"} <= row.keys() for row in found)


def test_page_gets_its_figures_and_keeps_its_words(bench, rows, tmp_path):
    """Between the marks stands what was measured last; the rest is as it was."""
    page = tmp_path / "performance.md"
    page.write_text("before\n<!-- figures -->\nold\n<!-- end of figures -->\nafter\n")

    bench("report").write_page(rows, page=page, pictures=tmp_path / "pictures")

    text = page.read_text()
    assert text.startswith("before\n<!-- figures -->\nMeasured in one run on ")
    assert text.endswith("<!-- end of figures -->\nafter\n")
    assert "| import, ms | 1.1 | 1 | 1.1 | 0 | <= 1.25 | yes |" in text
    assert "| in Azure's worker | not measured | | | | >= 0.6 | |" in text
    assert "old" not in text


def test_pictures_can_be_read(bench, rows, tmp_path):
    """Each is an SVG, whatever characters its labels have."""
    page = tmp_path / "performance.md"
    page.write_text("<!-- figures --><!-- end of figures -->")

    bench("report").write_page(rows, page=page, pictures=tmp_path / "pictures")

    pictures = sorted((tmp_path / "pictures").glob("*.svg"))
    assert [picture.name for picture in pictures] == ["latency.svg", "quota.svg", "ratios.svg"]
    for picture in pictures:
        assert ET.parse(picture).getroot().tag.endswith("svg")  # noqa: S314  our own


def test_bar_beyond_its_goal_is_drawn_as_missed(bench):
    """A reader sees a miss without reading the figures."""
    plots = bench("plots")

    drawn = plots.bars("ratios", [plots.Bar(label="a & b", value=0.7, goal=0.6, is_missed=True)])

    assert 'class="missed"' in drawn
    assert "a &amp; b" in drawn
