"""Azure Functions triggers: HTTP routes and Service Bus queues."""
