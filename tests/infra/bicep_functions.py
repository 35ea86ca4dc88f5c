"""The functions of Bicep that the templates use, and what only Azure knows."""

import json
import uuid
from collections.abc import Callable, Mapping
from typing import Any

SUBSCRIPTION = "/subscriptions/00000000-0000-0000-0000-000000000001"


class Unknown(str):
    """A value that Azure computes; its members are unknown too."""

    __slots__ = ()


class OpenObject(dict[str, Any]):
    """An object with members that only Azure knows."""


def resource_group(*names: str) -> dict[str, Any]:
    """Returns the resource group with this name, or with this subscription and name."""
    subscription = f"/subscriptions/{names[0]}" if len(names) > 1 else SUBSCRIPTION
    name = names[-1] if names else "rg-of-the-deployment"
    return OpenObject(id=f"{subscription}/resourceGroups/{name}", name=name)


def _union(*values: Any) -> Any:
    if isinstance(values[0], dict):
        return {name: value for given in values for name, value in given.items()}
    return list(dict.fromkeys(item for given in values for item in given))


def _to_object(
    values: list[Any], key: Callable[[Any], str], value: Callable[[Any], Any] = lambda item: item
) -> dict[str, Any]:
    return {key(item): value(item) for item in values}


def _items(value: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"key": name, "value": value[name]} for name in sorted(value)]


def _unique(*values: str) -> str:
    return uuid.uuid5(uuid.NAMESPACE_OID, "/".join(values)).hex[:13]


FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "bool": lambda value: {"true": True, "false": False}[value.lower()],
    "contains": lambda container, item: item in container,
    "empty": lambda value: not value and value is not False and value != 0,
    "environment": lambda: OpenObject(portal="https://portal.azure.com"),
    "filter": lambda values, keeps: [item for item in values if keeps(item)],
    "guid": lambda *values: str(uuid.uuid5(uuid.NAMESPACE_OID, "/".join(values))),
    "indexOf": lambda values, item: values.index(item),
    "int": int,
    "items": _items,
    "join": lambda values, separator: separator.join(values),
    "json": json.loads,
    "last": lambda values: values[-1],
    "listKeys": lambda *_: Unknown("keys"),
    "map": lambda values, change: [change(item) for item in values],
    "mapValues": lambda values, change: {name: change(item) for name, item in values.items()},
    "reference": lambda *_: Unknown("reference"),
    "replace": lambda value, old, new: value.replace(old, new),
    "resourceGroup": resource_group,
    "split": lambda value, separator: value.split(separator),
    "subscription": lambda: OpenObject(id=SUBSCRIPTION),
    "subscriptionResourceId": lambda kind, name: f"{SUBSCRIPTION}/providers/{kind}/{name}",
    "tenant": lambda: OpenObject(tenantId=Unknown("tenant")),
    "toLower": str.lower,
    "toObject": _to_object,
    "union": _union,
    "uniqueString": _unique,
}
