r"""
Regular expressions that match in linear time, for the operator `matches`.

Devices supply the text, and Python's `re` backtracks: a rule with `(a+)+` would let one device
block the webhook for all. Here a pattern is compiled to its position automaton (Glushkov, 1961),
which reads each character once, whatever the pattern. The syntax is a subset of `re`'s:
characters, `.`, `\d \w \s` and their negations (ASCII), `[…]`, `( )`, `|`, `* + ? {m} {m,} {m,n}`.
An automaton cannot do back references or lookaround; anchors and lazy or possessive repeats are
left out because they make no difference when the whole text is matched.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NoReturn

MAX_TEXT = 1024
"""A longer text matches no pattern; ids in DPS have at most 128 characters."""
MAX_STEPS = 1000
"""Maximum size of a pattern once its `{m,n}` are expanded."""
MAX_DEPTH = 20
"""Maximum nesting of parentheses."""
_MAX_TRANSITIONS = 4096


class PatternError(ValueError):
    """A pattern is invalid or not supported; the message follows the pattern's JSON Pointer."""


@dataclass(frozen=True, slots=True)
class _Character:
    """One character, as a pattern of `re`: a literal, a class or `.`."""

    text: str


@dataclass(frozen=True, slots=True)
class _Sequence:
    """All parts, one after the other."""

    parts: tuple["_Node", ...]


@dataclass(frozen=True, slots=True)
class _Alternatives:
    """One of the parts."""

    parts: tuple["_Node", ...]


@dataclass(frozen=True, slots=True)
class _Repeat:
    """A part repeated `least` to `most` times; `most` is `None` for no limit."""

    node: "_Node"
    least: int
    most: int | None


_Node = _Character | _Sequence | _Alternatives | _Repeat

_TOKEN = re.compile(
    r"""
      (?P<character> \\[dDwWsS] | \\[^a-zA-Z0-9] | \[\^?\]?(?:\\.|[^\]\\\[])*\] | [^\\\[\](){}|*+?^$] )
    | (?P<repeat>    [*+?] | \{[0-9]{1,6}(?:,[0-9]{0,6})?\} )
    | (?P<group>     \((?:\?:|(?!\?)) )
    | (?P<end>       \) )
    | (?P<or>        \| )
    """,
    re.VERBOSE | re.DOTALL,
)
_COUNTS = {"*": (0, None), "+": (1, None), "?": (0, 1)}
_RESERVED_IN_CLASSES = re.compile(r"--|&&|\|\||~~")  # re may give these a meaning: set operations
_UNSUPPORTED = {
    "^": "^ is not supported; the whole text is always matched, leave it out",
    "$": "$ is not supported; the whole text is always matched, leave it out",
    "(": "(? is not supported except as (?:…): no lookaround, no names, no flags",
    "\\": "a backslash before a letter or digit must be one of \\d, \\w, \\s, \\D, \\W, \\S; no back "
    "references",
    "[": "a class is not closed, or contains a [ that is not written as \\[",
}


