"""The client of a DPS instance."""

from typing import Self

from shared.dps.models import ENROLLMENT_GROUP, INDIVIDUAL_ENROLLMENT
from shared.dps.rate_limiter import RateLimiterStatus
from shared.dps.resources import EnrollmentResource, RegistrationStates
from shared.settings import Settings


class DpsClient:
    """
    Client of the DPS service API: `enrollments`, `enrollment_groups` and `registration_states`.

    A client belongs to one event loop, where it can be used concurrently:

        async with DpsClient(Settings.read()) as dps:
            record = await dps.enrollments.get("dev-1")
    """

    def __init__(self, settings: Settings) -> None:
        from shared.dps.transport import Transport

        self._transport = Transport(settings)
        self.enrollments = EnrollmentResource(self._transport, INDIVIDUAL_ENROLLMENT)
        self.enrollment_groups = EnrollmentResource(self._transport, ENROLLMENT_GROUP)
        self.registration_states = RegistrationStates(self._transport, "registrations")

    @property
    def rate_limiter_status(self) -> RateLimiterStatus:
        """The state of this process's rate limiter."""
        return self._transport.rate_limiter.status()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Closes all connections."""
        await self._transport.aclose()
