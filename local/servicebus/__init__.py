"""
A broker that stands in for Azure Service Bus queues: unmodified SDKs connect to it on loopback.

    with in_thread(Broker(BrokerOptions(port=0))) as broker:
        client = ServiceBusClient.from_connection_string(broker.connection_string)

It speaks AMQP 1.0 without TLS, as SDKs do for `UseDevelopmentEmulator=true`. It has no topics,
transactions, WebSockets, administration API or auto-forwarding, and keeps everything in memory.
"""

from local.servicebus.broker import Broker
from local.servicebus.faults import Step
from local.servicebus.options import BrokerOptions, QueueOptions
from local.servicebus.resources import QueueCounts, Statistics
