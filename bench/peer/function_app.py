"""What people write first: each trigger does one thing, with one call of Microsoft's client."""

import json
import logging
import os

import azure.functions as func
from azure.core.credentials import AzureNamedKeyCredential
from azure.iot.deviceprovisioning.aio import DeviceProvisioningClient

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
log = logging.getLogger("bench.peer")

_client: DeviceProvisioningClient | None = None


def client() -> DeviceProvisioningClient:
    """One client for all calls, with the retries that it has by itself."""
    global _client  # noqa: PLW0603  the common way to keep one in a function app
    if _client is None:
        parts = os.environ["DPS_CONNECTION_STRING"].split(";")  # noqa: TID251  an app of its own
        named = dict(part.split("=", 1) for part in parts)
        _client = DeviceProvisioningClient(
            endpoint=f"http://{named['HostName']}",
            credential=AzureNamedKeyCredential(
                named["SharedAccessKeyName"], named["SharedAccessKey"]
            ),
        )
    return _client


@app.function_name("enroll")
@app.service_bus_queue_trigger(
    arg_name="message",
    queue_name="peer-requests",
    connection="ServiceBus",
    data_type=func.DataType.BINARY,
)
async def enroll(message: func.ServiceBusMessage) -> None:
    """One call for one message; an error leaves it to the queue."""
    enrollment = json.loads(message.get_body())["enrollment"]
    await client().enrollment.create_or_update(enrollment["registrationId"], enrollment)
    log.info("%s is enrolled", enrollment["registrationId"])


@app.function_name("get_enrollment")
@app.route("enrollments/{id}", methods=["GET"])
async def get_enrollment(req: func.HttpRequest) -> func.HttpResponse:
    """The record, passed on."""
    found = await client().enrollment.get(req.route_params["id"])
    return func.HttpResponse(json.dumps(found), mimetype="application/json")


@app.function_name("parse")
@app.route("allocation", methods=["POST"])
async def parse(req: func.HttpRequest) -> func.HttpResponse:
    """The least that a webhook can do: a parse, a line of log, the first hub."""
    body = json.loads(req.get_body())
    hub = body["linkedHubs"][0]
    log.info("%s goes to %s", body["deviceRuntimeContext"]["registrationId"], hub)
    return func.HttpResponse(json.dumps({"iotHubHostName": hub}), mimetype="application/json")


@app.function_name("nothing")
@app.route("nothing", methods=["GET", "POST"])
async def nothing(req: func.HttpRequest) -> func.HttpResponse:  # noqa: ARG001  the worker gives it
    """What the host itself takes."""
    return func.HttpResponse()
