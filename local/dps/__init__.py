"""
A stateful stand-in for the Azure IoT Hub Device Provisioning Service (DPS) on loopback.

    with in_thread(DpsStandIn(Options(port=0, tls_port=0))) as dps:
        client = DeviceProvisioningClient(dps.url, ...)

It serves the service API and the device API, versions up to 2026-11-01. Each rule about the
behaviour of DPS names its source:

Recorded    recorded traffic in the azure-iot-deviceprovisioning tests of azure-sdk-for-python
Tested      asserted by a Microsoft test that runs against the live service
Documented  learn.microsoft.com/azure/iot-dps or the REST API specification
Reported    responses of the live service quoted in GitHub issues
SDK         source code or mocks of Microsoft's SDKs and CLI
Assumed     our choice: no public source describes it
"""

from local.dps.options import AccessPolicy, Options, Right
from local.dps.server import DpsStandIn
