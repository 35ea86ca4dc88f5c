"""Requests that come as messages, what becomes of them, and the queues they travel through."""
