"""All rules of the policy, by the check that each has by default: Cinder 29's names and checks, and ours.

Rules of what is not here yet are kept, so that a `policy.yaml` written for Cinder says nothing unknown.
"""

READER = "rule:xena_system_admin_or_project_reader"
"""An administrator, or a reader in the project that owns the target."""

MEMBER = "rule:xena_system_admin_or_project_member"
"""An administrator, or a member in the project that owns the target."""

ADMIN = "rule:admin_api"
"""An administrator."""

PERSONAS = {
    "context_is_admin": "role:admin",
    "admin_api": "is_admin:True or (role:admin and is_admin_project:True)",
    "xena_system_admin_or_project_reader": "(role:admin) or (role:reader and project_id:%(project_id)s)",
    "xena_system_admin_or_project_member": "(role:admin) or (role:member and project_id:%(project_id)s)",
    "admin_or_owner": "is_admin:True or (role:admin and is_admin_project:True) or project_id:%(project_id)s",
    "system_or_domain_or_project_admin": "(role:admin and system_scope:all) or (role:admin and domain_id:%(domain_id)s) "
    "or (role:admin and project_id:%(project_id)s)",
}
"""What the other rules are made of (Cinder: `policies/base.py`). `context_is_admin` decides who is an administrator
beyond the policy: who sees other projects and what only administrators are shown."""

_READERS = """
    volume:get volume:get_all volume:get_volume_metadata
    volume:get_snapshot volume:get_all_snapshots volume:get_snapshot_metadata
    volume:get_transfer volume:get_all_transfers
    volume_extension:volume_tenant_attribute volume_extension:volume_encryption_metadata
    volume_extension:volume_image_metadata:show volume_extension:extended_snapshot_attributes
    volume_extension:type_get volume_extension:type_get_all volume_extension:access_types_extra_specs
    volume_extension:types_extra_specs:index volume_extension:types_extra_specs:show
    volume_extension:quotas:show limits_extension:used_limits
    backup:get backup:get_all
    group:get group:get_all group:get_group_snapshot group:get_all_group_snapshots
    message:get message:get_all
    breezeblock:attachment_get breezeblock:event_get breezeblock:operation_get breezeblock:replication_get
    image:get_images
"""

_MEMBERS = """
    volume:create volume:create_from_image volume:update volume:delete
    volume:extend volume:extend_attached_volume volume:retype volume:revert_to_snapshot
    volume:reimage volume:reimage_reserved volume:update_readonly_flag
    volume:multiattach volume:multiattach_bootable_volume
    volume:create_volume_metadata volume:update_volume_metadata volume:delete_volume_metadata
    volume:create_snapshot volume:update_snapshot volume:delete_snapshot
    volume:update_snapshot_metadata volume:delete_snapshot_metadata
    snapshot_extension:snapshot_actions:update_snapshot_status
    volume:attachment_create volume:attachment_update volume:attachment_delete volume:attachment_complete
    volume:create_transfer volume:accept_transfer volume:delete_transfer
    volume_extension:volume_image_metadata:set volume_extension:volume_image_metadata:remove
    volume_extension:volume_actions:upload_image
    volume_extension:volume_actions:initialize_connection volume_extension:volume_actions:terminate_connection
    volume_extension:volume_actions:reserve volume_extension:volume_actions:unreserve
    volume_extension:volume_actions:begin_detaching volume_extension:volume_actions:roll_detaching
    volume_extension:volume_actions:attach volume_extension:volume_actions:detach
    volume_extension:volume_type_access
    backup:create backup:update backup:delete backup:restore
    group:create group:update group:delete
    group:create_group_snapshot group:update_group_snapshot group:delete_group_snapshot
    group:enable_replication group:disable_replication group:failover_replication group:list_replication_targets
    message:delete
    breezeblock:operation_cancel breezeblock:volume_plan
    image:modify_images
"""

