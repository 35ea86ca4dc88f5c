"""A device that registers with DPS; see python -m local.device --help."""
