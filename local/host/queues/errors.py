"""Why a function gets no messages."""


class NotFedError(Exception):
    """The trigger cannot be fed by this host; the text says why, without any value of a setting."""
