"""Bulk operations past what DPS takes: more than ten records, and the mode `upsert`."""

import pytest

from local.dps import Options

SUCCESS = {"errors": [], "isSuccessful": True}


@pytest.fixture(scope="module")
def options():
    """A stand-in that makes new keys at an update without: nobody knows whether DPS does."""
    return Options(port=0, tls_port=None, keep_keys_on_update=False)


@pytest.fixture
def run(app_client, kind):
    """Runs a bulk operation on documents."""

    async def run_mode(mode, documents):
        reply = await app_client.post(f"/{kind.path}", json={kind.path: documents, "mode": mode})
        assert reply.status_code == 200, reply.text
        return reply.json()

    return run_mode


@pytest.fixture
def documents(kind, new_id):
    """Makes documents of so many records."""

    def make(number, **members):
        return [kind.document(new_id(), **members) for _ in range(number)]

    return make


@pytest.fixture
def stored(app_client, kind):
    """Gives a record with its keys, as it is now."""

    async def get(document):
        path = f"/{kind.path}/{document[kind.id_member]}"
        record = (await app_client.get(path)).json()
        mechanism = await app_client.post(f"{path}/attestationmechanism")
        return record | {"attestation": mechanism.json()}

    return get


def ids(kind, items):
    """The ids of documents or errors."""
    return [item[kind.id_member] for item in items]


async def test_25_records_are_three_calls(run, documents, stack, kind):
    """One answer comes of the three calls that DPS was asked for."""
    result = await run("create", documents(25))

    assert result == SUCCESS
    assert [request.operation for request in stack.dps.requests] == [f"{kind.path}.bulk"] * 3


async def test_ten_records_are_one_call(run, documents, stack):
    """What DPS takes at once is not split."""
    result = await run("create", documents(10))

    assert (result, len(stack.dps.requests)) == (SUCCESS, 1)


async def test_failures_of_all_calls_are_merged(run, documents, kind):
    """Existing records in the first and the last call are named in one result, in DPS's words."""
    given = documents(25)
    existing = [given[0], given[24]]
    await run("create", existing)

    result = await run("create", given)

    assert (ids(kind, result["errors"]), result["isSuccessful"]) == (ids(kind, existing), False)
    assert {error["errorCode"] for error in result["errors"]} == {kind.exists}
    assert all(error["errorStatus"].endswith("already exists.") for error in result["errors"])


async def test_every_record_may_fail(run, documents, kind):
    """25 records without etags that are there are 25 errors of an update, in their order."""
    given = documents(25)
    await run("create", given)

    result = await run("update", given)

    assert ids(kind, result["errors"]) == ids(kind, given)


async def test_failures_leave_the_others_done(run, documents, stored, kind):
    """In a call with a failure the other records are created."""
    given = documents(12)
    await run("create", given[10:11])

    result = await run("create", given)

    assert ids(kind, result["errors"]) == ids(kind, given[10:11])
    assert (await stored(given[11]))["attestation"] == given[11]["attestation"]


async def test_many_are_deleted(run, documents, stack):
    """Deleting is split as creating is."""
    given = documents(25)
    await run("create", given)

    result = await run("delete", given)

    assert (result, len(stack.dps.requests)) == (SUCCESS, 6)
    assert (await run("create", given)) == SUCCESS


async def test_id_given_twice_is_done_twice_in_order(run, documents, stored):
    """Where DPS would refuse the call, more than ten records may name one of them again."""
    given = documents(10)
    again = given[0] | {"provisioningStatus": "disabled"}

    result = await run("upsert", [*given, again])

    assert result == SUCCESS
    assert (await stored(given[0]))["provisioningStatus"] == "disabled"


async def test_upsert_creates_and_replaces(run, documents, stored):
    """Records that are not there are made, those that are there are replaced."""
    given = documents(3)
    await run("create", given[:1])
    changed = [document | {"provisioningStatus": "disabled"} for document in given]

    result = await run("upsert", changed)

    assert result == SUCCESS
    assert {(await stored(document))["provisioningStatus"] for document in given} == {"disabled"}


async def test_upsert_keeps_keys_that_are_not_given(run, documents, stored):
    """A document without keys leaves those of the record as they are."""
    (given,) = documents(1)
    await run("create", [given])

    result = await run("upsert", [given | {"attestation": {"type": "symmetricKey"}}])

    assert result == SUCCESS
    assert (await stored(given))["attestation"] == given["attestation"]


async def test_upsert_replaces_keys_that_are_given(run, documents, stored, kind):
    """A document with keys gives the record these."""
    (given,) = documents(1)
    await run("create", [given])
    other = kind.document(given[kind.id_member])

    await run("upsert", [other])

    assert (await stored(given))["attestation"] == other["attestation"]


async def test_upsert_of_many_names_the_failed(run, documents, app_client, kind):
    """One record that cannot be written fails alone among 25."""
    given = documents(25)
    given[13]["iotHubs"] = ["not-linked.azure-devices.net"]

    result = await run("upsert", given)

    assert ids(kind, result["errors"]) == ids(kind, given[13:14])
    assert result["errors"][0]["errorCode"] == 400004
    path = f"/{kind.path}/{given[14][kind.id_member]}"
    assert (await app_client.get(path)).status_code == 200
