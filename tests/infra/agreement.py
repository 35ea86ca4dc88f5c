"""What the templates and the app must agree on; each function returns the disagreements."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from shared.settings import ServiceBusSettings
from tests.infra.bicep_deployment import Deployment, Resource

ROOT = Path(__file__).resolve().parents[2]
FUNCTIONS: Mapping[str, Mapping[str, Any]] = json.loads(
    (ROOT / "tests" / "functions" / "inventory.json").read_text()
)

# learn.microsoft.com/azure/role-based-access-control/built-in-roles
ROLES = {
    "090c5cfd-751d-490a-894a-3ce6f1109419": "Azure Service Bus Data Owner",
    "3913510d-42f4-4e42-8a64-420c390055eb": "Monitoring Metrics Publisher",
    "4633458b-17de-408a-b874-0445c86b69e6": "Key Vault Secrets User",
    "4f6d3b9b-027b-4f4c-9142-0e5a2a2247e0": "Azure Service Bus Data Receiver",
    "69a216fc-b8fb-44d8-bc22-1f3c2cd27a39": "Azure Service Bus Data Sender",
    "b7e6dc6d-f1e8-4753-8033-0f276bb0955b": "Storage Blob Data Owner",
    "dfce44e4-17b7-4bd1-a6d1-04996ec95633": "Device Provisioning Service Data Contributor",
}

# The least that the app needs: what it receives from, and all that it sends to.
ROLE_ASSIGNMENTS = frozenset(
    {
        ("Monitoring Metrics Publisher", "Microsoft.Insights/components"),
        ("Storage Blob Data Owner", "Microsoft.Storage/storageAccounts"),
        (
            "Device Provisioning Service Data Contributor",
            "Microsoft.Devices/provisioningServices",
        ),
        ("Azure Service Bus Data Receiver", "queues/enrollment-requests"),
        ("Azure Service Bus Data Receiver", "queues/bulk-operations"),
        ("Azure Service Bus Data Receiver", "queues/enrollment-rejected"),
        ("Azure Service Bus Data Sender", "queues/enrollment-requests"),
        ("Azure Service Bus Data Sender", "queues/bulk-operations"),
        ("Azure Service Bus Data Sender", "queues/enrollment-rejected"),
        ("Azure Service Bus Data Sender", "queues/enrollment-results"),
    }
)

# Settings of the platform, which docs/settings.md does not describe one by one.
_PLATFORM = re.compile(
    r"AZURE_CLIENT_ID|AzureWebJobsStorage__\w+|APPLICATIONINSIGHTS_\w+|AzureWebJobs\.\w+\.Disabled"
)
_IDENTITY_SETTINGS = {
    "AZURE_CLIENT_ID",
    "AzureWebJobsStorage__blobServiceUri",
    "AzureWebJobsStorage__clientId",
    "AzureWebJobsStorage__credential",
    "APPLICATIONINSIGHTS_AUTHENTICATION_STRING",
    "APPLICATIONINSIGHTS_CONNECTION_STRING",
    "DPS_ENDPOINT",
    "ServiceBus__clientId",
    "ServiceBus__credential",
    "ServiceBus__fullyQualifiedNamespace",
}
_ROW = re.compile(r"^\| `([A-Z]\w+)` \|", re.MULTILINE)


def of_type(deployment: Deployment, kind: str) -> list[Resource]:
    """Returns the resources of a type that the deployment makes."""
    return [r for r in deployment.resources if r.type == kind and not r.is_existing]


def app_settings(deployment: Deployment) -> dict[str, str]:
    """Returns the settings of the app, by name."""
    (site,) = of_type(deployment, "Microsoft.Web/sites")
    pairs = site.body["properties"]["siteConfig"]["appSettings"]
    return {pair["name"]: pair["value"] for pair in pairs}


def role_assignments(deployment: Deployment) -> list[tuple[str, str]]:
    """Returns the name of each assigned role, and the type of its scope, or the queue or secret."""
    return [
        (
            ROLES[assignment.body["properties"]["roleDefinitionId"].rsplit("/", 1)[1]],
            _scope(assignment.body["scope"]),
        )
        for assignment in of_type(deployment, "Microsoft.Authorization/roleAssignments")
    ]


def _scope(scope: Resource) -> str:
    own = scope.type.rsplit("/", 1)[1]
    return f"{own}/{scope.name}" if own in {"queues", "secrets"} else scope.type


def find_role_disagreements(
    deployment: Deployment, further: Iterable[tuple[str, str]] = ()
) -> list[str]:
    """Compares the role assignments with the least that the app needs, and `further` ones."""
    assigned, needed = role_assignments(deployment), ROLE_ASSIGNMENTS | set(further)
    return [
        *(f"{role} on {scope}: is too much" for role, scope in sorted(set(assigned) - needed)),
        *(f"{role} on {scope}: is missing" for role, scope in sorted(needed - set(assigned))),
        *(f"{found[0]}: is assigned twice" for found in assigned if assigned.count(found) > 1),
    ]


def find_queue_disagreements(deployment: Deployment) -> Iterator[str]:
    """Compares the queues with the app's settings, and with the triggers' queues."""
    settings = ServiceBusSettings.read(app_settings(deployment))
    used = {*settings.input_queues, settings.enrollment_results_queue}
    used |= {settings.enrollment_rejected_queue, *settings.enrollment_reply_queues}
    queues = {q.name for q in of_type(deployment, "Microsoft.ServiceBus/namespaces/queues")}
    yield from (f"the queue {name} is not deployed" for name in sorted(map(str, used - queues)))
    yield from (f"the app does not use the queue {name}" for name in sorted(queues - used))
    triggers = {f["queueName"] for f in FUNCTIONS.values() if "queueName" in f}
    if missing := sorted(triggers - queues):
        yield f"the default queues of the triggers are not deployed: {', '.join(missing)}"


def find_setting_disagreements(
    deployments: Iterable[Deployment], parameters: Mapping[str, Any], documents: Mapping[str, str]
) -> Iterator[str]:
    """
    Compares what the template sets or may set with docs/settings.md.

    docs/deploy.md has a table of the documented settings that the template leaves out.
    """
    documented = set(_ROW.findall(documents["settings.md"].partition("## Local development")[0]))
    left_out = set(_ROW.findall(documents["deploy.md"].partition("## Settings left out")[2]))
    deployed = {name for deployment in deployments for name in app_settings(deployment)}
    deployed |= {*parameters["settings"], *parameters["keyVaultSettings"]}
    covered = {name.removesuffix("__blobServiceUri") for name in deployed} | left_out
    yield from (f"{name} is documented and not deployed" for name in sorted(documented - covered))
    unknown = {name for name in deployed - documented if not _PLATFORM.fullmatch(name)}
    yield from (f"{name} is deployed and not documented" for name in sorted(unknown))
    yield from (
        f"{name} is set, and docs/deploy.md denies it" for name in sorted(deployed & left_out)
    )
    yield from (f"{name} is not set" for name in sorted(_IDENTITY_SETTINGS - deployed))


def find_function_disagreements(
    parameters: Mapping[str, Any], readiness: Deployment, texts: Iterable[str]
) -> Iterator[str]:
    """Compares the names of functions in parameters, templates and commands with the app's."""
    queue_functions = {f"function:{n}" for n, f in FUNCTIONS.items() if "queueName" in f}
    if parameters["alwaysReady"].keys() != {"http", *queue_functions}:
        yield "alwaysReady: the groups are not those of the app"
    used = {name for text in texts for name in re.findall(r"--function-name (\w+)", text)}
    used |= {r.name for r in readiness.resources if r.type == "Microsoft.Web/sites/functions"}
    used |= set(parameters["disabledFunctions"])
    yield from (f"the app has no function {name}" for name in sorted(used - FUNCTIONS.keys()))
