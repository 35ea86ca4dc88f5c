"""The common first version of such an app: each trigger makes one call of Microsoft's client."""

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
    """Returns the client of the process, with its default retries."""
    global _client  # noqa: PLW0603  common practice in function apps
    if _client is None:
        parts = os.environ["DPS_CONNECTION_STRING"].split(";")  # noqa: TID251  an app of its own
        members = dict(part.split("=", 1) for part in parts)
        _client = DeviceProvisioningClient(
            endpoint=f"http://{members['HostName']}",
            credential=AzureNamedKeyCredential(
                members["SharedAccessKeyName"], members["SharedAccessKey"]
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
    """Writes one enrollment; after an error the queue delivers the message again."""
    enrollment = json.loads(message.get_body())["enrollment"]
    await client().enrollment.create_or_update(enrollment["registrationId"], enrollment)
    log.info("%s is enrolled", enrollment["registrationId"])


@app.function_name("get_enrollment")
@app.route("enrollments/{id}", methods=["GET"])
async def get_enrollment(req: func.HttpRequest) -> func.HttpResponse:
    """Returns the record."""
    record = await client().enrollment.get(req.route_params["id"])
    return func.HttpResponse(json.dumps(record), mimetype="application/json")


@app.function_name("parse")
@app.route("allocation", methods=["POST"])
async def parse(req: func.HttpRequest) -> func.HttpResponse:
    """Parses the body, logs a line, and returns the first hub."""
    body = json.loads(req.get_body())
    hub = body["linkedHubs"][0]
    log.info("%s goes to %s", body["deviceRuntimeContext"]["registrationId"], hub)
    return func.HttpResponse(json.dumps({"iotHubHostName": hub}), mimetype="application/json")


@app.function_name("nothing")
@app.route("nothing", methods=["GET", "POST"])
async def nothing(req: func.HttpRequest) -> func.HttpResponse:  # noqa: ARG001  the worker passes it
    """Returns an empty response: the cost of the host alone."""
    return func.HttpResponse()
