//! Which reports are due: computed from what the cloud has and what is now.

use std::collections::BTreeMap;

use baetyl_proto::sync::v1::{Report, ReportEntry, Welcome};
use baetyl_shadow::{Section, delta};

use crate::reported::{SectionName, Sections};

/// Reports that were sent and not acknowledged, before the next ones wait.
const MAX_UNACKNOWLEDGED: u64 = 16;

/// The largest frame, within what the cloud says.
const LEAST_FRAME: u32 = 16 * 1024;
const MOST_FRAME: u32 = 4 * 1024 * 1024;

/// Room for what a frame holds besides entries and keys.
const FRAME_OVERHEAD: usize = 1024;

/// Room for tags and lengths of one entry.
const ENTRY_OVERHEAD: usize = 16;

/// What the cloud has of each section, and what is now.
#[derive(Debug)]
pub(super) struct Reports {
    now: Sections,
    /// `None` where the cloud wants the whole section.
    known: BTreeMap<SectionName, Option<Section>>,
    sent: u64,
    acknowledged: u64,
    frame_bytes: usize,
}

impl Reports {
    /// Starts from what Hello said: the cloud has it, unless Welcome says otherwise.
    pub(super) fn new(sections: Sections) -> Self {
        let known = SectionName::ALL
            .into_iter()
            .map(|name| (name, Some(sections.get(name).section.clone())));
        Self {
            known: known.collect(),
            now: sections,
            sent: 0,
            acknowledged: 0,
            frame_bytes: 0,
        }
    }

    pub(super) fn welcome(&mut self, welcome: &Welcome) {
        let bytes = welcome.max_frame_bytes.clamp(LEAST_FRAME, MOST_FRAME);
        self.frame_bytes = usize::try_from(bytes).unwrap_or(usize::MAX) - FRAME_OVERHEAD;
        self.resync(&welcome.missing_sections);
    }

    pub(super) fn resync(&mut self, sections: &[String]) {
        for name in sections.iter().filter_map(|word| SectionName::parse(word)) {
            self.known.insert(name, None);
        }
    }

    pub(super) fn acknowledged(&mut self, sequence: u64) {
        self.acknowledged = self.acknowledged.max(sequence.min(self.sent));
    }

    pub(super) fn now(&mut self, sections: Sections) {
        self.now = sections;
    }

    /// Takes the reports that are due; they count as sent.
    pub(super) fn due(&mut self) -> Vec<Report> {
        let mut reports = Vec::new();
        for name in SectionName::ALL {
            if self.sent - self.acknowledged >= MAX_UNACKNOWLEDGED {
                break;
            }
            reports.extend(self.section(name));
        }
        reports
    }

    fn section(&mut self, name: SectionName) -> Vec<Report> {
        let entries = self.now.get(name);
        let known = self.known.get(&name).cloned().flatten();
        let is_full = known.is_none();
        let mut known = known.unwrap_or_default();
        let change = delta(&known, &entries.section);
        if change.is_empty() && !is_full {
            return Vec::new();
        }

        let mut reports = Vec::new();
        let mut report = Report {
            section: name.word().to_owned(),
            removed_keys: change.removed.iter().cloned().collect(),
            full: is_full,
            ..Report::default()
        };
        let mut room = self.frame_bytes;
        for key in &change.removed {
            known.remove(key);
            room = room.saturating_sub(key.len() + ENTRY_OVERHEAD);
        }
        for (key, digest) in change.changed {
            let Some(value) = entries.values.get(&key) else {
                continue;
            };
            let bytes = key.len() + value.len() + ENTRY_OVERHEAD;
            if bytes > room && !report.entries.is_empty() {
                // Each frame carries the digest of the section as it is after that frame.
                report.section_digest = known.digest().to_string();
                let next = Report {
                    section: name.word().to_owned(),
                    ..Report::default()
                };
                reports.push(std::mem::replace(&mut report, next));
                room = self.frame_bytes;
            }
            room = room.saturating_sub(bytes);
            // It comes out of a section, and so has a key that a section takes.
            if known.insert(&key, digest).is_ok() {
                let value = value.clone();
                report.entries.push(ReportEntry { key, value });
            }
        }
        report.section_digest = known.digest().to_string();
        reports.push(report);
        for report in &mut reports {
            self.sent += 1;
            report.sequence = self.sent;
        }
        self.known.insert(name, Some(known));
        reports
    }
}
