//! What a path means.

/// What a request is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route {
    Version,
    Health,
    /// `/api`
    CoreVersions,
    /// `/apis`
    Groups,
    /// `/apis/apps`
    Group(String),
    /// `/apis/apps/v1`
    Resources {
        group: String,
        version: String,
    },
    Object(ObjectPath),
    Unknown,
}

/// A path to objects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ObjectPath {
    pub(super) group: String,
    pub(super) version: String,
    pub(super) plural: String,
    pub(super) namespace: String,
    pub(super) name: String,
    /// What follows the name: `status`, `log`, `proxy/stats/summary`.
    pub(super) subresource: String,
}

impl ObjectPath {
    /// Resource and subresource as logs and filters name them: `deployments.apps/status`.
    pub(super) fn resource(&self) -> String {
        let mut resource = self.plural.clone();
        if !self.group.is_empty() {
            resource.push('.');
            resource.push_str(&self.group);
        }
        if let Some(first) = self.subresource_word() {
            resource.push('/');
            resource.push_str(first);
        }
        resource
    }

    /// Resource and subresource as rights name them: `deployments/status`.
    pub(super) fn permission(&self) -> String {
        match self.subresource_word() {
            Some(first) => format!("{}/{first}", self.plural),
            None => self.plural.clone(),
        }
    }

    fn subresource_word(&self) -> Option<&str> {
        self.subresource.split('/').next().filter(|w| !w.is_empty())
    }
}

/// Reads a path.
pub(super) fn route(path: &str) -> Route {
    let steps: Vec<&str> = path.split('/').filter(|step| !step.is_empty()).collect();
    let (group, version, rest) = match steps.as_slice() {
        ["version"] => return Route::Version,
        ["healthz" | "livez" | "readyz", ..] => return Route::Health,
        ["api"] => return Route::CoreVersions,
        ["apis"] => return Route::Groups,
        ["apis", group] => return Route::Group((*group).to_owned()),
        ["api", version, rest @ ..] => ("", *version, rest),
        ["apis", group, version, rest @ ..] => (*group, *version, rest),
        _ => return Route::Unknown,
    };
    let (namespace, rest) = match rest {
        [] => {
            return Route::Resources {
                group: group.to_owned(),
                version: version.to_owned(),
            };
        }
        // What belongs to the namespace itself.
        ["namespaces", _, "status" | "finalize"] => ("", rest),
        ["namespaces", namespace, inside @ ..] if !inside.is_empty() => (*namespace, inside),
        rest => ("", rest),
    };
    let subresource = rest.get(2..).unwrap_or_default().join("/");
    Route::Object(ObjectPath {
        group: group.to_owned(),
        version: version.to_owned(),
        plural: rest.first().copied().unwrap_or_default().to_owned(),
        namespace: namespace.to_owned(),
        name: rest.get(1).copied().unwrap_or_default().to_owned(),
        subresource,
    })
}
