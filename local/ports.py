"""The ports of the stand-ins, as the environment names them."""

import os
import re

HIGHEST = 65535


def port(name: str, default: int) -> int:
    """The port that the variable `name` holds, or `default`; ValueError says what is wrong with it."""
    # The stand-ins are not the app: shared/settings knows nothing of their ports.
    text = os.environ.get(name, "").strip()  # noqa: TID251
    try:
        return port_number(text) if text else default
    except ValueError as error:
        raise ValueError(f"{name} must be {error}, not {text!r}") from error


def port_number(text: str) -> int:
    """The port that `text` names; ValueError says what it should be."""
    if not re.fullmatch("[0-9]{1,5}", text) or int(text) > HIGHEST:
        raise ValueError(f"a port between 0 and {HIGHEST}")
    return int(text)
