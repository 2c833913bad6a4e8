//! Steps whose result is known by the files that they read, and the cache of such results.
//!
//! A result (`.venv`, `node_modules`) is kept below the app's cache as a layer, named by a hash of everything that decides
//! it: the steps' text, the lock files, the tools' versions, the machine's architecture. A build with the same hash takes the layer
//! instead of running the steps. Layers and trees share files by hard link,
//! as uv and pnpm share theirs; a file that was written to in place since is noticed by its size and time, and the layer is then
//! thrown away. Text files that hold the tree's absolute path, such as the first lines of a virtual environment's commands,
//! are written anew with the path of the tree that they come to.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};

use launchway_model::Problem;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::command::How;
use super::layer;
use super::stages::{Context, stopped_words, timed_out};
use super::steps::{self, Interrupt, Outcome};
use crate::glob::Patterns;
use crate::plan::Make;

/// How many results of the same stage are kept.
const KEPT: usize = 4;

/// Raised when the form of a layer or the meaning of its name changes.
const FORM: &str = "launchway layer 2";

/// What is known of a layer.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Manifest {
    /// The absolute path of the tree that it was made in.
    pub(crate) tree: PathBuf,
    /// Every folder with its mode, outer ones first.
    pub(crate) folders: Vec<(PathBuf, u32)>,
    /// Every symbolic link and where it leads.
    pub(crate) links: Vec<(PathBuf, PathBuf)>,
    /// Every regular file: its path, size, and time of change in nanoseconds.
    pub(crate) files: Vec<(PathBuf, u64, i128)>,
    /// The text files that hold the tree's path.
    pub(crate) with_path: Vec<PathBuf>,
}

/// Takes the result from the cache, or makes it and keeps it.
pub(crate) fn run(context: &Context<'_>, outcome: &Outcome, make: &Make) -> Result<(), Interrupt> {
    let began = Instant::now();
    let key = match key(context, make) {
        Ok(key) => key,
        Err(KeyError::Stopped(interrupt)) => return Err(interrupt),
        Err(KeyError::Unknown(why)) => {
            context
                .log
                .say(&format!("Nothing is taken from the cache: {why}"));
            return steps::run_all(context, outcome, &make.steps);
        }
    };
    let folder = context.build.job.cache.join("layers").join(set_name(make));
    let layer = folder.join(&key);
    let doors = context.build.doors.as_ref();
    let restored = {
        // The lock ends with this block: the steps may take minutes, and `keep` takes it alone afterwards.
        let locked = fs::create_dir_all(&folder).and_then(|()| Lock::shared(&folder));
        (locked.is_ok() && layer.is_dir())
            .then(|| layer::restore(&layer, &context.folder, &make.makes, doors))
    };
    match restored {
        None => {}
        Some(Ok(files)) => {
            let _ = File::create(layer.join("used"))
                .and_then(|file| file.set_modified(SystemTime::now()));
            context.log.say(&format!(
                "Taken from the cache: {} ({files} files in {} ms), since {} did not change",
                make.makes.join(", "),
                began.elapsed().as_millis(),
                make.from.join(", ")
            ));
            return Ok(());
        }
        Some(Err(error)) => {
            context.log.say(&format!(
                "The cache cannot be used, so it is made anew: {error}"
            ));
            let _exclusive = Lock::exclusive(&folder);
            let _ = fs::remove_dir_all(&layer);
            layer::clear(&context.folder, &make.makes).map_err(|error| {
                Interrupt::Failed(Problem::failed("cannot remove what the cache left").cause(error))
            })?;
        }
    }
    steps::run_all(context, outcome, &make.steps)?;
    let missing: Vec<&str> = make
        .makes
        .iter()
        .map(String::as_str)
        .filter(|path| !context.folder.join(path).exists())
        .collect();
    if !missing.is_empty() {
        context.log.say(&format!(
            "{} was not made, so nothing is kept for later builds",
            missing.join(", ")
        ));
        return Ok(());
    }
    // A full disk or the like costs the next build time, not this one its result.
    if let Err(error) = keep(context, make, &folder, &key) {
        context
            .log
            .say(&format!("Nothing is kept for later builds: {error}"));
    }
    Ok(())
}

/// Why a result has no name.
enum KeyError {
    Stopped(Interrupt),
    Unknown(String),
}

