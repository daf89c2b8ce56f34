//! Certificates and keys: what `tls = { ... }` in any section means.
//!
//! PEM goes in, a rustls configuration comes out; the provider is aws-lc-rs everywhere. Nothing here opens a file or a
//! socket: who reads the bytes says where they came from when they are wrong.

use std::{fmt, sync::Arc};

use rustls::{
    ClientConfig, ConfigBuilder, RootCertStore, ServerConfig, WantsVersions,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

/// A certificate chain, leaf first, and the key to it. Prints nothing of the key.
pub struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

/// Whom a client believes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// The certificate authorities of the system.
    System,
    /// These and no others.
    Own(Vec<CertificateDer<'static>>),
}

/// How a client meets a server over TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// Whom it believes.
    pub trust: Trust,
    /// What it shows of itself.
    pub identity: Option<Identity>,
}

/// What is wrong with certificates or a key.
#[derive(Debug)]
pub enum TlsError {
    /// No certificate in PEM.
    NoCertificate,
    /// No private key in PEM (PKCS #8, PKCS #1 or SEC 1).
    NoKey,
    /// The system has no certificate authorities.
    NoRoots,
    /// rustls does not take them.
    Refused(rustls::Error),
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCertificate => f.write_str("holds no certificate in PEM"),
            Self::NoKey => f.write_str("holds no private key in PEM"),
            Self::NoRoots => f.write_str("the system has no certificate authorities"),
            Self::Refused(error) => write!(f, "cannot be used: {error}"),
        }
    }
}

impl std::error::Error for TlsError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::NoCertificate | Self::NoKey | Self::NoRoots => None,
            Self::Refused(error) => Some(error),
        }
    }
}

impl From<rustls::Error> for TlsError {
    fn from(error: rustls::Error) -> Self {
        Self::Refused(error)
    }
}

/// Every certificate of a PEM text, in order.
///
/// # Errors
/// [`TlsError::NoCertificate`] if there is none, or one that is not well formed.
pub fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    found.ok().filter(|found| !found.is_empty()).ok_or(TlsError::NoCertificate)
}

impl Trust {
    /// Believes the certificate authorities of this PEM text and no others.
    ///
    /// # Errors
    /// [`TlsError`]
    pub fn own(pem: &[u8]) -> Result<Self, TlsError> {
        let authorities = certificates(pem)?;
        roots(authorities.iter().cloned())?;
        Ok(Self::Own(authorities))
    }

    fn roots(&self) -> Result<RootCertStore, TlsError> {
        match self {
            Self::Own(authorities) => roots(authorities.iter().cloned()),
            Self::System => {
                let mut store = RootCertStore::empty();
                store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
                if store.is_empty() { Err(TlsError::NoRoots) } else { Ok(store) }
            }
        }
    }
}

fn roots(authorities: impl Iterator<Item = CertificateDer<'static>>) -> Result<RootCertStore, TlsError> {
    let mut store = RootCertStore::empty();
    for authority in authorities {
        store.add(authority)?;
    }
    Ok(store)
}

impl Identity {
    /// A chain and its key, both PEM.
    ///
    /// # Errors
    /// [`TlsError`], also if the key does not belong to the leaf.
    pub fn new(chain: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        let identity =
            Self { chain: certificates(chain)?, key: PrivateKeyDer::from_pem_slice(key).map_err(|_| TlsError::NoKey)? };
        rustls::sign::CertifiedKey::from_der(identity.chain.clone(), identity.key.clone_key(), &provider())?;
        Ok(identity)
    }
}

impl Clone for Identity {
    fn clone(&self) -> Self {
        Self { chain: self.chain.clone(), key: self.key.clone_key() }
    }
}

impl PartialEq for Identity {
    fn eq(&self, other: &Self) -> bool {
        self.chain == other.chain && self.key.secret_der() == other.key.secret_der()
    }
}

impl Eq for Identity {}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("chain", &self.chain.len()).finish_non_exhaustive()
    }
}

impl Client {
    /// The configuration of a client that offers these protocols (ALPN, in order of preference; none: not offered).
    ///
    /// # Errors
    /// [`TlsError`]
    pub fn configuration(&self, protocols: &[&[u8]]) -> Result<Arc<ClientConfig>, TlsError> {
        let builder = versions(ClientConfig::builder_with_provider(provider()))?;
        let builder = builder.with_root_certificates(self.trust.roots()?);
        let mut configuration = match &self.identity {
            Some(identity) => builder.with_client_auth_cert(identity.chain.clone(), identity.key.clone_key())?,
            None => builder.with_no_client_auth(),
        };
        configuration.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        Ok(Arc::new(configuration))
    }
}

/// The configuration of a server that shows this and speaks these protocols (ALPN, in order of preference). Early data is
/// not taken: whoever records a request could play it again.
///
/// # Errors
/// [`TlsError`]
pub fn server(identity: &Identity, protocols: &[&[u8]]) -> Result<Arc<ServerConfig>, TlsError> {
    let builder = versions(ServerConfig::builder_with_provider(provider()))?.with_no_client_auth();
    let mut configuration = builder.with_single_cert(identity.chain.clone(), identity.key.clone_key())?;
    configuration.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    configuration.max_early_data_size = 0;
    Ok(Arc::new(configuration))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// TLS 1.2 and 1.3.
fn versions<Side: rustls::ConfigSide>(
    builder: ConfigBuilder<Side, WantsVersions>,
) -> Result<ConfigBuilder<Side, rustls::WantsVerifier>, rustls::Error> {
    builder.with_safe_default_protocol_versions()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(names: &[&str]) -> (String, String) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

    #[test]
    fn a_chain_and_its_key_are_an_identity_and_print_no_key() {
        let (chain, key) = made(&["a.test"]);
        let identity = Identity::new(chain.as_bytes(), key.as_bytes()).unwrap();
        assert_eq!(identity, identity.clone());
        assert_eq!(format!("{identity:?}"), "Identity { chain: 1, .. }");
    }

    #[test]
    fn what_is_no_identity_says_what_is_missing() {
        let (chain, key) = made(&["a.test"]);
        let (_, other) = made(&["b.test"]);
        let refused = |chain: &str, key: &str| Identity::new(chain.as_bytes(), key.as_bytes()).unwrap_err().to_string();
        assert_eq!(refused("", &key), "holds no certificate in PEM");
        assert_eq!(refused(&key, &key), "holds no certificate in PEM");
        assert_eq!(refused(&chain, &chain), "holds no private key in PEM");
        assert!(refused(&chain, &other).starts_with("cannot be used: "), "{}", refused(&chain, &other));
    }

    #[test]
    fn a_client_is_configured_with_its_authorities_its_identity_and_its_protocols() {
        let (chain, key) = made(&["a.test"]);
        let identity = Identity::new(chain.as_bytes(), key.as_bytes()).unwrap();
        let client = Client { trust: Trust::own(chain.as_bytes()).unwrap(), identity: Some(identity) };
        let configuration = client.configuration(&[b"h2", b"http/1.1"]).unwrap();
        assert_eq!(configuration.alpn_protocols, [b"h2".to_vec(), b"http/1.1".to_vec()]);
        assert!(configuration.client_auth_cert_resolver.has_certs());
        assert!(Trust::own(key.as_bytes()).is_err());
    }
}
