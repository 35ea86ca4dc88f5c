"""The Service Bus trigger for many enrollments or groups a message."""

import azure.functions as func

from functions import _messages
from functions._on_demand import handling
from shared.settings import input_queues

_QUEUE = input_queues().bulk_operations

blueprint = func.Blueprint()


@blueprint.function_name("bulk_operations")
@blueprint.service_bus_queue_trigger(
    arg_name="message",
    queue_name=_QUEUE,
    connection="ServiceBus",
    data_type=func.DataType.BINARY,
)
async def bulk_operations(message: func.ServiceBusMessage) -> None:
    await handling.bulk_request(_messages.read(message, queue=_QUEUE))
