"""SAS mode: which signature is valid for which host, path, time and right."""

from urllib.parse import quote

import pytest

from shared.errors import RightMissingError, UnauthorizedError
from shared.settings import Right, SharedAccessPolicy
from shared.shared_access import AccessControl
from tests.secret_factory import access_policy, shared_access_signature

HOST = "my-app.azurewebsites.net"
NOW = 1_800_000_000
PATH = "/enrollments/dev-1"
OWNER = access_policy("EnrollmentRead", "EnrollmentWrite")
READER = access_policy("EnrollmentRead", name="reader")
KEY = OWNER["primaryKey"]
CONTROL = AccessControl(
    [SharedAccessPolicy.model_validate(policy) for policy in (OWNER, READER)],
    [HOST, "localhost:7444", ""],
    clock=lambda: NOW,
)


def authorize(header: str | None, path: str = PATH, right: Right = Right.ENROLLMENT_READ) -> str:
    return CONTROL.authorize(header, path=path, right=right)


def signed(resource: str = HOST, key: str = KEY, expiry: float = NOW + 60) -> str:
    return shared_access_signature(resource, key, expiry=expiry)


@pytest.mark.parametrize("key", ["primaryKey", "secondaryKey"])
def test_each_key_of_a_policy_is_valid(key: str) -> None:
    """So that keys can be rolled without an interruption."""
    assert authorize(signed(key=OWNER[key])) == "owner"


def test_policy_may_be_missing_in_the_signature() -> None:
    """`skn` is optional: the policy is that whose key signed."""
    header = shared_access_signature(HOST, READER["primaryKey"], name=None, expiry=NOW)

    assert authorize(header) == "reader"


@pytest.mark.parametrize(
    "resource",
    [
        HOST,
        HOST.upper(),
        f"https://{HOST}",
        f"{HOST}:443",
        f"{HOST}/",
        f"http://{HOST}/enrollments",
        f"{HOST}/Enrollments/DEV-1",
        "localhost",
        "localhost:7444/enrollments/",
    ],
)
def test_signature_covers_its_host_or_a_prefix_of_the_path(resource: str) -> None:
    """By whole segments and without regard to case; the Python SDK signs `http://` too."""
    assert authorize(signed(resource)) == "owner"


@pytest.mark.parametrize(
    "resource",
    [
        "",
        "/",
        "https://",
        f"not-{HOST}",
        f"{HOST}.evil.example",
        HOST.removesuffix(".net"),
        f"evil.example/{HOST}",
        f"{HOST}@evil.example",
        f"evil@{HOST}",
        f"{HOST}/enrollments/dev",
        f"{HOST}/enroll",
        f"{HOST}/enrollmentGroups",
        f"{HOST}/enrollments/dev-1/attestationmechanism",
        f"{HOST}/enrollments/../enrollments",
        f"{HOST}/?a=b",
        f"{HOST}#/",
        "[",
    ],
)
def test_signature_for_something_else_is_not_valid(resource: str) -> None:
    """Another host, part of a host name, part of a segment, another or a longer path."""
    with pytest.raises(UnauthorizedError):
        authorize(signed(resource))


def test_path_with_dot_segments_is_not_covered() -> None:
    """A prefix would not say where the path ends."""
    with pytest.raises(UnauthorizedError):
        authorize(signed(f"{HOST}/enrollments"), path="/enrollments/%2e%2e/enrollmentGroups/a")


def test_encoded_segments_are_compared_decoded() -> None:
    """An id that the client encodes is the same id."""
    resource = f"{HOST}/enrollments/{quote('dev:1', safe='')}"

    assert authorize(signed(resource), path="/enrollments/dev:1") == "owner"


@pytest.mark.parametrize(("expiry", "is_valid"), [(NOW - 300, True), (NOW - 301, False)])
def test_expired_signature_is_valid_for_five_minutes(*, expiry: int, is_valid: bool) -> None:
    """Clocks differ; the tolerance is that of azure-iot-sdk-csharp."""
    if is_valid:
        assert authorize(signed(expiry=expiry)) == "owner"
    else:
        with pytest.raises(UnauthorizedError):
            authorize(signed(expiry=expiry))


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer x",
        "SharedAccessSignature",
        "SharedAccessSignature sr=a",
        signed().replace("SharedAccessSignature", "Bearer"),
        signed().replace("&sig=", "&sig=x"),
        signed().replace("&se=", "&se=1"),
        signed().replace("&se=", "&se=-"),
        signed().replace("skn=owner", "skn=reader"),
        signed().replace("skn=owner", "skn=nobody"),
        signed(key=READER["primaryKey"]),
        shared_access_signature(HOST, "", expiry=NOW),
        signed().replace("sr=", "sr=\udcff"),
    ],
)
def test_header_without_a_valid_signature(header: str | None) -> None:
    """Another scheme, missing parts, a changed part, another policy's key, no key."""
    with pytest.raises(UnauthorizedError):
        authorize(header)


@pytest.mark.parametrize(
    "resource",
    [
        HOST,
        f"{HOST}%3a443".lower(),
        f"{HOST}%3A443",
        f"http%3A%2F%2F{HOST}%2Fenrollments",
        f"https%3a%2f%2f{HOST}%2fenrollments%2fdev-1",
        f"{HOST}/enrollments/dev-1",
    ],
    ids=["Node, C#", "Java", "az", "Python", "lower case", "not encoded"],
)
def test_resource_is_signed_as_each_client_encodes_it(resource: str) -> None:
    """Escapes in either case, or none: azure-iot-sdk-node, -java, -csharp, az iot, Python."""
    header = shared_access_signature(resource, KEY, expiry=NOW, is_encoded=True)

    assert authorize(header) == "owner"


def test_changed_escape_is_not_what_was_signed() -> None:
    """The text is compared as received: decoding and encoding it again would change it."""
    resource = f"{HOST}/enrollments"
    lower = shared_access_signature(resource, KEY, expiry=NOW)
    prefix, _, rest = lower.partition("sr=")

    with pytest.raises(UnauthorizedError):
        authorize(f"{prefix}sr={rest.replace('%2F', '%2f', 1)}")


def test_policy_without_the_right_is_refused() -> None:
    """The error names the right; a signature alone is not enough."""
    header = shared_access_signature(HOST, READER["primaryKey"], name="reader", expiry=NOW)

    with pytest.raises(RightMissingError, match="EnrollmentWrite"):
        authorize(header, right=Right.ENROLLMENT_WRITE)


def test_without_policies_no_signature_is_valid() -> None:
    """So an invalid setting closes the routes."""
    control = AccessControl([], [HOST], clock=lambda: NOW)

    with pytest.raises(UnauthorizedError):
        control.authorize(signed(), path=PATH, right=Right.ENROLLMENT_READ)
