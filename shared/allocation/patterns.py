r"""
Regular expressions in linear time, for `matches`.

A device writes the text that a pattern is matched against, and Python's `re` backtracks: one
`(a+)+` in a rule would let one device stop the webhook for all. Here a pattern becomes the automaton
of its positions (Glushkov, 1961), which reads each character once, whatever the pattern. That leaves
out what no automaton does (back references, lookaround) and what makes no difference to a whole
text (anchors, lazy and possessive repeats). What is left is written as in `re`: characters, `.`,
`\d \w \s` and their opposites (ASCII), `[…]`, `( )`, `|`, `* + ? {m} {m,} {m,n}`.
"""

import re
from collections.abc import Callable, Iterator

from shared.allocation.syntax import (
    Alternatives,
    Character,
    Node,
    PatternError,
    Repeat,
    Sequence,
    syntax_of,
)

MAX_TEXT = 1024
"""A longer text matches no pattern; DPS's ids have 128 characters at most."""
MAX_STEPS = 1000
"""How much a pattern may amount to once its `{m,n}` are written out."""
_MAX_REMEMBERED = 4096

# Whether the part matches an empty text; the positions it may begin with; those it may end with.
_Part = tuple[bool, int, int]
_EMPTY: _Part = (True, 0, 0)


class _State(dict[str, "_State"]):
    """The positions that a text may have come to, and the state each next character leads to."""

    def __init__(self, positions: int, move: Callable[[int, str], "_State"]) -> None:
        super().__init__()
        self.positions = positions
        self._move = move

    def __missing__(self, character: str) -> "_State":
        found = self[character] = self._move(self.positions, character)
        return found


class Pattern:
    """A pattern that a whole text matches or not; raises `PatternError` if it is none."""

    def __init__(self, pattern: str, *, ignore_case: bool = False) -> None:
        flags = re.ASCII | re.DOTALL | (re.IGNORECASE if ignore_case else 0)
        self._flags = flags
        self._positions: dict[re.Pattern[str], int] = {}  # of each kind of character
        self._follow: list[int] = []  # for each position, the positions that may come next
        self._steps = 0
        nullable, first, last = self._build(syntax_of(pattern))
        # Sets of positions are the bits of whole numbers; one more stands for the start.
        start = 1 << len(self._follow)
        self._follow.append(first)
        self._accepting = last | (start if nullable else 0)
        self._start = _State(start, self._move)
        self._nowhere = _State(0, self._move)
        self._states: dict[int, _State] = {}
        self._remembered = 0

    def matches(self, text: str) -> bool:
        """Whether the pattern describes the whole text."""
        if len(text) > MAX_TEXT:
            return False
        state, nowhere = self._start, self._nowhere
        for character in text:
            state = state[character]
            if state is nowhere:
                return False
        return bool(state.positions & self._accepting)

    def _move(self, state: int, character: str) -> "_State":
        if self._remembered >= _MAX_REMEMBERED:
            self._forget()
        self._remembered += 1
        reachable = 0
        for position in _bits(state):
            reachable |= self._follow[position]
        found = 0
        for kind, positions in self._positions.items():
            if positions & reachable and kind.fullmatch(character):
                found |= positions & reachable
        if not found:
            return self._nowhere
        return self._states.setdefault(found, _State(found, self._move))

    def _forget(self) -> None:
        for state in (self._start, *self._states.values()):
            state.clear()
        self._states.clear()
        self._remembered = 0

    def _build(self, node: Node) -> _Part:
        self._steps += 1
        if self._steps > MAX_STEPS:
            raise PatternError(f"amounts to more than {MAX_STEPS} steps")
        match node:
            case Character(text):
                return self._position(text)
            case Sequence(parts):
                return self._in_turn(self._build(part) for part in parts)
            case Alternatives(parts):
                return _either(self._build(part) for part in parts)
            case Repeat():
                return self._in_turn(self._repeated(node))

    def _position(self, text: str) -> _Part:
        bit = 1 << len(self._follow)
        kind = re.compile(text, self._flags)
        self._positions[kind] = self._positions.get(kind, 0) | bit
        self._follow.append(0)
        return False, bit, bit

    def _repeated(self, node: Repeat) -> Iterator[_Part]:
        for _ in range(node.least):
            yield self._build(node.node)
        for _ in range((node.most or node.least) - node.least):
            yield True, *self._build(node.node)[1:]
        if node.most is None:
            _, first, last = self._build(node.node)
            self._connect(last, first)
            yield True, first, last

    def _in_turn(self, parts: Iterator[_Part]) -> _Part:
        nullable, first, last = _EMPTY
        for its_nullable, its_first, its_last in parts:
            self._connect(last, its_first)
            first |= its_first if nullable else 0
            last = its_last | (last if its_nullable else 0)
            nullable = nullable and its_nullable
        return nullable, first, last

    def _connect(self, ends: int, beginnings: int) -> None:
        for position in _bits(ends):
            self._follow[position] |= beginnings


def _either(parts: Iterator[_Part]) -> _Part:
    nullable, first, last = False, 0, 0
    for its_nullable, its_first, its_last in parts:
        nullable, first, last = nullable or its_nullable, first | its_first, last | its_last
    return nullable, first, last


def _bits(number: int) -> Iterator[int]:
    while number:
        lowest = number & -number
        yield lowest.bit_length() - 1
        number ^= lowest
