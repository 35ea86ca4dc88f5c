"""The client of one DPS instance."""

from typing import Self

from shared.dps.models import ENROLLMENT_GROUP, INDIVIDUAL_ENROLLMENT
from shared.dps.pacing import Pacing
from shared.dps.resources import EnrollmentResource, RegistrationStates
from shared.settings import Settings


class DpsClient:
    """
    The DPS service API: `enrollments`, `enrollment_groups` and `registration_states`.

    One client serves one event loop, and as many calls at once as are made there:

        async with DpsClient(Settings.read()) as dps:
            record = await dps.enrollments.get("dev-1")
    """

    def __init__(self, settings: Settings) -> None:
        from shared.dps.transport import Transport  # noqa: PLC0415  httpx is costly to load

        self._transport = Transport(settings)
        self.enrollments = EnrollmentResource(self._transport, INDIVIDUAL_ENROLLMENT)
        self.enrollment_groups = EnrollmentResource(self._transport, ENROLLMENT_GROUP)
        self.registration_states = RegistrationStates(self._transport, "registrations")

    @property
    def pacing(self) -> Pacing:
        """How the process stands to DPS's quota."""
        return self._transport.pacer.snapshot()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Closes all connections."""
        await self._transport.aclose()
