"""The files that a run writes: bench/results.json, and the content of docs/performance.md."""

import json
import platform
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from pathlib import Path

from harness import BENCH, ROOT
from table import Figures, Row, Rows

RESULTS = BENCH / "results.json"
PAGE, CHARTS = ROOT / "docs" / "performance.md", ROOT / "docs" / "performance"
BEGIN, END = "<!-- figures -->", "<!-- end of figures -->"

_SHOWN_AS_INTEGER = 1000  # numbers from here on are shown without a fraction


def write_results(rows: Rows, file: Path = RESULTS) -> None:
    """Writes all rows as JSON."""
    file.write_text(json.dumps([row.as_json() for row in rows], indent=2) + "\n")


def describe_machine() -> str:
    """Returns processor, memory, operating system and Python version as one line."""
    cpus = re.findall(r"^model name\s*: (.*)$", _read("/proc/cpuinfo"), re.MULTILINE)
    memory = re.search(r"^MemTotal:\s*(\d+) kB", _read("/proc/meminfo"), re.MULTILINE)
    parts = [
        f"{len(cpus)} x {cpus[0]}" if cpus else platform.machine(),
        f"{int(memory[1]) / 2**20:.0f} GB" if memory else "",
        platform.system(),
        f"Python {platform.python_version()}",
    ]
    return ", ".join(filter(None, parts))


def _read(file: str) -> str:
    path = Path(file)
    return path.read_text() if path.exists() else ""


def write_page(rows: Rows, *, page: Path = PAGE, charts: Path = CHARTS) -> None:
    """Replaces the table between the markers of the page, and writes the charts."""
    charts.mkdir(exist_ok=True)
    for name, chart in _draw_charts(rows):
        (charts / name).write_text(chart)
    before, _, rest = page.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}\n{_format_table(rows)}{END}{after}")


# The table


def _format_table(rows: Rows) -> str:
    when = datetime.now(UTC).date()
    return "\n".join(
        [
            f"Measured in one run on {when}: {describe_machine()}.",
            "",
            "| What | Ours | Peer | Ratio | Spread | Goal | Met |",
            "|---|---:|---:|---:|---:|---|---|",
            *map(_format_row, map(dict, (row.as_json() for row in rows))),
            "",
        ]
    )


def _format_row(row: dict[str, object]) -> str:
    if row["ours"] is None:
        return f"| {row['name']} | not measured | | | | {row['goal'] or ''} | |"
    met = {True: "yes", False: "no"}.get(row["met"], "")  # type: ignore[call-overload]
    numbers = (row[name] for name in ("ours", "peer", "ratio", "spread"))
    cells = ["" if number is None else _format_number(number) for number in numbers]
    return f"| {row['name']} | {' | '.join(cells)} | {row['goal'] or ''} | {met} |"


def _format_number(number: object) -> str:
    is_large = isinstance(number, float) and number >= _SHOWN_AS_INTEGER
    return f"{number:,.0f}" if is_large else f"{number:.4g}"


# The charts


@dataclass(frozen=True, kw_only=True)
class Bar:
    """One bar of a chart, with a mark at its goal if there is one."""

    label: str
    value: float
    goal: float | None = None
    is_missed: bool = False


_LABEL_WIDTH, _BAR_WIDTH, _LINE_HEIGHT, _TOP = 470, 360, 24, 44
_STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#24292f}.title{font-weight:600;font-size:15px}"
    ".value{fill:#57606a}.bar{fill:#2f81f7}.missed{fill:#d1242f}"
    ".goal{stroke:#24292f;stroke-width:2}"
    "@media(prefers-color-scheme:dark){text{fill:#e6edf3}.value{fill:#9198a1}.goal{stroke:#e6edf3}}"
)


def draw_bars(title: str, bars: Sequence[Bar]) -> str:
    """Draws a horizontal bar chart as SVG."""
    longest = max([*(bar.value for bar in bars), *(bar.goal or 0 for bar in bars), 1e-9])
    scale = _BAR_WIDTH / longest
    width = _LABEL_WIDTH + _BAR_WIDTH + 90
    height = _TOP + _LINE_HEIGHT * len(bars) + 10
    lines = [_draw_bar(bar, _TOP + _LINE_HEIGHT * n, scale) for n, bar in enumerate(bars)]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" role="img">',
            f"<title>{escape(title)}</title><style>{_STYLE}</style>",
            f'<text class="title" x="10" y="24">{escape(title)}</text>',
            *lines,
            "</svg>\n",
        ]
    )


def _draw_bar(bar: Bar, top: int, scale: float) -> str:
    length, middle = max(0.0, bar.value) * scale, top + _LINE_HEIGHT - 9
    kind = "missed" if bar.is_missed else "bar"
    x = _LABEL_WIDTH + bar.goal * scale if bar.goal is not None else None
    goal = "" if x is None else f'<path class="goal" d="M{x:.1f} {top}v{_LINE_HEIGHT - 2}"/>'
    after = max(_LABEL_WIDTH + length, x or 0) + 8
    return (
        f'<text x="{_LABEL_WIDTH - 10}" y="{middle}" text-anchor="end">{escape(bar.label)}</text>'
        f'<rect class="{kind}" x="{_LABEL_WIDTH}" y="{top + 3}" '
        f'width="{length:.1f}" height="{_LINE_HEIGHT - 8}"/>'
        f'{goal}<text class="value" x="{after:.1f}" y="{middle}">{bar.value:.3g}</text>'
    )


def _draw_charts(rows: Rows) -> Iterator[tuple[str, str]]:
    ratios = [row for row in rows if isinstance(row, Row)]
    shares = [
        row for row in ratios if row.name.startswith(("devices,", "simulated")) and row.at_least
    ]
    yield "quota.svg", draw_bars("Share of DPS's quota that was used", list(map(_bar_of, shares)))
    others = [row for row in ratios if row.goal and row not in shares and "429s" not in row.name]
    yield "ratios.svg", draw_bars("Ratio of ours to the peer's", list(map(_bar_of, others)))
    added = [row for row in rows if isinstance(row, Figures) and "added to" in row.name]
    pairs = [bar for row in added for bar in _bars_of_both(row)]
    yield "latency.svg", draw_bars("Added latency in milliseconds", pairs)


def _bar_of(row: Row) -> Bar:
    goal = row.at_most if row.at_least is None else row.at_least
    label = row.name.partition("; peer")[0]
    return Bar(label=label, value=row.ratio, goal=goal, is_missed=row.is_missed)


def _bars_of_both(row: Figures) -> Iterator[Bar]:
    name = row.name.partition("added to ")[2]
    yield Bar(label=f"{name}, ours", value=row.ours)
    yield Bar(label=f"{name}, peer", value=row.theirs or 0)
