"""The templates: they can be parsed and evaluated, and Azure has all the members that they use."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.infra.bicep_deployment import INFRA, Deployment, deploy
from tests.infra.bicep_syntax import BicepError, read_template
from tests.infra.resource_types import find_faults, has_member

SUBSCRIPTION = "/subscriptions/00000000-0000-0000-0000-000000000002/resourceGroups"
HUBS = f"{SUBSCRIPTION}/hubs/providers/Microsoft.Devices/IotHubs"
ENVIRONMENTS = {
    "defaults": {},
    "hubs": {
        "LINKED_HUB_IDS": f"{HUBS}/hub-1,{HUBS}/hub-2",
        "SERVICE_BUS_SKU": "Premium",
        "SITE_UPDATE_STRATEGY": "RollingUpdate",
    },
    "existing": {
        "DPS_ID": f"{SUBSCRIPTION}/iot/providers/Microsoft.Devices/provisioningServices/dps",
        "SERVICE_BUS_ID": f"{SUBSCRIPTION}/bus/providers/Microsoft.ServiceBus/namespaces/bus",
        "KEY_VAULT_ID": f"{SUBSCRIPTION}/keys/providers/Microsoft.KeyVault/vaults/vault",
        "DPS_CONNECTION_STRING_SECRET": "dps",
        "SUBNET_ID": f"{SUBSCRIPTION}/net/providers/Microsoft.Network/virtualNetworks/v/subnets/a",
        "DISABLED_FUNCTIONS": "enrollment_requests,bulk_operations",
        "ENROLLMENT_REPLY_QUEUES": "erp-results",
        "SCALE_BY_MESSAGE_COUNT": "true",
        "ALERT_EMAIL": "operators@example.com",
        "ALWAYS_READY_BULK_OPERATIONS": "1",
        "TAGS": '{"costCenter": "42"}',
        "DPS_TIMEOUT_SECONDS": "20",
    },
}
READINESS = {
    "functionAppName": "func-1",
    "applicationInsightsName": "appi-1",
    "actionGroupId": f"{SUBSCRIPTION}/rg/providers/Microsoft.Insights/actionGroups/operators",
}


def planted(directory: Path, file: str, change: tuple[str, str]) -> Path:
    """Returns a copy of infra/ with an error in one file."""
    copy = directory / "infra"
    shutil.copytree(INFRA, copy)
    text = (copy / file).read_text()
    assert change[0] in text
    (copy / file).write_text(text.replace(*change, 1))
    return copy


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_resources_have_only_members_that_azure_knows(environment: str) -> None:
    """Each member exists in the type of its resource, with a value of its type; none is missing."""
    deployment = deploy(ENVIRONMENTS[environment])

    assert [(r.symbol, find_faults(r)) for r in deployment.resources if find_faults(r)] == []


def test_readiness_has_only_members_that_azure_knows() -> None:
    """The same for the template that a hook deploys after the code."""
    deployment = Deployment(INFRA / "readiness.bicep", READINESS)

    assert {r.symbol: find_faults(r) for r in deployment.resources if find_faults(r)} == {}


def unknown_reads(infra: Path) -> list[str]:
    """Returns the members of resources that the templates read and Azure does not return."""
    reads = [
        (f"{symbol}.{path}", declaration.label.partition("@")[0], path.split("."))
        for template in infra.glob("*.bicep")
        for symbol, declaration in read_template(template).items()
        if declaration.kind == "resource"
        for path in re.findall(rf"\b{symbol}\.(properties[\w.]*)", template.read_text())
    ]
    assert len(reads) > 5
    return [read for read, kind, path in reads if not has_member(kind, path)]


def test_templates_read_only_members_that_azure_returns(tmp_path: Path) -> None:
    """Each member of a resource that a template reads exists; a misspelt one is found."""
    infra = planted(tmp_path, "app.bicep", ("defaultHostName", "defaultHost"))

    assert unknown_reads(INFRA) == []
    assert unknown_reads(infra) == ["site.properties.defaultHost"]


def test_every_resource_was_evaluated() -> None:
    """No resource of any template is missing in all the environments above."""
    evaluated = {r.symbol for e in ENVIRONMENTS.values() for r in deploy(e).resources}
    evaluated |= {r.symbol for r in Deployment(INFRA / "readiness.bicep", READINESS).resources}

    declared = {
        name
        for template in INFRA.glob("*.bicep")
        for name, declaration in read_template(template).items()
        if declaration.kind == "resource"
    }
    assert declared == evaluated


def test_parameters_file_has_every_parameter() -> None:
    """main.bicepparam sets each parameter of main.bicep, so that azd can set it."""
    parameters = read_template(INFRA / "main.bicepparam")

    declared = {n for n, d in read_template(INFRA / "main.bicep").items() if d.kind == "param"}
    assert parameters.keys() == declared


def test_parameters_have_the_defaults_of_the_template() -> None:
    """An environment without variables deploys the defaults that main.bicep documents."""
    template = Deployment(
        INFRA / "main.bicep", {"environmentName": "test", "location": "westeurope"}
    )

    assert deploy().resources == template.resources


def test_no_output_is_a_parameter() -> None:
    """azd keeps outputs as variables of the environment: none may change the next deployment."""
    outputs = deploy().outputs

    text = (INFRA / "main.bicepparam").read_text()
    assert [name for name in outputs if f"'{name}'" in text] == []


def test_names_are_deterministic() -> None:
    """The same environment has the same names each time; another one has others."""
    first, again, other = deploy(), deploy(), deploy({"AZURE_ENV_NAME": "production"})

    assert [r.id for r in first.resources] == [r.id for r in again.resources]
    assert not {r.id for r in first.resources} & {r.id for r in other.resources}


def test_every_new_resource_has_the_tags() -> None:
    """Each resource that has tags has those of the environment and azd's."""
    made = [r for r in deploy(ENVIRONMENTS["existing"]).resources if "location" in r.body]

    assert len(made) > 10
    for resource in made:
        assert resource.body["tags"].items() >= {"azd-env-name": "test", "costCenter": "42"}.items()


