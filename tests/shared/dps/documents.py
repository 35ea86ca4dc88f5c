"""Documents of enrollments and groups, for tests to spoil."""

from typing import Any

SYMMETRIC = {"type": "symmetricKey"}


def individual(**members: Any) -> dict[str, Any]:
    """A sound individual enrollment, but for the members given."""
    return {"registrationId": "dev-1", "attestation": SYMMETRIC, **members}


def group(**members: Any) -> dict[str, Any]:
    """A sound enrollment group, but for the members given."""
    return {"enrollmentGroupId": "group-1", "attestation": SYMMETRIC, **members}


def keys(primary: object, secondary: object = None) -> dict[str, Any]:
    """Symmetric key attestation with these keys."""
    return {**SYMMETRIC, "symmetricKey": {"primaryKey": primary, "secondaryKey": secondary}}


def x509(**kinds: Any) -> dict[str, Any]:
    """X.509 attestation with these kinds of certificates."""
    return {"type": "x509", "x509": kinds}
