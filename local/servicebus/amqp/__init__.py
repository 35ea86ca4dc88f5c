"""AMQP 1.0 as far as a broker of queues needs it: values, performatives, frames, messages.

Part and section numbers in this package are those of OASIS AMQP 1.0,
docs.oasis-open.org/amqp/core/v1.0.
"""