def test_no_resource_accepts_a_key() -> None:
    """Service Bus, storage, logs and deployments accept identities only."""
    bodies = {
        r.symbol: r.body.get("properties", {}) for r in deploy().resources if not r.is_existing
    }

    assert bodies["namespace"]["disableLocalAuth"] is True
    assert bodies["account"]["allowSharedKeyAccess"] is False
    assert bodies["applicationInsights"]["DisableLocalAuth"] is True
    assert bodies["workspace"]["features"] == {"disableLocalAuth": True}
    assert bodies["publishing"] == {"allow": False}


@pytest.mark.parametrize(
    ("file", "change", "fault"),
    [
        ("app.bicep", ("maximumInstanceCount: m", "maximumInstances: m"), "/maximumInstances: is no member"),
        ("app.bicep", ("type: 'blobContainer'", "type: 'blob'"), "must be one of blobContainer"),
        ("queues.bicep", ("lockDuration: 'PT1M'", "lockDuration: 60"), "lockDuration: must be of type str"),
        ("queues.bicep", ("@2024-01-01' = [", "@2099-01-01' = ["), "2099-01-01 is newer"),
        ("storage.bicep", ("'TLS1_2'", "'TLS12'"), "must be one of TLS1_0"),
        ("monitoring.bicep", ("DisableLocalAuth", "DisableAuth"), "/DisableAuth: is no member"),
        ("alerts.bicep", ("threshold: rule", "treshold: rule"), "/threshold: is required"),
        ("alerts.bicep", ("tags: tags", "tags: [tags]"), "/tags: must be an object"),
        ("dps.bicep", ("location: reference", "place: reference"), "/location: is required"),
        ("dps-access.bicep", ("principalType", "principleType"), "/principleType: is no member"),
        ("dps-access.bicep", ("name: dpsName", "name: dpsName\n  location: 'x'"), "existing resource"),
    ],
)  # fmt: skip
def test_planted_errors_in_members_are_found(
    tmp_path: Path, file: str, change: Any, fault: str
) -> None:
    """A misspelt, missing or mistyped member is found."""
    deployment = deploy(ENVIRONMENTS["hubs"], infra=planted(tmp_path, file, change))

    assert fault in str([find_faults(resource) for resource in deployment.resources])


@pytest.mark.parametrize(
    ("file", "change", "fault"),
    [
        ("main.bicep", ("{", "{{"), "cannot be parsed"),
        ("main.bicep", ("identity.outputs.principalId", "identity.outputs.id2"), "id2"),
        ("main.bicep", ("sku: serviceBusSku", "tier: serviceBusSku"), "no parameter tier"),
        ("main.bicep", ("    sku: serviceBusSku\n", ""), "parameter sku has no value"),
        ("main.bicep", ("sku: serviceBusSku", "sku: 1"), "sku must be of type str"),
        ("main.bicepparam", ("'40'", "'39'"), "maximumInstanceCount is not an allowed value"),
        ("app.bicep", ("setting.key", "setting.nam"), "nam"),
        ("app.bicep", ("httpsOnly: true", "httpsOnly: yes"), "unknown symbol yes"),
        ("alerts.bicep", ("rule.window", "rule.windowSize"), "windowSize"),
        ("storage.bicep", ("kind: 'StorageV2'", "kind: 'a'\n  kind: 'b'"), "kind appears twice"),
    ],
)
def test_planted_errors_in_expressions_are_found(
    tmp_path: Path, file: str, change: Any, fault: str
) -> None:
    """An unknown symbol, member, parameter or output is found, and a value that is not allowed."""
    with pytest.raises(BicepError, match=fault):
        deploy(infra=planted(tmp_path, file, change))
