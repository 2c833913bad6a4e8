//! An app's remote repository, asked and fetched by the system's git with the app's credential.
//!
//! The credential is on no command line: of a user and password git is told by its environment, and only for the remote's own
//! host; a key is a file in a folder that goes when the [`Remote`] is dropped.

use std::collections::BTreeMap;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use launchway_model::credential::Secret;
use launchway_model::hook::is_name;
use launchway_model::trigger::{Forge, TriggerSettings};
use launchway_model::{AppName, Problem};

use crate::git::{self, GitError};
use crate::{Control, credentials, problem, secrets};

/// How many references one fetch names.
const BATCH: usize = 200;
/// The most references of a remote that are looked at.
const MOST: usize = 20_000;

/// Where a remote repository is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    /// As git is told.
    pub(super) url: String,
    /// The host, where it is on one.
    pub(super) host: Option<String>,
    /// The path on the host, without slashes at its ends and without `.git`: `team/shop`.
    pub(super) path: String,
    /// Whether the forge is reached without TLS.
    insecure: bool,
}

impl Address {
    /// Reads an address: a URL, `user@host:path`, or an absolute path.
    pub(super) fn parse(text: &str) -> Result<Self, Problem> {
        let wrong = || {
            Problem::invalid(format!("`{}` is not a repository's address", shown(text)))
                .hint("It reads like https://git.example.org/team/shop.git or git@git.example.org:team/shop.git.")
        };
        if text.is_empty()
            || text.len() > 500
            || text.starts_with('-')
            || text.chars().any(|c| c.is_control() || c == ' ')
        {
            return Err(wrong());
        }
        let plain_path = |path: &str| {
            let path = path.trim_matches('/');
            path.strip_suffix(".git").unwrap_or(path).to_owned()
        };
        let (scheme, rest) = match text.split_once("://") {
            Some((scheme, rest)) => (scheme, rest),
            None if text.starts_with('/') => ("file", text),
            None => {
                let (host, path) = text.split_once(':').ok_or_else(wrong)?;
                let host = host.rsplit('@').next().unwrap_or_default();
                if host.is_empty() || host.contains('/') || path.is_empty() {
                    return Err(wrong());
                }
                return Ok(Self {
                    url: text.to_owned(),
                    host: Some(host.to_owned()),
                    path: plain_path(path),
                    insecure: false,
                });
            }
        };
        match scheme {
            "file" => Ok(Self {
                url: text.to_owned(),
                host: None,
                path: plain_path(rest),
                insecure: false,
            }),
            "http" | "https" | "ssh" | "git" => {
                let (authority, path) = rest.split_once('/').ok_or_else(wrong)?;
                let (user, host) = match authority.rsplit_once('@') {
                    Some((user, host)) => (Some(user), host),
                    None => (None, authority),
                };
                if host.is_empty() || path.is_empty() {
                    return Err(wrong());
                }
                // Settings are seen by whoever may see the app; a password has its own place.
                if user.is_some_and(|user| user.contains(':'))
                    || (user.is_some() && scheme.starts_with("http"))
                {
                    return Err(Problem::invalid("the address holds a login").hint(
                        "Store it with `launchway credentials set ID --kind username-password` and name it with `--credential ID`.",
                    ));
                }
                Ok(Self {
                    url: text.to_owned(),
                    host: Some(host.to_owned()),
                    path: plain_path(path),
                    insecure: scheme == "http",
                })
            }
            _ => Err(wrong()),
        }
    }

    /// The forge that is known to be at the host.
    pub(super) fn known_forge(&self) -> Forge {
        match self.host.as_deref() {
            Some("github.com") => Forge::Github,
            Some("gitlab.com") => Forge::Gitlab,
            Some("codeberg.org" | "gitea.com") => Forge::Gitea,
            _ => Forge::Plain,
        }
    }

    /// Where the forge's API is, where the settings do not say.
    pub(super) fn api(&self, forge: Forge) -> Option<String> {
        let host = self.host.as_deref()?;
        let scheme = if self.insecure { "http" } else { "https" };
        Some(match forge {
            Forge::Github if host == "github.com" => "https://api.github.com".to_owned(),
            Forge::Github => format!("{scheme}://{host}/api/v3"),
            Forge::Gitlab => format!("{scheme}://{host}/api/v4"),
            Forge::Gitea => format!("{scheme}://{host}/api/v1"),
            Forge::Plain => return None,
        })
    }
}

/// An address for people, without what may be a password.
fn shown(text: &str) -> String {
    let text: String = text.chars().take(200).collect();
    match text.split_once("://") {
        Some((scheme, rest)) => match rest.rsplit_once('@') {
            Some((_, rest)) => format!("{scheme}://{rest}"),
            None => text,
        },
        None => text,
    }
}

/// A remote with what is needed to reach it.
pub(super) struct Remote {
    pub(super) address: Address,
    repository: PathBuf,
    env: Vec<(String, String)>,
    /// The key's folder.
    _key: Option<KeyFolder>,
}

