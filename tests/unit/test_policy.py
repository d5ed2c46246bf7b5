"""The policy: Cinder's defaults, what policy.yaml changes of them, and when it is read."""

import logging

import pytest

from breezeblock import config
from breezeblock.auth import policy, rules
from breezeblock.auth.policy import Policy
from breezeblock.context import RequestContext
from breezeblock.errors import ConfigError, Forbidden


def who(*roles, **more):
    return RequestContext(**{"user_id": "jo", "project_id": "shop", "roles": roles, **more})


READER, MEMBER, ADMIN = who("reader"), who("member"), who("admin", is_admin=True)


@pytest.fixture
def written(tmp_path, monkeypatch):
    """A policy with these files, looked at by each question."""
    monkeypatch.setattr(policy, "LOOK_SECONDS", 0)

    def make(text=None, conf=""):
        if text is not None:
            (tmp_path / "policy.yaml").write_text(text)
        (tmp_path / "breezeblock.conf").write_text(conf)
        settings = config.load(tmp_path)
        return Policy(settings.conf, settings.data_dir)

    return make


@pytest.mark.parametrize(
    ("context", "persona", "project", "may"),
    [
        (READER, rules.READER, "shop", True),
        (READER, rules.READER, "other", False),
        (READER, rules.MEMBER, "shop", False),
        (MEMBER, rules.MEMBER, "shop", True),
        (MEMBER, rules.MEMBER, "other", False),
        (MEMBER, rules.ADMIN, "shop", False),
        (who("manager", "service"), rules.READER, "shop", False),
        (who(), rules.READER, "shop", False),
        (who("admin"), rules.ADMIN, "other", True),
        (who("admin", is_admin_project=False), rules.ADMIN, "shop", False),
        (ADMIN, rules.MEMBER, "other", True),
    ],
)
def test_the_personas(written, context, persona, project, may):
    policy_of = written()
    names = [name for name, check in rules.RULES.items() if check == persona]
    assert len(names) > 20
    assert {policy_of.allowed(context, name, project) for name in names} == {may}


def test_a_file_changes_rules_and_is_read_again_when_it_changes(written, tmp_path, caplog):
    policy_of = written('"volume:delete": "rule:cleaner"\n"cleaner": "role:cleaner"\n')
    assert policy_of.allowed(who("cleaner"), "volume:delete", "shop")
    assert not policy_of.allowed(ADMIN, "volume:delete", "shop")
    assert policy_of.allowed(MEMBER, "volume:create", "shop")
    assert policy_of.checks["volume:delete"] == "rule:cleaner"
    (tmp_path / "policy.yaml").write_text('"volume:delete": "!"\n')
    assert not policy_of.allowed(who("cleaner"), "volume:delete", "shop")
    with caplog.at_level(logging.ERROR):
        (tmp_path / "policy.yaml").write_text("volume:delete: rule:nothing_of_that_name")
        assert not policy_of.allowed(MEMBER, "volume:delete", "shop")
        assert not policy_of.allowed(MEMBER, "volume:delete", "shop")
    assert [record.message for record in caplog.records].count(caplog.records[-1].message) == 1
    assert "nothing_of_that_name" in caplog.text or "volume:delete" in caplog.text
    (tmp_path / "policy.yaml").unlink()
    assert policy_of.allowed(MEMBER, "volume:delete", "shop")


def test_a_directory_of_files(written, tmp_path):
    (tmp_path / "policy.d").mkdir()
    (tmp_path / "policy.d" / "20.yaml").write_text('"volume:delete": "!"')
    (tmp_path / "policy.d" / ".hidden").write_text("{")
    policy_of = written('"volume:delete": "@"\n"volume:create": "@"')
    assert not policy_of.allowed(ADMIN, "volume:delete", "shop")
    assert policy_of.allowed(who(), "volume:create", "shop")
    (tmp_path / "policy.d" / "20.yaml").write_text("")
    assert policy_of.allowed(who(), "volume:delete", "shop")


def test_who_is_an_administrator(written, monkeypatch):
    monkeypatch.setattr(policy, "_loaded", written('"context_is_admin": "role:operator"'))
    assert policy.with_rights(who("operator")).is_admin
    assert not policy.with_rights(who("admin")).is_admin
    policy.authorize(policy.with_rights(who("operator")), "volume:force_delete")
    with pytest.raises(Forbidden, match=r"Policy doesn't allow volume:create to be performed."):
        policy.authorize(who("stranger"), "volume:create")


def test_a_name_that_several_rules_had(written):
    policy_of = written('"volume_extension:types_manage": "role:types"\n"volume_extension:type_delete": "!"')
    assert policy_of.allowed(who("types"), "volume_extension:type_create", "shop")
    assert not policy_of.allowed(who("types"), "volume_extension:type_delete", "shop")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("volume:get: [", "cannot be read"),
        ("- volume:get", "has to hold names of rules"),
        ("volume:get: 7", "has to hold names of rules"),
        ('"volume:get": "role:a and or"', "volume:get is not a check string: role:a and or"),
        ('"volume:get": "nobody knows"', "volume:get is not a check string"),
        ('"volume:get": "rule:not_there"', "volume:get"),
        ('"a": "rule:b"\n"b": "rule:a"', "each other"),
    ],
)
def test_files_that_are_wrong(written, text, message):
    with pytest.raises(ConfigError, match=message):
        written(text)


def test_a_file_that_is_asked_for_has_to_be_there(written, tmp_path):
    with pytest.raises(ConfigError, match=r"other\.yaml cannot be read"):
        written(conf="[oslo_policy]\npolicy_file = other.yaml\n")
    (tmp_path / "other.yaml").write_text('"volume:get": "!"')
    assert not written(conf="[oslo_policy]\npolicy_file = other.yaml\n").allowed(ADMIN, "volume:get", "shop")


def test_rules_that_mean_nothing_are_told(written, caplog):
    policy_of = written('"volume:gets": "@"\n"volume:update": "user_id:%(user_id)s"')
    assert "volume:gets means nothing here; did you mean volume:get" in caplog.text
    assert "volume:update asks user_id:%(user_id)s of its target" in caplog.text
    assert not policy_of.allowed(ADMIN, "volume:update", "shop")


def test_an_answer_is_worked_out_once(written, monkeypatch):
    asked = []
    ask = policy._ask
    monkeypatch.setattr(policy, "_ask", lambda *question: asked.append(question) or ask(*question))
    policy_of = written()
    for _ in range(1000):
        assert policy_of.allowed(READER, "volume:get", "shop")
        assert not policy_of.allowed(READER, "volume:delete", "shop")
    assert len(asked) == 2
    monkeypatch.setattr(policy, "MOST_ANSWERS", 2)
    assert policy_of.allowed(who("reader", user_id="bo"), "volume:get", "shop")
    assert policy_of.allowed(READER, "volume:get", "shop")
    assert len(asked) == 4


def test_an_answer_from_outside_is_asked_for_each_time(written, monkeypatch):
    """A remote check may answer otherwise the next time. This one has nobody to ask: refused, as oslo.policy has it."""
    policy_of = written('"volume:get": "http://127.0.0.1:9/policy"')
    assert policy_of._loaded.answers is None
    assert policy_of.allowed(MEMBER, "volume:create", "shop")


def test_a_rule_that_is_not_there_is_a_defect(written):
    with pytest.raises(LookupError):
        written().allowed(ADMIN, "volume:nothing", "shop")
