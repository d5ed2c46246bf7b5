"""What differs on purpose: each has its row in docs/differences.md, and stays here only while it is met."""

import re
from dataclasses import dataclass
from pathlib import Path

DIFFERENCES = Path(__file__).parents[2] / "docs" / "differences.md"


@dataclass(frozen=True)
class Exemption:
    """Differences at these places of these steps stand for the row that begins with `row`.

    `scenario`, `step` and `place` are regular expressions that have to match whole.
    """

    row: str
    scenario: str
    step: str = ".*"
    place: str = ".*"
    said: str = ".*"

    def covers(self, scenario: str, step: str, place: str, said: str) -> bool:
        """Whether a difference is of this kind."""
        parts = ((self.scenario, scenario), (self.step, step), (self.place, place), (self.said, said))
        return all(re.fullmatch(pattern, text, re.DOTALL) for pattern, text in parts)


def rows() -> set[str]:
    """The first cells of the table of docs/differences.md."""
    lines = DIFFERENCES.read_text().splitlines()
    return {line.split(" | ")[0].removeprefix("| ") for line in lines if line.startswith("| ")}


FILTERS = (
    "user_id snapshot_id id description display_name size volume_size status created_at updated_at project_id "
    "group_id volume_id group_type glance_metadata volume_type_id multiattach source_volid encryption_key_id host"
).replace(" ", "|")
"""Filters that everybody may use here."""

REFUSED = "Cinder 400 badRequest, ours (2..|404 itemNotFound)"
EITHER = "Cinder (400 badRequest, ours 404 itemNotFound|404 itemNotFound, ours 400 badRequest)"
TAKEN = "Cinder (404 itemNotFound|2..), ours 400 badRequest"

