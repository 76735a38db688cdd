//! What a container finds: variables, volumes, user and folder.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use parking_lot::Mutex;
use serde_json::Value;

use super::Disks;
use super::shown::Shown;
use crate::controllers::Cluster;
use crate::controllers::room::{Files, Mount, Room, Volume};
use crate::controllers::view::{is_set, items, milli, name, namespace, number, text, texts};

/// Makes the volumes of a pod.
///
/// # Errors
/// The kubelet's sentence about the first one that cannot be mounted.
pub(super) fn volumes(
    cluster: &Cluster,
    disks: &mut Disks,
    pod: &Value,
) -> Result<BTreeMap<String, Volume>, String> {
    let mut made = BTreeMap::new();
    for spec in items(pod, "/spec/volumes") {
        let volume_name = text(spec, "/name");
        let failed = |problem: String| {
            format!("MountVolume.SetUp failed for volume {volume_name:?} : {problem}")
        };
        let volume = if let Some(entries) = content(cluster, pod, spec).map_err(failed)? {
            Arc::new(Mutex::new(Files {
                entries,
                ..Files::default()
            }))
        } else if let Some(folder) = spec.get("emptyDir") {
            let limit = text(folder, "/sizeLimit");
            let limit = (!limit.is_empty()).then(|| milli(limit) / 1000);
            Arc::new(Mutex::new(Files {
                limit: limit.and_then(|limit| u64::try_from(limit).ok()),
                ..Files::default()
            }))
        } else if spec.get("persistentVolumeClaim").is_some() {
            let claim = text(spec, "/persistentVolumeClaim/claimName").to_owned();
            let key = (namespace(pod).to_owned(), claim);
            disks.claims.entry(key).or_default().clone()
        } else {
            let path = text(spec, "/hostPath/path").to_owned();
            let key = (text(pod, "/spec/nodeName").to_owned(), path.clone());
            let kind = text(spec, "/hostPath/type");
            let is_there =
                cluster.scene.host_paths.contains(&path) || disks.folders.contains_key(&key);
            if !is_there && !kind.is_empty() && !kind.ends_with("OrCreate") {
                let what = match kind {
                    "Directory" => "directory",
                    "File" => "file",
                    "Socket" => "socket file",
                    "CharDevice" => "character device",
                    _ => "block device",
                };
                return Err(failed(format!(
                    "hostPath type check failed: {path} is not a {what}"
                )));
            }
            disks.folders.entry(key).or_default().clone()
        };
        made.insert(volume_name.to_owned(), volume);
    }
    Ok(made)
}

/// Writes what ConfigMaps and Secrets say now into the volumes of a pod that runs.
pub(super) fn refresh(cluster: &Cluster, pod: &Value, volumes: &BTreeMap<String, Volume>) {
    for spec in items(pod, "/spec/volumes") {
        // What is missing now stays as it was.
        if let Ok(Some(entries)) = content(cluster, pod, spec)
            && let Some(volume) = volumes.get(text(spec, "/name"))
        {
            volume.lock().entries = entries;
        }
    }
}

/// The files of a volume that is made of objects; `None` for other volumes.
fn content(
    cluster: &Cluster,
    pod: &Value,
    spec: &Value,
) -> Result<Option<BTreeMap<String, String>>, String> {
    if let Some(source) = spec.get("configMap") {
        let found = object(cluster, pod, "configmaps", text(source, "/name"), source)?;
        return Ok(Some(select(found, source, "config")?));
    }
    if let Some(source) = spec.get("secret") {
        let found = object(cluster, pod, "secrets", text(source, "/secretName"), source)?;
        return Ok(Some(select(found, source, "secret")?));
    }
    if let Some(source) = spec.get("downwardAPI") {
        return Ok(Some(downward(pod, source)));
    }
    let Some(projected) = spec.get("projected") else {
        return Ok(None);
    };
    let mut all = BTreeMap::new();
    for source in items(projected, "/sources") {
        if let Some(part) = source.get("configMap") {
            let found = object(cluster, pod, "configmaps", text(part, "/name"), part)?;
            all.extend(select(found, part, "config")?);
        } else if let Some(part) = source.get("secret") {
            let found = object(cluster, pod, "secrets", text(part, "/name"), part)?;
            all.extend(select(found, part, "secret")?);
        } else if let Some(part) = source.get("downwardAPI") {
            all.extend(downward(pod, part));
        }
    }
    Ok(Some(all))
}

fn downward(pod: &Value, source: &Value) -> BTreeMap<String, String> {
    let files = items(source, "/items").iter();
    let file = |item: &Value| {
        let value = field(pod, text(item, "/fieldRef/fieldPath"), "");
        (text(item, "/path").to_owned(), value)
    };
    files.map(file).collect()
}

