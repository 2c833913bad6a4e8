//! TLS to clients: rustls with ring, certificates chosen by name.

use std::collections::HashMap;
use std::fs::File;
use std::io::BufReader;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::error::ProxyError;
use crate::options::{Certificate, Https};

/// The configuration for accepting TLS: HTTP/2 and HTTP/1.1 by ALPN.
///
/// # Errors
/// A certificate or key cannot be read or do not belong together.
pub(crate) fn config(https: &Https) -> Result<Arc<ServerConfig>, ProxyError> {
    let by_name = ByName::load(&https.certificates)?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| ProxyError::Start {
            what: "TLS",
            source: std::io::Error::other(error),
        })?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(by_name));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    if let Ok(ticketer) = ring::Ticketer::new() {
        config.ticketer = ticketer;
    }
    Ok(Arc::new(config))
}

/// Certificates by the names in them.
#[derive(Debug)]
struct ByName {
    exact: HashMap<String, Arc<CertifiedKey>>,
    /// By the part behind `*.`.
    wildcard: HashMap<String, Arc<CertifiedKey>>,
    first: Option<Arc<CertifiedKey>>,
}

impl ByName {
    fn load(certificates: &[Certificate]) -> Result<Self, ProxyError> {
        let mut by_name = Self {
            exact: HashMap::new(),
            wildcard: HashMap::new(),
            first: None,
        };
        for certificate in certificates {
            let key = load_one(certificate)?;
            let names = names_of(certificate, &key)?;
            for name in names {
                match name.strip_prefix("*.") {
                    Some(parent) => by_name
                        .wildcard
                        .entry(parent.to_owned())
                        .or_insert_with(|| Arc::clone(&key)),
                    None => by_name
                        .exact
                        .entry(name)
                        .or_insert_with(|| Arc::clone(&key)),
                };
            }
            by_name.first.get_or_insert(key);
        }
        Ok(by_name)
    }
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let found = hello.server_name().and_then(|name| {
            let name = name.to_ascii_lowercase();
            self.exact.get(&name).or_else(|| {
                let (_, parent) = name.split_once('.')?;
                self.wildcard.get(parent)
            })
        });
        found.or(self.first.as_ref()).map(Arc::clone)
    }
}

fn load_one(certificate: &Certificate) -> Result<Arc<CertifiedKey>, ProxyError> {
    let wrong = |path: &std::path::Path, reason: String| ProxyError::Certificate {
        path: path.to_owned(),
        reason,
    };
    let file = File::open(&certificate.chain)
        .map_err(|error| wrong(&certificate.chain, error.to_string()))?;
    let chain: Vec<_> = CertificateDer::pem_reader_iter(BufReader::new(file))
        .collect::<Result<_, _>>()
        .map_err(|error| wrong(&certificate.chain, error.to_string()))?;
    if chain.is_empty() {
        return Err(wrong(
            &certificate.chain,
            "it holds no certificate".to_owned(),
        ));
    }
    let key = PrivateKeyDer::from_pem_file(&certificate.key)
        .map_err(|error| wrong(&certificate.key, error.to_string()))?;
    let key = CertifiedKey::from_der(chain, key, &ring::default_provider())
        .map_err(|error| wrong(&certificate.chain, error.to_string()))?;
    Ok(Arc::new(key))
}

fn names_of(certificate: &Certificate, key: &CertifiedKey) -> Result<Vec<String>, ProxyError> {
    let wrong = |reason: String| ProxyError::Certificate {
        path: certificate.chain.clone(),
        reason,
    };
    let leaf = key
        .end_entity_cert()
        .map_err(|error| wrong(error.to_string()))?;
    let leaf = webpki::EndEntityCert::try_from(leaf).map_err(|error| wrong(error.to_string()))?;
    Ok(leaf
        .valid_dns_names()
        .map(str::to_ascii_lowercase)
        .collect())
}
