//! TLS of the client: whom it trusts, and its own certificate.

use super::{HttpError, TlsSpec};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, SignatureScheme};
use std::sync::Arc;

/// Where systems keep the authorities that they trust, the first that is there.
const BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

pub(super) fn config(spec: &TlsSpec) -> Result<Arc<rustls::ClientConfig>, HttpError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| HttpError::Setup(format!("tls: {error}")))?;
    let builder = if spec.insecure {
        builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anyone(provider)))
    } else {
        builder.with_root_certificates(roots(spec)?)
    };
    let config = match (&spec.certificate, &spec.key) {
        (Some(certificate), Some(key)) => {
            let chain = certificates(&certificate.read()?)?;
            let key = PrivateKeyDer::from_pem_slice(key.read()?.as_bytes()).map_err(|error| {
                HttpError::Setup(format!("the client's key cannot be read: {error}"))
            })?;
            builder.with_client_auth_cert(chain, key).map_err(|error| {
                HttpError::Setup(format!("the client's certificate is not usable: {error}"))
            })?
        }
        (None, None) => builder.with_no_client_auth(),
        _ => {
            return Err(HttpError::Setup(
                "a client's certificate needs a key, and a key a certificate".into(),
            ));
        }
    };
    Ok(Arc::new(config))
}

fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, HttpError> {
    CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|error| HttpError::Setup(format!("a certificate cannot be read: {error}")))
}

fn roots(spec: &TlsSpec) -> Result<rustls::RootCertStore, HttpError> {
    let mut store = rustls::RootCertStore::empty();
    let pem = match &spec.ca {
        Some(ca) => Some(ca.read()?),
        None => BUNDLES
            .iter()
            .find_map(|path| std::fs::read_to_string(path).ok()),
    };
    if let Some(pem) = pem {
        // A system's bundle may hold what this library does not take; the others count.
        let (added, _) = store.add_parsable_certificates(certificates(&pem)?);
        if added == 0 && spec.ca.is_some() {
            return Err(HttpError::Setup(
                "the authorities' file holds no certificate".into(),
            ));
        }
    }
    if store.is_empty() {
        store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    Ok(store)
}

/// Takes any certificate, for `insecure_skip_verify`; signatures are checked all the same.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
