//! Backups of an installation: its database, its secrets' key, what apps keep, repositories, metrics, and the trees that
//! serve, in one archive (tar in zstd), sealed with a passphrase where one is given.
//!
//! A backup is made while everything runs. Each SQLite file, ours and the apps', is copied by SQLite's own online backup, so
//! it is whole; other files are read again where they changed under the reading. The archive ends with a manifest of every
//! file's size and digest, which a verification checks in a scratch folder, as it does each database.
//!
//! Everything here is synchronous and works on files alone, so that a command can restore while nothing runs; control's
//! part is the [`schedule`].

mod archive;
mod contents;
mod restore;
mod s3;
pub mod schedule;
mod seal;
mod target;

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use launchway_model::Problem;
use launchway_model::home::Home;
use serde::{Deserialize, Serialize};

pub use restore::{Restored, restore, verify};
pub(crate) use schedule::run;
pub use seal::Passphrase;
pub use target::Target;

/// The file in an archive that names all others.
const MANIFEST: &str = "manifest.json";
/// The folder in an archive that stands for the home.
const HOME: &str = "home";
/// The version of the archive's layout.
const FORMAT: u32 = 1;

/// A backup that lies at a target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    /// Its name: `launchway-20261120T143400Z.tar.zst`, with `.sealed` behind it where a passphrase opens it.
    pub name: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// When it was begun, by its name.
    pub created: Timestamp,
    /// Whether a passphrase opens it.
    pub sealed: bool,
}

/// What is in an archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`FORMAT`].
    format: u32,
    /// The version of Launchway that made it.
    pub version: String,
    /// When it was begun.
    pub created: Timestamp,
    /// The home that it is of: trees of releases work there alone.
    pub home: PathBuf,
    /// The files, in the archive's order.
    pub files: Vec<ManifestFile>,
}

/// One file of an archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestFile {
    /// Its path below the home.
    pub path: PathBuf,
    /// In bytes.
    pub bytes: u64,
    /// SHA-256 of its content, in hexadecimal.
    pub sha256: String,
    /// Whether it is a SQLite database.
    #[serde(default)]
    pub sqlite: bool,
}

/// What goes into a backup besides what always does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct What {
    /// Leaves the trees of the serving releases out: smaller, but a restored app serves only after its next deploy.
    pub without_releases: bool,
}

/// Makes a backup of a home and stores it at a target.
///
/// # Errors
/// Something cannot be read, there is no room for the archive, or the target does not take it. Nothing half-made is left.
pub fn create(
    home: &Home,
    target: &Target,
    passphrase: Option<&Passphrase>,
    what: What,
) -> Result<Stored, Problem> {
    // Names say it by the second.
    let created = Timestamp::from_second(Timestamp::now().as_second())
        .map_err(|error| Problem::internal("the clock says no time").cause(error))?;
    let name = name_of(created, passphrase.is_some());
    let scratch = Scratch::new(home, "making")?;
    let archive = scratch.path().join(&name);
    archive::write(home, &archive, scratch.path(), created, passphrase, what)?;
    let bytes = std::fs::metadata(&archive)
        .map_err(|error| crate::problem::file("look at", &archive, &error))?
        .len();
    target.put(&name, &archive)?;
    Ok(Stored {
        name,
        bytes,
        created,
        sealed: passphrase.is_some(),
    })
}

/// The backups at a target, the newest first.
///
/// # Errors
/// The target cannot be reached.
pub fn list(target: &Target) -> Result<Vec<Stored>, Problem> {
    let mut found: Vec<Stored> = target
        .list()?
        .into_iter()
        .filter_map(|(name, bytes)| {
            let (created, sealed) = parse_name(&name)?;
            Some(Stored {
                name,
                bytes,
                created,
                sealed,
            })
        })
        .collect();
    found.sort_by_key(|stored| std::cmp::Reverse(stored.created));
    Ok(found)
}

/// Removes all but the newest `keep` backups; gives the names of those removed.
///
/// # Errors
/// The target cannot be reached.
pub fn prune(target: &Target, keep: usize) -> Result<Vec<String>, Problem> {
    let surplus: Vec<Stored> = list(target)?.into_iter().skip(keep.max(1)).collect();
    for stored in &surplus {
        target.remove(&stored.name)?;
    }
    Ok(surplus.into_iter().map(|stored| stored.name).collect())
}

fn name_of(created: Timestamp, sealed: bool) -> String {
    let suffix = if sealed { ".sealed" } else { "" };
    format!(
        "launchway-{}.tar.zst{suffix}",
        created.strftime("%Y%m%dT%H%M%SZ")
    )
}

fn parse_name(name: &str) -> Option<(Timestamp, bool)> {
    let rest = name.strip_prefix("launchway-")?;
    let (stamp, sealed) = match rest.strip_suffix(".tar.zst.sealed") {
        Some(stamp) => (stamp, true),
        None => (rest.strip_suffix(".tar.zst")?, false),
    };
    let created = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", stamp)
        .ok()?
        .to_zoned(jiff::tz::TimeZone::UTC)
        .ok()?
        .timestamp();
    Some((created, sealed))
}

/// A folder for work, removed at its end.
#[derive(Debug)]
struct Scratch {
    path: PathBuf,
}

impl Scratch {
    fn new(home: &Home, word: &str) -> Result<Self, Problem> {
        let within = if home.root().is_dir() {
            home.root().join("backups")
        } else {
            std::env::temp_dir()
        };
        Self::within(&within, word)
    }

    fn within(folder: &Path, word: &str) -> Result<Self, Problem> {
        use std::os::unix::fs::DirBuilderExt as _;
        let [random] = [u64::from_le_bytes(crate::secrets::random()?)];
        let path = folder.join(format!(".{word}-{}-{random:x}", std::process::id()));
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&path)
            .map_err(|error| crate::problem::file("make", &path, &error))?;
        Ok(Self { path })
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What a crash leaves is removed by the next backup.
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

/// Runs what the store does asynchronously from here.
fn block_on<T>(
    work: impl Future<Output = Result<T, launchway_store::StoreError>>,
) -> Result<T, Problem> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Problem::internal("a runtime cannot be started").cause(error))?;
    runtime.block_on(work).map_err(crate::problem::store)
}

#[cfg(test)]
mod tests;
