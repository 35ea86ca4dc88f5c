"""Rejected messages: listed, replayed and discarded by operators."""
