//! An edge node: what runs its applications, who owns its desired state, how its core is set.

use std::collections::BTreeMap;
use std::time::Duration;

use baetyl_proto::resource::v1 as pb;

use super::{Rules, resource};
use crate::duration::{self, Bounds};
use crate::id::Kind;
use crate::label;
use crate::violation::{Check, Path, reason};

/// Label that every node has for selectors: its name.
pub const NAME_LABEL: &str = "baetyl-node-name";

/// Label that every node has for selectors: `kube` or `process`.
pub const MODE_LABEL: &str = "baetyl-node-mode";

/// Label that a node with an accelerator has for selectors.
pub const ACCELERATOR_LABEL: &str = "baetyl-accelerator";

const LOG_LEVELS: [&str; 4] = ["error", "warn", "info", "debug"];
const DEFAULT_LOG_LEVEL: &str = "info";

const REPORT_INTERVAL: Bounds = Bounds {
    least: Duration::from_secs(1),
    most: Duration::from_secs(300),
    default: Duration::from_secs(20),
};

resource!(
    /// A checked edge node.
    Node,
    pb::Node
);

impl Node {
    /// Returns what runs its applications.
    pub fn mode(&self) -> pb::NodeMode {
        self.message.node_mode()
    }

    /// Returns who owns its desired state.
    pub fn sync_mode(&self) -> pb::SyncMode {
        self.message.sync_mode()
    }

    /// Returns the labels that selectors look at: its own and, stronger than those, the ones that
    /// the system gives every node.
    pub fn selectable_labels(&self) -> BTreeMap<String, String> {
        let mode = match self.mode() {
            pb::NodeMode::Kube => "kube",
            pb::NodeMode::Process | pb::NodeMode::Unspecified => "process",
        };
        let mut labels = self.message.labels.clone();
        labels.insert(NAME_LABEL.into(), self.name.to_string());
        labels.insert(MODE_LABEL.into(), mode.into());
        if self.message.accelerator.is_empty() {
            labels.remove(ACCELERATOR_LABEL);
        } else {
            labels.insert(ACCELERATOR_LABEL.into(), self.message.accelerator.clone());
        }
        labels
    }
}

impl Rules for pb::Node {
    const KIND: Kind = Kind::Node;

    fn normalise(&mut self, before: Option<&Self>, check: &mut Check) {
        let root = Path::root();
        self.status = None;

        let path = root.field("nodeMode");
        match pb::NodeMode::try_from(self.node_mode) {
            Ok(pb::NodeMode::Unspecified) => self.set_node_mode(pb::NodeMode::Process),
            Ok(pb::NodeMode::Kube | pb::NodeMode::Process) => {}
            Err(_) => check.add(&path, reason::UNKNOWN_VALUE, "must be kube or process"),
        }
        if before.is_some_and(|before| before.node_mode != self.node_mode) {
            let description = "cannot change; delete the node and add it again";
            check.add(&path, reason::IMMUTABLE, description);
        }

        match pb::SyncMode::try_from(self.sync_mode) {
            Ok(pb::SyncMode::Unspecified) => self.set_sync_mode(pb::SyncMode::Cloud),
            Ok(pb::SyncMode::Cloud | pb::SyncMode::Local) => {}
            Err(_) => {
                let path = root.field("syncMode");
                check.add(&path, reason::UNKNOWN_VALUE, "must be cloud or local");
            }
        }

        // It becomes the value of a label.
        if let Err(problem) = label::check_value(&self.accelerator) {
            check.add(&root.field("accelerator"), reason::INVALID_FORMAT, problem);
        }

        let core = self.core.get_or_insert_default();
        normalise_core(core, &root.field("core"), check);
    }
}

fn normalise_core(core: &mut pb::CoreConfig, path: &Path, check: &mut Check) {
    let interval = path.field("reportInterval");
    duration::normalise(&mut core.report_interval, REPORT_INTERVAL, &interval, check);
    if core.log_level.is_empty() {
        DEFAULT_LOG_LEVEL.clone_into(&mut core.log_level);
    }
    if !LOG_LEVELS.contains(&core.log_level.as_str()) {
        let description = "must be error, warn, info or debug";
        check.add(&path.field("logLevel"), reason::UNKNOWN_VALUE, description);
    }
}
