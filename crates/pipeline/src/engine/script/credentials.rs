//! Credentials by their id: `credentials('id')`, `withCredentials`, `git … credentialsId`.
//!
//! An id means the credential that `launchway credentials set` stored for the app and branch. Where there is none, it means
//! the variable that `launchway config set` stored under a like name (`docker-hub` is `DOCKER_HUB`; a user and a
//! password are `USER:PASSWORD`): the build's commands see that variable anyway. Values are hidden in every output.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex::Regex;

use super::super::credentials::{Placed, decoded};
use super::super::steps::Interrupt;
use super::host::ScriptHost;
use crate::groovy::{Span, Thrown, Value};
use launchway_model::Problem;
use launchway_model::credential::Secret;
use launchway_model::suggest::nearest;

/// Where a Jenkinsfile names a credential.
static NAMED: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"credentials(?:Id)?\s*(?:\(|:)\s*\[?\s*['"]([^'"\n]{1,200})['"]"#)
        .expect("the pattern is a constant that the tests compile")
});

/// The variable that stands for a credential.
pub(super) fn variable_of(id: &str) -> String {
    let name: String = id
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() {
                c.to_ascii_uppercase()
            } else {
                '_'
            }
        })
        .collect();
    if name.starts_with(|c: char| c.is_ascii_digit()) {
        format!("_{name}")
    } else {
        name
    }
}

/// The values that a Jenkinsfile uses as credentials, and their parts, to be hidden.
pub(crate) fn secrets<'e>(
    jenkinsfile: &str,
    environment: &'e BTreeMap<String, String>,
) -> Vec<&'e str> {
    let mut secrets = Vec::new();
    for found in NAMED.captures_iter(jenkinsfile) {
        let id = &found[1];
        if let Some(value) = environment
            .get(id)
            .or_else(|| environment.get(&variable_of(id)))
        {
            secrets.push(value.as_str());
            if let Some((_, password)) = value.split_once(':') {
                secrets.push(password);
            }
        }
    }
    secrets
}

/// What an id means: a stored credential, or a variable of the configuration.
enum Found<'h> {
    Stored(&'h Secret),
    Variable(&'h str),
}

fn find<'h>(host: &ScriptHost<'h>, id: &str, span: Span) -> Result<Found<'h>, Thrown> {
    let build = host.context.build;
    if let Some(secret) = build.credentials.get(id) {
        return Ok(Found::Stored(secret));
    }
    let given = &build.job.env;
    if let Some(value) = given.get(id).or_else(|| given.get(&variable_of(id))) {
        return Ok(Found::Variable(value));
    }
    let problem = if build.job.origin.is_foreign() {
        Problem::failed(format!(
            "the credential `{id}` is not given to a pull request of a fork"
        ))
        .hint("Guard the stage with `when { not { changeRequest() } }`.")
    } else {
        let near = nearest(id, build.credentials.ids());
        let problem = Problem::failed(format!("no credential is stored as `{id}`"));
        match near {
            Some(near) => problem.hint(format!("Did you mean `{near}`?")),
            None => problem.hint(format!(
                "Store it with `launchway credentials set {id} --kind KIND`; it must be for this app and branch."
            )),
        }
    };
    Err(host.throw(Interrupt::Failed(problem), span))
}

fn place(host: &ScriptHost<'_>, name: &str, content: &[u8], span: Span) -> Result<Placed, Thrown> {
    let placed = host.context.build.credentials.place(name, content, 0o600);
    placed.map_err(|error| {
        host.fail(
            format!("the credential's file cannot be written: {error}"),
            span,
        )
    })
}

/// A key as ssh wants it: with a newline at its end.
fn key_bytes(key: &str) -> Vec<u8> {
    let mut bytes = key.replace("\r\n", "\n").into_bytes();
    if !bytes.ends_with(b"\n") {
        bytes.push(b'\n');
    }
    bytes
}

