//! Secrets at rest (configuration, credentials, webhooks' secrets): XChaCha20-Poly1305 under a key that lies beside the database, never in it.
//!
//! The nonce is random (24 bytes, so that repeating one is out of the question), and what a secret belongs to is
//! authenticated with it, so that a value cannot be moved to another app. It does not protect from who can read
//! both files; it keeps secrets out of copies of the database alone.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use launchway_model::{AppName, Problem};

use crate::problem;

const KEY: usize = 32;
const NONCE: usize = 24;

/// Encrypts and decrypts what is secret.
///
/// The file holds the key in force and, while a change of the key is under way, the one before it, so that a crash in between
/// leaves nothing unreadable.
pub(crate) struct Vault {
    path: PathBuf,
    keys: std::sync::RwLock<Keys>,
    /// Held for reading by who seals something until it is stored, and for writing by a change of the key: nothing is
    /// stored under a key that is gone by then.
    pub(crate) storing: tokio::sync::RwLock<()>,
}

struct Keys {
    current: [u8; KEY],
    previous: Option<[u8; KEY]>,
}

impl Vault {
    /// Reads the key, or makes one where there is none.
    pub(crate) fn open(path: &Path) -> Result<Self, Problem> {
        let mut current = [0; KEY];
        let mut previous = None;
        match std::fs::File::open(path) {
            Ok(mut file) => {
                file.read_exact(&mut current)
                    .map_err(|error| problem::file("read", path, &error))?;
                let mut before = [0; KEY];
                if file.read_exact(&mut before).is_ok() {
                    previous = Some(before);
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                current = random()?;
                write_private(path, &current)
                    .map_err(|error| problem::file("write", path, &error))?;
            }
            Err(error) => return Err(problem::file("open", path, &error)),
        }
        Ok(Self {
            path: path.to_owned(),
            keys: std::sync::RwLock::new(Keys { current, previous }),
            storing: tokio::sync::RwLock::new(()),
        })
    }

    /// Bytes as they are stored: the nonce, then the ciphertext. `context` says what they are; it is authenticated with them,
    /// so that they cannot be moved elsewhere.
    pub(crate) fn seal_bytes(&self, context: &str, bytes: &[u8]) -> Result<Vec<u8>, Problem> {
        let nonce: [u8; NONCE] = random()?;
        let key = self
            .keys
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .current;
        let sealed = XChaCha20Poly1305::new(&key.into())
            .encrypt(
                XNonce::from_slice(&nonce),
                Payload {
                    msg: bytes,
                    aad: context.as_bytes(),
                },
            )
            .map_err(|_| Problem::internal("cannot encrypt a secret"))?;
        Ok([nonce.as_slice(), &sealed].concat())
    }

    /// The bytes that [`Self::seal_bytes`] made; `None` where neither key fits, or they were changed or moved.
    pub(crate) fn unseal_bytes(&self, context: &str, stored: &[u8]) -> Option<Vec<u8>> {
        let (nonce, sealed) = stored.split_at_checked(NONCE)?;
        let (current, previous) = {
            let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
            (keys.current, keys.previous)
        };
        [Some(current), previous]
            .into_iter()
            .flatten()
            .find_map(|key| {
                let payload = Payload {
                    msg: sealed,
                    aad: context.as_bytes(),
                };
                XChaCha20Poly1305::new(&key.into())
                    .decrypt(XNonce::from_slice(nonce), payload)
                    .ok()
            })
    }

    /// The variables as they are stored.
    pub(crate) fn seal(
        &self,
        app: &AppName,
        version: u64,
        vars: &BTreeMap<String, String>,
    ) -> Result<Vec<u8>, Problem> {
        let text = serde_json::to_vec(vars)
            .map_err(|error| Problem::internal("cannot encode variables").cause(error))?;
        self.seal_bytes(&context(app, version), &text)
    }

    /// The variables that [`Self::seal`] stored.
    pub(crate) fn unseal(
        &self,
        app: &AppName,
        version: u64,
        stored: &[u8],
    ) -> Result<BTreeMap<String, String>, Problem> {
        self.unseal_bytes(&context(app, version), stored)
            .and_then(|text| serde_json::from_slice(&text).ok())
            .ok_or_else(|| {
                unreadable(format!(
                    "the configuration of `{app}` (version {version}) cannot be decrypted"
                ))
            })
    }

    /// Begins a change of the key: from now on everything is sealed with a new one, and what was sealed with the old one can
    /// still be read. Goes on with a change that was begun before.
    pub(crate) fn begin_rotation(&self) -> Result<(), Problem> {
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        if keys.previous.is_some() {
            return Ok(());
        }
        let new: [u8; KEY] = random()?;
        write_private(&self.path, &[new, keys.current].concat())
            .map_err(|error| problem::file("write", &self.path, &error))?;
        keys.previous = Some(keys.current);
        keys.current = new;
        Ok(())
    }

    /// Ends a change of the key: the old one is forgotten.
    pub(crate) fn end_rotation(&self) -> Result<(), Problem> {
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        write_private(&self.path, &keys.current)
            .map_err(|error| problem::file("write", &self.path, &error))?;
        keys.previous = None;
        Ok(())
    }

    /// Whether a change of the key was begun and not ended.
    pub(crate) fn is_rotating(&self) -> bool {
        self.keys
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .previous
            .is_some()
    }
}

/// The error of something sealed that no key opens.
pub(crate) fn unreadable(message: String) -> Problem {
    Problem::internal(message).hint("The file secrets.key must be the one that it was stored with.")
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

/// What a version of an app's variables is authenticated with.
pub(crate) fn context(app: &AppName, version: u64) -> String {
    format!("launchway config {app} {version}")
}

#[cfg(test)]
mod tests;
