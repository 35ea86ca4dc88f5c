"""The DPS service API: a client, its records, and their models."""

from shared.dps.client import DpsClient
from shared.dps.context import CallContext
from shared.dps.responses import Record
