"""What a run leaves: bench/results.json, and after a whole run the figures of docs/performance.md."""

import json
import platform
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from plots import Bar, bars
from processes import BENCH, ROOT
from ratio import Figures, Row, Rows

RESULTS = BENCH / "results.json"
PAGE, PICTURES = ROOT / "docs" / "performance.md", ROOT / "docs" / "performance"
BEGIN, END = "<!-- figures -->", "<!-- end of figures -->"

_WHOLE = 1000  # from here on nobody needs a fraction


def write_results(rows: Rows, file: Path = RESULTS) -> None:
    """Every row, for programs."""
    file.write_text(json.dumps([row.as_json() for row in rows], indent=2) + "\n")


def machine() -> str:
    """What a run was measured on, in words."""
    cpus = re.findall(r"^model name\s*: (.*)$", _text("/proc/cpuinfo"), re.MULTILINE)
    memory = re.search(r"^MemTotal:\s*(\d+) kB", _text("/proc/meminfo"), re.MULTILINE)
    parts = [
        f"{len(cpus)} x {cpus[0]}" if cpus else platform.machine(),
        f"{int(memory[1]) / 2**20:.0f} GB" if memory else "",
        platform.system(),
        f"Python {platform.python_version()}",
    ]
    return ", ".join(filter(None, parts))


def _text(file: str) -> str:
    path = Path(file)
    return path.read_text() if path.exists() else ""


def write_page(rows: Rows, *, page: Path = PAGE, pictures: Path = PICTURES) -> None:
    """Puts the figures, and pictures of them, into the page that explains them."""
    pictures.mkdir(exist_ok=True)
    for name, picture in _pictures(rows):
        (pictures / name).write_text(picture)
    before, _, rest = page.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}\n{figures(rows)}{END}{after}")


def figures(rows: Rows) -> str:
    """The table in Markdown, and where it was measured."""
    when = datetime.now(UTC).date()
    return "\n".join(
        [
            f"Measured in one run on {when}: {machine()}.",
            "",
            "| What | Ours | Peer | Ratio | Spread | Goal | Met |",
            "|---|---:|---:|---:|---:|---|---|",
            *map(_line, map(dict, (row.as_json() for row in rows))),
            "",
        ]
    )


def _line(row: dict[str, object]) -> str:
    if row["ours"] is None:
        return f"| {row['name']} | not measured | | | | {row['goal'] or ''} | |"
    met = {True: "yes", False: "no"}.get(row["met"], "")  # type: ignore[call-overload]
    numbers = (row[name] for name in ("ours", "peer", "ratio", "spread"))
    cells = ["" if number is None else _number(number) for number in numbers]
    return f"| {row['name']} | {' | '.join(cells)} | {row['goal'] or ''} | {met} |"


def _number(number: object) -> str:
    return f"{number:,.0f}" if isinstance(number, float) and number >= _WHOLE else f"{number:.4g}"


def _pictures(rows: Rows) -> Iterator[tuple[str, str]]:
    ratios = [row for row in rows if isinstance(row, Row)]
    shares = [
        row for row in ratios if row.name.startswith(("devices,", "simulated")) and row.at_least
    ]
    yield "quota.svg", bars("Share of DPS's quota that was used", [_ratio(row) for row in shares])
    others = [row for row in ratios if row.goal and row not in shares and "429s" not in row.name]
    yield "ratios.svg", bars("Ours to the peer's", [_ratio(row) for row in others])
    added = [row for row in rows if isinstance(row, Figures) and row.name.startswith("added")]
    both = [bar for row in added for bar in _both(row)]
    yield "latency.svg", bars("Milliseconds that are added", both)


def _ratio(row: Row) -> Bar:
    goal = row.at_most if row.at_least is None else row.at_least
    return Bar(
        label=row.name.partition("; peer")[0], value=row.ratio, goal=goal, is_missed=row.is_missed
    )


def _both(row: Figures) -> Iterator[Bar]:
    name = row.name.removeprefix("added to ")
    yield Bar(label=f"{name}, ours", value=row.ours)
    yield Bar(label=f"{name}, peer", value=row.theirs or 0)