/// What a remote has.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Refs {
    /// The branch that HEAD is on.
    pub(super) head: Option<String>,
    /// Commits by the full names of references.
    pub(super) commits: BTreeMap<String, String>,
}

impl Remote {
    /// A remote of an app, with its credential.
    pub(super) async fn open(
        control: &Control,
        app: &AppName,
        settings: &TriggerSettings,
    ) -> Result<Self, Problem> {
        let Some(remote) = &settings.remote else {
            return Err(
                Problem::invalid(format!("`{app}` has no remote repository")).hint(format!(
                    "Name it: `launchway triggers set --app {app} --remote https://…`."
                )),
            );
        };
        let address = Address::parse(remote)?;
        let mut env = Vec::new();
        let mut key = None;
        if let Some(id) = &settings.credential {
            let login = match credentials::of_app(control, app, id).await? {
                Secret::UsernamePassword { username, password } => Some((username, password)),
                // A token serves as the password of any user.
                Secret::String { text } => Some(("x-access-token".to_owned(), text)),
                Secret::SshUserPrivateKey {
                    key: text,
                    passphrase: None,
                    ..
                } => {
                    let folder = KeyFolder::make(control, &text)?;
                    env.push((
                        "GIT_SSH_COMMAND".to_owned(),
                        format!(
                            "ssh -i '{}' -o IdentitiesOnly=yes -o BatchMode=yes -o StrictHostKeyChecking=accept-new",
                            folder.0.join("key").display()
                        ),
                    ));
                    key = Some(folder);
                    None
                }
                Secret::SshUserPrivateKey { .. } => {
                    return Err(Problem::invalid(format!(
                        "the key `{id}` has a passphrase, which nobody can type here"
                    ))
                    .hint("Use a deploy key without one; it is encrypted at rest."));
                }
                Secret::File { .. } => {
                    return Err(Problem::invalid(format!(
                        "a file such as `{id}` is no login"
                    )));
                }
            };
            if let (Some((user, password)), Some((scheme, host))) = (login, web_host(&address)) {
                let header = format!(
                    "Authorization: Basic {}",
                    STANDARD.encode(format!("{user}:{password}"))
                );
                env.extend([
                    ("GIT_CONFIG_COUNT".to_owned(), "1".to_owned()),
                    (
                        "GIT_CONFIG_KEY_0".to_owned(),
                        format!("http.{scheme}://{host}/.extraHeader"),
                    ),
                    ("GIT_CONFIG_VALUE_0".to_owned(), header),
                ]);
            }
        }
        Ok(Self {
            address,
            repository: crate::source::repository(control, app).await?,
            env,
            _key: key,
        })
    }

    /// The bare repository that is fetched into.
    pub(super) fn repository(&self) -> &Path {
        &self.repository
    }

    /// What the remote has: branches, tags, and these further references.
    pub(super) async fn list(&self, more: &[String]) -> Result<Refs, Problem> {
        let mut arguments = vec![
            "ls-remote",
            "--symref",
            "--upload-pack",
            git::LOCAL_UPLOAD_PACK,
        ];
        if self.address.host.is_some() {
            arguments.truncate(2);
        }
        arguments.extend([
            "--end-of-options",
            &self.address.url,
            "HEAD",
            "refs/heads/*",
            "refs/tags/*",
        ]);
        arguments.extend(more.iter().map(String::as_str));
        let listed = git::run_with(&self.repository, arguments, git::LONG, &self.env)
            .await
            .map_err(|error| self.unreachable(error))?;
        Ok(parse_refs(&listed))
    }

    /// Brings references into the repository: each the remote's name and our own.
    pub(super) async fn fetch(&self, pairs: &[(String, String)]) -> Result<(), Problem> {
        for batch in pairs.chunks(BATCH) {
            let specs: Vec<String> = batch
                .iter()
                .map(|(theirs, ours)| format!("+{theirs}:{ours}"))
                .collect();
            let mut arguments = vec![
                "fetch",
                "--quiet",
                "--force",
                "--no-tags",
                "--no-write-fetch-head",
                "--no-auto-maintenance",
            ];
            if self.address.host.is_none() {
                arguments.extend(["--upload-pack", git::LOCAL_UPLOAD_PACK]);
            }
            arguments.extend(["--end-of-options", &self.address.url]);
            arguments.extend(specs.iter().map(String::as_str));
            git::run_with(&self.repository, arguments, git::LONG, &self.env)
                .await
                .map_err(|error| self.unreachable(error))?;
        }
        Ok(())
    }

    fn unreachable(&self, error: GitError) -> Problem {
        let problem = error.problem(format!("{} cannot be fetched", shown(&self.address.url)));
        let words = problem.causes.join(" ");
        let asks = [
            "terminal prompts disabled",
            "Permission denied",
            "Authentication",
        ]
        .iter()
        .any(|sign| words.contains(sign));
        if asks {
            problem.hint("Store a login with `launchway credentials set` and name it with `launchway triggers set --credential ID`.")
        } else {
            problem.hint("Check the address; `git ls-remote ADDRESS` on Launchway's machine shows the same error.")
        }
    }
}

