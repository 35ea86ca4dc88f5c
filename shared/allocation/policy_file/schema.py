"""The JSON Schema of the policy file, for editors; the app validates with the models."""

from typing import Any

from shared.allocation.policy_file.models import PolicyFile


def create_schema() -> dict[str, Any]:
    """Returns the JSON Schema of the policy file."""
    schema: dict[str, Any] = _tidy(PolicyFile.model_json_schema())
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Allocation policies",
        **schema,
    }


def _tidy(node: Any) -> Any:
    """Closes objects with `patternProperties`, and removes titles and empty defaults."""
    if isinstance(node, list):
        return [_tidy(item) for item in node]
    if not isinstance(node, dict):
        return node
    removed = {"title"} if isinstance(node.get("title"), str) else set()
    removed |= {"default"} if "default" in node and not node["default"] else set()
    closed = {"additionalProperties": False} if "patternProperties" in node else {}
    return closed | {name: _tidy(child) for name, child in node.items() if name not in removed}
