"""The image-volume cache for administrators: list, show, prefetch, pin, unpin, evict; and what one sees of a wait."""

import threading

import msgspec
import pytest

from breezeblock.config import DEFAULT_PROJECT
from breezeblock.context import RequestContext
from breezeblock.db import operations

BACKEND = "localhost@one"
CONTENT = b"image " * 1000
GONE = "0b3d8b1e-0000-4000-8000-00000000000f"
ADMIN = RequestContext(user_id="admin", project_id=DEFAULT_PROJECT, is_admin=True)


def import_image(api, name="cirros"):
    posted = api.post(
        "/image/v2/images", {"name": name, "disk_format": "raw", "container_format": "bare"}, version=None
    )
    image_id = posted.json["id"]
    content = {"Content-Type": "application/octet-stream"}
    sent = api.call("PUT", f"/image/v2/images/{image_id}/file", CONTENT, version=None, headers=content)
    assert sent.status_code == 204, sent.text
    return image_id


def prefetch(api, image, **more):
    return api.post("/v3/image-cache", {"prefetch": {"image_id": image, **more}})


def prefetched(api, image, **more):
    """The entry, once it is whole."""
    entry = prefetch(api, image, **more).json["image_cache_entry"]
    api.cloud.settled(entry["id"])
    return api.get(f"/v3/image-cache/{entry['id']}").json["image_cache_entry"]


def listed(api, query=""):
    return api.get(f"/v3/image-cache{query}").json["image_cache"]


@pytest.fixture
def image(api):
    api.cloud.backend = msgspec.structs.replace(api.cloud.backend, images=api.catalog)
    return import_image(api)


def test_prefetch_then_a_volume_is_a_clone(api, image):
    with api.cloud.running():
        asked = prefetch(api, "cirros")
        assert asked.status_code == 202
        entry = asked.json["image_cache_entry"]
        assert (entry["image_id"], entry["backend"], entry["status"]) == (image, BACKEND, "filling")
        operation = api.get(f"/v3/operations/{entry['operation_id']}").json["operation"]
        assert (operation["kind"], operation["resource_id"]) == ("fill_image_cache", entry["id"])
        api.cloud.settled(entry["id"])
        volume = api.post("/v3/volumes", {"volume": {"size": 1, "imageRef": image}}).json["volume"]["id"]
        assert api.cloud.settled(volume).state == "succeeded"
    (entry,) = listed(api)
    assert entry["status"] == "cached"
    assert (entry["image_name"], entry["size"], entry["pinned"], entry["operation_id"]) == ("cirros", 1, False, None)
    assert entry["progress"] is None
    hits = [event.type for event in api.cloud.events() if event.resource_type == "image"]
    assert hits == ["image_volume_cache.hit"]


def test_prefetch_of_what_is_there_fetches_nothing(api, image):
    with api.cloud.running():
        entry = prefetched(api, image)
        again = prefetch(api, image, pinned=True).json["image_cache_entry"]
    assert again == entry | {"pinned": True}
    assert len(api.cloud.operations(entry["id"])) == 1


def test_prefetch_of_what_is_being_fetched_is_the_same_fetch(api, image):
    first, second = (prefetch(api, image).json["image_cache_entry"] for _ in range(2))
    assert first["operation_id"] == second["operation_id"]
    assert first["progress"] == {"bytes_done": 0, "bytes_total": None, "rate": None, "seconds_left": None}


def test_pinned_is_not_evicted(api, image):
    with api.cloud.running():
        entry = prefetched(api, image, pinned=True)
        path = f"/v3/image-cache/{entry['id']}"
        refused = api.delete(path)
        assert (refused.status_code, "is pinned" in refused.text) == (409, True)
        assert api.post(f"{path}/action", {"unpin": None}).status_code == 202
        assert api.get(path).json["image_cache_entry"]["pinned"] is False
        assert api.post(f"{path}/action", {"pin": None}).status_code == 202
        assert api.delete(path).status_code == 409
        api.post(f"{path}/action", {"unpin": None})
        assert api.delete(path).status_code == 202
        api.cloud.settled(entry["id"])
    assert listed(api) == []
    assert list(api.cloud.driver.list_objects()) == []
    assert [one.type for one in api.cloud.events() if one.resource_type == "image"] == ["image_volume_cache.evict"]
    api.cloud.check_pairs()


def test_what_is_being_filled_is_not_evicted_but_cancelled(api, image):
    entry = prefetch(api, image).json["image_cache_entry"]
    refused = api.delete(f"/v3/image-cache/{entry['id']}")
    assert (refused.status_code, entry["operation_id"] in refused.text) == (409, True)
    api.post(f"/v3/operations/{entry['operation_id']}/action", {"cancel": None})
    with api.cloud.running():
        assert api.cloud.settled(entry["id"]).state == "cancelled"
    assert listed(api) == []


