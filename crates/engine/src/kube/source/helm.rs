//! Renders a chart by the `helm` program, which alone knows all of its language; what comes out is
//! applied by our own apply, so that status, pruning and rollback are those of every application.
//!
//! Nothing of the node is shown to a chart: `helm` gets no environment, no kubeconfig, no
//! repositories and no plugins, its files are in a private folder that is always removed, and it is
//! sent to a proxy that does not exist. Time, output and memory are bounded.
//!
//! Hooks and tests are not run. Templates see the release as installed for the first time, each
//! time, and `lookup` finds nothing. A chart that draws random values would thus change with each
//! rendering and restart what runs: it is rendered twice, and refused when it differs.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tempfile::TempDir;

use super::super::cluster::Capabilities;
use super::super::object::Object;
use super::{MAX_BYTES, Sourced, invalid, leave_to_autoscalers, stopped, yaml};
use crate::driver::Refusal;
use crate::reason;

use self::process::{Ended, Failure, Filter};
use self::twice::same;

mod process;
mod twice;

/// How long one rendering may take: small machines, large charts.
const DEADLINE: Duration = Duration::from_secs(60);

/// The largest packed chart. Helm itself bounds what comes out of it.
const MAX_ARCHIVE_BYTES: usize = 8 << 20;

/// Memory that `helm` may write to.
const MAX_MEMORY_BYTES: u64 = 1 << 30;

/// Of what it says about a failure.
const MAX_MESSAGE_CHARS: usize = 600;

/// The longest name of a release, as Helm has it.
const MAX_RELEASE: usize = 53;

/// Objects with this annotation are hooks.
const HOOK: &str = "helm.sh/hook";

/// Nobody listens on the port for discarding what comes.
const NOWHERE: &str = "http://127.0.0.1:9";

const CHART_FILE: &str = "chart.tgz";

/// A chart and what it is rendered with.
#[derive(Clone)]
pub struct Chart {
    /// Name of the release: a DNS label of at most 53 characters.
    pub release: String,
    /// Namespace of objects that name none.
    pub namespace: String,
    /// The packed chart, at most 8 MiB.
    pub archive: Bytes,
    /// YAML documents with values; later ones count more.
    pub values: Vec<Bytes>,
}

impl std::fmt::Debug for Chart {
    /// Values may be secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Chart")
            .field("release", &self.release)
            .field("namespace", &self.namespace)
            .finish_non_exhaustive()
    }
}

/// Renders a chart. `program` is a path, or a name that is looked up in `PATH`.
///
/// # Errors
/// [`Refusal`]: `HELM_FAILED` with what Helm said, or with the field that comes out different each
/// time; `INVALID_OBJECT` when what came out are no objects; passing ones when `helm` is not
/// installed (`HELM_NOT_FOUND`) or could not be run.
///
/// # Cancel safety
/// When dropped, `helm` is killed and its files are removed.
pub async fn render(
    program: &str,
    chart: Chart,
    capabilities: &Capabilities,
) -> Result<Sourced, Refusal> {
    check(&chart)?;
    let arguments = arguments(&chart, capabilities);
    let folder = tokio::task::spawn_blocking(move || lay_out(&chart));
    let folder = folder.await.map_err(|_| stopped())?;
    let folder = folder.map_err(|error| {
        let message = format!("the files for helm could not be written: {error}");
        Refusal::passing(reason::STORAGE_FAILED, message)
    })?;
    let first = once(program, folder.path(), &arguments).await?;
    let second = once(program, folder.path(), &arguments).await?;
    let read = tokio::task::spawn_blocking(move || {
        // Dropped here, since removing files blocks.
        drop(folder);
        let first = yaml::objects("the rendered chart", &first)?;
        let second = yaml::objects("the rendered chart", &second)?;
        same(&first, &second)?;
        sort_out(first)
    });
    read.await.map_err(|_| stopped())?
}

fn check(chart: &Chart) -> Result<(), Refusal> {
    let is_label = |text: &str, most: usize| {
        let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let bytes = text.as_bytes();
        bytes.len() <= most
            && bytes.first().copied().is_some_and(is_inner)
            && bytes.last().copied().is_some_and(is_inner)
            && bytes
                .iter()
                .all(|byte| is_inner(*byte) || b"-.".contains(byte))
    };
    if !is_label(&chart.release, MAX_RELEASE) {
        let message = format!(
            "helm.release_name: must be lower-case letters, digits, - and ., at most {MAX_RELEASE}"
        );
        return Err(Refusal::lasting(reason::INVALID_APPLICATION, message));
    }
    if !is_label(&chart.namespace, 63) {
        let message = "kube_namespace: must be a name";
        return Err(Refusal::lasting(reason::INVALID_APPLICATION, message));
    }
    if chart.archive.len() > MAX_ARCHIVE_BYTES {
        let most = MAX_ARCHIVE_BYTES >> 20;
        let message = format!("helm.key: the packed chart is larger than {most} MiB");
        return Err(Refusal::lasting(reason::HELM_FAILED, message));
    }
    Ok(())
}

