//! What a command wants to know of the git repository it stands in; asked of the system's `git`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use launchway_model::{AppName, Problem};

/// A working tree.
#[derive(Debug)]
pub(crate) struct Repository {
    /// Its top folder.
    pub(crate) folder: PathBuf,
}

impl Repository {
    /// The working tree that a folder lies in; `None` where it lies in none.
    ///
    /// # Errors
    /// `git` cannot be started.
    pub(crate) fn around(folder: &Path) -> anyhow::Result<Option<Self>> {
        let found = git(folder, &["rev-parse", "--show-toplevel"])?;
        Ok(found.map(|folder| Self {
            folder: PathBuf::from(folder),
        }))
    }

    /// The commit that HEAD names; `None` before the first commit.
    pub(crate) fn head(&self) -> anyhow::Result<Option<String>> {
        git(
            &self.folder,
            &["rev-parse", "--verify", "--quiet", "HEAD^{commit}"],
        )
    }

    /// The branch that is checked out; `None` where HEAD names a commit itself.
    pub(crate) fn branch(&self) -> anyhow::Result<Option<String>> {
        git(
            &self.folder,
            &["symbolic-ref", "--quiet", "--short", "HEAD"],
        )
    }

    /// How many files differ from HEAD, those that git does not know included.
    pub(crate) fn changed_files(&self) -> anyhow::Result<usize> {
        let status = git(&self.folder, &["status", "--porcelain"])?;
        Ok(status.map_or(0, |status| status.lines().count()))
    }

    /// The app's name: of the remote `launchway`, else of the folder.
    pub(crate) fn app(&self) -> anyhow::Result<AppName> {
        if let Some(url) = git(&self.folder, &["remote", "get-url", "launchway"])?
            && let Some(app) = app_of_remote(&url)
        {
            return Ok(app);
        }
        Ok(app_of_folder(&self.folder))
    }
}

/// The app's name in the address of our git remote, `http://HOST/git/NAME.git`.
fn app_of_remote(url: &str) -> Option<AppName> {
    let name = url.trim_end_matches('/').rsplit_once("/git/")?.1;
    name.trim_end_matches(".git").parse().ok()
}

/// The app's name that a folder's name suggests.
pub(crate) fn app_of_folder(folder: &Path) -> AppName {
    AppName::from_any(&folder.file_name().unwrap_or_default().to_string_lossy())
}

/// Whether a source is an address for git and not a folder here.
pub(crate) fn is_address(source: &str) -> bool {
    if source.contains("://") {
        return true;
    }
    // `user@host:path`, as ssh has it; a folder with a colon in its name is found first.
    !Path::new(source).exists()
        && source
            .split_once(':')
            .is_some_and(|(host, _)| !host.is_empty() && !host.contains('/'))
}

/// The app's name that an address suggests.
pub(crate) fn app_of_address(address: &str) -> AppName {
    let last = address
        .trim_end_matches('/')
        .rsplit(['/', ':'])
        .next()
        .unwrap_or_default();
    AppName::from_any(last)
}

/// The app that a command is about: the one named, else that of the repository around the current folder, else that
/// of the current folder.
///
/// # Errors
/// The current folder cannot be read, or `git` fails to start.
pub(crate) fn app(named: Option<&AppName>) -> anyhow::Result<AppName> {
    if let Some(app) = named {
        return Ok(app.clone());
    }
    let here = std::env::current_dir().context("cannot read the current folder")?;
    match Repository::around(&here)? {
        Some(repository) => repository.app(),
        None => Err(Problem::invalid("which app?")
            .hint("Name it with `--app NAME`, or stand in its repository; `launchway apps` lists them.")
            .into()),
    }
}

/// The answer of a git command without its line end; `None` where git says no.
fn git(folder: &Path, arguments: &[&str]) -> anyhow::Result<Option<String>> {
    let output = Command::new("git").arg("-C").arg(folder).args(arguments).output().map_err(|error| {
        Problem::unavailable("cannot start git")
            .cause(error)
            .hint("Install it (Debian, Ubuntu: `apt-get install git`); `launchway doctor` looks for what else is missing.")
    })?;
    if !output.status.success() {
        return Ok(None);
    }
    let text = String::from_utf8_lossy(&output.stdout)
        .trim_end()
        .to_owned();
    Ok(Some(text).filter(|text| !text.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_app_is_named_by_its_remote_or_address() {
        assert_eq!(
            app_of_remote("http://127.0.0.1:7070/git/shop.git")
                .unwrap()
                .as_str(),
            "shop"
        );
        assert!(app_of_remote("git@example.org:team/shop.git").is_none());
        assert_eq!(
            app_of_address("https://example.org/team/My.Shop.git").as_str(),
            "my-shop"
        );
        assert_eq!(app_of_address("git@example.org:shop.git").as_str(), "shop");
    }

    #[test]
    fn a_folder_is_not_an_address() {
        assert!(is_address("https://example.org/a.git"));
        assert!(is_address("git@example.org:a.git"));
        assert!(!is_address("/srv/a:b/c"));
        assert!(!is_address("."));
    }

    #[test]
    fn a_repository_tells_its_branch_head_and_changes() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("My Shop");
        std::fs::create_dir(&root).unwrap();
        assert!(
            git(&root, &["init", "--quiet", "--initial-branch=trunk"])
                .unwrap()
                .is_none()
        );
        let repository = Repository::around(&root).unwrap().unwrap();
        assert_eq!(repository.head().unwrap(), None);
        std::fs::write(root.join("a"), "a").unwrap();
        assert_eq!(repository.changed_files().unwrap(), 1);
        git(&root, &["add", "a"]).unwrap();
        git(
            &root,
            &[
                "-c",
                "user.name=A",
                "-c",
                "user.email=a@example.org",
                "commit",
                "--quiet",
                "-m",
                "one",
            ],
        )
        .unwrap();
        assert_eq!(repository.branch().unwrap().as_deref(), Some("trunk"));
        assert_eq!(repository.head().unwrap().unwrap().len(), 40);
        assert_eq!(repository.changed_files().unwrap(), 0);
        assert_eq!(repository.app().unwrap().as_str(), "my-shop");
        git(
            &root,
            &[
                "remote",
                "add",
                "launchway",
                "http://127.0.0.1:1/git/other.git",
            ],
        )
        .unwrap();
        assert_eq!(repository.app().unwrap().as_str(), "other");
    }
}