/// The value that `credentials('id')` gives: a text, `USER:PASSWORD`, or the path of a file that lives as long as the build.
pub(super) fn value(host: &ScriptHost<'_>, id: &str, span: Span) -> Result<String, Thrown> {
    let credentials = &host.context.build.credentials;
    let (placed, parts) = match find(host, id, span)? {
        Found::Variable(value) => return Ok(value.to_owned()),
        Found::Stored(Secret::String { text }) => return Ok(text.clone()),
        Found::Stored(Secret::UsernamePassword { username, password }) => {
            return Ok(format!("{username}:{password}"));
        }
        Found::Stored(Secret::File { name, content }) => {
            (place(host, name, &decoded(content), span)?, None)
        }
        Found::Stored(Secret::SshUserPrivateKey {
            username,
            key,
            passphrase,
        }) => (
            place(host, "key", &key_bytes(key), span)?,
            Some((username.clone(), passphrase.clone().unwrap_or_default())),
        ),
    };
    let path = placed.file.display().to_string();
    credentials.keep(placed, parts);
    Ok(path)
}

/// What a binding of `withCredentials` sets, and the files that have to live as long as its block.
#[derive(Debug, Default)]
pub(super) struct Bound {
    pub(super) variables: Vec<(String, String)>,
    pub(super) files: Vec<Placed>,
}

impl Bound {
    fn set(&mut self, name: Option<String>, value: impl Into<String>) {
        if let Some(name) = name.filter(|name| !name.is_empty()) {
            self.variables.push((name, value.into()));
        }
    }

    fn file(&mut self, name: Option<String>, placed: Placed) {
        self.set(name, placed.file.display().to_string());
        self.files.push(placed);
    }
}

/// Binds one entry of `withCredentials`.
pub(super) fn bind(
    host: &ScriptHost<'_>,
    binding: &Value,
    bound: &mut Bound,
    span: Span,
) -> Result<(), Thrown> {
    let Value::Map(map) = binding else {
        return Err(host.fail("withCredentials takes a list of bindings, such as string(credentialsId: 'x', variable: 'X')", span));
    };
    let map = map
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
        .clone();
    let text = |key: &str| map.get_text(key).map(Value::to_text);
    let kind = text("$class").unwrap_or_default();
    let Some(id) = text("credentialsId") else {
        return Err(host.fail("a binding has no `credentialsId`", span));
    };
    let found = find(host, &id, span)?;
    let wrong = |secret: &Secret| {
        let problem = Problem::failed(format!(
            "the credential `{id}` is a {}, not a {kind}",
            secret.kind().as_str()
        ))
        .hint(format!("Bind it with `{}(…)`.", secret.kind().as_str()));
        host.throw(Interrupt::Failed(problem), span)
    };
    match kind.as_str() {
        "usernamePassword" | "UsernamePasswordMultiBinding" => {
            let (user, password) = match found {
                Found::Stored(Secret::UsernamePassword { username, password }) => {
                    (username.as_str(), password.as_str())
                }
                Found::Stored(other) => return Err(wrong(other)),
                Found::Variable(value) => value.split_once(':').unwrap_or(("", value)),
            };
            bound.set(text("usernameVariable"), user);
            bound.set(text("passwordVariable"), password);
        }
        "usernameColonPassword" | "UsernamePasswordBinding" => {
            let value = match found {
                Found::Stored(Secret::UsernamePassword { username, password }) => {
                    format!("{username}:{password}")
                }
                Found::Stored(other) => return Err(wrong(other)),
                Found::Variable(value) => value.to_owned(),
            };
            bound.set(text("variable"), value);
        }
        "file" | "FileBinding" => {
            let placed = match found {
                Found::Stored(Secret::File { name, content }) => {
                    place(host, name, &decoded(content), span)?
                }
                Found::Stored(other) => return Err(wrong(other)),
                Found::Variable(value) => place(host, &id, value.as_bytes(), span)?,
            };
            bound.file(text("variable"), placed);
        }
        "sshUserPrivateKey" | "SSHUserPrivateKeyBinding" => {
            let (user, key, passphrase) = match found {
                Found::Stored(Secret::SshUserPrivateKey {
                    username,
                    key,
                    passphrase,
                }) => (
                    username.as_str(),
                    key.as_str(),
                    passphrase.as_deref().unwrap_or(""),
                ),
                Found::Stored(other) => return Err(wrong(other)),
                Found::Variable(value) => ("", value, ""),
            };
            bound.file(
                text("keyFileVariable"),
                place(host, "key", &key_bytes(key), span)?,
            );
            bound.set(text("usernameVariable"), user);
            bound.set(text("passphraseVariable"), passphrase);
        }
        _ => {
            let value = match found {
                Found::Stored(Secret::String { text }) => text.as_str(),
                Found::Stored(other) => return Err(wrong(other)),
                Found::Variable(value) => value,
            };
            bound.set(text("variable"), value);
        }
    }
    Ok(())
}

