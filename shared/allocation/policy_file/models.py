"""
The format of the policy file, as models; their JSON Schema is `docs/allocation.schema.json`.

All checks that concern one value only are here, so that one validation finds all their faults.
"""

import re
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from functools import cache
from itertools import islice
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    WithJsonSchema,
    create_model,
)
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from shared.allocation.certificates import CERTIFICATE_FACTS
from shared.allocation.engine import OTHER_HUBS
from shared.allocation.facts import CERTIFICATES, DOCUMENTS, FACTS, find_fact
from shared.allocation.operators import OPERATORS, Operator
from shared.allocation.templates import find_placeholders
from shared.json_documents import OWN_FAULT

OTHERWISE = "otherwise"
NO_FACT = "is not a fact"
"""The fault of a condition, to which the validation adds a suggestion."""
_MAX_PLACEHOLDER_FAULTS = 20  # of one template
_MAX_NAME = 100

# Tags that select the member of a union, by what a document contains: then only the faults of that
# member are reported.
TAGS = ("<assigns>", "<refuses>", "<named>", "<kept>", "<hashed>", "<rules>", "<python>")
ASSIGNS, REFUSES, NAMED, KEPT, HASHED, RULES, PYTHON = TAGS


class _Model(BaseModel):
    """Base of all models: unknown members are faults, and no type is converted."""

    model_config = ConfigDict(
        alias_generator=to_camel, extra="forbid", frozen=True, strict=True, defer_build=True
    )


def _validator(find_fault: Callable[[Any], str | None]) -> AfterValidator:
    """Returns a pydantic validator for a function that returns a fault or None."""

    def validate(value: Any) -> Any:
        if fault := find_fault(value):
            raise PydanticCustomError(OWN_FAULT, "{fault}", {"fault": fault})
        return value

    return AfterValidator(validate)


def _pattern(pattern: str, fault: str) -> tuple[AfterValidator, WithJsonSchema]:
    """Returns a validator of a string, and the same pattern for the JSON Schema."""
    compiled = re.compile(pattern)
    validator = _validator(lambda text: None if compiled.fullmatch(text) else fault)
    return validator, WithJsonSchema({"type": "string", "pattern": f"^({pattern})$"})


def _by_member(tags: Mapping[str, str], default: str) -> Discriminator:
    """Returns a discriminator: the tag of the first of these names that an object has."""

    def find_tag(value: Any) -> str:
        members = value if isinstance(value, Mapping) else ()
        return next((tags[name] for name in tags if name in members), default)

    return Discriminator(find_tag)


@cache
def suggest_fact(name: str) -> str:
    """Returns the fact that is probably meant, or all facts; it takes a millisecond."""
    known = [*FACTS, *DOCUMENTS]
    known += [f"{certificate}.{fact}" for certificate in CERTIFICATES for fact in CERTIFICATE_FACTS]
    root = name.partition(".")[0]
    name = name[:_MAX_NAME]  # a longer one takes long to compare
    close = get_close_matches(name, known, n=1) or get_close_matches(root, known, n=1)
    if close:
        return f"did you mean '{close[0]}'?"
    return "the facts are " + ", ".join((*FACTS, *(f"{n}.…" for n in (*DOCUMENTS, *CERTIFICATES))))


def _fact_fault(name: str) -> str | None:
    return None if find_fact(name) else NO_FACT


def _template_fault(document: Any) -> str | None:
    unknown = ((at, name) for at, name in find_placeholders(document) if not find_fact(name))
    faults = (
        f"has a placeholder{' at ' if at else ''}{at} that {NO_FACT}; {suggest_fact(name)}"
        for at, name in islice(unknown, _MAX_PLACEHOLDER_FAULTS)
    )
    return "; ".join(faults) or None


_HOST = r"[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})+"
_HOST_FAULT = "must be the host name of a hub, such as my-hub.azure-devices.net"
_NAME = "(?!explain$)[a-z0-9][a-z0-9._-]{0,63}"
_NAME_FAULT = "must be 1 to 64 of a-z 0-9 . _ -, start with a letter or digit, not be 'explain'"
_PYTHON_PATTERN = r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*"

HubName = Annotated[str, *_pattern(_HOST, _HOST_FAULT)]
WeightedHub = Annotated[str, *_pattern(rf"\*|{_HOST}", f"{_HOST_FAULT}, or {OTHER_HUBS}")]
PolicyName = Annotated[str, *_pattern(_NAME, _NAME_FAULT)]
PythonPath = Annotated[str, *_pattern(_PYTHON_PATTERN, "must be module:attribute")]
Text = Annotated[str, Field(min_length=1, max_length=200)]
Weight = Annotated[float, Field(ge=0, le=1_000_000)]
Template = Annotated[Any, _validator(_template_fault), WithJsonSchema({})]
TemplateObject = Annotated[dict[str, Any], _validator(_template_fault)]
FactName = Annotated[str, _validator(_fact_fault)]

_FACT_PATTERN = "|".join(
    [
        *(rf"{name}(\..+)?" for name in DOCUMENTS),
        *(rf"{re.escape(name)}\.({'|'.join(CERTIFICATE_FACTS)})" for name in CERTIFICATES),
    ]
)


