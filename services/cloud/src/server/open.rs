//! Opening what is kept: the data folder, the keys, the store, the authorities.

use std::fs::{DirBuilder, File, TryLockError};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use baetyl_model::{Kind, Message, Resource, Revision, Uid};
use baetyl_pki::{FileError, Sealer, TrustDomain, files};
use baetyl_proto::resource::v1 as pb;
use zeroize::Zeroizing;

use super::{ServerError, keep_token};
use crate::auth::{Tokens, default_namespace};
use crate::authority::{Authorities, Revocations};
use crate::config::{Config, StoreKind};
use crate::error::Error;
use crate::store::memory::MemoryStore;
use crate::store::sqlite::{SqliteSettings, SqliteStore};
use crate::store::{Commit, Key, Store, StoreError, Stored, Write};

/// The data folder, which one process works in at a time.
#[derive(Debug)]
pub(super) struct Folder {
    // The lock goes with the file.
    _lock: File,
}

impl Folder {
    pub(super) fn open(path: &Path) -> Result<Self, ServerError> {
        let folder = |path: PathBuf| move |source| ServerError::Folder { path, source };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(folder(path.to_owned()))?;
        let lock_path = path.join("lock");
        let lock = File::create(&lock_path).map_err(folder(lock_path.clone()))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(ServerError::Locked(path.to_owned())),
            Err(TryLockError::Error(source)) => Err(folder(lock_path)(source)),
        }
    }
}

/// What is kept.
pub(super) struct Opened {
    pub(super) store: Arc<dyn Store>,
    /// The same store, where it wants to be closed.
    pub(super) durable: Option<Arc<SqliteStore>>,
    pub(super) authorities: Arc<Authorities>,
    pub(super) revocations: Revocations,
    pub(super) first_token: Option<Zeroizing<String>>,
}

impl Opened {
    pub(super) async fn open(config: &Config, now: SystemTime) -> Result<Self, ServerError> {
        let sealer = Arc::new(sealer(config)?);
        let (store, durable) = store(config, &sealer).await?;
        let trust_domain: TrustDomain = config
            .trust_domain
            .parse()
            .map_err(crate::authority::AuthorityError::from)?;
        let authorities = Authorities::open_or_create(&*store, &sealer, &trust_domain, now).await?;
        if *authorities.servers().trust_domain() != trust_domain {
            tracing::warn!(
                configured = trust_domain.as_str(),
                kept = authorities.servers().trust_domain().as_str(),
                "the trust domain is fixed at the first start"
            );
        }
        authorities.write_certificate(&config.data_folder.join("ca.pem"))?;
        let revoked = config.data_folder.join("revoked.txt");
        let revocations =
            Revocations::open(Some(&revoked)).map_err(|source| ServerError::Folder {
                path: revoked,
                source,
            })?;
        make_default_namespace(&*store, now)
            .await
            .map_err(ServerError::First)?;
        let first = Tokens::new(Arc::clone(&store)).ensure_first(now).await;
        let first_token = first
            .map_err(ServerError::First)?
            .map(|made| made.secret.reveal());
        if let Some(text) = &first_token {
            keep_token(&config.data_folder.join("admin.token"), text);
        }
        Ok(Self {
            store,
            durable,
            authorities: Arc::new(authorities),
            revocations,
            first_token,
        })
    }
}

/// Opens the data key, which lies wrapped in the data folder.
fn sealer(config: &Config) -> Result<Sealer, ServerError> {
    let path = config.data_folder.join("data.key");
    let wrapped = match files::read_private(&path) {
        Ok(wrapped) => Some(wrapped),
        Err(FileError::Missing { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    let wrapped = wrapped.as_ref().map(|bytes| bytes.as_slice());
    let opened = Sealer::open_or_create(&config.key_file(), wrapped)?;
    if let Some(wrapped) = opened.new_wrapped_key {
        // Before anything is sealed under it.
        files::create_private(&path, &wrapped)?;
    }
    Ok(opened.sealer)
}

type Stores = (Arc<dyn Store>, Option<Arc<SqliteStore>>);

async fn store(config: &Config, sealer: &Arc<Sealer>) -> Result<Stores, StoreError> {
    match config.store.kind {
        StoreKind::Memory => {
            tracing::warn!("everything is kept in memory and gone with the process");
            Ok((Arc::new(MemoryStore::new()), None))
        }
        StoreKind::Sqlite => {
            let settings = SqliteSettings {
                max_bytes: config.store.max_size.map(|size| size.0),
                ..SqliteSettings::default()
            };
            let path = config.data_folder.join("cloud.db");
            let store = SqliteStore::open_with(path, Arc::clone(sealer), settings).await?;
            let store = Arc::new(store);
            Ok((Arc::clone(&store) as Arc<dyn Store>, Some(store)))
        }
    }
}

/// Makes the tenant `default` when there is no tenant at all.
async fn make_default_namespace(store: &dyn Store, now: SystemTime) -> Result<(), Error> {
    if !store.namespaces(None, 1).await?.is_empty() {
        return Ok(());
    }
    let namespace = default_namespace();
    let message = Message::Namespace(pb::Namespace {
        name: namespace.to_string(),
        ..pb::Namespace::default()
    });
    let resource = Resource::try_new(message).map_err(Error::violations)?;
    let body = resource.encode();
    let stored = Stored {
        key: Key {
            name: namespace.clone().into(),
            kind: Kind::Namespace,
            namespace,
        },
        uid: Uid::random(),
        revision: Revision::FIRST,
        digest: baetyl_model::Digest::of(&body),
        body,
        labels: resource.selectable_labels(),
        references: Vec::new(),
        author: "system".to_owned(),
        create_time: now,
        update_time: now,
    };
    let commit = Commit {
        preconditions: Vec::new(),
        writes: vec![Write::Put(Box::new(stored))],
    };
    match store.commit(commit).await {
        // Another process was first.
        Ok(()) | Err(StoreError::Precondition(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
