"""Goal: the OpenAPI document says what the server does, no more and no less.

Method: the document is validated, compared with the routes in both directions, and what it says
about forms and permissions is compared with the models and the table of permissions.
"""

import re
from typing import Any

import pytest
from aiohttp import web
from openapi_spec_validator import validate

from node.permissions import ROLES
from node.web.openapi import openapi_document
from node.web.operations import OPERATIONS, PREFIX
from node.web.pages import PAGES
from node.web.server import add_operations
from schemas.event_text import event_models


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return openapi_document()


def described(document: dict[str, Any]) -> set[tuple[str, str]]:
    return {
        (method.upper(), path) for path, methods in document["paths"].items() for method in methods
    }


def test_the_document_is_valid_openapi(document: dict[str, Any]) -> None:
    validate(document)


def test_every_route_is_described_and_every_description_has_a_route(
    document: dict[str, Any],
) -> None:
    app = web.Application()
    add_operations(app)
    routed = {
        (route.method, route.resource.canonical)
        for route in app.router.routes()
        if route.resource is not None
        and route.method != "HEAD"
        and route.resource.canonical != f"{PREFIX}/openapi.json"
    }
    assert routed == described(document)


def test_ids_of_operations_are_unique(document: dict[str, Any]) -> None:
    ids = [entry["operationId"] for path in document["paths"].values() for entry in path.values()]
    assert len(ids) == len(set(ids)) == len(OPERATIONS)


def test_every_part_of_a_path_is_a_parameter(document: dict[str, Any]) -> None:
    for path, methods in document["paths"].items():
        for entry in methods.values():
            named = {p["name"] for p in entry["parameters"] if p["in"] == "path"}
            assert named == set(re.findall(r"\{(\w+)\}", path))


def test_every_permission_asked_for_is_in_the_table_and_every_line_is_used() -> None:
    asked = {operation.permission for operation in OPERATIONS} - {None}
    asked |= {page.permission for page in PAGES}
    # Steps of directive.act and data_request.act are chosen by the event in the body.
    steps = {name for name in ROLES if name.startswith(("directive.", "data_request."))}
    assert asked | steps == set(ROLES)


def test_every_change_asks_for_the_csrf_token(document: dict[str, Any]) -> None:
    for methods in document["paths"].values():
        for method, entry in methods.items():
            for needed in entry["security"]:
                assert ("csrf" in needed) == (method != "get")


def test_every_event_is_described_with_its_fields(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    for model in event_models().values():
        assert set(schemas[model.__name__]["properties"]) == set(model.model_fields)


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    names = set(document["components"]["schemas"])
    references = set(re.findall(r"#/components/schemas/(\w+)", repr(document)))
    assert references <= names
