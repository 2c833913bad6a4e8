//! The variables that a build's commands see.
//!
//! They begin with nothing: of the runner's own variables only those pass that say how the machine reaches its network
//! and its package registries, and where its language tools are. Nothing of the operator's session leaks into a build.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use launchway_model::app::{AppSpec, references};
use launchway_model::runner::RunnerJob;
use launchway_model::trigger::Origin;

use super::processes::MARK;
use crate::search_path;

/// The variables of commands.
pub(crate) type Environment = BTreeMap<String, String>;

/// Variables that pass by name.
const PASS: [&str; 34] = [
    "LANG",
    "LANGUAGE",
    "TZ",
    "USER",
    "LOGNAME",
    "SHELL",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "ALL_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "all_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
    "GIT_SSL_CAINFO",
    "GOPROXY",
    "GOSUMDB",
    "GONOSUMDB",
    "GOPRIVATE",
    "GONOSUMCHECK",
    "GOFLAGS",
    "GOTOOLCHAIN",
    "GOROOT",
    "RUSTUP_HOME",
    "RUSTUP_TOOLCHAIN",
    "PYENV_ROOT",
    "NVM_DIR",
    "JAVA_HOME",
    "COREPACK_NPM_REGISTRY",
];

/// Variables that pass by how they begin: the settings of package managers.
const PASS_PREFIXES: [&str; 9] = [
    "LC_",
    "PIP_",
    "UV_",
    "NPM_CONFIG_",
    "npm_config_",
    "YARN_",
    "CARGO_HTTP_",
    "CARGO_NET_",
    "CARGO_SOURCE_",
];

/// Tools that live in the operator's home and are found by a variable.
const TOOL_FOLDERS: [(&str, &str); 2] = [("RUSTUP_HOME", ".rustup"), ("PYENV_ROOT", ".pyenv")];

/// Files of the operator's home that say where packages come from.
const REGISTRY_FILES: [(&str, &str); 3] = [
    ("NPM_CONFIG_USERCONFIG", ".npmrc"),
    ("PIP_CONFIG_FILE", ".config/pip/pip.conf"),
    ("UV_CONFIG_FILE", ".config/uv/uv.toml"),
];

/// What every command of a build sees, before the plan's and the stage's own variables.
pub(crate) fn of_build(job: &RunnerJob, spec: Option<&AppSpec>, temporary: &Path) -> Environment {
    let mut environment: Environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, _)| {
            PASS.contains(&name.as_str())
                || PASS_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        })
        .collect();
    let operator_home = std::env::var_os("HOME").map(PathBuf::from);
    for (name, path) in TOOL_FOLDERS.into_iter().chain(REGISTRY_FILES) {
        if let Some(path) = operator_home.as_ref().map(|home| home.join(path))
            && path.exists()
        {
            environment
                .entry(name.to_owned())
                .or_insert_with(|| path.display().to_string());
        }
    }
    let inherited = std::env::var_os("PATH");
    let path = search_path::for_tree(&job.tree, inherited.as_deref());
    let branch = job.branch.clone().unwrap_or_default();
    let number = job.build.0.to_string();
    let own = [
        ("PATH", path.to_string_lossy().into_owned()),
        ("HOME", job.home.display().to_string()),
        ("TMPDIR", temporary.display().to_string()),
        ("TERM", "dumb".to_owned()),
        ("CI", "true".to_owned()),
        ("LAUNCHWAY", "true".to_owned()),
        ("LAUNCHWAY_APP", job.app.to_string()),
        ("LAUNCHWAY_BUILD", number.clone()),
        ("LAUNCHWAY_CACHE", job.cache.display().to_string()),
        (MARK, job.folder.display().to_string()),
        ("GIT_COMMIT", job.commit.clone()),
        ("GIT_BRANCH", branch.clone()),
        ("GIT_LOCAL_BRANCH", branch.clone()),
        ("BRANCH_NAME", branch),
        ("BUILD_NUMBER", number.clone()),
        ("BUILD_ID", number.clone()),
        ("BUILD_TAG", format!("launchway-{}-{number}", job.app)),
        ("BUILD_DISPLAY_NAME", format!("#{number}")),
        ("JOB_NAME", job.app.to_string()),
        ("JOB_BASE_NAME", job.app.to_string()),
        ("NODE_NAME", "built-in".to_owned()),
        ("EXECUTOR_NUMBER", "0".to_owned()),
        ("WORKSPACE_TMP", temporary.display().to_string()),
        (
            "GIT_URL",
            job.origin
                .url
                .clone()
                .unwrap_or_else(|| job.repository.display().to_string()),
        ),
        ("LAUNCHWAY_CAUSE", job.cause.clone()),
        ("WORKSPACE", job.tree.display().to_string()),
    ];
    environment.extend(own.map(|(name, value)| (name.to_owned(), value)));
    environment.extend(of_origin(&job.origin));
    if let Some(spec) = spec {
        // The address of another process is known where the app runs, not where it is built.
        let plain = spec
            .env
            .clone()
            .into_iter()
            .filter(|(_, value)| references(value).is_empty());
        environment.extend(plain);
    }
    environment.extend(job.env.clone());
    environment.retain(|name, value| {
        !name.is_empty() && !name.contains(['=', '\0']) && !value.contains('\0')
    });
    environment
}

