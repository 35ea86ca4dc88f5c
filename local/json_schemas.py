"""JSON Schemas of models, as OpenAPI and AsyncAPI documents hold them."""

import tomllib
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

Json = dict[str, Any]

_PROJECT = Path(__file__).parents[1] / "pyproject.toml"
VERSION: str = tomllib.loads(_PROJECT.read_text())["project"]["version"]
"""The version of the app and of its documents."""


def ref(*steps: str) -> Json:
    """Returns a reference to another node of the document."""
    return {"$ref": "#/" + "/".join(steps)}


def model_schemas(models: list[type[BaseModel]]) -> Json:
    """Returns the schemas of the models and of the models in them, for `components/schemas`."""
    _, schema = models_json_schema(
        [(model, "validation") for model in models],
        ref_template="#/components/schemas/{model}",
    )
    definitions: Json = _simplify(schema["$defs"])
    return definitions


def _simplify(node: Any) -> Any:
    """Removes titles, which repeat names, and null defaults."""
    if isinstance(node, list):
        return [_simplify(item) for item in node]
    if not isinstance(node, dict):
        return node
    removed = {"title"} if isinstance(node.get("title"), str) else set()
    removed |= {"default"} if "default" in node and node["default"] is None else set()
    return {name: _simplify(child) for name, child in node.items() if name not in removed}
