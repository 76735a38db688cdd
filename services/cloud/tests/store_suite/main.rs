//! What every store must do, stamped out for each; and what a durable one must do besides.

use std::sync::Arc;

use baetyl_cloud::store::Store;
use baetyl_cloud::store::memory::MemoryStore;

#[cfg(test)]
mod durability;
#[cfg(test)]
mod events;
#[cfg(test)]
mod given;
#[cfg(test)]
mod records;
#[cfg(test)]
mod resources;
#[cfg(test)]
mod same;
#[cfg(test)]
mod sealing;
#[cfg(test)]
mod sqlite;

/// Runs functions of the suite over each store.
macro_rules! suite {
    ($($module:ident: $($test:ident),+;)+) => {
        mod memory_store {
            use super::*;
            $($(
                #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
                async fn $test() {
                    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
                    $module::$test(store).await;
                }
            )+)+
        }

        mod sqlite_store {
            use super::*;
            $($(
                #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
                async fn $test() {
                    let folder = given::Folder::new();
                    let store: Arc<dyn Store> = Arc::new(folder.open().await);
                    $module::$test(store).await;
                }
            )+)+
        }
    };
}

suite! {
    resources:
        when_nothing_was_written_then_reads_are_empty,
        when_created_then_every_read_finds_it_whole,
        when_changed_then_old_revisions_stay_as_they_were,
        when_a_revision_is_not_the_next_then_it_is_refused,
        when_many_write_the_next_revision_then_exactly_one_wins,
        when_listed_in_pages_then_writes_in_between_do_no_harm,
        when_namespaces_are_listed_then_only_they_come,
        when_referred_to_then_the_referrers_are_named,
        when_referred_to_then_unreferenced_does_not_hold,
        when_deleted_and_made_again_then_nothing_of_the_first_life_is_left,
        when_a_namespace_is_deleted_then_its_contents_are_not,
        when_revisions_are_dropped_then_the_newest_stays,
        when_a_precondition_in_the_middle_fails_then_nothing_is_written,
        when_a_write_in_the_middle_fails_then_nothing_is_written,
        when_a_digest_is_not_that_of_the_body_then_nothing_is_written,
        when_writes_of_a_commit_build_on_each_other_then_they_happen_in_order;
    events:
        when_written_touched_and_deleted_then_events_tell_it,
        when_namespaces_are_written_then_each_has_its_own_sequence,
        when_eight_write_at_once_then_events_are_gapless_and_ordered,
        when_events_are_read_in_pages_then_none_is_missed_or_repeated,
        when_more_events_happen_than_are_kept_then_the_oldest_are_compacted,
        when_a_sequence_is_from_another_life_then_it_is_compacted,
        when_committed_then_waiters_wake_and_find_it,
        when_refused_then_nobody_wakes;
    records:
        when_written_again_then_the_version_rises,
        when_many_write_the_same_version_then_exactly_one_wins,
        when_scanned_then_only_the_prefix_comes_in_order,
        when_scanned_in_pages_then_every_record_comes_once,
        when_a_prefix_is_deleted_then_the_others_stay,
        when_a_record_is_deleted_then_it_starts_again,
        when_records_of_tables_and_tenants_share_a_key_then_they_are_apart,
        when_a_value_is_any_bytes_then_it_comes_back;
}
