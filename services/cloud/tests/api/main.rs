//! The API over real connections, stamped out for each store.

#[cfg(test)]
mod apply;
#[cfg(test)]
mod hidden;
#[cfg(test)]
mod history;
#[cfg(test)]
mod list;
#[cfg(test)]
mod resources;
#[cfg(test)]
mod secrets;
#[cfg(test)]
mod tenants;
#[cfg(test)]
mod watch;
#[cfg(test)]
mod world;

/// Runs functions of the suite over each store.
macro_rules! suite {
    ($($module:ident: $($test:ident),+;)+) => {
        mod memory_store {
            use super::*;
            $($(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() {
                    $module::$test(world::World::in_memory().await).await;
                }
            )+)+
        }

        mod sqlite_store {
            use super::*;
            $($(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() {
                    $module::$test(world::World::in_sqlite().await).await;
                }
            )+)+
        }
    };
}

suite! {
    resources:
        when_a_resource_is_created_then_it_reads_back_with_defaults,
        when_nothing_changes_then_no_revision_is_made,
        when_the_spec_changes_then_a_revision_is_made,
        when_the_etag_is_old_then_the_write_is_aborted,
        when_a_resource_is_missing_then_update_creates_it_only_when_asked,
        when_only_validated_then_nothing_is_stored,
        when_fields_are_wrong_then_all_are_named_and_nothing_is_stored,
        when_what_may_not_change_changes_then_it_is_refused,
        when_the_same_create_is_repeated_then_it_returns_what_the_first_made,
        when_a_request_id_comes_with_another_body_then_it_is_refused,
        when_the_name_is_taken_then_create_is_refused,
        when_an_input_is_missing_then_every_missing_one_is_named,
        when_an_input_is_in_use_then_its_users_are_named,
        when_a_node_is_deleted_then_its_device_is_told_in_the_same_commit,
        when_many_update_at_once_then_nothing_is_lost,
        when_operations_are_asked_of_a_node_then_it_must_exist;
    list:
        when_pages_are_read_then_writes_in_between_do_no_harm,
        when_listed_backward_then_the_pages_join,
        when_filtered_then_only_matches_come,
        when_bodies_are_large_then_pages_are_short,
        when_a_list_request_is_wrong_then_every_field_is_named,
        when_listed_then_a_watch_goes_on_from_there;
    watch:
        when_watched_then_the_present_state_comes_first_and_changes_follow,
        when_resumed_then_nothing_is_lost_and_nothing_comes_twice,
        when_resumed_in_the_middle_of_the_present_state_then_the_rest_comes,
        when_a_filter_stops_to_match_then_the_resource_is_deleted_for_the_watcher,
        when_the_token_is_of_another_store_or_feed_then_the_client_lists_again,
        when_too_much_happened_then_the_client_lists_again,
        when_tenants_change_then_their_watcher_sees_it,
        when_the_bearer_token_is_revoked_then_its_streams_end,
        when_the_server_drains_then_streams_end;
    apply:
        when_a_set_is_applied_then_references_are_resolved_inside,
        when_one_document_is_wrong_then_nothing_is_stored_and_all_are_named,
        when_an_input_is_nowhere_then_the_set_is_refused,
        when_a_set_is_dry_run_then_it_tells_the_difference_and_stores_nothing,
        when_the_same_set_is_applied_again_then_nothing_changes,
        when_an_etag_in_a_set_is_old_then_nothing_is_stored,
        when_a_set_has_a_tenant_then_it_holds_the_rest,
        when_pruned_then_what_is_left_out_goes_and_what_is_used_stays,
        when_what_objects_are_made_of_changes_then_they_are_rendered_anew,
        when_a_set_is_too_much_then_it_is_refused;
    history:
        when_a_resource_changes_then_its_history_tells_what_and_who,
        when_rolled_back_then_the_earlier_spec_is_a_new_revision,
        when_a_rollback_refers_to_what_is_gone_then_it_is_refused,
        when_a_secret_is_rolled_back_then_its_values_are_exactly_those;
    secrets:
        when_secrets_are_read_then_values_come_only_when_asked_for,
        when_a_secret_is_updated_then_absent_keys_are_kept,
        when_what_was_read_is_sent_back_then_nothing_is_wiped;
    hidden:
        when_a_certificate_is_read_then_its_key_is_not_there,
        when_a_registry_is_read_then_its_password_is_not_there,
        when_what_was_read_of_them_is_sent_back_then_nothing_changes,
        when_they_are_wrong_then_every_field_is_named,
        when_an_application_uses_them_then_they_are_protected,
        when_a_set_is_pruned_then_they_go_with_their_users;
    tenants:
        when_a_token_is_for_one_tenant_then_every_other_is_closed,
        when_there_is_no_token_then_only_the_version_is_told,
        when_a_tenant_holds_resources_then_it_is_deleted_only_by_force,
        when_tokens_are_listed_then_their_texts_are_not,
        when_the_status_is_asked_for_then_it_counts;
}
