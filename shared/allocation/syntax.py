"""Reads a pattern: its tree, or what is wrong with it."""

import re
from dataclasses import dataclass
from typing import NoReturn

MAX_DEPTH = 20
"""How deep parentheses may nest."""


class PatternError(ValueError):
    """What is wrong with a pattern, as the rest of a sentence that begins with its place."""


@dataclass(frozen=True, slots=True)
class Character:
    """One character: a literal, a class, or any."""

    text: str


@dataclass(frozen=True, slots=True)
class Sequence:
    """One part after the other."""

    parts: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Alternatives:
    """One of the parts."""

    parts: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """The same part, `least` to `most` times; `None`: without end."""

    node: "Node"
    least: int
    most: int | None


Node = Character | Sequence | Alternatives | Repeat


def syntax_of(pattern: str) -> Node:
    """The tree of a pattern; raises `PatternError`."""
    reader = _Reader(pattern)
    node = reader.alternatives(depth=0)
    if reader.kind:
        reader.refuse("an unmatched )")
    return node


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
_TIMES = {"*": (0, None), "+": (1, None), "?": (0, 1)}
_RESERVED_IN_CLASSES = re.compile(r"--|&&|\|\||~~")  # re: "set operations may come in future"
_UNREADABLE = {
    "^": "^: the whole text is matched anyway; leave it out",
    "$": "$: the whole text is matched anyway; leave it out",
    "(": "(?: only (?:…) is known; no lookaround, no names, no flags",
    "\\": "a backslash before a letter or digit other than d, w and s; no back references",
    "[": "a class that is not closed, or a [ in it that is not written \\[",
}


class _Reader:
    """Recursive descent over the tokens; `kind` is that of the next one, empty at the end."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._position = 0
        self.kind = self.text = ""
        self._advance()

    def refuse(self, what: str) -> NoReturn:
        raise PatternError(f"has at character {self._position - len(self.text) + 1} {what}")

    def alternatives(self, *, depth: int) -> Node:
        if depth > MAX_DEPTH:
            self.refuse(f"more than {MAX_DEPTH} nested parentheses")
        parts = [self._sequence(depth)]
        while self.kind == "or":
            self._advance()
            parts.append(self._sequence(depth))
        return parts[0] if len(parts) == 1 else Alternatives(tuple(parts))

    def _sequence(self, depth: int) -> Node:
        parts: list[Node] = []
        while self.kind in ("character", "group", "repeat"):
            parts.append(self._repeated(self._single(depth)))
        return parts[0] if len(parts) == 1 else Sequence(tuple(parts))

    def _single(self, depth: int) -> Node:
        if self.kind == "repeat":
            self.refuse("nothing to repeat")
        if self.kind == "character":
            return Character(self._character())
        self._advance()
        node = self.alternatives(depth=depth + 1)
        if self.kind != "end":
            self.refuse("a ( that is not closed before it")
        self._advance()
        return node

    def _character(self) -> str:
        text = self.text
        try:
            if _RESERVED_IN_CLASSES.search(text):
                self.refuse("a class that means something else to other readers")
            re.compile(text)
        except re.error as error:
            self.refuse(f"a class that is none: {error.msg}")
        self._advance()
        return text

    def _repeated(self, node: Node) -> Node:
        if self.kind != "repeat":
            return node
        least, most = _TIMES[self.text] if self.text in _TIMES else _counts(self.text)
        if most is not None and most < least:
            self.refuse("a repeat whose end is less than its beginning")
        self._advance()
        if self.kind == "repeat":
            self.refuse("a repeat of a repeat")
        return Repeat(node, least, most)

    def _advance(self) -> None:
        found = _TOKEN.match(self._pattern, self._position)
        if found:
            self._position = found.end()
            self.kind, self.text = found.lastgroup or "", found[0]
        elif self._position < len(self._pattern):
            self.text, sign = "", self._pattern[self._position]
            self.refuse(_UNREADABLE.get(sign, f"a {sign} that is not written \\{sign}"))
        else:
            self.kind = self.text = ""


def _counts(text: str) -> tuple[int, int | None]:
    least, comma, most = text[1:-1].partition(",")
    return int(least), (int(most) if most else None) if comma else int(least)
