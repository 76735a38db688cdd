//! Keys and tokens of one run, in files with the same form as those of a node.

use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::Result;
use baetyl_pki::{Authority, BearerToken, Credentials, Name, Profile, Validity, files, pem};
use baetyl_service_kit::serve::{Target, TlsProvider};
use baetyl_service_kit::tls::{Identity, Roots};

/// Application of the runtimes.
pub(crate) const APPLICATION: &str = "bench";
/// Service that runtimes attach for.
pub(crate) const SERVICE: &str = "echo";
/// Its one function.
pub(crate) const FUNCTION: &str = "echo";

const LIFETIME: Duration = Duration::from_secs(60 * 60);

/// Makes everything that the roles need.
pub(crate) fn make(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    let validity = Validity {
        now: SystemTime::now(),
        lifetime: LIFETIME,
    };
    let authority = Authority::create("bench", &"bench.baetyl".parse()?, validity)?;
    let ca = pem::encode_certs(std::slice::from_ref(authority.certificate()));
    files::write_public(&folder.join("ca.pem"), ca.as_bytes())?;
    let name = |text: &str| text.parse::<Name>();
    let server = Profile::edge_system(
        name("default")?,
        name("demo")?,
        name("function")?,
        Vec::new(),
    );
    let runtime = Profile::workload(
        name("default")?,
        name("demo")?,
        name(APPLICATION)?,
        name(SERVICE)?,
    );
    for (file, profile) in [("server.pem", server), ("runtime.pem", runtime)] {
        Credentials::issue(&authority, &profile, validity)?.store(&folder.join(file))?;
    }
    files::write_private(
        &folder.join("token"),
        BearerToken::generate().reveal().as_bytes(),
    )?;
    Ok(())
}

/// What a server or a runtime shows.
pub(crate) fn identity(folder: &Path, file: &str) -> Result<Identity> {
    let credentials = Credentials::load(&folder.join(file))?;
    let key = credentials.key().to_private_key_der();
    Ok(Identity::try_new((credentials.chain().to_vec(), key))?)
}

/// Whom everybody trusts.
pub(crate) fn roots(folder: &Path) -> Result<Roots> {
    let text = files::read_public(&folder.join("ca.pem"))?;
    Ok(Roots::try_new(&pem::certs(&text)?)?)
}

/// The `authorization` of callers.
pub(crate) fn bearer(folder: &Path) -> Result<String> {
    let token = files::read_private(&folder.join("token"))?;
    Ok(format!("Bearer {}", String::from_utf8_lossy(&token).trim()))
}

/// A server by its address, `127.0.0.1:1` or `unix:/path`.
pub(crate) fn target(address: &str, tls: Option<TlsProvider>) -> Result<Target> {
    let is_unix = address.starts_with("unix:");
    let at = |scheme: &str| {
        if is_unix {
            address.to_owned()
        } else {
            format!("{scheme}://{address}")
        }
    };
    Ok(match tls {
        Some(tls) => Target::encrypted(&at("https"), Some("localhost"), tls)?,
        None => Target::plain(&at("http"))?,
    })
}
