"""Service Bus messages: requests, their processing, their results, and rejected messages."""
