"""A record from its creation to its end."""


async def test_put_creates(dps, kind, new_id):
    """A PUT of an unknown id is answered 200 with the record."""
    id_ = new_id()

    reply = await dps.create_or_update(kind.path, id_, kind.document(id_))

    assert (reply.status, reply.document[kind.id_member]) == (200, id_)


async def test_put_answers_with_keys(dps, kind, new_id):
    """The answer to a PUT holds the symmetric keys as they were sent."""
    document = kind.document(new_id())

    reply = await dps.create_or_update(kind.path, document[kind.id_member], document)

    assert reply.document["attestation"] == document["attestation"]


async def test_put_makes_missing_keys(dps, kind, new_id):
    """Keys that are null are made by the service, two different ones."""
    keys = {"primaryKey": None, "secondaryKey": None}
    attestation = {"type": "symmetricKey", "symmetricKey": keys}
    id_ = new_id()

    reply = await dps.create_or_update(kind.path, id_, kind.document(id_, attestation=attestation))

    made = reply.document["attestation"]["symmetricKey"]
    assert all(made[name] for name in keys)
    assert made["primaryKey"] != made["secondaryKey"]


async def test_get_strips_keys(dps, kind, record):
    """A GET shows of a symmetric-key attestation its type alone."""
    reply = await dps.get(kind.path, record[kind.id_member])

    assert (reply.status, reply.document["attestation"]) == (200, {"type": "symmetricKey"})


async def test_get_shows_what_put_answered(dps, kind, record):
    """Beside attestation and registration state a GET is the answer to the PUT."""
    reply = await dps.get(kind.path, record[kind.id_member])

    differing = {"attestation", "registrationState"}
    assert {name: reply.document[name] for name in reply.document.keys() - differing} == {
        name: record[name] for name in record.keys() - differing
    }


async def test_attestation_mechanism_holds_keys(dps, kind, record):
    """The attestation mechanism is the attestation, keys included."""
    reply = await dps.get_attestation_mechanism(kind.path, record[kind.id_member])

    assert (reply.status, reply.document) == (200, record["attestation"])


async def test_delete_needs_no_etag(dps, kind, record):
    """A DELETE without If-Match is answered 204 without a body."""
    reply = await dps.delete(kind.path, record[kind.id_member])

    assert (reply.status, reply.document) == (204, None)


async def test_deleted_is_gone(dps, kind, record):
    """A record that was deleted is not found any more."""
    await dps.delete(kind.path, record[kind.id_member])

    reply = await dps.get(kind.path, record[kind.id_member])

    assert reply.error == (404, kind.missing)


async def test_deleted_can_be_created_again(dps, kind, record):
    """After a DELETE the same id can be created without If-Match."""
    id_ = record[kind.id_member]
    await dps.delete(kind.path, id_)

    reply = await dps.create_or_update(kind.path, id_, kind.document(id_))

    assert reply.status == 200


async def test_id_may_hold_every_legal_character(dps, kind, new_id):
    """An id with colon, dot, underscore and dash is found by its percent-encoded path."""
    id_ = new_id(":a.b_c-")
    await dps.create_or_update(kind.path, id_, kind.document(id_))

    reply = await dps.get(kind.path, id_)

    assert (reply.status, reply.document[kind.id_member]) == (200, id_)


async def test_case_of_ids_does_not_count(dps, kind, record):
    """A record is found by its id in upper case."""
    reply = await dps.get(kind.path, record[kind.id_member].upper())

    assert (reply.status, reply.document["etag"]) == (200, record["etag"])


async def test_enrollments_and_groups_do_not_mix(dps, kind, record):
    """An id of one collection is unknown in the other."""
    other = {"enrollments": "enrollmentGroups", "enrollmentGroups": "enrollments"}[kind.path]

    reply = await dps.get(other, record[kind.id_member])

    assert reply.status == 404
