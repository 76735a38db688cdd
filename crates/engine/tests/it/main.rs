//! The engine over the fake driver and over real processes: one suite for both, and what only
//! processes can show.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod application;
mod bench;
mod cases;
mod crash;
mod memory;
mod process;
mod rig;

/// Runs every case over both drivers.
macro_rules! suite {
    ($($case:ident)*) => {
        mod on_memory {
            $(#[tokio::test]
            async fn $case() {
                crate::cases::$case(crate::bench::Bench::on_memory().await).await;
            })*
        }

        mod on_processes {
            $(#[tokio::test]
            async fn $case() {
                crate::cases::$case(crate::bench::Bench::on_processes().await).await;
            })*
        }
    };
}

suite! {
    when_an_application_is_desired_then_it_becomes_healthy_and_the_set_converges
    when_a_reloaded_input_changes_then_files_switch_and_the_process_stays
    when_a_restarting_input_changes_then_a_new_instance_replaces_the_old_one
    when_a_revision_ends_at_once_then_the_old_one_serves_on_until_it_is_corrected
    when_a_revision_is_never_ready_then_it_is_rolled_back_at_its_deadline
    when_a_program_is_missing_then_only_its_application_failed
    when_a_failed_revision_is_retried_then_it_gets_another_chance
    when_both_revisions_want_a_port_then_the_old_one_stops_first
    when_the_new_owner_of_a_port_fails_then_the_old_one_comes_back
    when_two_applications_want_a_port_then_one_is_refused_until_it_is_free
    when_an_instance_is_killed_then_another_one_takes_its_place
    when_it_ends_again_and_again_then_it_is_a_crash_loop
    when_a_liveness_probe_fails_then_the_instance_is_replaced
    when_a_job_ends_well_then_it_succeeded_and_never_runs_again
    when_a_job_fails_for_good_then_it_failed
    when_the_engine_starts_again_then_it_adopts_what_runs
    when_something_died_meanwhile_then_the_next_engine_starts_it_again
    when_nobody_knows_an_instance_then_the_next_engine_removes_it
    when_everything_is_stopped_then_the_next_engine_starts_it_again
    when_an_application_is_no_longer_desired_then_nothing_but_its_data_is_left
    when_the_node_is_decommissioned_then_nothing_is_left
    when_it_uses_too_much_memory_then_it_is_killed_and_says_so
    when_a_feature_is_missing_then_the_item_is_left_as_it_is
    when_the_store_fails_then_nothing_starts_until_it_works
    when_a_body_is_missing_then_the_application_waits_for_it
    when_a_function_is_desired_then_its_route_is_published
    when_there_are_several_copies_then_each_has_its_own_port
    when_logs_are_read_then_lines_of_all_instances_come
    when_a_certificate_gets_old_then_it_is_renewed_without_a_restart
}
