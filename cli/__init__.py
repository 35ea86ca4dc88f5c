"""
The command line: from a spreadsheet to enrollments in DPS, over the app's HTTP routes.

`python -m cli` runs on the operator's machine. It is not deployed and the app never imports it.
"""
