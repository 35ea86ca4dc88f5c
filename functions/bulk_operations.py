"""Service Bus trigger of the bulk-operations queue: many enrollments or groups per message."""

import azure.functions as func

from functions.queue_messages import to_message
from functions.runtime import messaging
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
    await messaging().processor.process_bulk(to_message(message, queue=_QUEUE))
