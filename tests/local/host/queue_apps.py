"""Toy apps that take messages from queues, as source text."""

APP = """
seen, gate = [], asyncio.Event()

@app.service_bus_queue_trigger(
    arg_name="message", queue_name="QUEUE", connection="ServiceBus",
    data_type=func.DataType.BINARY, auto_complete_messages=COMPLETES,
)
DEF consume(message: func.ServiceBusMessage) -> None:
    seen.append((message.get_body(), message.delivery_count))
    BODY
"""
FAIL = 'raise ValueError("not today")'
WAIT = "await gate.wait()"


def queue_app(body="pass", *, queue="work", completes=None, sync=False):
    """A toy app with one function that does what `body` says with each message."""
    words = {"QUEUE": queue, "COMPLETES": str(completes), "BODY": body}
    words["DEF"] = "def" if sync else "async def"
    source = APP
    for word, text in words.items():
        source = source.replace(word, text)
    return source


def host_json(**options):
    """A host.json whose `extensions.serviceBus` holds `options`, each value as JSON text."""
    members = ", ".join(f'"{name}": {value}' for name, value in options.items())
    return f'{{"version": "2.0", "extensions": {{"serviceBus": {{{members}}}}}}}'
