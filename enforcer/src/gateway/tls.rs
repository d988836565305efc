//! TLS on both sides: the gateway's own certificate, and how a target's is verified. One provider: aws-lc-rs.
//!
//! It must never fall back to a weaker mode than the one asked for, and never resumes a session with a target, so
//! that every connection is verified on its own.

use crate::protocols::postgres::ALPN;
use lang::program::rules::Tls;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, verify_server_cert_signed_by_trust_anchor};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use zeroize::Zeroizing;

/// Bytes of a PEM file.
const PEM_BYTES_MAX: u64 = 4 << 20;

/// Why TLS cannot be set up. Never holds a byte of a key.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file is far larger than any PEM file.
    #[error("{} is larger than {PEM_BYTES_MAX} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// The PEM holds no certificate.
    #[error("the PEM holds no certificate, or a broken one")]
    NoCertificate,
    /// The PEM holds no private key.
    #[error("the PEM holds no private key, or a broken one")]
    NoKey,
    /// The system has no certificate authorities.
    #[error("the system has no certificate authorities; name a file of them with ca=")]
    NoRoots,
    /// `verify-ca` without authorities of its own would trust every public certificate.
    #[error("tls verify-ca needs a file of certificate authorities: ca=\"…\"")]
    CaNeeded,
    /// Certificate and key do not fit, or TLS does not accept them.
    #[error("the certificate or key is not usable")]
    Rejected(#[from] rustls::Error),
}

/// The one provider of cryptography.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// A server's configuration from PEM text: a chain, leaf first, and its key. `alpn` lists the protocols in order of
/// preference; a client that offers only others is refused, one that offers none is not.
pub fn server_config(certificate: &[u8], key: &[u8], alpn: &[&[u8]]) -> Result<Arc<ServerConfig>, TlsError> {
    let chain = certificates(certificate)?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| TlsError::NoKey)?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    Ok(Arc::new(config))
}

/// As [`server_config`], from files.
pub fn server_config_from_files(certificate: &Path, key: &Path, alpn: &[&[u8]]) -> Result<Arc<ServerConfig>, TlsError> {
    server_config(&read(certificate)?, &read(key)?, alpn)
}

/// How a target is spoken to.
#[derive(Clone, Debug)]
pub enum UpstreamTls {
    /// Without TLS, as the policy says.
    Off,
    /// With TLS or not at all.
    On(Verified),
}

/// A client's configuration that verifies.
#[derive(Clone, Debug)]
pub struct Verified {
    config: Arc<ClientConfig>,
    checks: Checks,
}

/// What is verified of a target's certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checks {
    /// Its chain and its name.
    ChainAndName,
    /// Its chain.
    Chain,
}

impl UpstreamTls {
    /// The mode that the policy's connection names. Reads the file of authorities.
    pub fn from_policy(tls: &Tls) -> Result<Self, TlsError> {
        match tls {
            Tls::Off => Ok(Self::Off),
            Tls::VerifyFull { ca: None } => Self::verify_full(system_roots()?),
            Tls::VerifyFull { ca: Some(path) } => Self::verify_full(roots(&read(Path::new(path))?)?),
            Tls::VerifyCa { ca: Some(path) } => Self::verify_ca(roots(&read(Path::new(path))?)?),
            Tls::VerifyCa { ca: None } => Err(TlsError::CaNeeded),
        }
    }

    /// Verifies chain and name.
    pub fn verify_full(roots: RootCertStore) -> Result<Self, TlsError> {
        let config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self::of(config, Checks::ChainAndName))
    }

    /// Verifies the chain only.
    pub fn verify_ca(roots: RootCertStore) -> Result<Self, TlsError> {
        if roots.is_empty() {
            return Err(TlsError::NoRoots);
        }
        let verifier = ChainOnly { roots, provider: provider() };
        let config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        Ok(Self::of(config, Checks::Chain))
    }

    fn of(mut config: ClientConfig, checks: Checks) -> Self {
        config.resumption = Resumption::disabled();
        config.alpn_protocols = vec![ALPN.to_vec()];
        Self::On(Verified { config: Arc::new(config), checks })
    }
}

impl Verified {
    /// The configuration.
    pub const fn config(&self) -> &Arc<ClientConfig> {
        &self.config
    }

    /// What it verifies.
    pub const fn checks(&self) -> Checks {
        self.checks
    }
}

/// The authorities of a PEM text.
pub fn roots(pem: &[u8]) -> Result<RootCertStore, TlsError> {
    let mut store = RootCertStore::empty();
    for certificate in certificates(pem)? {
        store.add(certificate)?;
    }
    Ok(store)
}

/// The system's authorities. One that cannot be read is left out; none at all is an error.
pub fn system_roots() -> Result<RootCertStore, TlsError> {
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if store.is_empty() { Err(TlsError::NoRoots) } else { Ok(store) }
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let chain: Vec<_> =
        CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(|_| TlsError::NoCertificate)?;
    if chain.is_empty() { Err(TlsError::NoCertificate) } else { Ok(chain) }
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, TlsError> {
    let failed = |source| TlsError::Read { path: path.to_owned(), source };
    if std::fs::metadata(path).map_err(failed)?.len() > PEM_BYTES_MAX {
        return Err(TlsError::TooLarge { path: path.to_owned() });
    }
    std::fs::read(path).map(Zeroizing::new).map_err(failed)
}

/// Verifies everything but the name.
#[derive(Debug)]
struct ChainOnly {
    roots: RootCertStore,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for ChainOnly {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let certificate = ParsedCertificate::try_from(end_entity)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&certificate, &self.roots, intermediates, now, algorithms)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broken_pem_is_refused() {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        assert!(server_config(certificate.as_bytes(), key.as_bytes(), &[ALPN]).is_ok());
        assert!(matches!(server_config(b"", key.as_bytes(), &[]), Err(TlsError::NoCertificate)));
        assert!(matches!(server_config(certificate.as_bytes(), b"", &[]), Err(TlsError::NoKey)));
        let other = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let mismatch = server_config(certificate.as_bytes(), other.signing_key.serialize_pem().as_bytes(), &[]);
        assert!(matches!(mismatch, Err(TlsError::Rejected(_))));
    }

    #[test]
    fn verify_ca_never_trusts_the_public() {
        assert!(matches!(UpstreamTls::from_policy(&Tls::VerifyCa { ca: None }), Err(TlsError::CaNeeded)));
        assert!(matches!(UpstreamTls::verify_ca(RootCertStore::empty()), Err(TlsError::NoRoots)));
        let missing = Tls::VerifyFull { ca: Some("/nonexistent/ca.pem".to_owned()) };
        assert!(matches!(UpstreamTls::from_policy(&missing), Err(TlsError::Read { .. })));
    }
}
