"""What a model has against a document, in words that follow the member's name in a sentence."""

from pydantic_core import ErrorDetails

_WORDS = {
    "missing": "is required",
    "extra_forbidden": "is not known here, or does not go with what stands beside it",
    "string_type": "must be a string",
    "string_too_short": "must not be empty",
    "string_too_long": "may have {max_length} characters at most",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "float_type": "must be a number",
    "greater_than_equal": "must be {ge:g} or more",
    "less_than_equal": "must be {le:g} or less",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "list_type": "must be a list",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "too_short": "must not be empty",
    "too_long": "may hold {max_length} values at most",
    "enum": "must be one of {expected}",
}


def in_words(found: ErrorDetails) -> str:
    """One fault; it never repeats a value that was sent."""
    words = _WORDS.get(found["type"])
    return words.format_map(found.get("ctx", {})) if words else found["msg"]
