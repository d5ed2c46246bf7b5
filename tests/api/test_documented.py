"""The tests' own eyes: an answer that the OpenAPI document does not tell of is seen."""

import json
from types import SimpleNamespace

import pytest

from tests.documented import Undocumented, check

HEADERS = {
    "x-openstack-request-id": "req-1",
    "openstack-api-version": "volume 3.71",
    "content-type": "application/json",
}
TYPE = {"id": "1", "name": "gold", "is_public": True, "description": None}
METADATA = {"os-show_image_metadata": None}


def answer(content=None, status=200, **headers):
    text = "" if content is None else json.dumps(content)
    told = HEADERS | {name.replace("_", "-"): value for name, value in headers.items()}
    return SimpleNamespace(status_code=status, headers=told, content=text.encode(), text=text, json=content)


@pytest.mark.parametrize(
    ("call", "answered"),
    [
        (("GET", "/v3/types/1", None, None), answer({"volume_type": TYPE})),
        (("GET", "/v3/project/types/1", None, None), answer({"volume_type": TYPE})),
        (("HEAD", "/v3/types/1", None, None), answer()),
        (("DELETE", "/v3/types/1", None, None), answer(status=202)),
        (("GET", "/v3/types/1", None, None), answer({"itemNotFound": {"code": 404, "message": "?"}}, 404)),
        (("POST", "/v3/volumes/1/action", json.dumps(METADATA), None), answer({"metadata": {}})),
        (("POST", "/v3/volumes/1/action", '{"os-reserve": null}', None), answer(status=202)),
        (("GET", "/v3/backups?limit=1", None, None), answer({"backups": []})),
    ],
    ids=str,
)
def test_what_is_told_of_passes(call, answered):
    check(*call, answered)


@pytest.mark.parametrize(
    ("call", "answered", "why"),
    [
        (("GET", "/v3/types/1", None, None), answer({"volume_type": TYPE | {"more": 1}}), "more"),
        (("GET", "/v3/types/1", None, None), answer({"volume_type": {"id": "1"}}), "required"),
        (("GET", "/v3/types/1", None, None), answer({"volume_type": TYPE}, 201), "the status is not documented"),
        (("GET", "/v3/types/1", None, None), answer({"volume_type": TYPE}, content_type="text/html"), "text/html"),
        (("GET", "/v3/types/1", None, None), answer({"wrongKey": {"code": 404, "message": "?"}}, 404), "wrongKey"),
        (("DELETE", "/v3/types/1", None, None), answer({}, 202), "there is a body"),
        (("GET", "/v3/nothing", None, None), answer({}), "no call"),
        (("PATCH", "/v3/types/1", None, None), answer({}), "no call"),
        (("POST", "/v3/volumes/1/action", '{"os-reserve": null}', None), answer({}, 202), "there is a body"),
        (("POST", "/v3/volumes/1/action", json.dumps(METADATA), None), answer(status=202), "answered 202"),
        (("GET", "/v3/backups", None, {"odd": "1"}), answer({"backups": []}), "odd"),
    ],
    ids=str,
)
def test_what_is_not_told_of_is_seen(call, answered, why):
    with pytest.raises(Undocumented, match=why):
        check(*call, answered)


def test_a_field_of_a_later_version_is_seen():
    old = answer({"attachment": {}}, openstack_api_version="volume 3.0")
    with pytest.raises(Undocumented):
        check("GET", "/v3/attachments/1", None, None, old)
