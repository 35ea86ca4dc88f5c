"""The main job end to end on this machine: real clients, the app, and the stand-ins around it.

`python -m local.demo` starts all of it on free ports, sends the files of `examples/` through
Microsoft's own SDKs for DPS and Service Bus and plain HTTP, checks every answer, and prints one row
for each step.
"""
