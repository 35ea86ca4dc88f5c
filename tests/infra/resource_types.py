"""
The members of Azure's resources, from the types in Azure's management SDKs for Python.

The generated SDKs have them in two forms: as TypedDicts, and as models with an `_attribute_map`.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cache
from importlib import import_module
from typing import Any, Required, TypedDict, get_args, get_origin

# On Python 3.11 the functions of `typing` do not know this package's TypedDict, which the SDKs use.
from typing_extensions import get_type_hints, is_typeddict

from tests.infra.bicep_deployment import Resource
from tests.infra.bicep_functions import Unknown

BICEP_MEMBERS = {"name", "parent", "scope", "dependsOn"}
"""Members of a resource that Bicep itself reads; `existing` resources have no other."""


class _Sku(TypedDict, total=False):
    name: Required[str]


class _WorkspaceFeatures(TypedDict, total=False):
    disableLocalAuth: bool


class _WorkspaceCapping(TypedDict, total=False):
    dailyQuotaGb: int


class _WorkspaceProperties(TypedDict, total=False):
    sku: _Sku
    retentionInDays: int
    features: _WorkspaceFeatures
    workspaceCapping: _WorkspaceCapping


class _TaggedResource(TypedDict, total=False):
    location: Required[str]
    tags: dict[str, str]


class _Workspace(_TaggedResource, total=False):
    properties: _WorkspaceProperties


class _IdentityProperties(TypedDict, total=False):
    clientId: str
    principalId: str


class _Identity(_TaggedResource, total=False):
    properties: _IdentityProperties


# By module and the API version that it describes: the types of resources. The three resources without a
# package are written above, from the published types of Bicep (github.com/Azure/bicep-types-az).
_MODULES: Mapping[tuple[str, str], Mapping[str, str]] = {
    ("azure.mgmt.applicationinsights.v2020_02_02.models", "2020-02-02"): {
        "Microsoft.Insights/components": "ApplicationInsightsComponent",
    },
    ("azure.mgmt.applicationinsights.v2022_06_15.models", "2022-06-15"): {
        "Microsoft.Insights/webtests": "WebTest",
    },
    ("azure.mgmt.authorization.v2022_04_01.models", "2022-04-01"): {
        "Microsoft.Authorization/roleAssignments": "RoleAssignmentCreateParameters",
    },
    ("azure.mgmt.iothubprovisioningservices.types", "2026-11-01"): {
        "Microsoft.Devices/provisioningServices": "ProvisioningServiceDescription",
    },
    ("azure.mgmt.monitor.models", "2023-01-01"): {
        "Microsoft.Insights/actionGroups": "ActionGroupResource",
        "Microsoft.Insights/metricAlerts": "MetricAlertResource",
    },
    ("azure.mgmt.servicebus.types", "2026-01-01"): {
        "Microsoft.ServiceBus/namespaces": "SBNamespace",
        "Microsoft.ServiceBus/namespaces/queues": "SBQueue",
    },
    ("azure.mgmt.storage.types", "2026-09-01"): {
        "Microsoft.Storage/storageAccounts": "StorageAccountCreateParameters",
        "Microsoft.Storage/storageAccounts/blobServices": "BlobServiceProperties",
        "Microsoft.Storage/storageAccounts/blobServices/containers": "BlobContainer",
    },
    ("azure.mgmt.web.types", "2025-05-01"): {
        "Microsoft.Web/serverfarms": "AppServicePlan",
        "Microsoft.Web/sites": "Site",
        "Microsoft.Web/sites/basicPublishingCredentialsPolicies": (
            "CsmPublishingCredentialsPoliciesEntity"
        ),
    },
    (__name__, "2025-04-01"): {
        "Microsoft.ManagedIdentity/userAssignedIdentities": "_Identity",
        "Microsoft.OperationalInsights/workspaces": "_Workspace",
        "Microsoft.Resources/resourceGroups": "_TaggedResource",
    },
}
_SOURCES = {
    kind: (*module, name) for module, names in _MODULES.items() for kind, name in names.items()
}


def find_faults(resource: Resource) -> list[str]:
    """Returns what is wrong with the members of a resource, each with its JSON Pointer."""
    body = {name: value for name, value in resource.body.items() if name not in BICEP_MEMBERS}
    if resource.is_existing:
        return [f"/{name}: an existing resource has no such member" for name in body]
    module, newest, name = _SOURCES[resource.type]
    newer = [f"{resource.version} is newer than the types, {newest}"] * (resource.version > newest)
    return newer + list(_faults(body, getattr(import_module(module), name), module, ""))


def has_member(kind: str, path: Iterable[str]) -> bool:
    """Returns whether the type of a resource has a member at this path."""
    module, _, name = _SOURCES[kind]
    found: Any = name
    for member in path:
        record = _record(_named_kind(found, module) if isinstance(found, str) else found, module)
        if record is None or member not in record.members:
            return False
        found = record.members[member]
    return True


@dataclass(frozen=True)
class _Record:
    """The members of an object."""

    members: Mapping[str, Any]
    required: frozenset[str] = frozenset()
    read_only: frozenset[str] = frozenset()


@dataclass(frozen=True)
class _Model:
    """A model's attributes, or those below one member of it, and the rules for all of them."""

    attributes: Mapping[str, Mapping[str, str]]
    rules: Mapping[str, Mapping[str, Any]]


