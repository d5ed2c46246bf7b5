"""What cannot be done to one volume of a group alone."""

import pytest


@pytest.mark.parametrize(
    ("action", "says"),
    [
        ({"os-migrate_volume": {"host": "elsewhere@one#one"}}, "be part of a group"),
        ({"os-retype": {"new_type": "other"}}, "consistency group"),
        ({"os-unmanage": {}}, "belong to a group"),
    ],
)
def test_a_volume_of_a_group_is_not_moved_alone(api, action, says):
    api.post("/v3/types", {"volume_type": {"name": "other"}})
    with api.cloud.running():
        volume = api.cloud.made(size=1)
        if "os-migrate_volume" in action:
            with api.cloud.database.begin() as connection:
                connection.exec_driver_sql("UPDATE volumes SET host = 'elsewhere@gone#gone'")
            action = {"os-migrate_volume": {"host": api.cloud.backend.name}}
        with api.cloud.database.begin() as connection:
            connection.exec_driver_sql("UPDATE volumes SET group_id = 'group'")
        answer = api.post(f"/v3/volumes/{volume.id}/action", action)
        assert answer.status_code == 400
        assert says in answer.json["badRequest"]["message"]
        with api.cloud.database.begin() as connection:
            connection.exec_driver_sql("UPDATE volumes SET group_id = NULL")
        assert api.post(f"/v3/volumes/{volume.id}/action", action).status_code == 202
