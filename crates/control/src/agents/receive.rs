//! What agents deliver: files that grow, files that appear whole, the tree of a build.
//!
//! **Invariants:** nothing is written outside the build's folder and its tree, whatever a path or an archive says; what is
//! acknowledged is on disk; a file that appears whole has the digest that was announced.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use launchway_model::agent::{LeaseId, Received, TREE_FILE};
use launchway_model::runner::{CANCEL_FILE, EVENTS_FILE, JOB_FILE};
use launchway_model::{AppName, BuildId, Problem};
use sha2::{Digest, Sha256};

use super::AgentId;
use crate::{Control, problem};

/// Where files that appear whole are kept until they are.
const INCOMING: &str = "incoming";
/// The most bytes that a tree may hold, unpacked.
const MAX_TREE: u64 = 64 << 30;

/// A piece of a file that appears whole.
#[derive(Debug, Clone)]
pub struct Piece {
    /// The file's path below the build's folder.
    pub path: String,
    /// Where the piece starts.
    pub offset: u64,
    /// The file's size.
    pub size: u64,
    /// Its SHA-256 in hex.
    pub sha256: String,
}

/// Appends to a file that grows, where the piece starts at its end, and gives its length.
///
/// # Errors
/// The lease is no more, the path is none of a build's, or the file cannot be written.
pub async fn grow(
    control: &Control,
    agent: AgentId,
    lease: LeaseId,
    path: &str,
    offset: u64,
    bytes: &[u8],
) -> Result<Received, Problem> {
    let place = Place::of(control, agent, lease).await?;
    let file = place.file(path)?;
    let _turn = place.turn.lock().await;
    let bytes = bytes.to_vec();
    let is_spool = path == EVENTS_FILE;
    let length = blocking(move || append(&file, offset, &bytes, is_spool)).await?;
    if is_spool {
        place.news.notify_one();
    }
    Ok(Received { length })
}

/// Takes a piece of a file that appears whole; the last one makes it appear.
///
/// # Errors
/// As [`grow`], or the digest is wrong: then all of the file is asked for again.
pub async fn whole(
    control: &Control,
    agent: AgentId,
    lease: LeaseId,
    piece: Piece,
    bytes: &[u8],
) -> Result<Received, Problem> {
    let place = Place::of(control, agent, lease).await?;
    let target = place.file(&piece.path)?;
    let tree =
        (piece.path == TREE_FILE).then(|| control.settings().home.tree(&place.app, place.build));
    let _turn = place.turn.lock().await;
    let name = hex(&Sha256::digest(piece.path.as_bytes()));
    let draft = place.folder.join(INCOMING).join(name);
    let bytes = bytes.to_vec();
    let length = blocking(move || {
        let done = draft.with_extension("done");
        if fs::read_to_string(&done).is_ok_and(|had| had == piece.sha256) {
            return Ok(piece.size);
        }
        let length = append(&draft, piece.offset, &bytes, false)?;
        if length < piece.size {
            return Ok(length);
        }
        let found = digest(&draft).map_err(|error| problem::file("read", &draft, &error))?;
        if length > piece.size || found != piece.sha256 {
            let _ = fs::remove_file(&draft);
            return Err(
                Problem::invalid(format!("`{}` arrived damaged", piece.path)).cause(format!(
                    "its digest is {found} and should be {}",
                    piece.sha256
                )),
            );
        }
        match tree {
            Some(tree) => {
                let unpacked = unpack(&draft, &tree);
                let _ = fs::remove_file(&draft);
                unpacked?;
            }
            None => {
                make_parent(&target)?;
                fs::rename(&draft, &target)
                    .map_err(|error| problem::file("write", &target, &error))?;
            }
        }
        fs::write(&done, &piece.sha256).map_err(|error| problem::file("write", &done, &error))?;
        Ok(length)
    })
    .await?;
    Ok(Received { length })
}

/// Where the files of a lease go.
struct Place {
    app: AppName,
    build: BuildId,
    folder: PathBuf,
    /// One delivery at a time: a link that broke may leave one under way.
    turn: Arc<tokio::sync::Mutex<()>>,
    /// Told when the spool grew.
    news: Arc<tokio::sync::Notify>,
}

