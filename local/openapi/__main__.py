"""
`python -m local.openapi`: prints the OpenAPI 3.1 document of the HTTP routes.

Paths, methods and access come from the functions that the app registers, summaries from the
handlers, schemas from the models, errors from the catalogue, examples from `examples/`.
"""

import json
import sys

from local.host.app import AppFunction, load_functions
from local.json_schemas import VERSION, Json
from local.openapi.components import components
from local.openapi.operations import OPERATIONS, TAGS, Operation
from local.stack import ROOT

_DESCRIPTION = """\
Manages the enrollments of one Azure IoT Hub Device Provisioning Service (DPS) instance: DPS's own \
service API at DPS's own paths, and beside it PATCH, the custom-allocation webhook, rejected \
messages and health checks.

A request needs a function key, in the header `x-functions-key` or as `?code=`. In SAS mode DPS's \
own routes take a shared access signature instead."""


def document() -> Json:
    """Returns the OpenAPI document."""
    functions = sorted(
        (function for function in load_functions(ROOT) if function.name in OPERATIONS),
        key=lambda function: function.name,
    )
    paths: dict[str, Json] = {}
    for tag in TAGS:
        for function in functions:
            operation = OPERATIONS[function.name]
            if operation.tag == tag:
                route = "/" + str(function.trigger["route"]).strip("/")
                paths.setdefault(route, {}).update(_path_item(function, operation))
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Enrollment functions for Azure IoT Hub Device Provisioning Service",
            "version": VERSION,
            "description": _DESCRIPTION,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/", "description": "This app."}],
        "tags": [{"name": name, "description": text} for name, text in TAGS.items()],
        "paths": paths,
        "components": components(),
    }


def _path_item(function: AppFunction, operation: Operation) -> Json:
    item: Json = operation.document(function)
    schemes = ["functionKey", "functionKeyInQuery"]
    schemes += ["sharedAccessSignature"] if operation.takes_signature else []
    is_anonymous = function.trigger["authLevel"] == "ANONYMOUS"
    item["security"] = [] if is_anonymous else [{scheme: []} for scheme in schemes]
    methods = [str(method).lower() for method in function.trigger["methods"]]
    first, *others = methods
    # An operation id is unique.
    also = {method: {**item, "operationId": f"{function.name}_{method}"} for method in others}
    return {first: item, **also}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(document(), indent=2, ensure_ascii=False) + "\n")
