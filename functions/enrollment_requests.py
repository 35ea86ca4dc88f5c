"""
Service Bus trigger of the enrollment-requests queue: one enrollment or group per message.

Single dispatch, because for a batch the host abandons valid messages together with failed ones. Binary
data, because from text the host lets members of the body overwrite the message's metadata
(Utility.ApplyBindingData in github.com/Azure/azure-functions-host).
"""

import azure.functions as func

from functions.queue_messages import to_message
from functions.runtime import messaging
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
    await messaging().processor.process(to_message(message, queue=_QUEUE))
