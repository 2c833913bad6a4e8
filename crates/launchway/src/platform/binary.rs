//! The installed binary: trying a new one out, putting it in place, going back.
//!
//! **Invariant:** at every moment a whole, runnable binary lies at the installed path: files are replaced by renames alone.

use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use launchway_model::Problem;
use launchway_model::home::Home;
use serde::{Deserialize, Serialize};

/// How long a new binary may take to look at a copy of the database.
const CHECK_WITHIN: Duration = Duration::from_secs(120);

/// What a binary says of itself and of an installation: `launchway self-check`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SelfCheck {
    /// Its version.
    pub(crate) version: String,
    /// The version of the messages between processes that it speaks.
    pub(crate) protocol: u32,
    /// The generation of the database's schema, and what this binary makes of it; absent where there is no database.
    pub(crate) schema: Option<(i64, i64)>,
}

/// Where the binary lies that was in place before.
pub(crate) fn previous(installed: &Path) -> PathBuf {
    beside(installed, ".previous")
}

fn beside(installed: &Path, suffix: &str) -> PathBuf {
    let mut name = installed.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Has a binary look at the installation: whether it runs here, which version it is, whether it can use the database. It
/// works on a copy of the database alone.
///
/// # Errors
/// It cannot be run, is no Launchway, or cannot use what is stored, with its own words.
pub(crate) fn check(candidate: &Path, home: &Home) -> anyhow::Result<SelfCheck> {
    let refused = |why: String| {
        Problem::invalid(format!(
            "{} cannot take this installation up",
            candidate.display()
        ))
        .cause(why)
        .hint("Nothing was changed.")
    };
    let mut child = Command::new(candidate)
        .args(["self-check", "--json", "--home"])
        .arg(home.root())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| refused(format!("it cannot be run: {error}")))?;
    let deadline = Instant::now() + CHECK_WITHIN;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if Instant::now() >= deadline {
            child.kill()?;
            child.wait()?;
            return Err(refused("it does not come to an end".to_owned()).into());
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    // What it says fits into the pipes; more would have kept it from ending.
    let (mut said, mut complained) = (String::new(), String::new());
    if let Some(mut out) = child.stdout.take() {
        let _ = out.read_to_string(&mut said);
    }
    if let Some(mut error) = child.stderr.take() {
        let _ = error.read_to_string(&mut complained);
    }
    if !status.success() {
        return Err(refused(format!("it ended with {status}: {}", complained.trim())).into());
    }
    serde_json::from_str(&said)
        .map_err(|_| refused("it does not answer as a Launchway does".to_owned()).into())
}

/// Puts a binary in place; the one that was there stays beside it, for [`go_back`].
///
/// # Errors
/// The folder cannot be written; then all is as it was.
pub(crate) fn put_in_place(candidate: &Path, installed: &Path) -> anyhow::Result<()> {
    let draft = beside(installed, ".new");
    let write = || -> std::io::Result<()> {
        std::fs::copy(candidate, &draft)?;
        std::fs::set_permissions(&draft, std::fs::Permissions::from_mode(0o755))?;
        std::fs::File::open(&draft)?.sync_all()
    };
    if let Err(error) = write() {
        let _ = std::fs::remove_file(&draft);
        return Err(error).with_context(|| format!("cannot write {}", draft.display()));
    }
    keep(installed)?;
    std::fs::rename(&draft, installed)
        .with_context(|| format!("cannot replace {}", installed.display()))
}

/// Swaps the binary and the one before it.
///
/// # Errors
/// There is none, or the folder cannot be written.
pub(crate) fn go_back(installed: &Path) -> anyhow::Result<()> {
    let previous = previous(installed);
    if !previous.is_file() {
        return Err(Problem::not_found(format!(
            "{} does not exist: there is nothing to go back to",
            previous.display()
        ))
        .into());
    }
    let draft = beside(installed, ".new");
    // A link, so that the installed path is never empty.
    let _ = std::fs::remove_file(&draft);
    std::fs::hard_link(installed, &draft)
        .and_then(|()| std::fs::rename(&previous, installed))
        .and_then(|()| std::fs::rename(&draft, &previous))
        .with_context(|| format!("cannot swap {} and the one before", installed.display()))
}

/// Links the installed binary as the one before.
fn keep(installed: &Path) -> anyhow::Result<()> {
    if !installed.exists() {
        return Ok(());
    }
    let draft = beside(installed, ".kept");
    let _ = std::fs::remove_file(&draft);
    std::fs::hard_link(installed, &draft)
        .or_else(|_| std::fs::copy(installed, &draft).map(|_| ()))
        .and_then(|()| std::fs::rename(&draft, previous(installed)))
        .with_context(|| format!("cannot keep {}", installed.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_binary_is_put_in_place_and_taken_back() {
        let folder = tempfile::tempdir().unwrap();
        let installed = folder.path().join("launchway");
        let (first, second) = (folder.path().join("1"), folder.path().join("2"));
        std::fs::write(&first, "first").unwrap();
        std::fs::write(&second, "second").unwrap();
        put_in_place(&first, &installed).unwrap();
        assert!(!previous(&installed).exists());
        assert!(go_back(&installed).is_err());
        put_in_place(&second, &installed).unwrap();
        let text = |path: &Path| std::fs::read_to_string(path).unwrap();
        assert_eq!(
            (text(&installed), text(&previous(&installed))),
            ("second".to_owned(), "first".to_owned())
        );
        go_back(&installed).unwrap();
        assert_eq!(
            (text(&installed), text(&previous(&installed))),
            ("first".to_owned(), "second".to_owned())
        );
        assert!(!beside(&installed, ".new").exists());
    }

    #[test]
    fn what_is_no_launchway_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::new(folder.path());
        for wrong in ["/bin/true", "/bin/false", "/etc/passwd"] {
            assert!(check(Path::new(wrong), &home).is_err(), "{wrong}");
        }
    }
}
