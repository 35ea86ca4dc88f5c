"""The main job end to end on this machine: real clients, the app, and the DPS stand-in behind it.

`python -m local.demo` starts both on free ports, sends the files of `examples/` through Microsoft's
own DPS SDK and plain HTTP, checks every answer, and prints one row for each step.
"""
