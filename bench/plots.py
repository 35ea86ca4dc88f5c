"""Bars as SVG: one for each row, with a mark where its goal is."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

_LABELS, _BARS, _LINE, _TOP = 470, 360, 24, 44
_STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#24292f}.title{font-weight:600;font-size:15px}"
    ".value{fill:#57606a}.bar{fill:#2f81f7}.missed{fill:#d1242f}"
    ".goal{stroke:#24292f;stroke-width:2}"
    "@media(prefers-color-scheme:dark){text{fill:#e6edf3}.value{fill:#9198a1}.goal{stroke:#e6edf3}}"
)


@dataclass(frozen=True, kw_only=True)
class Bar:
    """One figure, and its goal if there is one."""

    label: str
    value: float
    goal: float | None = None
    is_missed: bool = False


def bars(title: str, drawn: Sequence[Bar]) -> str:
    """The picture."""
    longest = max([*(bar.value for bar in drawn), *(bar.goal or 0 for bar in drawn), 1e-9])
    scale = _BARS / longest
    width, height = _LABELS + _BARS + 90, _TOP + _LINE * len(drawn) + 10
    lines = [_bar(bar, _TOP + _LINE * place, scale) for place, bar in enumerate(drawn)]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" role="img">',
            f"<title>{escape(title)}</title><style>{_STYLE}</style>",
            f'<text class="title" x="10" y="24">{escape(title)}</text>',
            *lines,
            "</svg>\n",
        ]
    )


def _bar(bar: Bar, top: int, scale: float) -> str:
    length, middle = max(0.0, bar.value) * scale, top + _LINE - 9
    kind = "missed" if bar.is_missed else "bar"
    x = _LABELS + bar.goal * scale if bar.goal is not None else None
    goal = "" if x is None else f'<path class="goal" d="M{x:.1f} {top}v{_LINE - 2}"/>'
    after = max(_LABELS + length, x or 0) + 8
    return (
        f'<text x="{_LABELS - 10}" y="{middle}" text-anchor="end">{escape(bar.label)}</text>'
        f'<rect class="{kind}" x="{_LABELS}" y="{top + 3}" width="{length:.1f}" height="{_LINE - 8}"/>'
        f'{goal}<text class="value" x="{after:.1f}" y="{middle}">{bar.value:.3g}</text>'
    )