def test_an_eviction_waits_for_the_clone_that_is_being_made(api, image, monkeypatch):
    reached, go = threading.Event(), threading.Event()
    clone = api.cloud.driver.create_cloned_volume

    def held(*arguments):
        reached.set()
        assert go.wait(30)
        return clone(*arguments)

    monkeypatch.setattr(api.cloud.driver, "create_cloned_volume", held)
    with api.cloud.running():
        entry = prefetched(api, image)
        volume = api.post("/v3/volumes", {"volume": {"size": 1, "imageRef": image}}).json["volume"]["id"]
        assert reached.wait(30)
        assert api.delete(f"/v3/image-cache/{entry['id']}").status_code == 202
        assert f"volume-{entry['id']}" in list(api.cloud.driver.list_objects())
        go.set()
        assert api.cloud.settled(volume).state == "succeeded"
        api.cloud.settled(entry["id"])
    with api.cloud.driver.open_volume(api.cloud.volume(volume)) as source:
        assert source.pread(len(CONTENT), 0) == CONTENT
    assert list(api.cloud.driver.list_objects()) == [f"volume-{volume}"]


def test_lists_are_filtered(api, image):
    other = import_image(api, "other")
    with api.cloud.running():
        prefetched(api, image)
        prefetched(api, other)
    assert {one["image_id"] for one in listed(api)} == {image, other}
    assert [one["image_id"] for one in listed(api, f"?image_id={other}&backend={BACKEND}")] == [other]
    assert listed(api, "?backend=nowhere") == []
    assert api.get("/v3/image-cache?size=1").status_code == 400


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        ({"image_id": GONE}, "unable to access requested image"),
        ({"image_id": "cirros", "backend": "nowhere@one"}, "There is no backend nowhere@one"),
        ({"backend": BACKEND}, "image_id"),
        ({"image_id": "cirros", "pinned": "perhaps"}, "not a boolean"),
    ],
)
def test_what_cannot_be_fetched_is_refused(api, image, wanted, told):
    answer = api.post("/v3/image-cache", {"prefetch": wanted})
    assert (answer.status_code, told in answer.text) == (400, True), answer.text
    assert listed(api) == []


def test_an_unknown_entry(api):
    for answer in (
        api.get(f"/v3/image-cache/{GONE}"),
        api.delete(f"/v3/image-cache/{GONE}"),
        api.post(f"/v3/image-cache/{GONE}/action", {"pin": None}),
    ):
        assert answer.status_code == 404


def test_only_administrators(api_as):
    api = api_as("member")
    for answer in (
        api.get("/v3/image-cache"),
        api.post("/v3/image-cache", {"prefetch": {"image_id": GONE}}),
        api.delete(f"/v3/image-cache/{GONE}"),
        api.post(f"/v3/image-cache/{GONE}/action", {"pin": None}),
    ):
        assert answer.status_code == 403


def test_one_that_waits_is_as_far_as_what_it_waits_for(api, image):
    """Its own project sees it, though the fetch belongs to the internal tenant."""
    entry = prefetch(api, image).json["image_cache_entry"]
    volume = api.post("/v3/volumes", {"volume": {"size": 1, "imageRef": image}}).json["volume"]["id"]
    (operation,) = api.cloud.operations(volume)
    waits = {"waiting": "waits", "waits_for": entry["operation_id"]}
    with api.cloud.database.begin() as connection:
        operations.update(connection, operation.id, state="running", **waits)
        operations.update(
            connection, entry["operation_id"], state="running", bytes_done=250, bytes_total=1000, rate=100.0
        )
    (shown,) = api.get(f"/v3/operations?resource_id={volume}").json["operations"]
    assert (shown["waits_for"], shown["waiting"]) == (entry["operation_id"], "waits")
    progress = {"bytes_done": 250, "bytes_total": 1000, "rate": 100.0, "seconds_left": 7.5}
    assert shown.items() >= progress.items()
    assert api.get(f"/v3/operations/{operation.id}").json["operation"] == shown
    assert listed(api)[0]["progress"] == progress


@pytest.mark.parametrize(
    ("values", "left"),
    [
        ({"state": "running", "bytes_total": 100, "bytes_done": 50, "rate": 10.0}, 5.0),
        ({"state": "running", "bytes_total": 100, "bytes_done": 120, "rate": 10.0}, 0.0),
        ({"state": "running", "bytes_total": 100, "bytes_done": 50, "rate": 0.0}, None),
        ({"state": "running", "bytes_total": None, "bytes_done": 50, "rate": 10.0}, None),
        ({"state": "succeeded", "bytes_total": 100, "bytes_done": 50, "rate": 10.0}, None),
    ],
)
def test_time_left(api, values, left):
    volume = api.post("/v3/volumes", {"volume": {"size": 1}}).json["volume"]["id"]
    (operation,) = api.cloud.operations(volume)
    with api.cloud.database.begin() as connection:
        operations.update(connection, operation.id, **values)
    assert api.get(f"/v3/operations/{operation.id}").json["operation"]["seconds_left"] == left
