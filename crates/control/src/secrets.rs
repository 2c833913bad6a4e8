//! Configuration values at rest: XChaCha20-Poly1305 under a key that lies beside the database, never in it.
//!
//! The nonce is random (24 bytes, so that repeating one is out of the question), and the app's name and the version are
//! authenticated with the text, so that a value cannot be moved to another app. It does not protect from who can read
//! both files; it keeps secrets out of copies of the database alone.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use launchway_model::{AppName, Problem};

use crate::problem;

const KEY: usize = 32;
const NONCE: usize = 24;

/// Encrypts and decrypts configuration values.
pub(crate) struct Vault {
    cipher: XChaCha20Poly1305,
}

impl Vault {
    /// Reads the key, or makes one where there is none.
    pub(crate) fn open(path: &Path) -> Result<Self, Problem> {
        let mut key = [0; KEY];
        match std::fs::File::open(path) {
            Ok(mut file) => {
                let read = file.read_exact(&mut key);
                read.map_err(|error| problem::file("read", path, &error))?;
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                key = random()?;
                write_private(path, &key).map_err(|error| problem::file("write", path, &error))?;
            }
            Err(error) => return Err(problem::file("open", path, &error)),
        }
        Ok(Self {
            cipher: XChaCha20Poly1305::new(&key.into()),
        })
    }

    /// The variables as they are stored: the nonce, then the ciphertext.
    pub(crate) fn seal(
        &self,
        app: &AppName,
        version: u64,
        vars: &BTreeMap<String, String>,
    ) -> Result<Vec<u8>, Problem> {
        let text = serde_json::to_vec(vars)
            .map_err(|error| Problem::internal("cannot encode variables").cause(error))?;
        let nonce: [u8; NONCE] = random()?;
        let sealed = self
            .cipher
            .encrypt(
                XNonce::from_slice(&nonce),
                Payload {
                    msg: &text,
                    aad: &context(app, version),
                },
            )
            .map_err(|_| Problem::internal("cannot encrypt variables"))?;
        Ok([nonce.as_slice(), &sealed].concat())
    }

    /// The variables that [`Self::seal`] stored.
    pub(crate) fn unseal(
        &self,
        app: &AppName,
        version: u64,
        stored: &[u8],
    ) -> Result<BTreeMap<String, String>, Problem> {
        let unreadable = || {
            Problem::internal(format!(
                "the configuration of `{app}` (version {version}) cannot be decrypted"
            ))
            .hint("The file secrets.key must be the one that the configuration was stored with.")
        };
        let (nonce, sealed) = stored.split_at_checked(NONCE).ok_or_else(unreadable)?;
        let text = self
            .cipher
            .decrypt(
                XNonce::from_slice(nonce),
                Payload {
                    msg: sealed,
                    aad: &context(app, version),
                },
            )
            .map_err(|_| unreadable())?;
        serde_json::from_slice(&text).map_err(|_| unreadable())
    }
}

/// Random bytes from the operating system.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], Problem> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|error| Problem::internal("the system gives no random numbers").cause(error))?;
    Ok(bytes)
}

/// Writes a file that only its owner may read: beside it first, then renamed, so that it is whole or as it was.
pub(crate) fn write_private(path: &Path, content: &[u8]) -> std::io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let half = Path::new(&name);
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(half)?;
    file.write_all(content)?;
    file.sync_all()?;
    std::fs::rename(half, path)
}

fn context(app: &AppName, version: u64) -> Vec<u8> {
    format!("launchway config {app} {version}").into_bytes()
}

#[cfg(test)]
mod tests;
