"""The triggers: a file without an underscore holds what the app answers to."""
