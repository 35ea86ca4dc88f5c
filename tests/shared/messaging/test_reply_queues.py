"""Where the result of a request goes."""

import pytest

from shared.messaging.results import reply_to
from shared.settings import MessagingSettings
from tests.shared.messaging.incoming import message


def settings(**variables):
    """Settings with a results queue and one other queue for replies."""
    return MessagingSettings.read(
        {
            "ServiceBus__fullyQualifiedNamespace": "x.servicebus.windows.net",
            "ENROLLMENT_RESULTS_QUEUE": "results",
            "ENROLLMENT_REPLY_QUEUES": "erp-replies,mes,Bulk-Operations,enrollment-rejected",
            **variables,
        }
    )


@pytest.mark.parametrize(
    ("asked", "queue", "is_redirected"),
    [
        (None, "results", False),
        ("", "results", False),
        ("mes", "mes", False),
        ("ERP-Replies", "erp-replies", False),
        ("sb://x.servicebus.windows.net/mes", "mes", False),
        ("amqps://x.servicebus.windows.net:5671/mes/", "mes", False),
        ("Results", "results", False),
        ("others", "results", True),
        ("sb://mes", "results", True),
        ("enrollment-requests", "results", True),
        ("bulk-operations", "results", True),
        ("ENROLLMENT-REJECTED", "results", True),
        ("sb://[", "results", True),
    ],
)
def test_a_reply_goes_where_the_request_says_if_it_may(asked, queue, is_redirected):
    """Only to queues that are allowed, and never to the app's own: a loop would have no end."""
    assert reply_to(message({}, reply_to=asked), settings()) == (queue, is_redirected)


def test_without_a_queue_for_results_nobody_is_told():
    """Unless the request names one."""
    unset = settings(ENROLLMENT_RESULTS_QUEUE="")

    assert reply_to(message({}), unset) == (None, False)
    assert reply_to(message({}, reply_to="x"), unset) == (None, True)
    assert reply_to(message({}, reply_to="mes"), unset) == ("mes", False)