/// The name of the result: a hash of all that decides it.
fn key(context: &Context<'_>, make: &Make) -> Result<String, KeyError> {
    let mut hash = Sha256::new();
    let mut add = |part: &[u8]| {
        // With its length before it, no two lists of parts look the same.
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    };
    add(FORM.as_bytes());
    add(std::env::consts::ARCH.as_bytes());
    for text in make.makes.iter().chain(&make.tools) {
        add(text.as_bytes());
    }
    add(format!("{:?}", make.steps).as_bytes());
    let files = Patterns::new(&make.from, &[]).files(&context.folder, &[]);
    if files.is_empty() {
        return Err(KeyError::Unknown(format!(
            "no file matches {}",
            make.from.join(", ")
        )));
    }
    for file in files {
        let bytes = fs::read(context.folder.join(&file))
            .map_err(|error| KeyError::Unknown(format!("{file} cannot be read: {error}")))?;
        add(file.as_bytes());
        add(&bytes);
    }
    for tool in &make.tools {
        if let Some(fingerprint) = fingerprint(context, tool) {
            add(&fingerprint);
            continue;
        }
        let ended = context
            .shell(tool, true, "-e")
            .run(&context.build.lingering)
            .map_err(|error| KeyError::Unknown(format!("`{tool}` cannot be run: {error}")))?;
        match ended.how {
            How::Exited(status) if status.success() => add(&ended.captured),
            How::Exited(_) => add(b"missing"),
            How::Stopped(reason) => {
                return Err(KeyError::Stopped(Interrupt::Aborted(stopped_words(
                    &context.name,
                    &reason,
                ))));
            }
            How::TimedOut(deadline) => {
                return Err(KeyError::Stopped(Interrupt::Aborted(timed_out(&deadline))));
            }
        }
    }
    let mut name = String::new();
    for byte in hash.finalize() {
        // Writing to a String cannot fail.
        let _ = write!(name, "{byte:02x}");
    }
    Ok(name)
}

/// What identifies the program of `NAME --version` without running it: which file it is and when that was changed. A version
/// manager's stand-in is one file for all versions, so pyenv's choice is read, and for any other manager the command is run.
fn fingerprint(context: &Context<'_>, tool: &str) -> Option<Vec<u8>> {
    use std::os::unix::fs::MetadataExt;
    let (name, option) = tool.split_once(' ')?;
    if !matches!(option.trim(), "--version" | "-V") {
        return None;
    }
    let path = context.environment.get("PATH")?;
    let file = crate::search_path::find(name, path.as_ref())?
        .canonicalize()
        .ok()?;
    let data = file.metadata().ok()?;
    let mut known = format!(
        "{}|{}|{}.{}",
        file.display(),
        data.len(),
        data.mtime(),
        data.mtime_nsec()
    );
    if file.components().any(|part| part.as_os_str() == "shims") {
        let root = context.environment.get("PYENV_ROOT").map(PathBuf::from)?;
        if !file.starts_with(root.join("shims")) {
            return None;
        }
        let chosen = context
            .environment
            .get("PYENV_VERSION")
            .cloned()
            .unwrap_or_default();
        let own = fs::read_to_string(context.folder.join(".python-version")).unwrap_or_default();
        let usual = fs::read_to_string(root.join("version")).unwrap_or_default();
        known += &format!("|{chosen}|{own}|{usual}");
    }
    Some(known.into_bytes())
}

/// The folder of all results of the same kind.
fn set_name(make: &Make) -> String {
    let name: String = make
        .makes
        .join("+")
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .take(80)
        .collect();
    name
}

fn keep(context: &Context<'_>, make: &Make, folder: &Path, key: &str) -> io::Result<()> {
    let _lock = Lock::exclusive(folder)?;
    let half = folder.join(format!(".new-{}", context.build.job.build.0));
    let _ = fs::remove_dir_all(&half);
    let kept = layer::save(
        &context.folder,
        &make.makes,
        &half,
        context.build.doors.as_ref(),
    )
    .and_then(|()| File::create(half.join("used")))
    .and_then(|_| {
        let layer = folder.join(key);
        let _ = fs::remove_dir_all(&layer);
        fs::rename(&half, layer)
    });
    if kept.is_err() {
        let _ = fs::remove_dir_all(&half);
    }
    sweep(folder);
    kept
}

/// Removes all but the results that were used last, and what a crash left half made.
fn sweep(folder: &Path) {
    let mut layers = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_name().to_string_lossy().starts_with(".new-") {
            let _ = fs::remove_dir_all(path);
        } else if path.is_dir() {
            let used = fs::metadata(path.join("used")).and_then(|data| data.modified());
            layers.push((used.unwrap_or(SystemTime::UNIX_EPOCH), path));
        }
    }
    layers.sort();
    let surplus = layers.len().saturating_sub(KEPT);
    for (_, path) in layers.into_iter().take(surplus) {
        let _ = fs::remove_dir_all(path);
    }
}

/// The lock of a set of layers; builds of one app may run at the same time.
struct Lock(#[expect(dead_code, reason = "the lock lasts as long as the file is open")] File);

impl Lock {
    fn shared(folder: &Path) -> io::Result<Self> {
        Self::take(folder, FlockOperation::LockShared)
    }

    fn exclusive(folder: &Path) -> io::Result<Self> {
        Self::take(folder, FlockOperation::LockExclusive)
    }

    fn take(folder: &Path, operation: FlockOperation) -> io::Result<Self> {
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(folder.join("lock"))?;
        flock(&file, operation)?;
        Ok(Self(file))
    }
}
