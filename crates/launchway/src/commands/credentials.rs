//! `launchway credentials`

use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use launchway_model::credential::{
    Credential, CredentialId, KeyRotated, LARGEST, RemoveCredential, Secret, SetCredential,
};
use launchway_model::{AppName, Problem};

use crate::cli::Context;
use crate::output::Table;
use crate::words;

/// Store secrets for builds: passwords, tokens, files, SSH keys.
///
/// A pipeline uses them by their ids, as in Jenkins: `credentials('id')`, `withCredentials([…])`, `sshagent(['id'])`. They are
/// encrypted at rest, hidden in every log, given to no pull request of a fork, and never printed.
#[derive(Debug, clap::Args)]
pub(crate) struct Credentials {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Store a credential; the secret is read from standard input, or from a file
    Set(Set),
    /// List the credentials, without their secrets
    List {
        /// Only those that this app may use
        #[arg(short, long, value_name = "NAME")]
        app: Option<AppName>,
    },
    /// Remove a credential
    Remove {
        /// Its id
        id: CredentialId,
        #[command(flatten)]
        scope: Scope,
    },
    /// Encrypt everything that is secret with a new key
    RotateKey,
}

#[derive(Debug, clap::Args)]
struct Scope {
    /// The app that it is for [default: all apps]
    #[arg(short, long, value_name = "NAME")]
    app: Option<AppName>,
    /// Only for branches that match: `main`, `release/*`, `tags/v*`, `PR-*`; may be given several times
    #[arg(short, long = "branch", value_name = "PATTERN")]
    branches: Vec<String>,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Kind {
    /// A text: a token, a key
    String,
    /// A user's name and a password
    #[value(alias = "usernamePassword")]
    UsernamePassword,
    /// A file
    File,
    /// A private key for SSH
    #[value(alias = "sshUserPrivateKey")]
    SshKey,
}

#[derive(Debug, clap::Args)]
struct Set {
    /// Its id, as pipelines name it
    id: CredentialId,
    /// What it is
    #[arg(short, long, value_enum, default_value = "string")]
    kind: Kind,
    /// The user's name, of a user-name-password or an ssh-key
    #[arg(short, long)]
    username: Option<String>,
    /// Read the secret from this file instead of standard input
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// The name that a file has in builds [default: the file's own]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Read an ssh-key's passphrase from this file
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// What it is for
    #[arg(short, long, default_value = "")]
    description: String,
    /// A secret of 4 or 5 bytes is meant so, though it cannot be hidden within other words
    #[arg(long)]
    short: bool,
    #[command(flatten)]
    scope: Scope,
}

/// Runs the command.
pub(crate) fn run(context: &Context, args: Credentials) -> anyhow::Result<ExitCode> {
    let client = context.client()?;
    match args.what {
        What::Set(set) => {
            let request = SetCredential {
                id: set.id.clone(),
                secret: secret(&set)?,
                app: set.scope.app,
                branches: set.scope.branches,
                description: set.description,
                short: set.short,
            };
            let stored: Credential = client.put("/credentials", &request)?;
            context.output.result(&stored, |output| {
                Ok(output.line(format!("{} is stored for {}", stored.id, whose(&stored)))?)
            })?;
        }
        What::List { app } => {
            let path = match &app {
                Some(app) => format!("/credentials?app={app}"),
                None => "/credentials".to_owned(),
            };
            let all: Vec<Credential> = client.get(&path)?;
            context.output.result(&all, |output| {
                let now = Timestamp::now();
                let mut table = Table::new(&["id", "kind", "of", "for", "age", "description"]);
                for one in &all {
                    table.row([
                        one.id.to_string(),
                        one.kind.as_str().to_owned(),
                        one.public.clone().unwrap_or_default(),
                        whose(one),
                        words::age(one.changed, now),
                        one.description.clone(),
                    ]);
                }
                Ok(output.table(&table)?)
            })?;
        }
        What::Remove { id, scope } => {
            let request = RemoveCredential {
                id: id.clone(),
                app: scope.app,
                branches: scope.branches,
            };
            client.send(
                ureq::http::Method::POST,
                "/credentials/remove",
                Some(&request),
            )?;
            context.output.note(format!("{id} is removed"));
        }
        What::RotateKey => {
            let done: KeyRotated = client.post("/credentials/rotate-key", &())?;
            context.output.result(&done, |output| {
                Ok(output.line(format!(
                    "{} stored secrets are encrypted with a new key; the old one is gone",
                    done.secrets
                ))?)
            })?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Whom a credential is for, in words.
fn whose(credential: &Credential) -> String {
    let app = credential
        .app
        .as_ref()
        .map_or_else(|| "all apps".to_owned(), ToString::to_string);
    if credential.branches.is_empty() {
        app
    } else {
        format!("{app}: {}", credential.branches.join(", "))
    }
}

fn secret(set: &Set) -> anyhow::Result<Secret> {
    let needs_user = || {
        set.username.clone().ok_or_else(|| {
            Problem::invalid("a user-name-password needs the user's name")
                .hint("Say it with `--username NAME`; the password alone comes by standard input.")
        })
    };
    Ok(match set.kind {
        Kind::String => Secret::String {
            text: one_line(read_text(set)?),
        },
        Kind::UsernamePassword => Secret::UsernamePassword {
            username: needs_user()?,
            password: one_line(read_text(set)?),
        },
        Kind::File => Secret::File {
            name: set
                .name
                .clone()
                .or_else(|| {
                    let name = set.file.as_ref()?.file_name()?;
                    Some(name.to_string_lossy().into_owned())
                })
                .unwrap_or_else(|| "secret".to_owned()),
            content: STANDARD.encode(read(set.file.as_deref())?),
        },
        Kind::SshKey => Secret::SshUserPrivateKey {
            username: set.username.clone().unwrap_or_default(),
            key: read_text(set)?,
            passphrase: set
                .passphrase_file
                .as_deref()
                .map(|path| Ok::<_, anyhow::Error>(one_line(text(read(Some(path))?)?)))
                .transpose()?,
        },
    })
}

fn read_text(set: &Set) -> anyhow::Result<String> {
    text(read(set.file.as_deref())?)
}

fn text(bytes: Vec<u8>) -> anyhow::Result<String> {
    String::from_utf8(bytes).map_err(|_| {
        Problem::invalid("the secret is not text")
            .hint("Store it with `--kind file`.")
            .into()
    })
}

/// Without the line end that `echo` and editors add.
fn one_line(mut text: String) -> String {
    text.truncate(text.trim_end_matches(['\r', '\n']).len());
    text
}

/// The bytes of a file, or of standard input, which a terminal must not echo.
fn read(file: Option<&Path>) -> anyhow::Result<Vec<u8>> {
    let most = LARGEST as u64 + 1;
    let mut bytes = Vec::new();
    match file {
        Some(path) => {
            let open = std::fs::File::open(path).map_err(|error| {
                Problem::not_found(format!("{} cannot be read", path.display())).cause(error)
            })?;
            open.take(most).read_to_end(&mut bytes)?;
        }
        None if std::io::stdin().is_terminal() => {
            return Err(Problem::invalid("the secret comes by standard input")
                .hint("For instance `launchway credentials set ID < token.txt`, or `--file token.txt`; typed here it would be seen.")
                .into());
        }
        None => {
            std::io::stdin().lock().take(most).read_to_end(&mut bytes)?;
        }
    }
    Ok(bytes)
}
