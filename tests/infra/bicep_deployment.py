"""
The evaluation of templates without Azure: which resources a deployment makes, with all their members.

What only Azure knows, such as a host name, is an `Unknown`. An unknown symbol, member, parameter or
output is a `BicepError`.
"""

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from tree_sitter import Node

from tests.infra.bicep_functions import FUNCTIONS, SUBSCRIPTION, OpenObject, Unknown, resource_group
from tests.infra.bicep_syntax import (
    BicepError,
    Declaration,
    parse_expression,
    read_template,
    text,
)

INFRA = Path(__file__).resolve().parents[2] / "infra"
AZD = {"AZURE_ENV_NAME": "test", "AZURE_LOCATION": "westeurope"}
"""What azd itself asks for and puts in the environment."""

_LAMBDA = re.compile(r"\(?\s*(\w+(?:\s*,\s*\w+)*)\s*\)?\s*=>(.*)", re.DOTALL)
_TYPES = {"string": str, "int": int, "bool": bool, "object": dict, "array": list}
_OPERATORS: Mapping[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
    "??": lambda left, right: right if left is None else left,
    "&&": lambda left, right: left and right,
    "||": lambda left, right: left or right,
}


@dataclass
class Resource:
    """A resource of a deployment; `body` has its members, evaluated."""

    symbol: str
    type: str
    version: str
    id: str
    body: dict[str, Any]
    is_existing: bool = False

    @property
    def name(self) -> str:
        return str(self.body["name"])