/// The scheme and host of an address that is reached by HTTP.
fn web_host(address: &Address) -> Option<(&str, &str)> {
    let (scheme, _) = address.url.split_once("://")?;
    matches!(scheme, "http" | "https").then_some((scheme, address.host.as_deref()?))
}

/// Reads what `git ls-remote --symref` prints; names that no branch or tag can have are left out.
fn parse_refs(listed: &str) -> Refs {
    let mut refs = Refs::default();
    for line in listed.lines() {
        let Some((value, name)) = line.split_once('\t') else {
            continue;
        };
        if name == "HEAD" {
            if let Some(branch) = value.strip_prefix("ref: refs/heads/") {
                refs.head = Some(branch.to_owned());
            }
            continue;
        }
        let is_commit = value.len() == 40 && value.bytes().all(|byte| byte.is_ascii_hexdigit());
        // `^{}` is the commit that an annotated tag leads to; it comes after the tag itself.
        let name = name.strip_suffix("^{}").unwrap_or(name);
        let plain = name.strip_prefix("refs/").is_some_and(is_name);
        if is_commit && plain && refs.commits.len() < MOST {
            refs.commits.insert(name.to_owned(), value.to_owned());
        }
    }
    refs
}

/// A folder with a private key, ours alone, gone when dropped.
struct KeyFolder(PathBuf);

impl KeyFolder {
    fn make(control: &Control, key: &str) -> Result<Self, Problem> {
        use std::os::unix::fs::DirBuilderExt;
        let random: [u8; 8] = secrets::random()?;
        let name = format!("key-{:016x}", u64::from_be_bytes(random));
        // The folder of builds is ours alone already.
        let folder = Self(control.settings().home.root().join("builds").join(name));
        let failed = |error: &std::io::Error| problem::file("write", &folder.0, error);
        std::fs::DirBuilder::new()
            .mode(0o700)
            .create(&folder.0)
            .map_err(|error| failed(&error))?;
        let mut text = key.replace("\r\n", "\n");
        if !text.ends_with('\n') {
            text.push('\n');
        }
        std::fs::File::options()
            .create_new(true)
            .write(true)
            .mode(0o600)
            .open(folder.0.join("key"))
            .and_then(|mut file| std::io::Write::write_all(&mut file, text.as_bytes()))
            .map_err(|error| failed(&error))?;
        Ok(folder)
    }
}

impl Drop for KeyFolder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::error!(%error, folder = %self.0.display(), "a key's folder cannot be removed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let parsed = Address::parse("https://github.com/team/shop.git").unwrap();
        assert_eq!(parsed.known_forge(), Forge::Github);
        assert_eq!(parsed.path, "team/shop");
        assert_eq!(parsed.api(Forge::Github).unwrap(), "https://api.github.com");
        let parsed = Address::parse("git@git.example.org:group/sub/shop.git").unwrap();
        assert_eq!(parsed.path, "group/sub/shop");
        assert_eq!(
            parsed.api(Forge::Gitlab).unwrap(),
            "https://git.example.org/api/v4"
        );
        let parsed = Address::parse("http://127.0.0.1:3000/a/b").unwrap();
        assert_eq!(
            parsed.api(Forge::Gitea).unwrap(),
            "http://127.0.0.1:3000/api/v1"
        );
        assert_eq!(Address::parse("/srv/shop.git").unwrap().host, None);
        assert!(Address::parse("ssh://git@git.example.org:22/a/b").is_ok());
        for wrong in [
            "",
            "--upload-pack=x",
            "shop",
            "https://",
            "https://host",
            "ext::sh -c x",
            "ftp://a/b",
            "a b:c",
        ] {
            assert!(Address::parse(wrong).is_err(), "{wrong}");
        }
        for login in [
            "https://user:pass@git.example.org/a/b",
            "https://token@github.com/a/b",
        ] {
            let problem = Address::parse(login).unwrap_err();
            assert!(problem.hint.as_ref().unwrap().contains("credentials set"));
            assert!(!format!("{problem:?}").contains("pass@"));
        }
    }

    #[test]
    fn listings_are_read() {
        let (a, b) = ("a".repeat(40), "b".repeat(40));
        let text = format!(
            "ref: refs/heads/trunk\tHEAD\n{a}\tHEAD\n{a}\trefs/heads/trunk\n{a}\trefs/tags/v1\n{b}\trefs/tags/v1^{{}}\n{b}\trefs/heads/a b\nxyz\trefs/heads/bad\n"
        );
        let refs = parse_refs(&text);
        assert_eq!(refs.head.as_deref(), Some("trunk"));
        assert_eq!(refs.commits.len(), 2);
        assert_eq!(refs.commits["refs/tags/v1"], b);
    }
}