/// Arguments, with paths inside of the folder that helm is started in.
fn arguments(chart: &Chart, capabilities: &Capabilities) -> Arc<[String]> {
    let mut arguments: Vec<String> = ["template", "--include-crds", "--skip-tests"]
        .map(str::to_owned)
        .into();
    let mut option = |name: &str, value: &str| {
        arguments.push(format!("--{name}={value}"));
    };
    option("namespace", &chart.namespace);
    option("kube-version", &capabilities.version);
    for api in &capabilities.apis {
        option("api-versions", api);
    }
    for index in 0..chart.values.len() {
        option("values", &values_file(index));
    }
    arguments.extend(["--".to_owned(), chart.release.clone()]);
    // Without the dot it would be looked for in repositories.
    arguments.push(format!("./{CHART_FILE}"));
    arguments.into()
}

fn values_file(index: usize) -> String {
    format!("values-{index}.yaml")
}

/// Writes the files into a folder that only this user can enter.
fn lay_out(chart: &Chart) -> std::io::Result<TempDir> {
    let folder = tempfile::Builder::new()
        .prefix("baetyl-chart-")
        .permissions(fs::Permissions::from_mode(0o700))
        .tempdir()?;
    fs::write(folder.path().join(CHART_FILE), &chart.archive)?;
    for (index, values) in chart.values.iter().enumerate() {
        fs::write(folder.path().join(values_file(index)), values)?;
    }
    Ok(folder)
}

async fn once(program: &str, folder: &Path, arguments: &Arc<[String]>) -> Result<Vec<u8>, Refusal> {
    let own = folder.to_string_lossy().into_owned();
    let filter = Filter {
        program: program.to_owned(),
        arguments: Arc::clone(arguments),
        folder: folder.to_owned(),
        environment: vec![
            ("HOME", own.clone()),
            ("HELM_CACHE_HOME", own.clone()),
            ("HELM_CONFIG_HOME", own.clone()),
            ("HELM_DATA_HOME", own.clone()),
            ("HELM_PLUGINS", own.clone()),
            ("KUBECONFIG", format!("{own}/none")),
            ("TMPDIR", own),
            ("HTTP_PROXY", NOWHERE.to_owned()),
            ("HTTPS_PROXY", NOWHERE.to_owned()),
        ],
        deadline: DEADLINE,
        max_output_bytes: MAX_BYTES,
        max_memory_bytes: MAX_MEMORY_BYTES,
    };
    let failed = |message: String| Refusal::lasting(reason::HELM_FAILED, message);
    match filter.run().await {
        Ok(Ended {
            code: Some(0),
            output,
            ..
        }) => Ok(output),
        Ok(Ended {
            code, complaint, ..
        }) => {
            let said = said(&complaint, folder);
            Err(match (code, said.is_empty()) {
                (_, false) => failed(said),
                (Some(code), true) => failed(format!("helm ended with {code} and said nothing")),
                (None, true) => failed("helm was killed: it used too much memory".to_owned()),
            })
        }
        Err(Failure::NotFound) => {
            let message = format!(
                "the program {program:?} was not found; install Helm 3 or later where core runs, \
                 or name it in core's configuration"
            );
            Err(Refusal::passing(reason::HELM_NOT_FOUND, message))
        }
        Err(Failure::TooSlow) => Err(Refusal::passing(
            reason::HELM_FAILED,
            format!("helm did not end within {} s", DEADLINE.as_secs()),
        )),
        Err(Failure::TooMuch) => Err(failed(format!(
            "the chart renders to more than {} MiB",
            MAX_BYTES >> 20
        ))),
        Err(Failure::Io(error)) => Err(Refusal::passing(
            reason::HELM_FAILED,
            format!("helm could not be run: {error}"),
        )),
    }
}

/// The line of a complaint that says what is wrong: the last one that Helm calls an error, else the
/// last one.
fn said(complaint: &[u8], folder: &Path) -> String {
    let text = String::from_utf8_lossy(complaint);
    let folder = format!("{}/", folder.display());
    let lines = || text.lines().map(str::trim).filter(|line| !line.is_empty());
    let error = lines()
        .filter_map(|line| line.strip_prefix("Error: "))
        .next_back();
    let line = error.or_else(|| lines().next_back()).unwrap_or_default();
    let line = line.replace(&folder, "");
    line.chars().take(MAX_MESSAGE_CHARS).collect()
}

/// Takes the hooks out.
fn sort_out(rendered: Vec<Object>) -> Result<Sourced, Refusal> {
    let mut sourced = Sourced::default();
    for object in rendered {
        let annotations = &object.body()["metadata"]["annotations"];
        if annotations[HOOK].is_null() {
            sourced.objects.push(object);
        } else {
            sourced.hooks.push(object.key().clone());
        }
    }
    if sourced.objects.is_empty() {
        return Err(invalid("the chart renders to no object".to_owned()));
    }
    leave_to_autoscalers(&mut sourced.objects);
    Ok(sourced)
}

#[cfg(test)]
mod tests;
