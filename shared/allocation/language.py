"""
The language of the policy file, as models; their JSON Schema is `docs/allocation.schema.json`.

Every check that needs no second look at the file stands here, so that one pass finds all faults.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, WithJsonSchema, create_model
from pydantic.alias_generators import to_camel

from shared.allocation.certificates import MEMBERS
from shared.allocation.facts import CERTIFICATES, FACTS, FAMILIES, fact_of
from shared.allocation.forms import by_member, checked, form
from shared.allocation.operators import OPERATORS, Operator
from shared.allocation.rules import OTHERS
from shared.allocation.templates import placeholders

OTHERWISE = "otherwise"

# A union's member is chosen by what a document has, so that all faults of that member are found.
ASSIGNS, REFUSES, NAMED, KEPT, HASHED, RULES, PYTHON = TAGS = (
    "<assigns>",
    "<refuses>",
    "<named>",
    "<kept>",
    "<hashed>",
    "<rules>",
    "<python>",
)


class _Part(BaseModel):
    """What all parts of the file share: no member that is not known, no guessing at types."""

    model_config = ConfigDict(
        alias_generator=to_camel, extra="forbid", frozen=True, strict=True, defer_build=True
    )


def _unknown_fact(name: str) -> str | None:
    return None if fact_of(name) else "is no fact"


def _unknown_in_template(document: Any) -> str | None:
    unknown = [place or "/" for place, name in placeholders(document) if not fact_of(name)]
    return f"names a fact that there is not, at {', '.join(unknown)}" if unknown else None


_HOST = r"[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})+"
_NOT_A_HOST = "must be the host name of a hub, such as my-hub.azure-devices.net"
_HUB_CHECK, _HUB_SCHEMA = form(_HOST, _NOT_A_HOST)
_WEIGHED_CHECK, _WEIGHED_SCHEMA = form(rf"\*|{_HOST}", f"{_NOT_A_HOST}, or {OTHERS}")
_POLICY_CHECK, _POLICY_SCHEMA = form(
    "(?!explain$)[a-z0-9][a-z0-9._-]{0,63}",
    "must have small letters, digits, '-', '.' and '_' only, 64 at most, and not be explain",
)
_PYTHON_CHECK, _PYTHON_SCHEMA = form(
    r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", "must be module:attribute"
)

HubName = Annotated[str, _HUB_CHECK, _HUB_SCHEMA]
Text = Annotated[str, Field(min_length=1, max_length=200)]
Weight = Annotated[float, Field(ge=0, le=1_000_000)]
Template = Annotated[Any, checked(_unknown_in_template), WithJsonSchema({})]
TemplateObject = Annotated[dict[str, Any], checked(_unknown_in_template)]

_FACT_FORM = "|".join(
    [
        *(rf"{family}(\..+)?" for family in FAMILIES),
        *(rf"{re.escape(place)}\.({'|'.join(MEMBERS)})" for place in CERTIFICATES),
    ]
)
FactName = Annotated[str, checked(_unknown_fact)]


def _by_fact(schema: dict[str, Any]) -> None:
    """Names the facts one by one, so that an editor can offer them."""
    condition = schema.pop("additionalProperties")
    schema["properties"] = {
        name: {**condition, "description": fact.meaning} for name, fact in FACTS.items()
    }
    schema["patternProperties"] = {f"^({_FACT_FORM})$": condition}
    schema["additionalProperties"] = False


def _operand(row: Operator) -> Any:
    schema = WithJsonSchema({**row.schema, "description": row.meaning})
    return Annotated[Any, checked(row.fault), schema]


def _empty(condition: _Part) -> str | None:
    return None if condition.model_fields_set else "must have an operator"


_Operators = create_model(
    "Condition",
    __base__=_Part,
    __doc__="What must hold of a fact: all of it.",
    **{  # type: ignore[call-overload]  # names of fields that are no constants
        f"operator_{name}": (_operand(row), Field(default=None, alias=name))
        for name, row in OPERATORS.items()
    },
)
Condition = Annotated[_Operators, checked(_empty), Field(json_schema_extra={"minProperties": 1})]


def _not_true(value: Any) -> str | None:
    return None if value is True else "must be true"


class Kept(_Part):
    """The current hub, where it is still linked."""

    keep: Annotated[Any, checked(_not_true), WithJsonSchema({"const": True})]


class Hashed(_Part):
    """One of several hubs, by weight."""

    hash: dict[Annotated[str, _WEIGHED_CHECK, _WEIGHED_SCHEMA], Weight] = Field(
        description="Weight of each hub; 0 drains it; `*` stands for every linked hub that is not "
        "named; an empty object for all linked hubs alike."
    )


HubChoice = Annotated[
    Annotated[HubName, Tag(NAMED)] | Annotated[Kept, Tag(KEPT)] | Annotated[Hashed, Tag(HASHED)],
    Discriminator(
        lambda value: (
            NAMED if not isinstance(value, Mapping) else KEPT if "keep" in value else HASHED
        )
    ),
]


class Properties(_Part):
    """Properties of a twin."""

    desired: TemplateObject | None = Field(default=None, description="Desired properties.")


class InitialTwin(_Part):
    """The twin a device begins with, instead of the enrollment's."""

    tags: TemplateObject | None = Field(default=None, description="Tags of the twin.")
    properties: Properties | None = None


