"""The comparison of documents that were sent with those that DPS stored."""

import pytest

from local.demo.checks import expect_same
from local.demo.steps import CheckFailedError

MASKED = "https://a.test/f?****"


@pytest.mark.parametrize(
    ("stored", "pointer"),
    [({"tags": {"count": 4}}, "/tags/count"), ({"tags": {}}, "/tags/count"), ({}, "/tags")],
    ids=["changed", "missing", "parent missing"],
)
def test_difference_is_reported(stored: dict[str, object], pointer: str) -> None:
    """The error has the pointer of a value that is missing or changed."""
    with pytest.raises(CheckFailedError, match=f"{pointer}$"):
        expect_same("twin", {"tags": {"count": 3}}, stored)


def test_null_may_be_absent() -> None:
    """A member that was sent as null may be absent, as DPS drops it."""
    expect_same("enrollment", {"deviceId": None}, {})


def test_query_of_a_url_may_be_masked() -> None:
    """DPS shows a webhook URL without its query; another URL is a difference."""
    expect_same("group", {"webhookUrl": "https://a.test/f?code=1"}, {"webhookUrl": MASKED})

    with pytest.raises(CheckFailedError, match=r"/webhookUrl$"):
        expect_same("group", {"webhookUrl": "https://b.test/f?code=1"}, {"webhookUrl": MASKED})
