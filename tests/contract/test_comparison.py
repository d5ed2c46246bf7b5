"""The comparison sees what it is there for."""

import pytest

from tests.contract.comparison import differences, kinds_of
from tests.contract.shape import shape_of

VOLUME = {"id": "0f0f0f0f-0000-4000-8000-000000000001", "size": 1, "group_id": None, "bootable": "false"}


def step(body, **more):
    return {"step": "GET /volumes/<id>", "status": 200, "body": shape_of(body)} | more


def found(theirs, ours, *others):
    known = kinds_of([[step(theirs), *(step(other) for other in others)]])
    return [place for _, place, _ in differences([step(theirs)], [step(ours)], known)]


@pytest.mark.parametrize(
    ("changed", "place"),
    [
        ({"size": "1"}, "volume.size"),
        ({"size": None}, "volume.size"),
        ({"bootable": False}, "volume.bootable"),
        ({"bootable": "False"}, "volume.bootable"),
        ({"id": "volume-1"}, "volume.id"),
        ({"more": 1}, "volume.more"),
    ],
)
def test_a_body_that_differs(changed, place):
    assert found({"volume": VOLUME}, {"volume": VOLUME | changed}) == [place]


def test_a_key_that_is_not_there():
    assert found({"volume": VOLUME}, {"volume": {key: VOLUME[key] for key in VOLUME.keys() - {"size"}}}) == [
        "volume.size"
    ]


def test_null_is_taken_only_where_cinder_gives_both():
    with_group = {"volume": VOLUME | {"group_id": VOLUME["id"]}}
    assert found({"volume": VOLUME}, with_group) == ["volume.group_id"]
    assert found({"volume": VOLUME}, with_group, {"volumes": [VOLUME, with_group["volume"]]}) == []


def test_a_list_that_is_empty():
    assert found({"volumes": [VOLUME]}, {"volumes": []}) == ["volumes[]"]
    assert found({"volumes": []}, {"volumes": [VOLUME]}, {"volumes": [VOLUME]}) == ["volumes[]"]


def test_status_fault_values_and_ends():
    theirs = {"step": "x", "status": 400, "fault": "badRequest", "values": {"a": 1}, "ends": {"b": "400", "c": "500"}}
    for more, place in (
        ({"status": 404}, "status"),
        ({"fault": "itemNotFound"}, "fault"),
        ({"values": {"a": 2}}, "values a"),
        ({"ends": {"b": "200", "c": "400"}}, "ends b"),
        ({"step": "y"}, "step"),
    ):
        assert [at for _, at, _ in differences([theirs], [theirs | more], {})] == [place]
    assert [at for _, at, _ in differences([theirs], [], {})] == ["step"]


def test_where_cinder_fails_any_answer_but_a_failure_is_right():
    failed = {"step": "x", "status": 500, "fault": "computeFault"}
    assert list(differences([failed], [{"step": "x", "status": 400, "fault": "badRequest"}], {})) == []
