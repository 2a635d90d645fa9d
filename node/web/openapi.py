"""The OpenAPI 3.1 document, made of the table of operations and the models."""

import re
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from node.permissions import ROLES
from node.web.operation import Operation
from node.web.operations import OPERATIONS, PREFIX
from node.web.problems import Problem
from schemas.event_text import event_models

_PATH_PART = re.compile(r"\{(\w+)\}")
_UPLOAD = {
    "multipart/form-data": {
        "schema": {
            "type": "object",
            "required": ["file"],
            "properties": {"file": {"type": "string", "format": "binary"}},
        }
    }
}


def openapi_document(operations: Sequence[Operation] = OPERATIONS) -> dict[str, Any]:
    """Return the document as JSON data."""
    named: set[type[BaseModel]] = {Problem, *_models(operations), *event_models().values()}
    models = sorted(named, key=_name)
    _, definitions = models_json_schema(
        [(model, "validation") for model in models],
        ref_template="#/components/schemas/{model}",
    )
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        paths.setdefault(PREFIX + operation.path, {})[operation.method.lower()] = _operation(
            operation
        )
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "tiepdan",
            "version": version("tiepdan"),
            "description": "Everything that the pages of a tiepdan node do. Sign in first; send the"
            " CSRF token of the answer as X-CSRF-Token with every change. Mint UUIDv7 ids before"
            " sending and repeat a request whose answer was lost with the same Idempotency-Key.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": definitions["$defs"],
            "securitySchemes": {
                "session": {"type": "apiKey", "in": "cookie", "name": "tiepdan_session_CODE"},
                "csrf": {"type": "apiKey", "in": "header", "name": "X-CSRF-Token"},
            },
        },
    }


def _name(model: type[BaseModel]) -> str:
    return model.__name__


def _models(operations: Sequence[Operation]) -> set[type[BaseModel]]:
    found: set[type[BaseModel]] = set()
    for operation in operations:
        for model in (operation.answer, operation.body):
            if isinstance(model, type):
                found.add(model)
    return found


def _operation(operation: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.id,
        "summary": operation.summary,
        "parameters": [*_path_parameters(operation), *_query_parameters(operation)],
        "responses": {
            "200": {"description": "Success", "content": _answer(operation)},
            "default": {
                "description": "A problem, with a stable code",
                "content": {"application/json": {"schema": _reference(Problem)}},
            },
        },
    }
    if operation.permission is None:
        described["security"] = []
    else:
        needed: dict[str, list[str]] = {"session": []}
        if operation.is_change:
            needed["csrf"] = []
        described["security"] = [needed]
        roles = sorted(role.value for role in ROLES[operation.permission])
        described["x-permission"] = operation.permission
        described["x-roles"] = roles
    if operation.body == "multipart":
        described["requestBody"] = {"required": True, "content": _UPLOAD}
    elif operation.body is not None:
        content = {"application/json": {"schema": _reference(operation.body)}}
        described["requestBody"] = {"required": True, "content": content}
    if operation.is_change:
        described["parameters"].append(
            {
                "name": "Idempotency-Key",
                "in": "header",
                "required": False,
                "description": "The same for a repeated request; its first answer comes again.",
                "schema": {"type": "string", "maxLength": 80},
            }
        )
    return described


def _reference(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{model.__name__}"}


def _answer(operation: Operation) -> dict[str, Any]:
    if isinstance(operation.answer, str):
        return {operation.answer: {"schema": {"type": "string"}}}
    return {"application/json": {"schema": _reference(operation.answer)}}


def _path_parameters(operation: Operation) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in _PATH_PART.findall(operation.path)
    ]


def _query_parameters(operation: Operation) -> list[dict[str, Any]]:
    if operation.query is None:
        return []
    schema = operation.query.model_json_schema()
    return [
        {
            "name": name,
            "in": "query",
            "required": name in schema.get("required", []),
            "schema": _inlined(described, schema.get("$defs", {})),
        }
        for name, described in schema.get("properties", {}).items()
    ]


def _inlined(described: Any, definitions: dict[str, Any]) -> Any:
    """Return a schema with its references replaced: parameters have no place for definitions."""
    if isinstance(described, dict):
        if "$ref" in described:
            return definitions[described["$ref"].rpartition("/")[2]]
        return {name: _inlined(value, definitions) for name, value in described.items()}
    if isinstance(described, list):
        return [_inlined(value, definitions) for value in described]
    return described
