//! The credentials that a build may use, and the files that they become while a step needs them.
//!
//! They come with the job and are kept in memory. A file is made below the build's temporary folder, in a folder of its own
//! that its owner alone may enter, and is removed with the [`Placed`] that stands for it (what a killed runner leaves,
//! control removes).

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use launchway_model::credential::{BoundCredential, Secret};

/// The name of the folder of credentials' files, in the build's temporary folder.
pub(crate) const FOLDER: &str = "credentials";

/// What a build may use.
#[derive(Debug)]
pub(crate) struct Credentials {
    known: Vec<BoundCredential>,
    folder: PathBuf,
    count: AtomicU32,
    /// Files that live as long as the build: those of `environment {}`, each with the user and passphrase of its key.
    kept: Mutex<Vec<(Placed, KeyHolder)>>,
}

/// The user and the passphrase of a key, where the file is one.
type KeyHolder = Option<(String, String)>;

impl Credentials {
    pub(crate) fn new(known: Vec<BoundCredential>, temporary: &Path) -> Self {
        Self {
            known,
            folder: temporary.join(FOLDER),
            count: AtomicU32::new(0),
            kept: Mutex::default(),
        }
    }

    /// The secret of an id.
    pub(crate) fn get(&self, id: &str) -> Option<&Secret> {
        let found = self.known.iter().find(|known| known.id.as_str() == id);
        found.map(|found| &found.secret)
    }

    /// The ids, for a hint.
    pub(crate) fn ids(&self) -> impl Iterator<Item = &str> {
        self.known.iter().map(|known| known.id.as_str())
    }

    /// Makes a file of a secret.
    pub(crate) fn place(&self, name: &str, content: &[u8], mode: u32) -> io::Result<Placed> {
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        let mut folders = fs::DirBuilder::new();
        folders.recursive(true).mode(0o700);
        let folder = self.folder.join(number.to_string());
        folders.create(&folder)?;
        let placed = Placed {
            file: folder.join(plain(name)),
            folder,
        };
        fs::File::options()
            .create_new(true)
            .write(true)
            .mode(mode)
            .open(&placed.file)?
            .write_all(content)?;
        Ok(placed)
    }

    /// Keeps a file until the build ends, with the user and passphrase that belong to it.
    pub(crate) fn keep(&self, placed: Placed, parts: Option<(String, String)>) {
        self.kept
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push((placed, parts));
    }

    /// The user and the password (or passphrase) that belong to a value that `credentials()` gave.
    pub(crate) fn parts_of(&self, value: &str) -> Option<(String, String)> {
        for known in &self.known {
            if let Secret::UsernamePassword { username, password } = &known.secret
                && value == format!("{username}:{password}")
            {
                return Some((username.clone(), password.clone()));
            }
        }
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let found = kept
            .iter()
            .find(|(placed, _)| placed.file.as_os_str() == value)?;
        found.1.clone()
    }

    /// Whether a text is a value of one of them, however `credentials()` gave it.
    pub(crate) fn holds(&self, value: &str) -> bool {
        self.known.iter().any(|known| match &known.secret {
            Secret::UsernamePassword { username, password } => {
                value == format!("{username}:{password}")
            }
            Secret::String { text } => value == text,
            Secret::File { .. } | Secret::SshUserPrivateKey { .. } => {
                Path::new(value).starts_with(&self.folder)
            }
        })
    }

    /// All texts that no output may show.
    pub(crate) fn secrets(&self) -> Vec<String> {
        let mut secrets = Vec::new();
        for known in &self.known {
            match &known.secret {
                Secret::UsernamePassword { username, password } => {
                    secrets.push(password.clone());
                    // Encoded as a whole, as in an `Authorization` header, the pair starts at a known place.
                    secrets.push(format!("{username}:{password}"));
                }
                Secret::String { text } => secrets.push(text.clone()),
                Secret::File { content, .. } => {
                    secrets.push(content.clone());
                    secrets.extend(String::from_utf8(decoded(content)).ok());
                }
                Secret::SshUserPrivateKey {
                    key, passphrase, ..
                } => {
                    secrets.push(key.clone());
                    secrets.extend(passphrase.clone());
                }
            }
        }
        secrets
    }
}

/// The bytes of a file's secret.
pub(crate) fn decoded(content: &str) -> Vec<u8> {
    // Control refuses a secret that is no base64 when it is stored.
    STANDARD.decode(content.trim()).unwrap_or_default()
}

/// A file that is gone once this is dropped.
#[derive(Debug)]
pub(crate) struct Placed {
    pub(crate) file: PathBuf,
    folder: PathBuf,
}

impl Drop for Placed {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.folder) {
            tracing::debug!(%error, "a credential's file is removed with the build's folder only");
        }
    }
}

/// A file's name without folders.
fn plain(name: &str) -> String {
    let name: String = name
        .chars()
        .map(|c| if c == '/' || c.is_control() { '_' } else { c })
        .take(100)
        .collect();
    if name.is_empty() || name == "." || name == ".." {
        "secret".to_owned()
    } else {
        name
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn bound(id: &str, secret: Secret) -> BoundCredential {
        BoundCredential {
            id: id.parse().unwrap(),
            secret,
        }
    }

    #[test]
    fn a_file_is_its_owners_alone_and_goes_with_its_guard() {
        let folder = tempfile::tempdir().unwrap();
        let credentials = Credentials::new(Vec::new(), folder.path());
        let placed = credentials.place("../a/b", b"secret", 0o600).unwrap();
        assert!(placed.file.starts_with(folder.path().join(FOLDER)));
        assert!(placed.file.ends_with(".._a_b"));
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&placed.file), 0o600);
        assert_eq!(mode(placed.file.parent().unwrap()), 0o700);
        assert_eq!(mode(&folder.path().join(FOLDER)), 0o700);
        let file = placed.file.clone();
        drop(placed);
        assert!(!file.exists());
    }

    #[test]
    fn a_value_leads_back_to_its_parts() {
        let folder = tempfile::tempdir().unwrap();
        let login = Secret::UsernamePassword {
            username: "ada".into(),
            password: "pa:ss-word".into(),
        };
        let credentials = Credentials::new(vec![bound("login", login)], folder.path());
        assert_eq!(
            credentials.parts_of("ada:pa:ss-word"),
            Some(("ada".into(), "pa:ss-word".into()))
        );
        assert_eq!(credentials.parts_of("ada:x"), None);
        assert!(credentials.secrets().contains(&"pa:ss-word".to_owned()));
    }
}