class Assigns(_Part):
    """Gives the device a hub."""

    hub: HubChoice = Field(description="A hub's host name, `keep`, or `hash`.")
    initial_twin: InitialTwin | None = None
    payload: Template = Field(default=None, description="What the device is told.")


class Refuses(_Part):
    """Turns the device away."""

    reject: Text = Field(description="Why, for the log; DPS shows it to nobody.")


class Matching(_Part):
    """What makes something a rule."""

    name: Text = Field(description="Stands in the log and in explain.")
    description: str = ""
    when: dict[FactName, Condition] = Field(
        default_factory=dict,
        description="What must hold, by fact: all of it. Left out: always.",
        json_schema_extra=_by_fact,
    )


class AssigningRule(Assigns, Matching):
    """Gives the devices that match a hub."""


class RefusingRule(Refuses, Matching):
    """Turns the devices that match away."""


_BY_OUTCOME = by_member({"hub": ASSIGNS, "reject": REFUSES}, ASSIGNS)
Rule = Annotated[
    Annotated[AssigningRule, Tag(ASSIGNS)] | Annotated[RefusingRule, Tag(REFUSES)], _BY_OUTCOME
]
Otherwise = Annotated[
    Annotated[Assigns, Tag(ASSIGNS)] | Annotated[Refuses, Tag(REFUSES)], _BY_OUTCOME
]


class Rules(_Part):
    """Rules in turn: the first that matches, and has a hub, decides."""

    rules: list[Rule]
    otherwise: Otherwise | None = Field(
        default=None, description="What becomes of a device that no rule decided on."
    )
    description: str = ""


class Python(_Part):
    """A policy of your own: a callable that takes a request and gives a decision."""

    python: Annotated[str, _PYTHON_CHECK, _PYTHON_SCHEMA] = Field(
        description="Where it is: `module:attribute`."
    )
    description: str = ""


Policy = Annotated[
    Annotated[Rules, Tag(RULES)] | Annotated[Python, Tag(PYTHON)],
    by_member({"rules": RULES, "python": PYTHON}, RULES),
]


class PolicyFile(_Part):
    """Allocation policies, by the name that the webhook's address gives."""

    json_schema: str = Field(default="", alias="$schema", description="For editors.")
    hubs: list[HubName] | None = Field(
        default=None, description="All hubs; a rule that names another one is then a fault."
    )
    policies: dict[Annotated[str, _POLICY_CHECK, _POLICY_SCHEMA], Policy] = Field(min_length=1)
