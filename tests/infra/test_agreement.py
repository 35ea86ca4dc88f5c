"""The templates agree with the app: queues, roles, settings and functions."""

from pathlib import Path
from typing import Any

import pytest

from tests.infra.agreement import (
    ROOT,
    app_settings,
    find_function_disagreements,
    find_queue_disagreements,
    find_role_disagreements,
    find_setting_disagreements,
    of_type,
)
from tests.infra.bicep_deployment import AZD, INFRA, Deployment, deploy
from tests.infra.test_resources import ENVIRONMENTS, READINESS, planted

QUEUES = "Microsoft.ServiceBus/namespaces/queues"
DOCUMENTS = {name: (ROOT / "docs" / name).read_text() for name in ("settings.md", "deploy.md")}
TEXTS = [path.read_text() for path in (*INFRA.glob("*.bicep"), ROOT / "docs" / "deploy.md")]


def parameters(environment: Any = None, *, infra: Path = INFRA) -> dict[str, Any]:
    """Returns the parameters of the deployment with these environment variables."""
    variables = AZD | (environment or {})
    return Deployment(infra / "main.bicepparam", {}, environment=variables).variables


def test_roles_are_the_least_that_the_app_needs() -> None:
    """Each role is assigned on one queue or resource, and no other is assigned."""
    assert find_role_disagreements(deploy()) == []


def test_options_add_only_their_roles() -> None:
    """Reply queues, secrets, and reading the number of messages each add what they need."""
    deployment = deploy(ENVIRONMENTS["existing"])

    further = {
        ("Azure Service Bus Data Sender", "queues/erp-results"),
        ("Azure Service Bus Data Owner", "queues/enrollment-requests"),
        ("Azure Service Bus Data Owner", "queues/bulk-operations"),
        ("Key Vault Secrets User", "secrets/dps"),
    }
    assert find_role_disagreements(deployment, further) == []


def test_roles_are_those_of_the_identity() -> None:
    """No role is assigned to anyone but the app's identity."""
    (identity,) = of_type(deploy(), "Microsoft.ManagedIdentity/userAssignedIdentities")

    principals = {
        assignment.body["properties"]["principalId"]
        for assignment in of_type(deploy(), "Microsoft.Authorization/roleAssignments")
    }
    assert principals == {f"{identity.symbol}.properties.principalId"}


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_queues_are_those_of_the_app(environment: str) -> None:
    """The app's settings and triggers name the queues that are deployed, and no other."""
    assert list(find_queue_disagreements(deploy(ENVIRONMENTS[environment]))) == []


def test_queues_keep_what_the_app_relies_on() -> None:
    """Each queue detects duplicates and has no sessions; only results expire."""
    queues = {q.name: q.body["properties"] for q in of_type(deploy(), QUEUES)}

    assert len(queues) == 4
    assert {q["requiresDuplicateDetection"] for q in queues.values()} == {True}
    assert {q["requiresSession"] for q in queues.values()} == {False}
    assert (
        [n for n, q in queues.items() if q["defaultMessageTimeToLive"] == "P14D"]
        == [n for n, q in queues.items() if not q["deadLetteringOnMessageExpiration"]]
        == ["enrollment-results"]
    )


def find_setting_faults(infra: Path = INFRA) -> list[str]:
    """Returns the disagreements on settings, of the deployments with all environments."""
    deployments = [deploy(variables, infra=infra) for variables in ENVIRONMENTS.values()]
    return list(find_setting_disagreements(deployments, parameters(infra=infra), DOCUMENTS))


def test_settings_are_those_of_the_documentation() -> None:
    """Each documented setting is set, or a parameter, or one that docs/deploy.md leaves out."""
    assert find_setting_faults() == []


def test_optional_settings_have_their_own_names() -> None:
    """The variable of an optional setting has its name, of a secret with the suffix _SECRET."""
    text = (INFRA / "main.bicepparam").read_text()

    for name in parameters()["settings"]:
        assert f"  {name}: readEnvironmentVariable('{name}', '')\n" in text
    for name in parameters()["keyVaultSettings"]:
        assert f"  {name}: readEnvironmentVariable('{name}_SECRET', '')\n" in text


def test_unset_settings_are_not_deployed() -> None:
    """A setting without a value keeps the app's default; one with a value has it."""
    assert "DPS_TIMEOUT_SECONDS" not in app_settings(deploy())
    assert app_settings(deploy({"DPS_TIMEOUT_SECONDS": "20"}))["DPS_TIMEOUT_SECONDS"] == "20"


def test_a_secret_is_a_reference_to_the_key_vault() -> None:
    """The app gets the reference, DPS's connection string replaces its host name."""
    settings = app_settings(deploy(ENVIRONMENTS["existing"]))

    assert settings["DPS_CONNECTION_STRING"] == (
        "@Microsoft.KeyVault(VaultName=vault;SecretName=dps)"
    )
    assert "DPS_ENDPOINT" not in settings


