//! What matching looks at, in memory: the nodes, applications and inputs of one namespace.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use baetyl_model::resource::{Application, BodyError, Node};
use baetyl_model::selector::SelectorError;
use baetyl_model::{Digest, Kind, Name, Revision, Selector, Uid};
use baetyl_proto::resource::v1 as pb;
use pb::{ApplicationType, CoreConfig, NodeMode, SyncMode};

use super::plan::{self, Match};
use crate::store::{Key, Stored};

/// What matching knows of a node.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeFacts {
    /// Its name.
    pub name: Name,
    /// Which life of it.
    pub uid: Uid,
    /// Its newest revision.
    pub revision: Revision,
    /// The labels that selectors look at.
    pub labels: BTreeMap<String, String>,
    /// What runs its applications.
    pub mode: NodeMode,
    /// Whether the cloud owns its desired state.
    pub is_cloud: bool,
    /// Settings of its core.
    pub core: CoreConfig,
}

/// What matching knows of an application.
#[derive(Clone, Debug, PartialEq)]
pub struct ApplicationFacts {
    /// Its name.
    pub name: Name,
    /// Which life of it.
    pub uid: Uid,
    /// Its newest revision.
    pub revision: Revision,
    /// Digest of that revision's body.
    pub digest: Digest,
    /// Digest over what decides what runs.
    pub template_digest: Digest,
    /// When it was created: the older one keeps what two claim.
    pub create_time: SystemTime,
    /// What it is made of.
    pub kind: ApplicationType,
    /// Whether it asks for something that only a cluster can give, whatever its type.
    pub needs_cluster: bool,
    /// Which nodes it is for.
    pub selector: Selector,
    /// Inputs that it uses, sorted.
    pub inputs: Vec<(Kind, Name)>,
    /// What only one application of a node can have.
    pub claims: BTreeSet<Claim>,
    /// What a core must understand to run it, sorted.
    pub features: Vec<String>,
}

/// What only one application of a node can have.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Claim {
    /// A fixed port of the node.
    Port {
        /// `tcp` or `udp`.
        protocol: String,
        /// Its number.
        number: u32,
    },
    /// A route key: the name of a function service.
    Service(String),
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Port { protocol, number } => write!(f, "port {number}/{protocol}"),
            Self::Service(name) => write!(f, "function service {name}"),
        }
    }
}

/// What matching knows of an input: a configuration, secret, certificate or registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InputFacts {
    /// Its newest revision.
    pub revision: Revision,
    /// Digest of that revision's body.
    pub digest: Digest,
}

/// A stored resource cannot be looked at.
#[derive(Debug, thiserror::Error)]
pub enum ViewError {
    /// Its body is not what it should be.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// Its selector is of a grammar that this version does not read.
    #[error("the selector cannot be read")]
    Selector(#[from] SelectorError),
}

/// A change of a view.
#[derive(Clone, Debug)]
pub enum Change {
    /// A node is now like this.
    Node(Arc<NodeFacts>),
    /// An application is now like this.
    Application(Arc<ApplicationFacts>),
    /// An input is now like this.
    Input(Kind, Name, InputFacts),
    /// A resource is gone.
    Removed(Kind, Name),
}

impl Change {
    /// Reads what is stored; `None` for kinds that matching does not look at.
    ///
    /// # Errors
    /// The body or the selector is not what it should be.
    pub fn of(stored: &Stored) -> Result<Option<Self>, ViewError> {
        let key = &stored.key;
        Ok(match key.kind {
            Kind::Namespace => None,
            Kind::Node => {
                let node = Node::decode(&stored.body)?;
                Some(Self::Node(Arc::new(NodeFacts::new(stored, &node))))
            }
            Kind::Application => {
                let application = Application::decode(&stored.body)?;
                let facts = ApplicationFacts::try_new(stored, &application)?;
                Some(Self::Application(Arc::new(facts)))
            }
            Kind::Configuration | Kind::Secret | Kind::Certificate | Kind::Registry => {
                let facts = InputFacts {
                    revision: stored.revision,
                    digest: stored.digest,
                };
                Some(Self::Input(key.kind, key.name.clone(), facts))
            }
        })
    }
}

impl NodeFacts {
    /// Takes what matters of a node.
    pub fn new(stored: &Stored, node: &Node) -> Self {
        Self {
            name: node.name().clone(),
            uid: stored.uid.clone(),
            revision: stored.revision,
            labels: node.selectable_labels(),
            mode: node.mode(),
            is_cloud: node.sync_mode() != SyncMode::Local,
            core: node.message().core.clone().unwrap_or_default(),
        }
    }
}

impl ApplicationFacts {
    /// Takes what matters of an application.
    ///
    /// # Errors
    /// Its selector cannot be read.
    pub fn try_new(stored: &Stored, application: &Application) -> Result<Self, SelectorError> {
        let features = application.features().into_iter();
        Ok(Self {
            name: application.name().clone(),
            uid: stored.uid.clone(),
            revision: stored.revision,
            digest: stored.digest,
            template_digest: application.template_digest(),
            create_time: stored.create_time,
            kind: application.application_type(),
            needs_cluster: application.needs_cluster(),
            selector: application.selector()?,
            inputs: application.references(),
            claims: claims(application.message()),
            features: features.map(str::to_owned).collect(),
        })
    }
}

/// What only one application of a node can have: ports of its machines, and route keys.
fn claims(message: &pb::Application) -> BTreeSet<Claim> {
    let mut claims = BTreeSet::new();
    for service in &message.services {
        for port in &service.ports {
            let fixed = [port.host_port, port.node_port].into_iter();
            claims.extend(
                fixed
                    .filter(|number| *number != 0)
                    .map(|number| Claim::Port {
                        protocol: match port.protocol.as_str() {
                            "" => "tcp".to_owned(),
                            other => other.to_owned(),
                        },
                        number,
                    }),
            );
        }
        if message.r#type() == ApplicationType::Function {
            claims.insert(Claim::Service(service.name.clone()));
        }
    }
    claims
}

