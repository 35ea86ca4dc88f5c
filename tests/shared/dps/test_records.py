"""Records: whole as JSON, readable and without secrets as text."""

import json

from shared.dps import Record
from tests.secret_factory import symmetric_key


def test_json_of_a_record_is_the_record():
    """Dumping a record loses and masks nothing."""
    document = {"registrationId": "a", "attestation": {"symmetricKey": {"primaryKey": "x"}}}

    assert json.loads(json.dumps(Record(document))) == document


def test_print_masks_keys_wherever_they_stand():
    """No key shows in the text of a record, however deep it lies and however it is spelled."""
    key = symmetric_key()
    record = Record(
        registrationId="a",
        attestation={"symmetricKey": {"primaryKey": key, "SecondaryKey": key}},
        tpm=[{"authenticationKey": key, "primary_key": key, "client-secret": key}],
        customAllocationDefinition={"webhookUrl": f"https://x/?code={key}\n{key}"},
    )

    assert key not in f"{record} {record!r}"
    assert json.loads(str(record))["customAllocationDefinition"]["webhookUrl"] == "https://x/?****"


def test_id_and_etag_are_at_hand():
    """A record's id is that of a device or of a group; a record may have neither."""
    assert Record(registrationId="a", etag="e").id == "a"
    assert Record(enrollmentGroupId="g").id == "g"
    assert (Record().id, Record().etag) == (None, None)
