"""The files that a benchmark run writes."""

import json
from pathlib import Path
from xml.etree import ElementTree as ET

from report import Bar, draw_bars, write_page, write_results
from table import Figures, NotMeasured, Row

ROWS = (
    Row(name="import", unit="ms", ours=[1.1], theirs=[1.0], at_most=1.25),
    Figures(name="latency added to a call, p50", unit="ms", ours=2.0, theirs=3.0),
    NotMeasured(name="in Azure's worker", goal=">= 0.6", why="there is none"),
)


def test_results_contain_every_row(tmp_path: Path) -> None:
    """Each row has the same members, measured or not."""
    file = tmp_path / "results.json"

    write_results(ROWS, file)

    results = json.loads(file.read_text())
    assert [row["name"] for row in results] == [
        "import, ms",
        "latency added to a call, p50, ms",
        "in Azure's worker",
    ]
    assert all({"ours", "peer", "ratio", "goal", "met"} <= row.keys() for row in results)


def test_page_gets_new_figures_and_keeps_its_text(tmp_path: Path) -> None:
    """The table between the markers is replaced; the rest of the page is unchanged."""
    page = tmp_path / "performance.md"
    page.write_text("before\n<!-- figures -->\nold\n<!-- end of figures -->\nafter\n")

    write_page(ROWS, page=page, charts=tmp_path / "charts")

    text = page.read_text()
    assert text.startswith("before\n<!-- figures -->\nMeasured in one run on ")
    assert text.endswith("<!-- end of figures -->\nafter\n")
    assert "| import, ms | 1.1 | 1 | 1.1 | 0 | <= 1.25 | yes |" in text
    assert "| in Azure's worker | not measured | | | | >= 0.6 | |" in text
    assert "old" not in text


def test_charts_are_valid_svg(tmp_path: Path) -> None:
    """Each chart parses as SVG, whatever characters its labels have."""
    page = tmp_path / "performance.md"
    page.write_text("<!-- figures --><!-- end of figures -->")

    write_page(ROWS, page=page, charts=tmp_path / "charts")

    charts = sorted((tmp_path / "charts").glob("*.svg"))
    assert [chart.name for chart in charts] == ["latency.svg", "quota.svg", "ratios.svg"]
    for chart in charts:
        assert ET.parse(chart).getroot().tag.endswith("svg")  # noqa: S314  our own file


def test_bar_beyond_its_goal_has_another_color() -> None:
    """A bar that misses its goal has the class `missed`."""
    chart = draw_bars("ratios", [Bar(label="a & b", value=0.7, goal=0.6, is_missed=True)])

    assert 'class="missed"' in chart
    assert "a &amp; b" in chart
