"""Who may do what: Cinder's rule names, and the role that each needs by default.

Roles imply one another: admin is a member, a member is a reader. A rule other than an admin's also needs that the
target lies in the caller's project; resources are looked up within the project anyway, so that another project's id
is simply not found.
"""

from collections.abc import Iterable

from breezeblock.context import RequestContext
from breezeblock.errors import Forbidden

READER = frozenset({"reader", "member", "admin"})
MEMBER = frozenset({"member", "admin"})
ADMIN = frozenset({"admin"})


def _rules(roles: frozenset[str], names: str) -> Iterable[tuple[str, frozenset[str]]]:
    return ((name, roles) for name in names.split())


RULES: dict[str, frozenset[str]] = dict(
    [
        *_rules(
            READER,
            "volume:get volume:get_all volume:get_volume_metadata volume:get_snapshot volume:get_all_snapshots "
            "volume:get_snapshot_metadata volume_extension:volume_tenant_attribute "
            "volume_extension:volume_image_metadata:show volume_extension:volume_encryption_metadata "
            "volume_extension:extended_snapshot_attributes backup:get backup:get_all "
            "volume_extension:type_get volume_extension:type_get_all volume_extension:access_types_extra_specs "
            "volume_extension:types_extra_specs:index volume_extension:types_extra_specs:show "
            "volume_extension:quotas:show limits_extension:used_limits "
            "volume:attachment_get breezeblock:event_get breezeblock:operation_get breezeblock:replication_get "
            "image:get_images",
        ),
        *_rules(
            MEMBER,
            "volume:create volume:create_from_image volume:update volume:delete volume:extend "
            "volume:extend_attached_volume volume:update_readonly_flag volume:multiattach "
            "volume:create_volume_metadata volume:update_volume_metadata volume:delete_volume_metadata "
            "volume_extension:volume_image_metadata:set volume_extension:volume_image_metadata:remove "
            "volume_extension:volume_actions:reserve volume_extension:volume_actions:unreserve "
            "volume_extension:volume_actions:attach volume_extension:volume_actions:detach "
            "volume_extension:volume_actions:begin_detaching volume_extension:volume_actions:roll_detaching "
            "volume_extension:volume_actions:initialize_connection "
            "volume_extension:volume_actions:terminate_connection volume:multiattach_bootable_volume "
            "volume_extension:volume_actions:upload_image "
            "volume:revert_to_snapshot volume:reimage volume:reimage_reserved "
            "volume:create_snapshot volume:update_snapshot volume:delete_snapshot "
            "volume:update_snapshot_metadata volume:delete_snapshot_metadata "
            "volume:attachment_create volume:attachment_update volume:attachment_delete volume:attachment_complete "
            "backup:create backup:update backup:delete backup:restore "
            "breezeblock:operation_cancel breezeblock:volume_plan image:modify_images",
        ),
        *_rules(
            ADMIN,
            "volume:force_delete volume_extension:volume_actions:upload_public volume_extension:volume_host_attribute volume_extension:volume_mig_status_attribute "
            "volume_extension:volume_admin_actions:reset_status volume_extension:volume_admin_actions:force_delete "
            "volume_extension:volume_admin_actions:force_detach "
            "volume_extension:snapshot_admin_actions:reset_status "
            "volume_extension:snapshot_admin_actions:force_delete "
            "volume_extension:backup_admin_actions:reset_status volume_extension:backup_admin_actions:force_delete "
            "backup:backup_project_attribute "
            "volume_extension:type_create volume_extension:type_update volume_extension:type_delete "
            "volume_extension:access_types_qos_specs_id volume_extension:types_extra_specs:create "
            "volume_extension:types_extra_specs:update volume_extension:types_extra_specs:delete "
            "volume_extension:types_extra_specs:read_sensitive "
            "volume_extension:volume_type_encryption:create volume_extension:volume_type_encryption:get "
            "volume_extension:volume_type_encryption:update volume_extension:volume_type_encryption:delete "
            "volume_extension:quotas:update volume_extension:quotas:delete volume_extension:services:index "
            "volume_extension:services:update scheduler_extension:scheduler_stats:get_pools "
            "breezeblock:event_get_all breezeblock:image_cache_get breezeblock:image_cache_pin "
            "breezeblock:image_cache_prefetch breezeblock:image_cache_evict",
        ),
    ]
)


def allowed(context: RequestContext, rule: str, target_project: str | None = None) -> bool:
    """Whether the caller may; `target_project` owns what it is done to (None: nobody, or the caller's own)."""
    roles = RULES[rule]
    if context.is_admin:
        return True
    if target_project is not None and target_project != context.project_id:
        return False
    return not roles.isdisjoint(context.roles)


def authorize(context: RequestContext, rule: str, target_project: str | None = None) -> None:
    """Raises `Forbidden` when the caller may not."""
    if not allowed(context, rule, target_project):
        raise Forbidden(f"Policy doesn't allow {rule} to be performed.")
