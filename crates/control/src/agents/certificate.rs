//! The certificate that agents find: made once, signed by itself, known to agents by its fingerprint alone.
//!
//! No name and no date of it is ever checked: an agent compares the SHA-256 of the whole certificate with the one that came with its
//! token, which no authority can forge.

use std::path::Path;

use launchway_model::Problem;
use launchway_model::home::Home;
use sha2::{Digest, Sha256};

use crate::{problem, secrets};

/// A certificate and its key, both in DER.
#[derive(Clone)]
pub struct Certificate {
    /// The certificate.
    pub certificate: Vec<u8>,
    /// Its private key, PKCS #8.
    pub key: Vec<u8>,
}

impl Certificate {
    /// The SHA-256 of the certificate, in hex.
    pub fn fingerprint(&self) -> String {
        Sha256::digest(&self.certificate)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }
}

/// Reads the certificate of a home, or makes it.
pub(crate) fn open(home: &Home) -> Result<Certificate, Problem> {
    let (certificate, key) = (
        home.root().join("agents.crt"),
        home.root().join("agents.key"),
    );
    if let (Some(certificate), Some(key)) = (read(&certificate)?, read(&key)?) {
        return Ok(Certificate { certificate, key });
    }
    let made = rcgen::generate_simple_self_signed(["launchway".to_owned()])
        .map_err(|error| Problem::internal("a certificate cannot be made").caused_by(&error))?;
    let made = Certificate {
        certificate: made.cert.der().to_vec(),
        key: made.signing_key.serialize_der(),
    };
    // The certificate comes last: where it is there, its key is.
    for (path, content) in [(&key, &made.key), (&certificate, &made.certificate)] {
        secrets::write_private(path, content)
            .map_err(|error| problem::file("write", path, &error))?;
    }
    Ok(made)
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, Problem> {
    match std::fs::read(path) {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(problem::file("read", path, &error)),
    }
}