EXEMPTIONS: list[Exemption] = [
    # versions, paths, kinds of bodies
    Exemption("`OpenStack-API-Version` that does not name this service", r"protocol\.microversions", place="status"),
    Exemption("a version below 3.0 (406)", r"protocol\.microversions", r".*volume 2\.0.*", "headers .*"),
    Exemption("`GET /v3`", r"protocol\.versions", "GET /v3 .*", "status"),
    Exemption("a body whose `Content-Type` is empty", r"protocol\.media", r".*\(none\)", "status"),
    Exemption(
        "unknown path (one that ends in `/`, too), unknown method",
        ".*",
        place="(fault|headers .*|ends .*)",
        said=r"Cinder (None|text/html|404), ours ('?The resource could not.*|itemNotFound.*|None|405 badMethod|'.*)",
    ),
    # bodies
    Exemption(
        "a field that is null, a boolean that is the number 0 or 1",
        ".*",
        place="ends (null|zero|one|so)",
        said=REFUSED,
    ),
    Exemption(
        "a limit of `PUT /os-quota-sets/{project}` that is text",
        r"administration\.quotas",
        place="(ends one as text|status)",
    ),
    Exemption(
        "a description, or what stands for one, with a line break", ".*", place="ends (a newline|so)", said=REFUSED
    ),
    Exemption("the body `null` of an action", ".*", r"POST .*/action.* as a whole\)", "ends null"),
    Exemption(
        "a bad value together with an id that is not there",
        r"groups\.(bodies|consistency)|snapshots\.actions|backups\.actions|volumes\.bodies",
        r".*\((group\.(group_type|availability_zone)|.*reset_status\.status|volume\.(size|imageRef|image_id|multiattach)"
        r"|consistencygroup.*)\)",
        "ends .*",
        EITHER,
    ),
    Exemption(
        "a bad value together with an id that is not there",
        r"volume_actions\.(retype_and_migrate|statuses|manage)",
        r".*\((os-migrate_volume( as a whole|\..*)|os-reset_status\..*|snapshot\.ref)\)",
        "ends .*",
        EITHER,
    ),
    Exemption(
        "a value that Cinder does not look at: a connector that is text, an empty `progress`",
        r"volume_actions\.(attaching_bodies|retype_and_migrate)|snapshots\.actions",
        r".*(connector|attachment_id|os-migrate_volume_completion\.error|progress)\)",
        "ends .*",
        TAKEN,
    ),
    Exemption(
        "a name or zone of a consistency group that is too long, or no text",
        r"groups\.consistency",
        r".*\((consistencygroup\.availability_zone|cgsnapshot\.(name|description))\)",
        "ends .*",
        TAKEN,
    ),
    # lists
    Exemption("filters in lists for those who are no administrators", ".*", rf"GET .*[?&](({FILTERS})~?|\w+~)=.*"),
    Exemption("an unknown filter in a list, by an administrator", ".*", "GET .*(no_such|extra_specs)=.* as admin.*"),
    Exemption(
        "a filter that a list does not know before 3.31 (`consumes_quota`: 3.65)",
        "(groups|administration|volumes).*",
        r"GET /(groups|messages|volumes\?consumes_quota).*",
    ),
    Exemption("`with_count`", ".*", "GET .*with_count.*"),
    Exemption("sort keys", ".*", "GET .*sort(_key)?=.*", "status"),
    Exemption(
        "`limit`, `marker`, `sort` and filters of transfers on the old path, and on the new one before 3.59",
        r"transfers\.life",
        r"GET /(os-volume-transfer|volume-transfers)(/detail)?\?.*",
    ),
    Exemption(
        "`limit` of lists before they had pages (messages 3.5, group snapshots 3.29)",
        r"administration\.messages|groups\.life",
        "GET .*limit=.*@3.(3|4|28)",
    ),
    Exemption("`GET /attachments?status=`", r"attachments\.life", "GET .*status=reserved.*"),
    # resources
    Exemption("`GET /messages`", r"administration\.messages", "GET /messages.*", r"messages\[\]"),
    Exemption("`PUT /os-services/failover` (3.26)", r"administration\.services", "PUT /os-services/failover .*"),
    Exemption(
        "what a pool is capable of, in `get_pools` and `capabilities`",
        r"administration\.pools",
        place=r"pools\[\]\.capabilities\..*|pool_name",
    ),
    Exemption("connection information", ".*", place=r".*connection_info\..*"),
    Exemption("`GET /types/default`", r"types\..*", "GET /types/default.*", ".*is_public"),
    Exemption(
        "the volume type in the answer to `os-volume_upload_image`", r"volume_actions\.upload", place=r".*extra_specs"
    ),
    Exemption("`GET /volumes/{id}/metadata` from 3.15 on", r"volumes\.metadata", place="headers content-type"),
    Exemption("a change of metadata with another Etag (412)", r"volumes\.metadata", ".*If-Match.*", "fault|headers .*"),
    Exemption("`PUT /group_types/{id}` with an empty name", r"groups\.types", "PUT .*name.*", "status"),
    Exemption("`POST /volumes` with `source_replica`", r"volumes\.sources", ".*source_replica.*"),
    Exemption(
        "`GET /volumes/{id}/encryption/{key}` of what is not there", r"volume_actions\.encryption", place="status"
    ),
    Exemption(
        "a call that policy refuses, on another project's id or with what is wrong otherwise",
        ".*",
        place="status",
        said="Cinder (404|400), ours 403.*",
    ),
    Exemption(
        "the status in the answer to `POST`, `PUT /attachments` with a connector",
        r"attachments\.life",
        "(POST|PUT) .*",
        "values attachment.status",
    ),
    Exemption("`POST /volumes` with `backup_id`", r"backups\.life", place=r"volume\.metadata.*"),
    Exemption(
        "deleting an attachment that a server uses, `os-detach` and `os-terminate_connection` of it",
        r"volume_actions\.attaching",
        ".*(os-detach|os-force_detach).*",
        "status",
    ),
]
