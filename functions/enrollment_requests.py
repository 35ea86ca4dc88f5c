"""
The Service Bus trigger for one enrollment or group a message.

As single dispatch: of a batch the host abandons good messages with bad ones. As bytes: from a text
the host lets the body's members overwrite the message's own (Utility.ApplyBindingData in
github.com/Azure/azure-functions-host).
"""

import azure.functions as func

from functions import _messages
from functions._on_demand import handling
from shared.settings import input_queues

_QUEUE = input_queues().enrollment_requests

blueprint = func.Blueprint()


@blueprint.function_name("enrollment_requests")
@blueprint.service_bus_queue_trigger(
    arg_name="message",
    queue_name=_QUEUE,
    connection="ServiceBus",
    data_type=func.DataType.BINARY,
)
async def enrollment_requests(message: func.ServiceBusMessage) -> None:
    await handling.request(_messages.read(message, queue=_QUEUE))