/// The values of a ConfigMap or Secret; none when it may be missing and is.
fn object(
    cluster: &Cluster,
    pod: &Value,
    resource: &str,
    object_name: &str,
    source: &Value,
) -> Result<Option<BTreeMap<String, String>>, String> {
    match cluster.store.get(resource, namespace(pod), object_name) {
        Some(object) => Ok(Some(values(&object))),
        None if is_set(source, "/optional") => Ok(None),
        None => {
            let kind = resource.trim_end_matches('s');
            Err(format!("{kind} {object_name:?} not found"))
        }
    }
}

/// The values of a ConfigMap or Secret as files have them.
pub(super) fn values(object: &Value) -> BTreeMap<String, String> {
    let decode = |text: &String| {
        let bytes = base64::engine::general_purpose::STANDARD.decode(text);
        String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned()
    };
    let is_secret = text(object, "/kind") == "Secret";
    let plain = texts(object, "/data");
    let mut values = if is_secret {
        plain
            .iter()
            .map(|(key, text)| (key.clone(), decode(text)))
            .collect()
    } else {
        plain
    };
    for (key, text) in texts(object, "/binaryData") {
        values.insert(key, decode(&text));
    }
    values
}

fn select(
    values: Option<BTreeMap<String, String>>,
    source: &Value,
    word: &str,
) -> Result<BTreeMap<String, String>, String> {
    let Some(values) = values else {
        return Ok(BTreeMap::new());
    };
    let wanted = items(source, "/items");
    if wanted.is_empty() {
        return Ok(values);
    }
    let mut chosen = BTreeMap::new();
    for item in wanted {
        let key = text(item, "/key");
        match values.get(key) {
            Some(value) => {
                chosen.insert(text(item, "/path").to_owned(), value.clone());
            }
            None if is_set(source, "/optional") => {}
            None => return Err(format!("references non-existent {word} key: {key}")),
        }
    }
    Ok(chosen)
}

/// Makes the surroundings of a container.
///
/// # Errors
/// The kubelet's sentence: `CreateContainerConfigError` is its word.
pub(super) fn room(
    cluster: &Cluster,
    pod: &Value,
    container: &Value,
    volumes: &BTreeMap<String, Volume>,
    address: &str,
) -> Result<Room, String> {
    let of = |field: &str| {
        number(container, &format!("/securityContext/{field}"))
            .or_else(|| number(pod, &format!("/spec/securityContext/{field}")))
    };
    let user = of("runAsUser").unwrap_or(0);
    let non_root = container
        .pointer("/securityContext/runAsNonRoot")
        .or_else(|| pod.pointer("/spec/securityContext/runAsNonRoot"));
    if non_root.and_then(Value::as_bool) == Some(true) && user == 0 {
        return Err(format!(
            "container has runAsNonRoot and image will run as root (pod: \"{}_{}({})\", \
             container: {})",
            name(pod),
            namespace(pod),
            text(pod, "/metadata/uid"),
            text(container, "/name"),
        ));
    }
    let folder = match text(container, "/workingDir") {
        "" => "/",
        folder => folder,
    };
    let env = environment(cluster, pod, container, address)?;
    let is_read_only = is_set(container, "/securityContext/readOnlyRootFilesystem");
    let mut room = Room::new(env, folder, user, is_read_only);
    for mount in items(container, "/volumeMounts") {
        let Some(volume) = volumes.get(text(mount, "/name")) else {
            continue;
        };
        room.mount(made(pod, mount, volume));
    }
    Ok(room)
}

/// Whether a mount shows objects, or what is known of the pod.
fn is_input(pod: &Value, mount: &Value) -> bool {
    let volumes = items(pod, "/spec/volumes").iter();
    volumes
        .filter(|one| text(one, "/name") == text(mount, "/name"))
        .any(|one| {
            ["configMap", "secret", "projected", "downwardAPI"]
                .iter()
                .any(|key| one.get(key).is_some())
        })
}

/// Makes folders of the mounts of a container that is a real program, and says which of them are
/// to be filled. `of_pod` holds what its containers share, `own` what they do not: paths in files
/// of inputs are those of the one container. Of a claim or of the machine nothing is shown but an
/// empty folder.
///
/// # Errors
/// A folder cannot be made.
pub(super) fn folders(
    pod: &Value,
    container: &Value,
    room: &mut Room,
    [of_pod, own]: [&Path; 2],
) -> io::Result<Vec<Shown>> {
    let mut shown = Vec::new();
    for (index, mount) in items(container, "/volumeMounts").iter().enumerate() {
        let path = text(mount, "/mountPath");
        let is_input = is_input(pod, mount);
        let folder = match is_input {
            true => own.join(index.to_string()),
            false => of_pod.join(text(mount, "/name")),
        };
        let found = room.mounts.iter().find(|one| one.path == path);
        if let Some(mount) = found.filter(|_| is_input) {
            shown.push(Shown::new(folder.clone(), mount.volume.clone()));
        }
        let folder = folder.join(text(mount, "/subPath"));
        if !is_input {
            fs::create_dir_all(&folder)?;
        }
        room.paths.add(path, folder);
    }
    Ok(shown)
}