/// A private key with its passphrase, for `sshagent`.
pub(super) fn key(host: &ScriptHost<'_>, id: &str, span: Span) -> Result<(Placed, String), Thrown> {
    match find(host, id, span)? {
        Found::Stored(Secret::SshUserPrivateKey {
            key, passphrase, ..
        }) => Ok((
            place(host, "key", &key_bytes(key), span)?,
            passphrase.clone().unwrap_or_default(),
        )),
        Found::Stored(other) => Err(host.fail(
            format!(
                "the credential `{id}` is a {}, not a sshUserPrivateKey",
                other.kind().as_str()
            ),
            span,
        )),
        Found::Variable(value) => Ok((place(host, "key", &key_bytes(value), span)?, String::new())),
    }
}

/// The variables with which git uses a credential: it asks a small program for user and password, or ssh takes the key.
pub(super) fn for_git(host: &ScriptHost<'_>, id: &str, span: Span) -> Result<Bound, Thrown> {
    let mut bound = Bound::default();
    let (user, password) = match find(host, id, span)? {
        Found::Stored(Secret::SshUserPrivateKey { .. }) => {
            let (placed, passphrase) = key(host, id, span)?;
            if !passphrase.is_empty() {
                return Err(host.fail(
                    format!("git cannot use the key `{id}` by itself, since it has a passphrase: put the step into `sshagent(['{id}']) {{ … }}`"),
                    span,
                ));
            }
            let command = format!(
                "ssh -i '{}' -o IdentitiesOnly=yes -o BatchMode=yes -o StrictHostKeyChecking=accept-new",
                placed.file.display()
            );
            bound.set(Some("GIT_SSH_COMMAND".to_owned()), command);
            bound.files.push(placed);
            return Ok(bound);
        }
        Found::Stored(Secret::UsernamePassword { username, password }) => {
            (username.clone(), password.clone())
        }
        // A token serves as the password of any user.
        Found::Stored(Secret::String { text }) => ("x-access-token".to_owned(), text.clone()),
        Found::Stored(other @ Secret::File { .. }) => {
            return Err(host.fail(
                format!(
                    "git cannot log in with `{id}`, which is a {}",
                    other.kind().as_str()
                ),
                span,
            ));
        }
        Found::Variable(value) => {
            let (user, password) = value.split_once(':').unwrap_or(("x-access-token", value));
            (user.to_owned(), password.to_owned())
        }
    };
    let program = b"#!/bin/sh\ncase \"$1\" in\nUsername*) printf '%s\\n' \"$LAUNCHWAY_GIT_USER\" ;;\n*) printf '%s\\n' \"$LAUNCHWAY_GIT_PASSWORD\" ;;\nesac\n";
    let placed = host
        .context
        .build
        .credentials
        .place("askpass", program, 0o700)
        .map_err(|error| host.fail(format!("git cannot be told its login: {error}"), span))?;
    bound.set(Some("LAUNCHWAY_GIT_USER".to_owned()), user);
    bound.set(Some("LAUNCHWAY_GIT_PASSWORD".to_owned()), password);
    bound.set(Some("GIT_TERMINAL_PROMPT".to_owned()), "0");
    bound.file(Some("GIT_ASKPASS".to_owned()), placed);
    Ok(bound)
}
