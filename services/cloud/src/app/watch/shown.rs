//! What a watcher knows of, and what an event means to it. Pure.

use std::collections::BTreeMap;

use baetyl_model::{Kind, Name, Revision, Selector, Uid};

use crate::app::feed::Step;
use crate::store::{Change, Stored};

/// What an event means to a watcher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing.
    Pass,
    /// It comes into sight.
    Added,
    /// It is still in sight and has changed.
    Modified,
    /// It is out of sight: deleted, or no longer a match.
    Gone,
}

/// The resources that a watcher knows of.
#[derive(Debug)]
pub(super) struct Shown {
    kind: Kind,
    filter: Selector,
    known: BTreeMap<Name, Known>,
    /// Whether it may know of others, too, from before it resumed.
    is_resumed: bool,
}

#[derive(Debug)]
struct Known {
    uid: Uid,
    revision: Revision,
    is_shown: bool,
}

impl Shown {
    pub(super) fn new(kind: Kind, filter: Selector, is_resumed: bool) -> Self {
        Self {
            kind,
            filter,
            known: BTreeMap::new(),
            is_resumed,
        }
    }

    /// Takes a resource of the present state; returns whether it is shown.
    pub(super) fn list(&mut self, stored: &Stored) -> bool {
        let is_shown = self.filter.matches(&stored.labels);
        self.keep(stored, is_shown);
        is_shown
    }

    /// Whether an event tells what is known already: the present state was read after it.
    pub(super) fn is_old(&self, step: &Step) -> bool {
        let Some(known) = self.known.get(&step.key.name) else {
            return false;
        };
        match step.change {
            Change::Deleted => known.uid != step.uid,
            Change::Added => known.uid == step.uid,
            Change::Modified if known.uid != step.uid => false,
            // The status of a node changes without a revision.
            Change::Modified if self.kind == Kind::Node => step.revision < known.revision,
            Change::Modified => step.revision <= known.revision,
        }
    }

    /// Says what an event means that left this state; the state is gone when there is none.
    pub(super) fn judge(&mut self, step: &Step, left: Option<&Stored>) -> Verdict {
        let name = &step.key.name;
        let known = self.known.get(name);
        let was_shown = known.map_or(self.is_resumed, |known| known.is_shown);
        let Some(left) = left else {
            if step.change != Change::Deleted {
                return Verdict::Pass;
            }
            self.known.remove(name);
            return if was_shown {
                Verdict::Gone
            } else {
                Verdict::Pass
            };
        };
        let is_shown = self.filter.matches(&left.labels);
        self.keep(left, is_shown);
        let is_new = step.change == Change::Added;
        match (was_shown && !is_new, is_shown) {
            (true, true) => Verdict::Modified,
            (true, false) => Verdict::Gone,
            (false, true) => Verdict::Added,
            (false, false) => Verdict::Pass,
        }
    }

    fn keep(&mut self, stored: &Stored, is_shown: bool) {
        let known = Known {
            uid: stored.uid.clone(),
            revision: stored.revision,
            is_shown,
        };
        self.known.insert(stored.key.name.clone(), known);
    }
}
