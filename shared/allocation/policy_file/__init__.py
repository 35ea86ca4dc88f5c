"""The policy file: its format, its validation and the policies compiled from it."""
