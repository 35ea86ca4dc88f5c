"""Service Bus messages: requests, their processing and settlement, results and rejected messages."""
