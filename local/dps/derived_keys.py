"""Keys that are derived from the key of an enrollment group."""

import base64

from shared.shared_access import digest


def derived_key(group_key: str, registration_id: str) -> str:
    """
    Returns the key of one device of a group; the case of the id matters.

    Documented: Symmetric key attestation, Group enrollments.
    """
    return base64.b64encode(digest(group_key, registration_id.encode())).decode()