/// What Jenkins' multibranch projects say of a tag or pull request.
fn of_origin(origin: &Origin) -> impl Iterator<Item = (String, String)> {
    let mut own: Vec<(&str, &str)> = Vec::new();
    if let Some(tag) = &origin.tag {
        own.push(("TAG_NAME", tag));
    }
    if let Some(previous) = &origin.previous {
        own.push(("GIT_PREVIOUS_COMMIT", previous));
    }
    if let Some(change) = &origin.change {
        own.extend([
            ("CHANGE_ID", change.id.as_str()),
            ("CHANGE_TITLE", &change.title),
            ("CHANGE_URL", &change.url),
            ("CHANGE_AUTHOR", &change.author),
            ("CHANGE_BRANCH", &change.branch),
            ("CHANGE_TARGET", &change.target),
        ]);
        if let Some(fork) = &change.fork {
            own.push(("CHANGE_FORK", fork));
        }
    }
    let own: Vec<(String, String)> = own
        .into_iter()
        // A title is anybody's text; a line break in it must not reach tools that read one line.
        .map(|(name, value)| (name.to_owned(), value.replace(['\n', '\r', '\0'], " ")))
        .collect();
    own.into_iter()
}

/// The values of `config set` that shall not be seen in a log: those whose name or form says that they are secret.
pub(crate) fn secrets(job: &RunnerJob) -> Vec<&str> {
    const WORDS: [&str; 13] = [
        "SECRET",
        "PASSWORD",
        "PASSWD",
        "PASS",
        "TOKEN",
        "KEY",
        "CREDENTIAL",
        "PRIVATE",
        "AUTH",
        "DSN",
        "SALT",
        "PIN",
        "COOKIE",
    ];
    let mut secrets = Vec::new();
    for (name, value) in &job.env {
        let upper = name.to_ascii_uppercase();
        let named = upper
            .split(|c: char| !c.is_ascii_alphanumeric())
            .any(|word| {
                WORDS
                    .iter()
                    .any(|secret| word.starts_with(secret) || word.ends_with(secret))
            });
        let random = value.len() >= 20
            && value.bytes().any(|byte| byte.is_ascii_digit())
            && value.bytes().any(|byte| byte.is_ascii_alphabetic())
            && !value.contains(['/', ' ', '.']);
        if named || random {
            secrets.push(value.as_str());
        }
        // The password of an address such as postgres://user:password@host/name.
        let password = value
            .split_once("://")
            .and_then(|(_, rest)| rest.split_once('@'))
            .and_then(|(user, _)| user.split_once(':'));
        if let Some((_, password)) = password {
            secrets.push(password);
        }
    }
    secrets
}