def _faults(value: Any, kind: Any, module: str, pointer: str) -> Iterator[str]:
    """Yields the faults of a value; `kind` is a type, or the name of one in `module`."""
    if isinstance(value, Unknown) or value is None or kind is Any:
        return
    if isinstance(kind, str):
        yield from _faults(value, _named_kind(kind, module), module, pointer)
    elif get_origin(kind) is list:
        yield from _list_faults(value, get_args(kind)[0], module, pointer)
    elif get_origin(kind) is dict:
        yield from _map_faults(value, get_args(kind)[1], module, pointer)
    elif record := _record(kind, module, value):
        yield from _record_faults(value, record, module, pointer)
    elif fault := _scalar_fault(value, kind):
        yield f"{pointer}: {fault}"


def _list_faults(value: Any, kind: Any, module: str, pointer: str) -> Iterator[str]:
    if not isinstance(value, list):
        yield f"{pointer}: must be an array"
        return
    for index, item in enumerate(value):
        yield from _faults(item, kind, module, f"{pointer}/{index}")


def _map_faults(value: Any, kind: Any, module: str, pointer: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{pointer}: must be an object"
        return
    for name, member in value.items():
        yield from _faults(member, kind, module, f"{pointer}/{name}")


def _record_faults(value: Any, record: _Record, module: str, pointer: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{pointer}: must be an object"
        return
    for name in sorted(record.required - value.keys()):
        yield f"{pointer}/{name}: is required"
    for name, member in value.items():
        if name not in record.members:
            yield f"{pointer}/{name}: is no member"
        elif name in record.read_only:
            yield f"{pointer}/{name}: cannot be set"
        else:
            yield from _faults(member, record.members[name], module, f"{pointer}/{name}")


def _scalar_fault(value: Any, kind: Any) -> str | None:
    kinds = get_args(kind) or (kind,)
    enums = [option for option in kinds if isinstance(option, type) and issubclass(option, Enum)]
    if enums:
        allowed = [item.value for item in enums[0]]
        return None if value in allowed else f"must be one of {', '.join(map(str, allowed))}"
    accepted = {*kinds, *({int} if float in kinds else ())}
    return None if type(value) in accepted else f"must be of type {kinds[0].__name__}"


def _record(kind: Any, module: str, value: Any = None) -> _Record | None:
    if is_typeddict(kind):
        return _typed_dict_record(kind, module)
    if isinstance(kind, _Model):
        return _model_record(kind)
    return _model_record(_read_model(kind, module, value)) if _MODEL_MARK in vars(kind) else None


@cache
def _typed_dict_record(kind: Any, module: str) -> _Record:
    models = vars(import_module(f"{module.rpartition('.')[0]}.models")) if "mgmt" in module else {}
    names = {**models, **vars(import_module(module))}
    # Not `__required_keys__`: it has every member that a derived type adds.
    hints = get_type_hints(kind, localns=names, include_extras=True)
    origins: dict[str, Any] = {name: get_origin(hint) for name, hint in hints.items()}
    required = frozenset(name for name, origin in origins.items() if origin is Required)
    return _Record(get_type_hints(kind, localns=names), required)


_MODEL_MARK = "_attribute_map"


def _read_model(kind: Any, module: str, value: Any) -> _Model:
    """Returns the model, or the derived one that the value's discriminator names."""
    for attribute, names in vars(kind).get("_subtype_map", {}).items():
        discriminator = vars(kind)[_MODEL_MARK][attribute]["key"].replace("\\", "")
        if isinstance(value, dict) and value.get(discriminator) in names:
            kind = getattr(import_module(module), names[value[discriminator]])
    return _Model(vars(kind)[_MODEL_MARK], vars(kind).get("_validation", {}))


def _model_record(model: _Model) -> _Record:
    """Returns the members: `properties.location` is an attribute of the member `properties`."""
    members: dict[str, Any] = {}
    below: dict[str, dict[str, Mapping[str, str]]] = {}
    attributes: dict[str, str] = {}
    for attribute, entry in model.attributes.items():
        key, _, rest = entry["key"].replace("\\.", "\0").partition(".")
        name = key.replace("\0", ".")
        if rest:
            below.setdefault(name, {})[attribute] = {**entry, "key": rest}
        else:
            members[name], attributes[name] = entry["type"], attribute
    members |= {name: _Model(found, model.rules) for name, found in below.items()}

    def with_rule(rule: str) -> frozenset[str]:
        return frozenset(n for n, a in attributes.items() if model.rules.get(a, {}).get(rule))

    return _Record(members, with_rule("required"), with_rule("readonly"))


_SCALARS: Mapping[str, Any] = {
    "str": str,
    "int": int,
    "bool": bool,
    "float": float,
    "duration": str,
    "object": Any,
}


def _named_kind(name: str, module: str) -> Any:
    """Returns the type that msrest writes as `[name]` for a list and `{name}` for a map."""
    if name.startswith("["):
        return list[_named_kind(name[1:-1], module)]  # type: ignore[misc]  # known at run time
    if name.startswith("{"):
        return dict[str, _named_kind(name[1:-1], module)]  # type: ignore[misc]
    return _SCALARS.get(name) or getattr(import_module(module), name)
