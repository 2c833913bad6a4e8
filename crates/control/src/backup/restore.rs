//! Reading an archive: into a scratch folder to see whether it is whole, and from there into a home.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read, Seek as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use launchway_model::Problem;
use launchway_model::home::Home;
use launchway_store::copy;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::archive::hex;
use super::seal::{MAGIC, Opening};
use super::{FORMAT, HOME, MANIFEST, Manifest, Passphrase, Scratch, block_on};
use crate::problem;

/// What was restored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Restored {
    /// What was in the archive.
    pub manifest: Manifest,
    /// Where what was there before is now, if there was anything.
    pub set_aside: Option<PathBuf>,
}

/// Unpacks an archive into a scratch folder and checks every file's digest and every database.
///
/// # Errors
/// It cannot be read, or something in it is not as the manifest says.
pub fn verify(
    archive: &Path,
    passphrase: Option<&Passphrase>,
    scratch: &Path,
) -> Result<Manifest, Problem> {
    let scratch = Scratch::within(scratch, "verifying")?;
    unpack(archive, passphrase, scratch.path())
}

/// Restores an archive into a home that nothing runs in. What was there is set aside in a folder of the home.
///
/// # Errors
/// Something runs in the home, or the archive is not whole; then the home is as it was.
pub fn restore(
    archive: &Path,
    passphrase: Option<&Passphrase>,
    home: &Home,
) -> Result<Restored, Problem> {
    let root = home.root();
    std::fs::create_dir_all(root).map_err(|error| problem::file("make", root, &error))?;
    {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(root, std::fs::Permissions::from_mode(0o711))
            .map_err(|error| problem::file("open up", root, &error))?;
    }
    let _idle = idle(home)?;
    let scratch = Scratch::within(root, "restoring")?;
    let manifest = unpack(archive, passphrase, scratch.path())?;
    let set_aside = set_aside(root)?;
    let unpacked = scratch.path().join(HOME);
    for entry in std::fs::read_dir(&unpacked)
        .map_err(|error| problem::file("read", &unpacked, &error))?
        .flatten()
    {
        let to = root.join(entry.file_name());
        std::fs::rename(entry.path(), &to)
            .map_err(|error| problem::file("put in place", &to, &error))?;
    }
    if manifest.home != root {
        tracing::warn!(
            made_in = %manifest.home.display(),
            "the backup is of another home: releases may hold its path, deploy the apps anew"
        );
    }
    Ok(Restored {
        manifest,
        set_aside,
    })
}

/// Holds the locks that `up` and control take.
fn idle(home: &Home) -> Result<Vec<File>, Problem> {
    let mut held = Vec::new();
    for path in [home.control_lock(), home.root().join("up.lock")] {
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(|error| problem::file("open", &path, &error))?;
        if file.try_lock().is_err() {
            return Err(
                Problem::conflict(format!("Launchway runs in {}", home.root().display()))
                    .hint("Stop it first; or restore into another folder with `--home FOLDER`."),
            );
        }
        held.push(file);
    }
    Ok(held)
}

/// Moves all that is in a home into a folder of it; none where nothing is there.
fn set_aside(root: &Path) -> Result<Option<PathBuf>, Problem> {
    let kept = |name: &str| {
        name.starts_with("before-restore-")
            || name.starts_with(".restoring-")
            || name == "backups"
            || name == "control.lock"
            || name == "up.lock"
    };
    let names: Vec<_> = std::fs::read_dir(root)
        .map_err(|error| problem::file("read", root, &error))?
        .flatten()
        .map(|entry| entry.file_name())
        .filter(|name| !kept(&name.to_string_lossy()))
        .collect();
    if names.is_empty() {
        return Ok(None);
    }
    let stamp = Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
    let mut aside = root.join(format!("before-restore-{stamp}"));
    // A second restore within the same second has a folder of its own.
    let mut more = 1;
    while let Err(error) = std::fs::create_dir(&aside) {
        if error.kind() != std::io::ErrorKind::AlreadyExists {
            return Err(problem::file("make", &aside, &error));
        }
        more += 1;
        aside = root.join(format!("before-restore-{stamp}-{more}"));
    }
    for name in names {
        let from = root.join(&name);
        std::fs::rename(&from, aside.join(&name))
            .map_err(|error| problem::file("set aside", &from, &error))?;
    }
    Ok(Some(aside))
}

