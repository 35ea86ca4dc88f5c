"""Documents of enrollments and enrollment groups that DPS accepts."""

from typing import Any

SYMMETRIC = {"type": "symmetricKey"}


def individual(**members: Any) -> dict[str, Any]:
    """Returns an individual enrollment; `members` are added or replaced."""
    return {"registrationId": "dev-1", "attestation": SYMMETRIC, **members}


def enrollment(registration_id: str, **members: Any) -> dict[str, Any]:
    """Returns an individual enrollment with this id."""
    return individual(registrationId=registration_id, **members)


def enrollments(count: int) -> list[dict[str, Any]]:
    """Returns individual enrollments with the ids `d-0`, `d-1`, …"""
    return [enrollment(f"d-{number}") for number in range(count)]


def group(**members: Any) -> dict[str, Any]:
    """Returns an enrollment group; `members` are added or replaced."""
    return {"enrollmentGroupId": "group-1", "attestation": SYMMETRIC, **members}


def keys(primary: object, secondary: object = None) -> dict[str, Any]:
    """Returns symmetric key attestation with these keys."""
    return {**SYMMETRIC, "symmetricKey": {"primaryKey": primary, "secondaryKey": secondary}}


def x509(**members: Any) -> dict[str, Any]:
    """Returns X.509 attestation with these members."""
    return {"type": "x509", "x509": members}
