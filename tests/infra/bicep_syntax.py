"""The parser of Bicep: the declarations of a template or a parameters file."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import tree_sitter_bicep
from tree_sitter import Language, Node, Parser

_PARSER = Parser(Language(tree_sitter_bicep.language()))
# The grammar does not have assignments of parameters, which look like variables.
_ASSIGNMENT = re.compile(rb"^param (\w+) =", re.MULTILINE)
_KINDS = {
    "parameter_declaration": "param",
    "variable_declaration": "var",
    "resource_declaration": "resource",
    "module_declaration": "module",
    "output_declaration": "output",
}


class BicepError(Exception):
    """A fault of a template, with its file and line."""


@dataclass(frozen=True)
class Declaration:
    """
    A declaration: its kind (`param`, `var`, …), name, and value.

    `label` is the type of a parameter or an output, the type and version of a resource, or the path of
    a module. `decorators` has the argument of each by name.
    """

    kind: str
    name: str
    label: str
    value: Node | None
    is_existing: bool
    decorators: dict[str, Node]


def read_template(path: Path) -> dict[str, Declaration]:
    """Returns the declarations of a file, outputs as `output <name>`; raises `BicepError`."""
    source = path.read_bytes()
    if path.suffix == ".bicepparam":
        source = _ASSIGNMENT.sub(rb"var \1 =", source)
    return {
        f"output {found.name}" if found.kind == "output" else found.name: found
        for found in _declarations(parse(source, path.name))
    }


def parse(source: bytes, name: str) -> Node:
    """Returns the syntax tree; raises `BicepError` at the first fault."""
    root = _PARSER.parse(source).root_node
    fault = next(_faults(root), None)
    if fault:
        raise BicepError(f"{name}:{fault.start_point.row + 1}: cannot be parsed")
    return root


def parse_expression(source: str, name: str) -> Node:
    """Returns the syntax tree of an expression."""
    declaration = parse(f"var x = {source}\n".encode(), name).named_children[0]
    return declaration.named_children[-1]


def _faults(node: Node) -> Iterator[Node]:
    if node.is_error or node.is_missing:
        yield node
    elif node.has_error:
        for child in node.children:
            yield from _faults(child)


def _declarations(root: Node) -> Iterator[Declaration]:
    decorators: dict[str, Node] = {}
    for node in root.named_children:
        if node.type == "decorators":
            decorators = dict(map(_decorator, node.named_children))
        elif node.type in _KINDS:
            yield _declaration(node, decorators)
            decorators = {}


def _decorator(node: Node) -> tuple[str, Node]:
    call = node.named_children[0]
    name, arguments = call.named_children
    return text(name), arguments


def _declaration(node: Node, decorators: dict[str, Node]) -> Declaration:
    children = [child for child in node.children if child.type != "comment"]
    symbols = [child.type for child in children]
    name, *rest = (child for child in children if child.is_named)
    kind = _KINDS[node.type]
    label = "" if kind == "var" else text(rest[0]).strip("'")
    return Declaration(
        kind,
        text(name),
        label,
        value=children[-1] if "=" in symbols else None,
        is_existing="existing" in symbols,
        decorators=decorators,
    )


def text(node: Node) -> str:
    """Returns the source of a node."""
    return (node.text or b"").decode()