def test_functions_are_those_of_the_app() -> None:
    """Scaling groups, disabled functions, and the keys in commands name functions of the app."""
    readiness = Deployment(INFRA / "readiness.bicep", READINESS)

    found = find_function_disagreements(parameters(ENVIRONMENTS["existing"]), readiness, TEXTS)
    assert list(found) == []


def test_http_concurrency_is_not_the_default() -> None:
    """An instance serves several requests at once, and only groups with instances are kept ready."""
    (site,) = of_type(deploy(), "Microsoft.Web/sites")

    scale = site.body["properties"]["functionAppConfig"]["scaleAndConcurrency"]
    assert scale["triggers"] == {"http": {"perInstanceConcurrency": 16}}
    assert scale["alwaysReady"] == [{"name": "http", "instanceCount": 1}]


@pytest.mark.parametrize(
    ("file", "change", "fault"),
    [
        (
            "main.bicepparam",
            ("QUEUE', 'enrollment-requests'", "QUEUE', 'enrolment-requests'"),
            "not deployed: enrollment-requests",
        ),
        (
            "main.bicep",
            ("rejectedQueue: enrollmentRejectedQueue", "rejectedQueue: 'rejected'"),
            "the queue enrollment-rejected is not deployed",
        ),
        (
            "main.bicep",
            ("RESULTS_QUEUE: enrollmentResultsQueue", "RESULTS_QUEUE: 'results'"),
            "the queue results is not deployed",
        ),
    ],
)
def test_a_queue_name_that_differs_is_found(
    tmp_path: Path, file: str, change: Any, fault: str
) -> None:
    """A queue that the app does not use, or that is not deployed, is found."""
    deployment = deploy(infra=planted(tmp_path, file, change))

    assert fault in " ".join(find_queue_disagreements(deployment))


@pytest.mark.parametrize(
    ("file", "change", "fault"),
    [
        ("queues.bicep", ("name in receivedQueues", "name in names"), "queues/enrollment-results: is too much"),
        ("queues.bicep", ("scaleByMessageCount ? inputQueues : []", "inputQueues"), "Data Owner on queues/bulk"),
        ("queues.bicep", ("scope: queues[indexOf(names, name)]", "scope: namespace"), "namespaces: is too much"),
        ("queues.bicep", ("for name in names: {\n  name: guid", "for name in inputQueues: {\n  name: guid"), "missing"),
        ("storage.bicep", ("  scope: account", "  scope: packages"), "storageAccounts: is missing"),
    ],
)  # fmt: skip
def test_a_role_too_many_is_found(tmp_path: Path, file: str, change: Any, fault: str) -> None:
    """A role that the app does not need, on a scope too wide, or that is missing is found."""
    deployment = deploy(infra=planted(tmp_path, file, change))

    assert fault in " ".join(find_role_disagreements(deployment))


def test_an_unpublished_role_is_found(tmp_path: Path) -> None:
    """A role id that is not one of the published ones is found."""
    infra = planted(tmp_path, "dps-access.bicep", ("dfce44e4", "dfce44e5"))

    with pytest.raises(KeyError, match="dfce44e5"):
        find_role_disagreements(deploy(infra=infra))


@pytest.mark.parametrize(
    ("file", "change", "fault"),
    [
        ("main.bicepparam", ("  BULK_CONCURRENCY", "  BULK_CONCURENCY"), "BULK_CONCURRENCY is documented and not"),
        ("main.bicepparam", ("  BULK_CONCURRENCY", "  BULK_CONCURENCY"), "BULK_CONCURENCY is deployed and not"),
        ("app.bicep", ("  ServiceBus__clientId: identityClientId\n", ""), "ServiceBus__clientId is not set"),
        ("app.bicep", ("AZURE_CLIENT_ID", "AZURE_CLIENT"), "AZURE_CLIENT_ID is not set"),
    ],
)  # fmt: skip
def test_a_setting_that_differs_is_found(
    tmp_path: Path, file: str, change: Any, fault: str
) -> None:
    """A misspelt or missing setting is found."""
    assert fault in " ".join(find_setting_faults(planted(tmp_path, file, change)))


def test_a_function_that_differs_is_found(tmp_path: Path) -> None:
    """A scaling group, a disabled function or a key of a function that does not exist is found."""
    infra = planted(tmp_path, "main.bicepparam", ("function:bulk_operations", "function:bulk"))
    file = infra / "readiness.bicep"
    file.write_text(file.read_text().replace("'health_ready'", "'c'"))
    given = parameters({"DISABLED_FUNCTIONS": "a"}, infra=infra)

    found = " ".join(
        find_function_disagreements(given, Deployment(file, READINESS), ["--function-name b"])
    )
    assert "alwaysReady" in found
    for name in "abc":
        assert f"the app has no function {name}" in found
