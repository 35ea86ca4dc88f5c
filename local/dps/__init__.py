"""A stateful stand-in for the Azure IoT Hub Device Provisioning Service, on loopback.

    with in_thread(DpsStandIn(Options(port=0, tls_port=0))) as dps:
        client = DeviceProvisioningClient(dps.url, ...)

It serves the API of the service's owner and that of devices. What it does where, and how sure we
are that the service does the same, stands in `rules`.
"""

from local.dps.options import AccessPolicy, Options, Right
from local.dps.standin import DpsStandIn

__all__ = ["AccessPolicy", "DpsStandIn", "Options", "Right"]