/// Unpacks an archive and checks all of it.
fn unpack(
    archive: &Path,
    passphrase: Option<&Passphrase>,
    into: &Path,
) -> Result<Manifest, Problem> {
    let broken = |error: std::io::Error| {
        Problem::invalid(format!("{} is not a whole backup", archive.display())).cause(error)
    };
    let from = open(archive, passphrase)?;
    let decoder = zstd::Decoder::new(from).map_err(broken)?;
    let mut tar = tar::Archive::new(decoder);
    tar.set_preserve_permissions(true);
    tar.set_preserve_mtime(true);
    tar.set_preserve_ownerships(rustix::process::geteuid().is_root());
    let mut manifest = None;
    for entry in tar.entries().map_err(broken)? {
        let mut entry = entry.map_err(broken)?;
        if *entry.path().map_err(broken)? == *Path::new(MANIFEST) {
            let mut text = Vec::new();
            entry.read_to_end(&mut text).map_err(broken)?;
            manifest = Some(text);
            continue;
        }
        // It refuses paths that lead outside.
        let unpacked = entry.unpack_in(into).map_err(broken)?;
        if !unpacked {
            return Err(broken(std::io::Error::other(
                "it holds a path that leads outside",
            )));
        }
    }
    let manifest =
        manifest.ok_or_else(|| broken(std::io::Error::other("its manifest is missing")))?;
    let manifest: Manifest =
        serde_json::from_slice(&manifest).map_err(|error| broken(std::io::Error::other(error)))?;
    if manifest.format != FORMAT {
        return Err(Problem::invalid(format!(
            "{} has the layout {} of a later Launchway, this one knows {FORMAT}",
            archive.display(),
            manifest.format
        )));
    }
    check(&manifest, into)?;
    Ok(manifest)
}

/// The archive's tar in zstd, whether sealed or not.
fn open(archive: &Path, passphrase: Option<&Passphrase>) -> Result<Box<dyn Read>, Problem> {
    let unreadable = |error: std::io::Error| problem::file("read", archive, &error);
    let file = File::open(archive).map_err(unreadable)?;
    let mut file = BufReader::with_capacity(1 << 18, file);
    let mut begin = vec![0; MAGIC.len()];
    let sealed = file.read_exact(&mut begin).is_ok() && begin == MAGIC;
    if !sealed {
        file.rewind().map_err(unreadable)?;
        return Ok(Box::new(file));
    }
    let Some(passphrase) = passphrase else {
        return Err(
            Problem::invalid(format!("{} is sealed with a passphrase", archive.display()))
                .hint("Name the file that holds it with `--passphrase-file FILE`."),
        );
    };
    let opening = Opening::begin(file, passphrase).map_err(|error| {
        Problem::invalid(format!("{} cannot be opened", archive.display())).cause(error)
    })?;
    Ok(Box::new(opening))
}

fn check(manifest: &Manifest, unpacked: &Path) -> Result<(), Problem> {
    let mut faults: BTreeMap<PathBuf, String> = BTreeMap::new();
    for file in &manifest.files {
        let path = unpacked.join(HOME).join(&file.path);
        match digest(&path) {
            Ok((bytes, sha256)) if bytes == file.bytes && sha256 == file.sha256 => {}
            Ok(_) => {
                faults.insert(file.path.clone(), "its content is another".to_owned());
                continue;
            }
            Err(error) => {
                faults.insert(file.path.clone(), error.to_string());
                continue;
            }
        }
        if file.sqlite {
            // Looking leaves no trace in the file itself: SQLite works on a copy.
            let copied = unpacked.join("database-to-check");
            let checked = std::fs::copy(&path, &copied)
                .map_err(|error| problem::file("copy", &path, &error))
                .and_then(|_| block_on(copy::faults(&copied)));
            let _ = std::fs::remove_file(&copied);
            match checked {
                Ok(found) if found.is_empty() => {}
                Ok(found) => {
                    faults.insert(file.path.clone(), found.join("; "));
                }
                Err(problem) => {
                    faults.insert(file.path.clone(), problem.to_string());
                }
            }
        }
    }
    if faults.is_empty() {
        return Ok(());
    }
    let mut problem = Problem::failed(format!("{} files of the backup are damaged", faults.len()));
    for (path, why) in faults.into_iter().take(10) {
        problem = problem.cause(format!("{}: {why}", path.display()));
    }
    Err(problem)
}

fn digest(path: &Path) -> std::io::Result<(u64, String)> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut piece = vec![0; 1 << 17];
    let mut bytes = 0;
    loop {
        let read = file.read(&mut piece)?;
        if read == 0 {
            return Ok((bytes, hex(&hash.finalize())));
        }
        hash.update(&piece[..read]);
        bytes += read as u64;
    }
}