def _list_facts(schema: dict[str, Any]) -> None:
    """Names each fact in the JSON Schema of `when`, so that editors offer them."""
    condition = schema.pop("additionalProperties")
    schema["properties"] = {
        name: {**condition, "description": fact.description} for name, fact in FACTS.items()
    }
    schema["patternProperties"] = {f"^({_FACT_PATTERN})$": condition}
    schema["additionalProperties"] = False


def _operand(operator: Operator) -> Any:
    schema = WithJsonSchema({**operator.schema, "description": operator.description})
    return Annotated[Any, _validator(operator.find_fault), schema]


def _empty_fault(condition: _Model) -> str | None:
    if condition.model_fields_set:
        return None
    return f"must have an operator; the operators are {', '.join(OPERATORS)}"


_Operators = create_model(
    "Condition",
    __base__=_Model,
    __doc__="Operators that must all hold for the fact.",
    **{  # type: ignore[call-overload]  # field names that are not literals
        f"operator_{name}": (_operand(operator), Field(default=None, alias=name))
        for name, operator in OPERATORS.items()
    },
)
Condition = Annotated[
    _Operators, _validator(_empty_fault), Field(json_schema_extra={"minProperties": 1})
]


_TRUE = _validator(lambda value: None if value is True else "must be true")


class Kept(_Model):
    """The device's current hub, if it is still linked."""

    keep: Annotated[Any, _TRUE, WithJsonSchema({"const": True})]


class Hashed(_Model):
    """One of several hubs, by weight."""

    hash: dict[WeightedHub, Weight] = Field(
        description="Weight of each hub; 0 drains it. `*` stands for every linked hub that is not "
        "named. An empty object gives all linked hubs the same weight."
    )


HubChoice = Annotated[
    Annotated[HubName, Tag(NAMED)] | Annotated[Kept, Tag(KEPT)] | Annotated[Hashed, Tag(HASHED)],
    Discriminator(
        lambda value: (
            NAMED if not isinstance(value, Mapping) else KEPT if "keep" in value else HASHED
        )
    ),
]


class Properties(_Model):
    """Properties of a twin."""

    desired: TemplateObject | None = Field(default=None, description="Desired properties.")


class InitialTwin(_Model):
    """The initial twin of the device, instead of the enrollment's."""

    tags: TemplateObject | None = Field(default=None, description="Tags of the twin.")
    properties: Properties | None = None


class Assigns(_Model):
    """Assigns the device to a hub."""

    hub: HubChoice = Field(description="A hub's host name, `keep`, or `hash`.")
    initial_twin: InitialTwin | None = None
    payload: Template = Field(default=None, description="JSON that the device receives.")


class Refuses(_Model):
    """Refuses to provision the device."""

    reject: Text = Field(description="The reason, for the log; DPS does not pass it on.")


class Matching(_Model):
    """Name and conditions of a rule."""

    name: Text = Field(description="The rule's name in the log and in explanations.")
    description: str = ""
    when: dict[FactName, Condition] = Field(
        default_factory=dict,
        description="Conditions by fact, which must all hold. If omitted, the rule always matches.",
        json_schema_extra=_list_facts,
    )


class AssigningRule(Assigns, Matching):
    """Assigns the devices that match to a hub."""


class RefusingRule(Refuses, Matching):
    """Refuses to provision the devices that match."""


_BY_OUTCOME = _by_member({"hub": ASSIGNS, "reject": REFUSES}, ASSIGNS)
Rule = Annotated[
    Annotated[AssigningRule, Tag(ASSIGNS)] | Annotated[RefusingRule, Tag(REFUSES)], _BY_OUTCOME
]
Otherwise = Annotated[
    Annotated[Assigns, Tag(ASSIGNS)] | Annotated[Refuses, Tag(REFUSES)], _BY_OUTCOME
]


class Rules(_Model):
    """Rules in order: the first one that matches and has a hub decides."""

    rules: list[Rule]
    otherwise: Otherwise | None = Field(
        default=None, description="Decides about devices that no rule decides about."
    )
    description: str = ""


class Python(_Model):
    """A Python policy: a callable that takes a request and returns a decision."""

    python: PythonPath = Field(description="The callable, as `module:attribute`.")
    description: str = ""


Policy = Annotated[
    Annotated[Rules, Tag(RULES)] | Annotated[Python, Tag(PYTHON)],
    _by_member({"rules": RULES, "python": PYTHON}, RULES),
]


class PolicyFile(_Model):
    """Allocation policies, by the name in the webhook's URL."""

    json_schema: str = Field(default="", alias="$schema", description="For editors.")
    hubs: list[HubName] | None = Field(
        default=None, description="All hubs. If set, a rule that names any other hub is a fault."
    )
    policies: dict[PolicyName, Policy] = Field(min_length=1)


MEMBERS = frozenset(
    str(field.alias) for model in _Model.__subclasses__() for field in model.model_fields.values()
)
"""The names of all members of all objects in a policy file."""