@dataclass
class Deployment:
    """The evaluation of one template; `resources` are those of its modules too."""

    path: Path
    parameters: Mapping[str, Any]
    scope: str = SUBSCRIPTION
    environment: Mapping[str, str] = field(default_factory=dict)
    resources: list[Resource] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._declarations = read_template(self.path)
        self._values: dict[str, Any] = {}
        declared = {name for name, found in self._declarations.items() if found.kind == "param"}
        if extra := sorted(set(self.parameters) - declared):
            raise BicepError(f"{self.path.name}: has no parameter {', '.join(extra)}")
        for name in self._declarations:
            self._symbol(name)

    @property
    def outputs(self) -> dict[str, Any]:
        """The outputs by name."""
        return {
            name.removeprefix("output "): value
            for name, value in self._values.items()
            if name.startswith("output ")
        }

    @property
    def variables(self) -> dict[str, Any]:
        """The variables by name; of a parameters file, the parameters."""
        names = [name for name, found in self._declarations.items() if found.kind == "var"]
        return {name: self._values[name] for name in names}

    def _symbol(self, name: str) -> Any:
        if name not in self._values:
            if name not in self._declarations:
                raise BicepError(f"{self.path.name}: unknown symbol {name}")
            declaration = self._declarations[name]
            self._values[name] = self._KINDS[declaration.kind](self, declaration)
        return self._values[name]

    # Declarations

    def _parameter(self, declaration: Declaration) -> Any:
        name = declaration.name
        if name not in self.parameters and declaration.value is None:
            raise BicepError(f"{self.path.name}: the parameter {name} has no value")
        given = self.parameters.get(name)
        value = self._evaluate(declaration.value, {}) if given is None else given
        self._check_parameter(declaration, value)
        return value

    def _check_parameter(self, declaration: Declaration, value: Any) -> None:
        kind = _TYPES[declaration.label]
        if type(value) not in {kind, *({Unknown} if kind is str else {OpenObject})}:
            raise BicepError(
                f"{self.path.name}: {declaration.name} must be of type {kind.__name__}"
            )
        limits = {
            name: self._evaluate(arguments.named_children[0], {})
            for name, arguments in declaration.decorators.items()
            if name in {"allowed", "minValue", "maxValue"}
        }
        is_allowed = value in limits.get("allowed", [value])
        if isinstance(value, int):
            low, high = limits.get("minValue", value), limits.get("maxValue", value)
            is_allowed = is_allowed and low <= value <= high
        if not is_allowed:
            raise BicepError(f"{self.path.name}: {declaration.name} is not an allowed value")

    def _variable(self, declaration: Declaration) -> Any:
        return self._evaluate(declaration.value, {})

    def _output(self, declaration: Declaration) -> Any:
        value = self._evaluate(declaration.value, {})
        if not isinstance(value, _TYPES[declaration.label]):
            raise BicepError(f"{self.path.name}: the output {declaration.name} has another type")
        return value

    def _resource(self, declaration: Declaration) -> Any:
        return self._instances(declaration, self._make_resource)

    def _module(self, declaration: Declaration) -> Any:
        return self._instances(declaration, self._make_module)

    def _instances(
        self, declaration: Declaration, make: Callable[[Declaration, dict[str, Any]], Any]
    ) -> Any:
        """Returns one value, a list for a loop, or None if a condition does not hold."""
        made = self._evaluate(declaration.value, {})
        if isinstance(made, list):
            return [make(declaration, body) for body in made]
        return make(declaration, made) if made is not None else None

    def _make_resource(self, declaration: Declaration, body: dict[str, Any]) -> Resource:
        kind, version = declaration.label.split("@")
        parent = body.get("parent")
        base = f"{parent.id}/{kind.split('/')[-1]}" if parent else f"{self.scope}/providers/{kind}"
        identifier = f"{base}/{body['name']}"
        if kind == "Microsoft.Resources/resourceGroups":
            identifier = resource_group(body["name"])["id"]
        made = Resource(declaration.name, kind, version, identifier, body, declaration.is_existing)
        self.resources.append(made)
        return made

    def _make_module(self, declaration: Declaration, body: dict[str, Any]) -> dict[str, Any]:
        scope = body["scope"]
        module = Deployment(
            self.path.parent / declaration.label,
            body["params"],
            scope.id if isinstance(scope, Resource) else scope["id"],
            self.environment,
            self.resources,
        )
        return {"outputs": module.outputs}

    # Expressions

    def _evaluate(self, node: Node | None, names: Mapping[str, Any]) -> Any:
        if node is None or node.type not in self._EXPRESSIONS:
            raise BicepError(f"{self.path.name}: {node and node.type} is not supported")
        try:
            return self._EXPRESSIONS[node.type](self, node, names)
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            line = node.start_point.row + 1
            raise BicepError(f"{self.path.name}:{line}: {text(node)[:80]}: {error!r}") from error

    def _identifier(self, node: Node, names: Mapping[str, Any]) -> Any:
        name = text(node)
        return names[name] if name in names else self._symbol(name)

    def _string(self, node: Node, names: Mapping[str, Any]) -> str:
        parts = []
        for child in node.children[1:-1]:
            if child.type == "interpolation":
                parts.append(str(self._evaluate(child.named_children[0], names)))
            else:
                parts.append(text(child))
        return "".join(parts)

    def _array(self, node: Node, names: Mapping[str, Any]) -> list[Any]:
        return [self._evaluate(child, names) for child in _named_children(node)]

    def _object(self, node: Node, names: Mapping[str, Any]) -> dict[str, Any]:
        members = {}
        for member in _named_children(node):
            if member.type == "object_property":
                key, value = _named_children(member)
                name = text(key) if key.type == "identifier" else self._string(key, names)
                if name in members:
                    raise BicepError(f"{self.path.name}: {name} appears twice")
                members[name] = self._evaluate(value, names)
        return members

    def _loop(self, node: Node, names: Mapping[str, Any]) -> list[Any]:
        variables, values, body = _named_children(node)
        symbols = [text(child) for child in variables.named_children] or [text(variables)]
        made = [
            self._evaluate(body, {**names, **dict(zip(symbols, (value, index), strict=False))})
            for index, value in enumerate(self._evaluate(values, names))
        ]
        return [value for value in made if value is not None]

    def _condition(self, node: Node, names: Mapping[str, Any]) -> Any:
        condition, body = _named_children(node)
        return self._evaluate(body, names) if self._evaluate(condition, names) else None

    def _choice(self, node: Node, names: Mapping[str, Any]) -> Any:
        condition, consequence, alternative = _named_children(node)
        return self._evaluate(
            consequence if self._evaluate(condition, names) else alternative, names
        )

    def _binary(self, node: Node, names: Mapping[str, Any]) -> Any:
        left, right = (self._evaluate(child, names) for child in _named_children(node))
        return _OPERATORS[node.children[1].type](left, right)

    def _negation(self, node: Node, names: Mapping[str, Any]) -> bool:
        return not self._evaluate(node.named_children[0], names)

    def _parenthesized(self, node: Node, names: Mapping[str, Any]) -> Any:
        return self._evaluate(node.named_children[0], names)

    def _member(self, node: Node, names: Mapping[str, Any]) -> Any:
        target, name = _named_children(node)
        value, member = self._evaluate(target, names), text(name)
        if isinstance(value, Resource):
            if member in {"id", "name"}:
                return getattr(value, member)
            value = OpenObject({"properties": OpenObject(value.body.get("properties", {}))})
        if isinstance(value, Unknown | OpenObject):
            known = value if isinstance(value, OpenObject) else {}
            return known.get(member, Unknown(f"{text(target)}.{member}"))
        return value[member]

    def _index(self, node: Node, names: Mapping[str, Any]) -> Any:
        target, index = (self._evaluate(child, names) for child in _named_children(node))
        return target[index]

    def _call(self, node: Node, names: Mapping[str, Any]) -> Any:
        function, arguments = _named_children(node)
        if function.type == "member_expression":  # such as `storage.listKeys()`
            return Unknown(text(function))
        values = [self._argument(child, names) for child in _named_children(arguments)]
        if text(function) == "readEnvironmentVariable":
            name, *default = values
            return self.environment[name] if not default else self.environment.get(name, *default)
        return FUNCTIONS[text(function)](*values)

    def _argument(self, node: Node, names: Mapping[str, Any]) -> Any:
        # The grammar takes `x => x.y` for a member of a lambda.
        found = _LAMBDA.fullmatch(text(node))
        if found is None:
            return self._evaluate(node, names)
        symbols = found[1].replace(" ", "").split(",")
        body = parse_expression(found[2], self.path.name)
        return lambda *given: self._evaluate(
            body, {**names, **dict(zip(symbols, given, strict=True))}
        )

    _KINDS: ClassVar[Mapping[str, Callable[["Deployment", Declaration], Any]]] = {
        "param": _parameter,
        "var": _variable,
        "resource": _resource,
        "module": _module,
        "output": _output,
    }
    _EXPRESSIONS: ClassVar[Mapping[str, Callable[["Deployment", Node, Mapping[str, Any]], Any]]] = {
        "identifier": _identifier,
        "string": _string,
        "number": lambda _, node, __: int(text(node)),
        "boolean": lambda _, node, __: text(node) == "true",
        "null": lambda *_: None,
        "array": _array,
        "object": _object,
        "for_statement": _loop,
        "if_statement": _condition,
        "ternary_expression": _choice,
        "binary_expression": _binary,
        "unary_expression": _negation,
        "parenthesized_expression": _parenthesized,
        "member_expression": _member,
        "subscript_expression": _index,
        "call_expression": _call,
    }


def _named_children(node: Node) -> list[Node]:
    return [child for child in node.named_children if not child.type.endswith("comment")]


def deploy(environment: Mapping[str, str] | None = None, *, infra: Path = INFRA) -> Deployment:
    """Returns what `azd provision` makes with these environment variables beside azd's own."""
    variables = AZD | dict(environment or {})
    parameters = Deployment(infra / "main.bicepparam", {}, environment=variables).variables
    return Deployment(infra / "main.bicep", parameters)
