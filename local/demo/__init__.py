"""
The demo: real clients, the app and its stand-ins, end to end on this machine.

`python -m local.demo` starts all services on free ports, sends the files of `examples/` with
Microsoft's SDKs for DPS and Service Bus and with plain HTTP, checks every response, and prints one
row per step.
"""
