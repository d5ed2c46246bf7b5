"""The OpenAPI documents: published as the source has them, valid, whole, and right in every microversion."""

import json

import jsonschema_rs
import pytest
from click.testing import CliRunner

from breezeblock.api import microversions, routes
from breezeblock.api.openapi import operations, served
from breezeblock.cli.main import main
from scripts.openapi_pages import PAGES, text

METHODS = ("get", "post", "put", "patch", "delete")


@pytest.fixture(scope="module")
def newest():
    return served.published()


def operations_of(document):
    return {
        (path, method): told
        for path, methods in document["paths"].items()
        for method, told in methods.items()
        if method in METHODS
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_pages_are_what_the_source_says(page) -> None:
    assert page.read_text() == text(PAGES[page]()), "run make docs"


def test_every_line_of_the_table_is_there(newest) -> None:
    told = operations_of(newest)
    for route in routes.VOLUME_ROUTES:
        operation = told[route.path, route.method.lower()]
        if route.action is not None:
            branches = operation["requestBody"]["content"]["application/json"]["schema"]["oneOf"]
            assert [one["title"] for one in branches].count(route.action) == 1
        assert operation["summary"]


def test_every_handler_says_what_it_answers() -> None:
    vague = [
        f"{route.method} {route.path}"
        for route in [*routes.VOLUME_ROUTES, *routes.IMAGE_ROUTES]
        if "Any" in str(operations.shape_of(route.handler)).partition("[")[0]
    ]
    assert vague == []


def test_operations_have_names_of_their_own(newest) -> None:
    names = [operation["operationId"] for operation in operations_of(newest).values()]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("version", [0, 13, 27, 44, 62, 71])
def test_its_schemas_are_valid_and_none_is_left_over(version) -> None:
    document = served.published(version)
    encoded = json.dumps(document)
    for name, schema in document["components"]["schemas"].items():
        jsonschema_rs.Draft202012Validator({**schema, "components": document["components"]})
        assert f'"#/components/schemas/{name}"' in encoded
    assert document["info"]["version"] == microversions.text(version)


@pytest.mark.parametrize(
    ("version", "known", "required"), [(12, False, False), (13, True, True), (20, True, True)], ids=str
)
def test_a_field_is_there_since_its_version(version, known, required) -> None:
    volume = served.published(version)["components"]["schemas"]["VolumeDetail"]
    assert ("group_id" in volume["properties"]) == known
    assert ("group_id" in volume["required"]) == required
    assert "provider_id" not in volume["required"], "it is for administrators"
    assert volume["additionalProperties"] is False


def test_calls_bodies_and_parameters_are_those_of_the_version() -> None:
    old, new = served.published(0), served.published(71)
    assert "/attachments" not in old["paths"]
    assert "/attachments" in new["paths"]
    volumes = ("/volumes", "post")
    bodies = [
        operations_of(one)[volumes]["requestBody"]["content"]["application/json"]["schema"]["$ref"]
        for one in (old, new)
    ]
    assert [one.rpartition("/")[2] for one in bodies] == ["VolumeCreateBody", "StrictVolumeCreateBody"]
    lists = [{one["name"] for one in operations_of(one)["/volumes", "get"]["parameters"]} for one in (old, new)]
    assert {"with_count", "created_at", "name~"} <= lists[1] - lists[0]
    assert {"name", "sort", "limit", "all_tenants"} <= lists[0]


def test_the_command_prints_it() -> None:
    printed = CliRunner().invoke(main, ["openapi", "--microversion", "3.0"])
    assert json.loads(printed.output) == served.published(0)
    assert json.loads(CliRunner().invoke(main, ["openapi", "--images"]).output) == served.published_images()


def test_the_command_refuses_a_version_that_there_is_not() -> None:
    printed = CliRunner().invoke(main, ["openapi", "--microversion", "3.99"])
    assert printed.exit_code == 1
    assert "Maximum" in printed.output or "maximum" in printed.output
