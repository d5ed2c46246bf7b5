"""`breezeblock policy list`."""

import json

from click.testing import CliRunner

from breezeblock.api import routes
from breezeblock.auth import rules
from breezeblock.cli.policy import command


def listed(tmp_path, *options):
    result = CliRunner().invoke(command, ["list", "--data-dir", str(tmp_path), *options])
    assert result.exit_code == 0, result.output
    return result.output


def test_each_rule_with_its_calls(tmp_path):
    (tmp_path / "policy.yaml").write_text('"volume:delete": "role:cleaner"\n"cleaners": "role:x"\n')
    found = {rule["rule"]: rule for rule in json.loads(listed(tmp_path, "--json"))}
    assert found.keys() == {*rules.RULES, "cleaners"}
    assert found["volume:delete"] == {
        "rule": "volume:delete",
        "check": "role:cleaner",
        "default": rules.MEMBER,
        "overridden": True,
        "calls": ["DELETE /v3/{project_id}/volumes/{id}"],
    }
    assert not found["volume:get"]["overridden"]
    assert found["volume:extend"]["calls"] == ["POST /v3/{project_id}/volumes/{id}/action os-extend"]
    guarded = [call for rule in found.values() for call in rule["calls"]]
    assert len(guarded) == sum(route.policy is not None for route in [*routes.VOLUME_ROUTES, *routes.IMAGE_ROUTES])


def test_for_people(tmp_path):
    lines = listed(tmp_path).splitlines()
    assert lines[0].split() == ["rule", "check", "overridden", "calls"]
    assert any("volume:get" in line for line in lines)


def test_a_policy_that_is_wrong(tmp_path):
    (tmp_path / "policy.yaml").write_text('"volume:delete": "rule:nowhere"\n')
    result = CliRunner().invoke(command, ["list", "--data-dir", str(tmp_path)])
    assert result.exit_code == 78
    assert "volume:delete" in result.output
