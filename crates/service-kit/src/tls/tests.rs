//! An authority for tests, here and where things are served.

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;

use super::*;

pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap().der().clone();
        Self {
            issuer: Issuer::new(params, key),
            certificate,
        }
    }

    pub(crate) fn certificates(&self) -> [CertificateDer<'static>; 1] {
        [self.certificate.clone()]
    }

    pub(crate) fn roots(&self) -> Roots {
        Roots::try_new(&self.certificates()).unwrap()
    }

    pub(crate) fn chain(&self, name: &str) -> Chain {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        (vec![certificate.der().clone()], key.into())
    }

    pub(crate) fn identity(&self, name: &str) -> Identity {
        Identity::try_new(self.chain(name)).unwrap()
    }
}

#[test]
fn when_the_key_belongs_to_another_certificate_then_the_old_identity_stays() {
    let authority = Authority::new();
    let identity = authority.identity("localhost");
    let before = identity.chain();
    let (chain, _) = authority.chain("localhost");
    let (_, foreign_key) = authority.chain("localhost");

    let error = identity.replace((chain, foreign_key)).unwrap_err();

    assert_eq!(error.reason(), "TLS_IDENTITY_UNUSABLE");
    assert_eq!(identity.chain(), before);
}

#[test]
fn when_there_is_nothing_to_trust_then_there_are_no_roots() {
    let error = Roots::try_new(&[]).unwrap_err();

    assert_eq!(error.reason(), "TLS_NO_ROOTS");
}

#[test]
fn when_a_root_is_garbage_then_the_old_roots_stay() {
    let roots = Authority::new().roots();

    let error = roots
        .replace(&[CertificateDer::from(vec![1, 2, 3])])
        .unwrap_err();

    assert_eq!(error.reason(), "TLS_ROOT_UNUSABLE");
    assert_eq!(roots.store().len(), 1);
}
