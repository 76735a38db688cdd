//! Makes what the instances of a release share.

use std::io;
use std::path::{Component, Path, PathBuf};

use baetyl_shadow::Digest;
use bytes::Bytes;

use super::ProcessDriver;
use super::files::{self, Access};
use crate::dependency::ServiceCredentials;
use crate::desired::{InputKey, InputKind};
use crate::driver::{Preparation, Refusal};
use crate::inputs::Files;
use crate::reason;
use crate::spec::{Mount, Run, ServiceSpec, Source};

/// Names of the files of a certificate folder.
const CHAIN: &str = "tls.crt";
const KEY: &str = "tls.key";
const AUTHORITIES: &str = "ca.crt";

pub(super) async fn run(driver: &ProcessDriver, preparation: Preparation) -> Result<(), Refusal> {
    let spec = preparation.spec.clone();
    for service in &spec.services {
        prepare_program(driver, &preparation, service).await?;
        for mount in &service.mounts {
            prepare_mount(driver, &preparation, mount).await?;
        }
    }
    for (service, credentials) in &preparation.credentials {
        write_credentials(driver, &preparation, service, credentials).await?;
    }
    Ok(())
}

async fn prepare_program(
    driver: &ProcessDriver,
    preparation: &Preparation,
    service: &ServiceSpec,
) -> Result<(), Refusal> {
    match &service.run {
        Run::Functions { code, .. } => {
            content(driver, preparation, code).await?;
        }
        Run::Program {
            configuration: Some(configuration),
            entry,
        } => {
            let folder = content(driver, preparation, configuration).await?;
            let program = entry.first().and_then(|first| inside(&folder, first));
            if let Some(program) = program {
                let made = blocking(driver, move || match program.is_file() {
                    true => files::make_executable(&program),
                    // Starting it tells that it is not there.
                    false => Ok(()),
                });
                made.await?;
            }
        }
        Run::Program {
            configuration: None,
            ..
        } => {}
    }
    Ok(())
}

/// The path of a program that an entry names relative to its folder; `None` for a program of the
/// node.
pub(super) fn inside(folder: &Path, entry: &str) -> Option<PathBuf> {
    let path = Path::new(entry);
    let is_relative = entry.contains('/') && path.is_relative();
    let stays = path
        .components()
        .all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    (is_relative && stays).then(|| folder.join(path))
}

async fn prepare_mount(
    driver: &ProcessDriver,
    preparation: &Preparation,
    mount: &Mount,
) -> Result<(), Refusal> {
    match &mount.source {
        Source::Fixed(input) => {
            content(driver, preparation, input).await?;
        }
        Source::Reloaded(input) => reloaded(driver, preparation, mount, input).await?,
        Source::Persistent => {
            let application = &preparation.release.application;
            let folder = driver.layout.persistent(application, &mount.volume);
            blocking(driver, move || files::make_private(&folder)).await?;
        }
        Source::Host(path) => {
            let folder = path.clone();
            if !blocking(driver, move || Ok(folder.exists())).await? {
                let path = path.display();
                let message = format!("volume {}: {path} does not exist", mount.volume);
                return Err(Refusal::passing(reason::HOST_PATH_NOT_FOUND, message));
            }
        }
        Source::Empty => {}
    }
    Ok(())
}

/// The folder with the content of an input.
async fn content(
    driver: &ProcessDriver,
    preparation: &Preparation,
    input: &InputKey,
) -> Result<PathBuf, Refusal> {
    let digest = preparation.inputs.digest(input)?;
    let application = &preparation.release.application;
    let folder = driver.layout.content(application, input, &digest);
    let wanted = folder.clone();
    if blocking(driver, move || Ok(wanted.is_dir())).await? {
        return Ok(folder);
    }
    let found = preparation.inputs.files(input).await?;
    let (target, access) = (folder.clone(), access(input));
    blocking(driver, move || {
        files::write_content(&target, &found, access)
    })
    .await?;
    Ok(folder)
}

async fn reloaded(
    driver: &ProcessDriver,
    preparation: &Preparation,
    mount: &Mount,
    input: &InputKey,
) -> Result<(), Refusal> {
    let digest = preparation.inputs.digest(input)?;
    let release = &preparation.release;
    let folder = driver.layout.reloaded(release, input, &mount.volume);
    let wanted = folder.clone();
    if blocking(driver, move || Ok(files::is_switched(&wanted, &digest))).await? {
        return Ok(());
    }
    let found = preparation.inputs.files(input).await?;
    let access = access(input);
    blocking(driver, move || {
        files::switch(&folder, &digest, &found, access)
    })
    .await
}

async fn write_credentials(
    driver: &ProcessDriver,
    preparation: &Preparation,
    service: &str,
    credentials: &ServiceCredentials,
) -> Result<(), Refusal> {
    let application = &preparation.release.application;
    let folder = driver.layout.certificates(application, service);
    let text = |text: &String| Bytes::from(text.clone());
    let found: Files = [
        (CHAIN.to_owned(), text(&credentials.chain_pem)),
        (KEY.to_owned(), text(&credentials.key_pem)),
        (AUTHORITIES.to_owned(), text(&credentials.ca_pem)),
    ]
    .into();
    let digest = Digest::of_pieces(found.values().map(|content| &content[..]));
    blocking(driver, move || {
        files::switch(&folder, &digest, &found, Access::Private)
    })
    .await
}

fn access(input: &InputKey) -> Access {
    match input.kind {
        InputKind::Configuration => Access::Shared,
        InputKind::Secret | InputKind::Certificate | InputKind::Registry => Access::Private,
    }
}

/// Works with files; what the system refuses now may work later.
pub(super) async fn blocking<T: Send + 'static>(
    driver: &ProcessDriver,
    action: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, Refusal> {
    let failed = |error: &dyn std::error::Error| {
        let detail = baetyl_service_kit::fault::chain(error);
        Refusal::passing(
            reason::STORAGE_FAILED,
            format!("files cannot be written: {detail}"),
        )
    };
    match driver.blocking(move |_| action()).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(failed(&error)),
        Err(error) => Err(failed(&error)),
    }
}
