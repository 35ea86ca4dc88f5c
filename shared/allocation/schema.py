"""The JSON Schema of the policy file, for editors; the app itself reads the models."""

from typing import Any

from shared.allocation.language import PolicyFile


def schema() -> dict[str, Any]:
    """The JSON Schema of the policy file."""
    found: dict[str, Any] = _tidied(PolicyFile.model_json_schema())
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Allocation policies",
        **found,
    }


def _tidied(node: Any) -> Any:
    """
    Closes objects whose names have a form, and leaves out titles that repeat a name and defaults
    that only say "left out".
    """
    if isinstance(node, list):
        return [_tidied(item) for item in node]
    if not isinstance(node, dict):
        return node
    noise = {"title"} if isinstance(node.get("title"), str) else set()
    noise |= {"default"} if "default" in node and not node["default"] else set()
    closed = {"additionalProperties": False} if "patternProperties" in node else {}
    return closed | {name: _tidied(child) for name, child in node.items() if name not in noise}