_ADMINS = """
    volume:force_delete volume:update_volume_admin_metadata
    volume:freeze_host volume:thaw_host volume:failover_host
    volume_extension:volume_host_attribute volume_extension:volume_mig_status_attribute
    volume_extension:volume_actions:upload_public
    volume_extension:volume_admin_actions:reset_status volume_extension:volume_admin_actions:force_delete
    volume_extension:volume_admin_actions:force_detach volume_extension:volume_admin_actions:extend_volume_completion
    volume_extension:volume_admin_actions:migrate_volume
    volume_extension:volume_admin_actions:migrate_volume_completion
    volume_extension:snapshot_admin_actions:reset_status volume_extension:snapshot_admin_actions:force_delete
    volume_extension:backup_admin_actions:reset_status volume_extension:backup_admin_actions:force_delete
    volume_extension:list_manageable volume_extension:volume_manage volume_extension:volume_unmanage
    snapshot_extension:list_manageable snapshot_extension:snapshot_manage snapshot_extension:snapshot_unmanage
    volume_extension:type_create volume_extension:type_update volume_extension:type_delete
    volume_extension:access_types_qos_specs_id
    volume_extension:types_extra_specs:create volume_extension:types_extra_specs:update
    volume_extension:types_extra_specs:delete volume_extension:types_extra_specs:read_sensitive
    volume_extension:volume_type_access:addProjectAccess volume_extension:volume_type_access:removeProjectAccess
    volume_extension:volume_type_access:get_all_for_type
    volume_extension:volume_type_encryption
    volume_extension:volume_type_encryption:create volume_extension:volume_type_encryption:get
    volume_extension:volume_type_encryption:update volume_extension:volume_type_encryption:delete
    volume_extension:default_set_or_update volume_extension:default_get volume_extension:default_get_all
    volume_extension:default_unset
    volume_extension:qos_specs_manage:create volume_extension:qos_specs_manage:get
    volume_extension:qos_specs_manage:get_all volume_extension:qos_specs_manage:update
    volume_extension:qos_specs_manage:delete
    volume_extension:quotas:update volume_extension:quotas:delete
    volume_extension:quota_classes:get volume_extension:quota_classes:update
    volume_extension:services:index volume_extension:services:update
    volume_extension:hosts volume_extension:capabilities
    scheduler_extension:scheduler_stats:get_pools
    backup:backup_project_attribute backup:backup-import backup:export-import
    group:group_project_attribute group:reset_status
    group:group_snapshot_project_attribute group:reset_group_snapshot_status
    group:group_types:create group:group_types:update group:group_types:delete group:access_group_types_specs
    group:group_types_specs:get group:group_types_specs:get_all group:group_types_specs:create
    group:group_types_specs:update group:group_types_specs:delete
    clusters:get clusters:get_all clusters:update workers:cleanup
    breezeblock:event_get_all breezeblock:image_cache_get breezeblock:image_cache_pin
    breezeblock:image_cache_prefetch breezeblock:image_cache_evict
"""

RULES: dict[str, str] = PERSONAS | {
    name: check for check, names in ((READER, _READERS), (MEMBER, _MEMBERS), (ADMIN, _ADMINS)) for name in names.split()
}
"""The check string of each rule, by its name."""

_VERBS = ("create", "update", "delete")

RENAMED: dict[str, str] = {
    **{f"volume_extension:type_{verb}": "volume_extension:types_manage" for verb in _VERBS},
    **{f"group:group_types:{verb}": "group:group_types_manage" for verb in _VERBS},
    **{f"group:group_types_specs:{verb}": "group:group_types_specs" for verb in (*_VERBS, "get", "get_all")},
    **{f"volume_extension:quota_classes:{verb}": "volume_extension:quota_classes" for verb in ("get", "update")},
    **{
        f"volume_extension:volume_image_metadata:{verb}": "volume_extension:volume_image_metadata"
        for verb in ("show", "set", "remove")
    },
}
"""The one name that several rules had in older Cinders: a `policy.yaml` that has it still means all of them."""
