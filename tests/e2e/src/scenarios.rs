//! Every scenario, in one table with what it needs beside a cluster.

mod faults;
mod fields;
mod functions;
mod inputs;
mod lifecycle;
mod logs;
mod manifests;
mod outage;
mod ownership;
mod placement;
mod refusals;
mod status;
mod updates;
mod workloads;

use anyhow::Result;
use futures::future::LocalBoxFuture;

use crate::world::{Need, World};

/// One scenario.
pub struct Scenario {
    /// Its name.
    pub name: &'static str,
    /// What it needs beside a cluster.
    pub needs: &'static [Need],
    /// Runs it.
    pub run: for<'a> fn(&'a dyn World) -> LocalBoxFuture<'a, Result<()>>,
}

macro_rules! table {
    ($($module:ident $name:ident [$($need:ident),*];)*) => {
        /// Every scenario.
        pub const ALL: &[Scenario] = &[$(Scenario {
            name: stringify!($name),
            needs: &[$(Need::$need),*],
            run: |world| Box::pin($module::$name(world)),
        }),*];
    };
}

table! {
    workloads when_a_deployment_is_desired_then_pods_serve [];
    workloads when_the_number_of_copies_changes_then_no_pod_is_replaced [];
    workloads when_a_stateful_set_is_desired_then_instances_have_names_and_volumes [Storage];
    workloads when_a_stateful_set_fails_then_it_goes_back [];
    workloads when_a_daemon_set_is_desired_then_every_machine_runs_it [];
    workloads when_a_machine_is_added_then_a_daemon_set_reaches_it [NewMachine];
    workloads when_a_job_ends_well_then_it_succeeded_and_runs_again_when_it_changes [];
    workloads when_a_job_fails_for_good_then_it_failed [];
    workloads when_a_cron_job_is_due_then_a_job_runs [];
    workloads when_the_workload_changes_then_the_old_one_goes [];

    fields when_a_container_says_everything_then_the_pod_has_it [];
    fields when_variables_come_from_everywhere_then_the_container_sees_them [];
    fields when_there_are_init_services_then_they_run_first_and_in_order [];
    fields when_one_file_is_mounted_then_the_rest_of_the_folder_stays [];
    fields when_ports_are_named_then_services_lead_to_the_pods [];
    fields when_a_probe_asks_by_http_then_the_answer_counts [Httpd];
    fields when_it_scales_itself_then_nobody_else_sets_the_number [];
    fields when_there_is_a_disruption_budget_then_the_cluster_knows_it [];
    fields when_registries_are_named_then_pods_pull_with_their_credentials [];
    fields when_certificates_are_mounted_then_the_files_are_there [];
    fields when_data_is_kept_then_the_next_pod_finds_it [Storage];

    placement when_machines_are_selected_then_pods_run_there [Machines];
    placement when_no_machine_fits_then_it_says_so_and_the_old_revision_serves [];
    placement when_pods_must_be_apart_then_they_run_on_different_machines [Machines];
    placement when_a_priority_is_named_then_pods_have_it [];
    placement when_the_network_of_the_machine_is_used_then_pods_have_it [];
    placement when_a_namespace_is_named_then_objects_are_there [];

    updates when_a_revision_is_replaced_then_never_fewer_pods_are_ready [];
    updates when_a_revision_must_soak_then_it_serves_only_afterwards [];
    updates when_the_first_revision_fails_then_it_says_so_until_it_gets_well [];
    updates when_there_is_no_rollback_then_the_failed_revision_stays [];
    updates when_a_failed_revision_is_retried_then_it_gets_another_chance [];
    updates when_a_failed_revision_is_corrected_then_it_serves [];
    updates when_something_else_is_wanted_meanwhile_then_the_newest_wins [];

    faults when_the_image_cannot_be_fetched_then_the_old_revision_serves [];
    faults when_the_digest_of_an_image_is_wrong_then_the_old_revision_serves [];
    faults when_the_name_of_an_image_is_wrong_then_the_old_revision_serves [];
    faults when_it_crashes_again_and_again_then_the_old_revision_serves [];
    faults when_a_probe_fails_then_the_old_revision_serves [];
    faults when_a_port_of_the_cluster_is_taken_then_the_old_revision_serves [];
    faults when_two_applications_want_a_port_then_one_is_refused [];
    faults when_the_disk_is_full_then_the_old_revision_serves [];
    faults when_a_volume_cannot_be_had_then_the_old_revision_serves [];
    faults when_it_hangs_then_the_old_revision_serves [];
    faults when_a_key_is_missing_then_the_old_revision_serves [];
    faults when_it_uses_up_its_memory_then_the_old_revision_serves [];

    inputs when_a_reloaded_input_changes_then_the_file_changes_and_nothing_restarts [];
    inputs when_a_restarting_input_changes_then_pods_are_replaced [];
    inputs when_a_variable_comes_from_a_changed_input_then_pods_are_replaced [];
    inputs when_a_secret_is_reloaded_then_the_file_changes_and_nothing_restarts [];
    inputs when_a_changed_input_is_bad_then_the_old_one_serves [];

    ownership when_somebody_edits_an_object_then_it_is_made_right_again [];
    ownership when_somebody_deletes_objects_then_they_come_back [];
    ownership when_an_object_belongs_to_somebody_else_then_it_is_not_touched [];
    ownership when_somebody_else_declares_a_field_then_it_is_a_conflict_unless_forced [];
    ownership when_an_application_is_no_longer_desired_then_nothing_but_its_data_is_left [Storage];
    ownership when_others_have_objects_then_nobody_touches_them [];
    ownership when_the_node_is_decommissioned_then_nothing_is_left [];
    ownership when_the_node_is_decommissioned_then_its_data_goes_only_when_told [Storage];

    manifests when_raw_objects_are_desired_then_they_are_there_and_watched [];
    manifests when_a_kind_and_its_objects_come_together_then_the_kind_comes_first [CustomResources];
    manifests when_an_object_leaves_the_manifest_then_it_is_pruned [];
    manifests when_raw_objects_fail_then_the_old_ones_come_back [];
    manifests when_a_field_cannot_change_then_the_object_is_replaced_safely [];
    manifests when_a_chart_is_desired_then_its_objects_are_there [Helm];

    refusals when_a_manifest_is_no_yaml_then_nothing_changes [];
    refusals when_a_field_is_unknown_then_nothing_changes [];
    refusals when_a_value_is_wrong_then_nothing_changes [];
    refusals when_a_namespace_is_not_allowed_then_nothing_changes [];
    refusals when_a_kind_is_unknown_then_nothing_changes [];
    refusals when_the_role_does_not_list_it_then_the_permission_is_named [];
    refusals when_a_chart_is_none_then_nothing_changes [];

    status when_pods_run_then_instances_and_containers_are_told [];
    status when_a_container_ends_then_restarts_and_the_reason_are_told [];
    status when_a_running_pod_hangs_then_it_is_degraded_and_recovers [];
    status when_things_happen_then_events_tell [];
    status when_the_cluster_has_machines_then_they_are_told [];
    status when_there_is_a_metrics_server_then_usage_is_told [Usage];
    status when_there_is_no_metrics_server_then_usage_is_absent_and_says_so [Usage];

    logs when_logs_are_read_then_lines_of_all_instances_come [];
    logs when_logs_are_followed_then_new_lines_come [];

    functions when_a_function_is_desired_then_calls_are_answered [RuntimeImage];
    functions when_the_code_is_broken_then_the_old_code_answers [RuntimeImage];
    functions when_code_and_application_change_then_no_call_fails [RuntimeImage];
    functions when_new_code_wears_out_while_it_soaks_then_nobody_has_met_it [RuntimeImage];
    functions when_another_authority_made_its_certificate_then_a_runtime_is_not_admitted [RuntimeImage];

    lifecycle when_the_engine_is_killed_then_the_next_one_adopts_what_runs [];
    lifecycle when_it_is_killed_in_an_update_then_the_next_one_finishes_it [];
    lifecycle when_objects_vanish_meanwhile_then_the_next_engine_makes_them [];

    outage when_the_server_goes_away_then_nothing_is_decided_and_everything_resumes [Outage];
    outage when_the_server_falls_silent_then_it_is_noticed_and_everything_resumes [Outage];
    outage when_the_history_is_forgotten_then_nothing_is_missed [Expiry];
}

/// Returns a scenario by its name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Scenario> {
    ALL.iter().find(|scenario| scenario.name == name)
}

/// Why a scenario cannot run in a world that lacks these things; `None` when it can.
pub fn obstacle(scenario: &Scenario, lacks: impl Fn(Need) -> Option<String>) -> Option<String> {
    scenario.needs.iter().find_map(|need| lacks(*need))
}
