//! Credentials by their id: the variables that `launchway config set` stored.
//!
//! The credential `docker-hub` is the variable `DOCKER_HUB`; one of a user and a password is `USER:PASSWORD`. Their values
//! are hidden in every output.

use std::collections::BTreeMap;
use std::fs;
use std::sync::LazyLock;

use regex::Regex;

use super::super::steps::Interrupt;
use super::host::ScriptHost;
use crate::groovy::{Span, Thrown, Value};
use launchway_model::Problem;

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

/// The value of a credential.
pub(super) fn value(host: &ScriptHost<'_>, id: &str, span: Span) -> Result<String, Thrown> {
    let given = &host.context.build.job.env;
    let variable = variable_of(id);
    given.get(id).or_else(|| given.get(&variable)).cloned().ok_or_else(|| {
        let problem = Problem::failed(format!("no credential is stored as `{id}`"))
            .hint(format!("Store it with `launchway config set {variable}=VALUE`; a user and a password as USER:PASSWORD."));
        host.throw(Interrupt::Failed(problem), span)
    })
}

/// The variables that a binding of `withCredentials` sets.
pub(super) fn bind(
    host: &ScriptHost<'_>,
    binding: &Value,
    span: Span,
) -> Result<Vec<(String, String)>, Thrown> {
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
    let value = value(host, &id, span)?;
    let (user, password) = match value.split_once(':') {
        Some((user, password)) => (user.to_owned(), password.to_owned()),
        None => (String::new(), value.clone()),
    };
    let file = |text: &str| -> Result<String, Thrown> {
        use std::os::unix::fs::OpenOptionsExt;
        let path = host
            .context
            .build
            .temporary
            .join(format!("credential-{}", variable_of(&id)));
        let written = fs::File::options()
            .create(true)
            .truncate(true)
            .write(true)
            .mode(0o600)
            .open(&path)
            .and_then(|mut file| std::io::Write::write_all(&mut file, text.as_bytes()));
        match written {
            Ok(()) => Ok(path.display().to_string()),
            Err(error) => Err(host.fail(
                format!("the credential's file cannot be written: {error}"),
                span,
            )),
        }
    };
    let mut variables = Vec::new();
    let mut set = |key: &str, usual: &str, value: String| {
        let name = text(key).unwrap_or_else(|| usual.to_owned());
        if !name.is_empty() {
            variables.push((name, value));
        }
    };
    match kind.as_str() {
        "usernamePassword" | "UsernamePasswordMultiBinding" => {
            set("usernameVariable", "", user);
            set("passwordVariable", "", password);
        }
        "file" | "FileBinding" => set("variable", "", file(&value)?),
        "sshUserPrivateKey" | "SSHUserPrivateKeyBinding" => {
            let mut key = value.clone();
            if !key.ends_with('\n') {
                key.push('\n');
            }
            set("keyFileVariable", "", file(&key)?);
            set("usernameVariable", "", String::new());
        }
        _ => set("variable", "", value.clone()),
    }
    Ok(variables)
}
