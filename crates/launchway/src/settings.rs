//! Where the installation's folder is, and which server a command speaks to.

use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use launchway_model::api::ClientFile;
use launchway_model::home::Home;
use launchway_model::{Problem, ProblemKind};

use crate::cli::Global;

/// What the options and the environment say.
pub(crate) struct Settings {
    home: Home,
    home_is_given: bool,
}

impl Settings {
    /// Reads `--home` and `LAUNCHWAY_HOME`.
    ///
    /// # Errors
    /// No folder is given and the user has no home folder.
    pub(crate) fn new(global: &Global) -> anyhow::Result<Self> {
        let given = global
            .home
            .as_deref()
            .filter(|home| !home.as_os_str().is_empty());
        let root = match given {
            Some(home) => std::path::absolute(home)
                .with_context(|| format!("cannot resolve {}", home.display()))?,
            None => default_home()?,
        };
        Ok(Self {
            home: Home::new(root),
            home_is_given: given.is_some(),
        })
    }

    /// The installation's folder.
    pub(crate) fn home(&self) -> &Home {
        &self.home
    }

    /// The folder of an agent on this machine, beside the installation's default one.
    pub(crate) fn agent_folder(&self) -> PathBuf {
        let mut name = self.home.root().as_os_str().to_owned();
        name.push("-agent");
        PathBuf::from(name)
    }

    /// The server to speak to, from the first of these that names one: `LAUNCHWAY_URL` with `LAUNCHWAY_TOKEN`, the
    /// given home's `client.json`, the last `launchway login`, the default home's `client.json`.
    ///
    /// # Errors
    /// None of them does.
    pub(crate) fn server(&self) -> anyhow::Result<ClientFile> {
        let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let mut places = Vec::new();
        if self.home_is_given {
            places.push(self.home.client_file());
        }
        places.extend(login_file());
        if !self.home_is_given {
            places.push(self.home.client_file());
        }
        let (url, token) = (variable("LAUNCHWAY_URL"), variable("LAUNCHWAY_TOKEN"));
        if let (Some(url), Some(token)) = (&url, &token) {
            return Ok(ClientFile {
                url: base_url(url)?,
                token: token.clone(),
            });
        }
        for place in &places {
            let Some(mut found) = read_client_file(place)? else {
                continue;
            };
            // One of the two variables alone changes that part of what the file says.
            if let Some(url) = &url {
                found.url = base_url(url)?;
            }
            if let Some(token) = token {
                found.token = token;
            }
            return Ok(found);
        }
        let mut problem = Problem::new(ProblemKind::Unavailable, "no Launchway is known here").hint(
            "Start one with `launchway up`, or name one with `launchway login URL`, or with LAUNCHWAY_URL and LAUNCHWAY_TOKEN.",
        );
        for place in &places {
            problem = problem.cause(format!("{} does not exist", place.display()));
        }
        Err(problem.into())
    }
}

/// `/var/lib/launchway` for root, else the user's data folder.
fn default_home() -> anyhow::Result<PathBuf> {
    if rustix::process::geteuid().is_root() {
        return Ok(PathBuf::from("/var/lib/launchway"));
    }
    let data = match std::env::var_os("XDG_DATA_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
    {
        Some(data) => data,
        None => user_home()?.join(".local/share"),
    };
    Ok(data.join("launchway"))
}

/// The file in which `launchway login` keeps the server; `None` where the user has no home folder.
pub(crate) fn login_file() -> Option<PathBuf> {
    let config = std::env::var_os("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .or_else(|| user_home().ok().map(|home| home.join(".config")))?;
    Some(config.join("launchway").join("client.json"))
}

fn user_home() -> anyhow::Result<PathBuf> {
    std::env::home_dir()
        .filter(|home| home.is_absolute())
        .ok_or_else(|| {
            Problem::invalid("this user has no home folder")
                .hint("Name the installation's folder with `--home FOLDER` or LAUNCHWAY_HOME.")
                .into()
        })
}

fn read_client_file(path: &Path) -> anyhow::Result<Option<ClientFile>> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    let file =
        serde_json::from_str(&text).with_context(|| format!("{} is damaged", path.display()))?;
    Ok(Some(file))
}

/// Keeps a server for later commands, readable by this user alone.
///
/// # Errors
/// The file cannot be written.
pub(crate) fn write_client_file(path: &Path, file: &ClientFile) -> anyhow::Result<()> {
    use std::io::Write as _;
    let folder = path.parent().context("the file has no folder")?;
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let draft = path.with_extension("json.draft");
    let mut out = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&draft)
        .with_context(|| format!("cannot write {}", draft.display()))?;
    out.set_permissions(std::fs::Permissions::from_mode(0o600))?;
    out.write_all(serde_json::to_string_pretty(file)?.as_bytes())?;
    out.sync_all()?;
    std::fs::rename(&draft, path).with_context(|| format!("cannot write {}", path.display()))
}

/// The address without a last slash, as paths are put behind it.
///
/// # Errors
/// It is not an http or https address.
pub(crate) fn base_url(text: &str) -> anyhow::Result<String> {
    let trimmed = text.trim().trim_end_matches('/');
    let rest = trimmed
        .strip_prefix("http://")
        .or_else(|| trimmed.strip_prefix("https://"));
    match rest {
        Some(host) if !host.is_empty() && !host.contains(char::is_whitespace) => {
            Ok(trimmed.to_owned())
        }
        _ => Err(
            Problem::invalid(format!("`{text}` is not the address of a server"))
                .hint("Write it like http://127.0.0.1:7070 or https://launchway.example.org.")
                .into(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_loses_its_last_slash_and_must_be_http() {
        assert_eq!(
            base_url("http://127.0.0.1:7070/").unwrap(),
            "http://127.0.0.1:7070"
        );
        assert!(base_url("localhost:7070").is_err());
        assert!(base_url("https://").is_err());
    }

    #[test]
    fn a_written_client_file_is_private_and_reads_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/client.json");
        let file = ClientFile {
            url: "http://127.0.0.1:1".to_owned(),
            token: "secret".to_owned(),
        };
        write_client_file(&path, &file).unwrap();
        write_client_file(&path, &file).unwrap();
        assert_eq!(read_client_file(&path).unwrap(), Some(file));
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }

    #[test]
    fn a_damaged_client_file_names_itself() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("client.json");
        std::fs::write(&path, "{").unwrap();
        let error = read_client_file(&path).unwrap_err().to_string();
        assert!(error.contains("client.json is damaged"), "{error}");
    }
}
