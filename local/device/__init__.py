"""A device that registers with a Device Provisioning Service: python -m local.device --help."""