class _Parser:
    """Recursive-descent parser; `kind` is the kind of the next token, empty at the end."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._position = 0
        self._kind = self._text = ""
        self._advance()

    def parse(self) -> _Node:
        """Returns the syntax tree; raises `PatternError`."""
        node = self._alternatives(depth=0)
        if self._kind:
            self._fail("an unmatched )")
        return node

    def _fail(self, fault: str) -> NoReturn:
        position = self._position - len(self._text) + 1
        raise PatternError(f"is not a valid pattern: character {position}: {fault}")

    def _alternatives(self, *, depth: int) -> _Node:
        if depth > MAX_DEPTH:
            self._fail(f"more than {MAX_DEPTH} nested parentheses")
        parts = [self._sequence(depth)]
        while self._kind == "or":
            self._advance()
            parts.append(self._sequence(depth))
        return parts[0] if len(parts) == 1 else _Alternatives(tuple(parts))

    def _sequence(self, depth: int) -> _Node:
        parts: list[_Node] = []
        while self._kind in ("character", "group", "repeat"):
            parts.append(self._repeated(self._single(depth)))
        return parts[0] if len(parts) == 1 else _Sequence(tuple(parts))

    def _single(self, depth: int) -> _Node:
        if self._kind == "repeat":
            self._fail("nothing to repeat")
        if self._kind == "character":
            return _Character(self._character())
        self._advance()
        node = self._alternatives(depth=depth + 1)
        if self._kind != "end":
            self._fail("a ( before it is not closed")
        self._advance()
        return node

    def _character(self) -> str:
        text = self._text
        try:
            if _RESERVED_IN_CLASSES.search(text):
                self._fail("--, &&, || and ~~ are reserved in a class; escape them with \\")
            re.compile(text)
        except re.error as error:
            self._fail(f"an invalid class: {error.msg}")
        self._advance()
        return text

    def _repeated(self, node: _Node) -> _Node:
        if self._kind != "repeat":
            return node
        least, most = _COUNTS[self._text] if self._text in _COUNTS else _parse_counts(self._text)
        if most is not None and most < least:
            self._fail("the maximum of a repeat is less than its minimum")
        self._advance()
        if self._kind == "repeat":
            self._fail("a repeat of a repeat; lazy and possessive repeats are not supported")
        return _Repeat(node, least, most)

    def _advance(self) -> None:
        match = _TOKEN.match(self._pattern, self._position)
        if match:
            self._position = match.end()
            self._kind, self._text = match.lastgroup or "", match[0]
        elif self._position < len(self._pattern):
            self._text, sign = "", self._pattern[self._position]
            self._fail(_UNSUPPORTED.get(sign, f"a {sign} must be written as \\{sign}"))
        else:
            self._kind = self._text = ""


def _parse_counts(text: str) -> tuple[int, int | None]:
    least, comma, most = text[1:-1].partition(",")
    return int(least), (int(most) if most else None) if comma else int(least)


# What the automaton needs of a part of the pattern: whether it matches the empty text, the
# positions it may start with, and the positions it may end with. A set of positions is an int, one
# bit for each.
_Part = tuple[bool, int, int]


class _State(dict[str, "_State"]):
    """A state of the automaton: a set of positions, and the next state by character."""

    def __init__(self, positions: int, move: Callable[[int, str], "_State"]) -> None:
        super().__init__()
        self.positions = positions
        self._move = move

    def __missing__(self, character: str) -> "_State":
        state = self[character] = self._move(self.positions, character)
        return state


class Pattern:
    """A compiled pattern; raises `PatternError` if it is invalid."""

    def __init__(self, pattern: str, *, ignore_case: bool = False) -> None:
        self._flags = re.ASCII | re.DOTALL | (re.IGNORECASE if ignore_case else 0)
        self._positions: dict[re.Pattern[str], int] = {}  # by the character that they match
        self._follow: list[int] = []  # for each position, the positions that may come next
        self._steps = 0
        nullable, first, last = self._build(_Parser(pattern).parse())
        start = 1 << len(self._follow)  # an additional position
        self._follow.append(first)
        self._accepting = last | (start if nullable else 0)
        self._start = _State(start, self._move)
        self._dead = _State(0, self._move)
        self._states: dict[int, _State] = {}
        self._transitions = 0

    def matches(self, text: str) -> bool:
        """Returns whether the whole text matches."""
        if len(text) > MAX_TEXT:
            return False
        state, dead = self._start, self._dead
        for character in text:
            state = state[character]
            if state is dead:
                return False
        return bool(state.positions & self._accepting)

    def _move(self, positions: int, character: str) -> "_State":
        """Computes a transition; all are discarded when there are too many."""
        if self._transitions >= _MAX_TRANSITIONS:
            self._clear()
        self._transitions += 1
        following = 0
        for position in _bits(positions):
            following |= self._follow[position]
        reached = 0
        for kind, of_kind in self._positions.items():
            if of_kind & following and kind.fullmatch(character):
                reached |= of_kind & following
        if not reached:
            return self._dead
        return self._states.setdefault(reached, _State(reached, self._move))

    def _clear(self) -> None:
        for state in (self._start, *self._states.values()):
            state.clear()
        self._states.clear()
        self._transitions = 0

    def _build(self, node: _Node) -> _Part:
        self._steps += 1
        if self._steps > MAX_STEPS:
            raise PatternError(f"is too large: more than {MAX_STEPS} steps with repeats expanded")
        match node:
            case _Character(text):
                return self._add_position(text)
            case _Sequence(parts):
                return self._concatenate(self._build(part) for part in parts)
            case _Alternatives(parts):
                return _alternate(self._build(part) for part in parts)
            case _Repeat():
                return self._concatenate(self._expand(node))

    def _add_position(self, text: str) -> _Part:
        bit = 1 << len(self._follow)
        kind = re.compile(text, self._flags)
        self._positions[kind] = self._positions.get(kind, 0) | bit
        self._follow.append(0)
        return False, bit, bit

    def _expand(self, repeat: _Repeat) -> Iterator[_Part]:
        for _ in range(repeat.least):
            yield self._build(repeat.node)
        for _ in range((repeat.most or repeat.least) - repeat.least):
            yield True, *self._build(repeat.node)[1:]
        if repeat.most is None:
            _, first, last = self._build(repeat.node)
            self._connect(last, first)
            yield True, first, last

    def _concatenate(self, parts: Iterator[_Part]) -> _Part:
        nullable, first, last = True, 0, 0
        for part_nullable, part_first, part_last in parts:
            self._connect(last, part_first)
            first |= part_first if nullable else 0
            last = part_last | (last if part_nullable else 0)
            nullable = nullable and part_nullable
        return nullable, first, last

    def _connect(self, ends: int, starts: int) -> None:
        for position in _bits(ends):
            self._follow[position] |= starts


def _alternate(parts: Iterator[_Part]) -> _Part:
    nullable, first, last = False, 0, 0
    for part_nullable, part_first, part_last in parts:
        nullable, first, last = nullable or part_nullable, first | part_first, last | part_last
    return nullable, first, last


def _bits(number: int) -> Iterator[int]:
    while number:
        lowest = number & -number
        yield lowest.bit_length() - 1
        number ^= lowest
