//! Tests of the module `manifest`: what the objects of each case are, which the snapshots beside
//! the cases say.

mod dressing;
mod laws;
mod refusals;
mod releases;
mod rig;

use rig::{Fixture, yaml};

/// Declares one test for each case, and the table of them for laws that hold for all.
macro_rules! cases {
    ($($test:ident: $name:literal,)*) => {
        $(#[test]
        fn $test() {
            check($name);
        })*

        /// Every case with its documents.
        const CASES: &[(&str, &str)] = &[
            $(($name, include_str!(concat!("tests/cases/", $name, ".yaml")))),*
        ];
    };
}

cases! {
    when_nothing_but_an_image_is_named_then_it_is_a_deployment: "deployment",
    when_variables_are_set_then_texts_stay_literal_and_keys_are_referenced: "environment",
    when_probes_name_ports_then_their_numbers_are_probed: "probes",
    when_resources_are_limited_then_quantities_stay_as_written: "resources",
    when_rights_are_asked_for_then_only_these_are_given: "security",
    when_there_are_init_services_then_they_are_init_containers: "init-services",
    when_registries_are_named_then_their_credentials_pull: "registries",
    when_configurations_are_mounted_then_only_restarting_ones_have_their_content_in_the_name:
        "configurations",
    when_secrets_and_certificates_are_mounted_then_they_are_secrets: "secrets",
    when_folders_are_mounted_then_each_has_its_source: "folders",
    when_a_folder_is_shared_then_pods_overlap: "shared-folder",
    when_instances_have_names_then_it_is_a_stateful_set: "statefulset",
    when_every_machine_runs_one_then_it_is_a_daemon_set: "daemonset",
    when_a_daemon_set_is_on_the_hosts_network_then_pods_do_not_overlap: "daemonset-on-host",
    when_a_port_of_the_machine_is_fixed_then_pods_do_not_overlap: "host-port",
    when_instances_end_then_it_is_a_job: "job",
    when_a_job_has_no_policy_then_it_runs_once: "job-without-policy",
    when_there_is_a_timetable_then_it_is_a_cron_job: "cronjob",
    when_it_scales_itself_then_the_workload_has_no_replicas: "autoscaling",
    when_a_stateful_set_scales_itself_then_the_autoscaler_names_it: "autoscaled-statefulset",
    when_ports_are_exposed_then_each_service_has_names_of_its_own: "ports",
    when_machines_are_chosen_then_the_selector_holds_for_each_term: "placement",
    when_only_a_selector_chooses_then_it_is_the_only_term: "selected-machines",
    when_namespace_and_account_are_named_then_they_are_used: "namespace-and-account",
    when_a_name_is_no_label_then_services_have_another: "dotted-name",
    when_functions_run_then_a_runtime_host_has_code_and_file: "function",
    when_there_are_several_function_services_then_each_has_its_own_folders: "functions",
}

/// The documents of a case.
fn case(name: &str) -> &'static str {
    let found = CASES.iter().find(|(known, _)| *known == name);
    found.expect("a case of the table").1
}

fn check(name: &str) {
    let objects = Fixture::read(case(name)).objects();
    insta::with_settings!({
        snapshot_path => "tests/snapshots",
        prepend_module_to_snapshot => false,
        omit_expression => true,
    }, {
        insta::assert_snapshot!(name, yaml(&objects));
    });
}
