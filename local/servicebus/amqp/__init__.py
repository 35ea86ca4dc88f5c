"""
The part of AMQP 1.0 that a queue broker needs: types, performatives and frames.

Part and section numbers in this package are those of OASIS AMQP 1.0,
docs.oasis-open.org/amqp/core/v1.0.
"""