/// The nodes, applications and inputs of one namespace; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct View {
    nodes: BTreeMap<Name, Arc<NodeFacts>>,
    applications: BTreeMap<Name, Arc<ApplicationFacts>>,
    inputs: BTreeMap<(Kind, Name), InputFacts>,
}

impl View {
    /// The nodes, by name.
    pub fn nodes(&self) -> impl Iterator<Item = &Arc<NodeFacts>> {
        self.nodes.values()
    }

    /// A node.
    pub fn node(&self, name: &Name) -> Option<&Arc<NodeFacts>> {
        self.nodes.get(name)
    }

    /// The applications, by name.
    pub fn applications(&self) -> impl Iterator<Item = &ApplicationFacts> {
        self.applications.values().map(|facts| &**facts)
    }

    /// An application.
    pub fn application(&self, name: &Name) -> Option<&ApplicationFacts> {
        self.applications.get(name).map(|facts| &**facts)
    }

    /// An input.
    pub fn input(&self, kind: Kind, name: &Name) -> Option<InputFacts> {
        self.inputs.get(&(kind, name.clone())).copied()
    }

    /// Whether this revision of a node or application is what the view has: its status changed,
    /// and nothing that matters here.
    pub(crate) fn has(&self, key: &Key, uid: &Uid, revision: Revision) -> bool {
        let known = match key.kind {
            Kind::Node => self.node(&key.name).map(|one| (&one.uid, one.revision)),
            Kind::Application => self
                .application(&key.name)
                .map(|one| (&one.uid, one.revision)),
            Kind::Namespace
            | Kind::Configuration
            | Kind::Secret
            | Kind::Certificate
            | Kind::Registry => None,
        };
        known == Some((uid, revision))
    }

    /// Takes a change, and returns the nodes whose plan may be another one now.
    pub fn apply(&mut self, change: Change) -> BTreeSet<Name> {
        match change {
            Change::Node(node) => {
                let before = self.nodes.insert(node.name.clone(), node.clone());
                let is_same = before.is_some_and(|before| before == node);
                if is_same {
                    return BTreeSet::new();
                }
                BTreeSet::from([node.name.clone()])
            }
            Change::Application(application) => {
                let name = application.name.clone();
                let before = self.applications.insert(name, application.clone());
                if before.as_ref() == Some(&application) {
                    return BTreeSet::new();
                }
                let mut nodes = self.matched(&application);
                nodes.extend(before.iter().flat_map(|before| self.matched(before)));
                nodes
            }
            Change::Input(kind, name, facts) => {
                let before = self.inputs.insert((kind, name.clone()), facts);
                if before == Some(facts) {
                    return BTreeSet::new();
                }
                self.users(kind, &name)
            }
            Change::Removed(kind, name) => self.remove(kind, &name),
        }
    }

    fn remove(&mut self, kind: Kind, name: &Name) -> BTreeSet<Name> {
        match kind {
            Kind::Namespace => BTreeSet::new(),
            Kind::Node => {
                self.nodes.remove(name);
                BTreeSet::new()
            }
            Kind::Application => {
                let before = self.applications.remove(name);
                before
                    .iter()
                    .flat_map(|before| self.matched(before))
                    .collect()
            }
            Kind::Configuration | Kind::Secret | Kind::Certificate | Kind::Registry => {
                self.inputs.remove(&(kind, name.clone()));
                self.users(kind, name)
            }
        }
    }

    /// Nodes that an application is for, conflicts aside.
    pub fn matched(&self, application: &ApplicationFacts) -> BTreeSet<Name> {
        let nodes = self.nodes.values();
        let matched = nodes.filter(|node| plan::matches(application, node) == Match::Full);
        matched.map(|node| node.name.clone()).collect()
    }

    /// Nodes that match an application by label and cannot run it.
    pub fn mismatched(&self, application: &ApplicationFacts) -> Vec<Name> {
        let nodes = self.nodes.values();
        let mismatched =
            nodes.filter(|node| plan::matches(application, node) == Match::ByLabelNotByMode);
        mismatched.map(|node| node.name.clone()).collect()
    }

    /// Nodes that an application with this input is for.
    fn users(&self, kind: Kind, name: &Name) -> BTreeSet<Name> {
        let uses = |application: &&Arc<ApplicationFacts>| {
            let mut inputs = application.inputs.iter();
            inputs.any(|(input_kind, input)| *input_kind == kind && input == name)
        };
        let users = self.applications.values().filter(uses);
        users
            .flat_map(|application| self.matched(application))
            .collect()
    }
}