/// A mount; one of a part of a volume keeps what stands there now.
fn made(pod: &Value, mount: &Value, volume: &Volume) -> Mount {
    let is_input = is_input(pod, mount);
    let sub_path = text(mount, "/subPath").trim_matches('/').to_owned();
    let volume = if is_input && !sub_path.is_empty() {
        let files = Files {
            entries: volume.lock().entries.clone(),
            ..Files::default()
        };
        Arc::new(Mutex::new(files))
    } else {
        volume.clone()
    };
    Mount {
        path: text(mount, "/mountPath").to_owned(),
        sub_path,
        is_read_only: is_input || is_set(mount, "/readOnly"),
        volume,
    }
}

fn environment(
    cluster: &Cluster,
    pod: &Value,
    container: &Value,
    address: &str,
) -> Result<BTreeMap<String, String>, String> {
    let mut env = BTreeMap::from([("HOSTNAME".to_owned(), name(pod).to_owned())]);
    for source in items(container, "/envFrom") {
        for (key, resource) in [("configMapRef", "configmaps"), ("secretRef", "secrets")] {
            if let Some(reference) = source.get(key) {
                let object_name = text(reference, "/name");
                let found = object(cluster, pod, resource, object_name, reference)?;
                env.extend(found.unwrap_or_default());
            }
        }
    }
    for variable in items(container, "/env") {
        let value = match variable.get("valueFrom") {
            None => Some(expand(text(variable, "/value"), &env)),
            Some(source) => from(cluster, pod, container, source, address)?,
        };
        if let Some(value) = value {
            env.insert(text(variable, "/name").to_owned(), value);
        }
    }
    Ok(env)
}

fn from(
    cluster: &Cluster,
    pod: &Value,
    container: &Value,
    source: &Value,
    address: &str,
) -> Result<Option<String>, String> {
    for (key, resource, kind) in [
        ("configMapKeyRef", "configmaps", "ConfigMap"),
        ("secretKeyRef", "secrets", "Secret"),
    ] {
        if let Some(reference) = source.get(key) {
            let object_name = text(reference, "/name");
            let wanted = text(reference, "/key");
            let found = object(cluster, pod, resource, object_name, reference)?;
            let value = found.and_then(|values| values.get(wanted).cloned());
            if value.is_none() && !is_set(reference, "/optional") {
                let space = namespace(pod);
                return Err(format!(
                    "couldn't find key {wanted} in {kind} {space}/{object_name}"
                ));
            }
            return Ok(value);
        }
    }
    if let Some(reference) = source.get("fieldRef") {
        return Ok(Some(field(pod, text(reference, "/fieldPath"), address)));
    }
    let resource = text(source, "/resourceFieldRef/resource");
    let (of, resource) = resource.split_once('.').unwrap_or(("limits", resource));
    let value = container.pointer(&format!("/resources/{of}/{resource}"));
    Ok(Some(
        value.and_then(Value::as_str).unwrap_or("0").to_owned(),
    ))
}

/// A field of the pod itself, as `fieldRef` names it.
fn field(pod: &Value, path: &str, address: &str) -> String {
    if let Some((map, rest)) = path.split_once("['") {
        let key = rest.trim_end_matches("']");
        let values = texts(pod, &format!("/{}", map.replace('.', "/")));
        return values.get(key).cloned().unwrap_or_default();
    }
    match path {
        "status.podIP" => address.to_owned(),
        "status.hostIP" => crate::controllers::machine::address(text(pod, "/spec/nodeName")),
        "spec.serviceAccountName" => match text(pod, "/spec/serviceAccountName") {
            "" => "default".to_owned(),
            account => account.to_owned(),
        },
        path => text(pod, &format!("/{}", path.replace('.', "/"))).to_owned(),
    }
}

/// Replaces `$(NAME)` by variables that stand before; `$$` is a dollar.
pub(super) fn expand(text: &str, env: &BTreeMap<String, String>) -> String {
    let mut expanded = String::new();
    let mut rest = text;
    while let Some(start) = rest.find('$') {
        expanded.push_str(&rest[..start]);
        rest = &rest[start..];
        if let Some(after) = rest.strip_prefix("$$") {
            expanded.push('$');
            rest = after;
            continue;
        }
        let inner = rest.strip_prefix("$(").and_then(|one| one.split_once(')'));
        match inner {
            Some((name, after)) => {
                match env.get(name) {
                    Some(value) => expanded.push_str(value),
                    None => expanded.push_str(&format!("$({name})")),
                }
                rest = after;
            }
            None => {
                expanded.push('$');
                rest = &rest[1..];
            }
        }
    }
    expanded.push_str(rest);
    expanded
}
