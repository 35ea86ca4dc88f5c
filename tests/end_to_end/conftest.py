"""An environment for stacks of their own, whatever other stacks are running."""

from collections.abc import Iterator

import pytest

from local.stack import DPS_SETTINGS, SERVICE_BUS_SETTINGS


@pytest.fixture(scope="module")
def environment() -> Iterator[pytest.MonkeyPatch]:
    """An environment that names no DPS and no Service Bus: a stack then names its own."""
    with pytest.MonkeyPatch.context() as environment:
        for name in (*DPS_SETTINGS, *SERVICE_BUS_SETTINGS):
            environment.delenv(name, raising=False)
        yield environment