impl Place {
    async fn of(control: &Control, agent: AgentId, lease: LeaseId) -> Result<Self, Problem> {
        let (build, turn, news) = control.agents.delivering(agent, lease)?;
        let stored = crate::builds::stored(control, build).await?;
        Ok(Self {
            app: stored.build.request.app,
            build,
            folder: control.settings().home.build(build),
            turn,
            news,
        })
    }

    /// A path below the build's folder, if it is one that an agent may write.
    fn file(&self, path: &str) -> Result<PathBuf, Problem> {
        let refused = || Problem::invalid(format!("`{path}` is no file that an agent delivers"));
        let mut parts = Path::new(path).components();
        let Some(Component::Normal(first)) = parts.next() else {
            return Err(refused());
        };
        let ours = [
            JOB_FILE,
            CANCEL_FILE,
            launchway_model::request::ANSWERS_FOLDER,
            "cancel.draft",
            INCOMING,
            "tmp",
            "private-tmp",
        ];
        if ours.iter().any(|name| first == *name)
            || path.len() > 2048
            || path.contains('\0')
            || !parts.all(|part| matches!(part, Component::Normal(_)))
        {
            return Err(refused());
        }
        // Nothing in the folder is a link that we made; one of a runner that was here before must not lead elsewhere.
        let file = self.folder.join(path);
        let mut above = file.as_path();
        while let Some(parent) = above
            .parent()
            .filter(|parent| parent.starts_with(&self.folder))
        {
            if fs::symlink_metadata(above).is_ok_and(|found| found.is_symlink()) {
                return Err(refused());
            }
            above = parent;
        }
        Ok(file)
    }
}

/// Appends where the file ends at `offset`; gives its length in any case.
fn append(path: &Path, offset: u64, bytes: &[u8], sync: bool) -> Result<u64, Problem> {
    make_parent(path)?;
    let failed = |error: &io::Error| problem::file("write", path, error);
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .map_err(|error| failed(&error))?;
    let length = file.metadata().map_err(|error| failed(&error))?.len();
    if length != offset || bytes.is_empty() {
        return Ok(length);
    }
    file.write_all(bytes).map_err(|error| {
        // A half-written piece would be taken for acknowledged.
        let _ = file.set_len(length);
        failed(&error)
    })?;
    if sync {
        file.sync_data().map_err(|error| failed(&error))?;
    }
    Ok(length + bytes.len() as u64)
}

fn make_parent(path: &Path) -> Result<(), Problem> {
    match path.parent() {
        Some(parent) => {
            fs::create_dir_all(parent).map_err(|error| problem::file("make", parent, &error))
        }
        None => Ok(()),
    }
}

/// Unpacks a tree beside its place and moves it there once it is whole.
pub(super) fn unpack(archive: &Path, tree: &Path) -> Result<(), Problem> {
    let damaged = |error: &dyn std::error::Error| {
        Problem::invalid("the tree that the agent sent cannot be unpacked").caused_by(error)
    };
    let half = tree.with_extension("incoming");
    for folder in [&half, tree] {
        match fs::remove_dir_all(folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(problem::file("remove", folder, &error));
            }
            _ => {}
        }
    }
    fs::create_dir_all(&half).map_err(|error| problem::file("make", &half, &error))?;
    let file = File::open(archive).map_err(|error| problem::file("open", archive, &error))?;
    let reader = zstd::Decoder::new(file).map_err(|error| damaged(&error))?;
    let mut archive = tar::Archive::new(reader.take(MAX_TREE));
    archive.set_preserve_mtime(true);
    archive.set_overwrite(false);
    let entries = archive.entries().map_err(|error| damaged(&error))?;
    for entry in entries {
        let mut entry = entry.map_err(|error| damaged(&error))?;
        let kind = entry.header().entry_type();
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let allowed = kind.is_file() || kind.is_dir() || kind.is_symlink() || kind.is_hard_link();
        let inside = allowed && entry.unpack_in(&half).map_err(|error| damaged(&error))?;
        if !inside {
            let _ = fs::remove_dir_all(&half);
            return Err(
                Problem::invalid("the tree that the agent sent cannot be unpacked")
                    .cause(format!("`{name}` is not a file inside it")),
            );
        }
    }
    fs::rename(&half, tree).map_err(|error| problem::file("write", tree, &error))
}

fn digest(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex(&hasher.finalize())),
            read => hasher.update(&buffer[..read]),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(Problem::internal("a delivery ended badly").cause(error)),
    }
}

#[cfg(test)]
mod tests;
