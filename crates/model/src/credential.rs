//! Credentials: secrets by their id, as Jenkins names their kinds, and how they cross to a runner.
//!
//! A [`Credential`] is what people and clients see of one: never its secret. A [`Secret`] goes in by the API and out to a
//! runner, and nowhere else: it has no way to be printed.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::names::AppName;

/// The shortest secret that is stored without a word: 6 bytes. What is shorter cannot be hidden in a log without hiding parts of
/// ordinary words as well.
pub const SHORTEST_HIDDEN: usize = 6;
/// The shortest secret that is stored at all, in bytes. From here to [`SHORTEST_HIDDEN`] it is hidden where it stands as a
/// word of its own.
pub const SHORTEST: usize = 4;
/// The largest secret, in bytes.
pub const LARGEST: usize = 64 << 10;

/// The name of a credential: 1 to 100 letters, digits and `. _ - / @`, as Jenkins' ids are.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String)]
pub struct CredentialId(String);

/// A text that is no credential's id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an id: 1 to 100 letters, digits and `.`, `_`, `-`, `/`, `@`")]
pub struct CredentialIdError(String);

impl CredentialId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for CredentialId {
    type Err = CredentialIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let good = (1..=100).contains(&text.len())
            && text
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "._-/@".contains(c));
        if good {
            Ok(Self(text.to_owned()))
        } else {
            Err(CredentialIdError(text.chars().take(100).collect()))
        }
    }
}

impl TryFrom<String> for CredentialId {
    type Error = CredentialIdError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<CredentialId> for String {
    fn from(id: CredentialId) -> Self {
        id.0
    }
}

impl fmt::Display for CredentialId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// What a credential holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum CredentialKind {
    /// A user's name and a password.
    UsernamePassword,
    /// A text: a token, a key.
    String,
    /// A file's content.
    File,
    /// A private key for SSH.
    SshUserPrivateKey,
}

impl CredentialKind {
    /// Its name, as a Jenkinsfile writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UsernamePassword => "usernamePassword",
            Self::String => "string",
            Self::File => "file",
            Self::SshUserPrivateKey => "sshUserPrivateKey",
        }
    }
}

impl FromStr for CredentialKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let kinds = [
            Self::UsernamePassword,
            Self::String,
            Self::File,
            Self::SshUserPrivateKey,
        ];
        kinds
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| format!("`{text}` is not a kind of credential"))
    }
}

/// A credential with its secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum Secret {
    /// A user's name and a password.
    UsernamePassword {
        /// The name, which is no secret.
        username: String,
        /// The password.
        password: String,
    },
    /// A text.
    String {
        /// The text.
        text: String,
    },
    /// A file.
    File {
        /// Its name, without folders.
        name: String,
        /// Its bytes in base64.
        content: String,
    },
    /// A private key for SSH.
    SshUserPrivateKey {
        /// The name to log in with, which is no secret.
        username: String,
        /// The key, in any form that `ssh` reads.
        key: String,
        /// What the key is encrypted with.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        passphrase: Option<String>,
    },
}

impl Secret {
    /// Its kind.
    pub fn kind(&self) -> CredentialKind {
        match self {
            Self::UsernamePassword { .. } => CredentialKind::UsernamePassword,
            Self::String { .. } => CredentialKind::String,
            Self::File { .. } => CredentialKind::File,
            Self::SshUserPrivateKey { .. } => CredentialKind::SshUserPrivateKey,
        }
    }

    /// What of it may be seen: a user's or a file's name.
    pub fn public(&self) -> Option<&str> {
        match self {
            Self::UsernamePassword { username, .. } | Self::SshUserPrivateKey { username, .. } => {
                Some(username)
            }
            Self::File { name, .. } => Some(name),
            Self::String { .. } => None,
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Secret({})", self.kind().as_str())
    }
}

/// What people and clients see of a credential.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Credential {
    /// Its id.
    pub id: CredentialId,
    /// What it holds.
    pub kind: CredentialKind,
    /// The app that it is for; absent for all apps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<AppName>,
    /// The branches that it is for, as patterns (`main`, `release/*`); none for all.
    #[serde(default)]
    pub branches: Vec<String>,
    /// What it is for.
    #[serde(default)]
    pub description: String,
    /// The user's or file's name that belongs to it, which is no secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public: Option<String>,
    /// When it was made.
    #[schema(value_type = String)]
    pub created: Timestamp,
    /// When its secret was last set.
    #[schema(value_type = String)]
    pub changed: Timestamp,
}

/// A credential to be stored: it replaces the one of the same id, app and branches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetCredential {
    /// Its id.
    pub id: CredentialId,
    /// The app that it is for; absent for all apps.
    #[serde(default)]
    pub app: Option<AppName>,
    /// The branches that it is for, as patterns; none for all.
    #[serde(default)]
    pub branches: Vec<String>,
    /// What it is for.
    #[serde(default)]
    pub description: String,
    /// The secret.
    pub secret: Secret,
    /// Whether a secret of 4 or 5 bytes is meant as such.
    #[serde(default)]
    pub short: bool,
}

/// Which stored credential is meant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RemoveCredential {
    /// Its id.
    pub id: CredentialId,
    /// The app that it is for; absent for the one for all apps.
    #[serde(default)]
    pub app: Option<AppName>,
    /// Its branches, as they were set.
    #[serde(default)]
    pub branches: Vec<String>,
}

/// What a change of the key came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KeyRotated {
    /// How many stored secrets were encrypted anew.
    pub secrets: u64,
}

/// A credential as a build may use it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoundCredential {
    /// Its id.
    pub id: CredentialId,
    /// Its secret.
    pub secret: Secret,
}

/// The secret part of a runner's job. It is no file: control hands it to the runner as its standard input, on memory that
/// no disk holds (and an agent's link hands it on encrypted).
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RunnerSecrets {
    /// Variables set with `config set`, for the build's commands.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// The credentials that the build's app and branch may use.
    #[serde(default)]
    pub credentials: Vec<BoundCredential>,
}

impl fmt::Debug for RunnerSecrets {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "RunnerSecrets({} variables, {} credentials)",
            self.env.len(),
            self.credentials.len()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_plain() {
        for good in ["a", "docker-hub", "team/x@y.z", "A_1"] {
            assert!(good.parse::<CredentialId>().is_ok(), "{good}");
        }
        for bad in ["", "a b", "ü", "a\n", &"x".repeat(101)] {
            assert!(bad.parse::<CredentialId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_secret_is_never_printed() {
        let secret = Secret::String {
            text: "sentinel".into(),
        };
        let set = SetCredential {
            id: "x".parse().unwrap(),
            app: None,
            branches: vec![],
            description: String::new(),
            secret,
            short: false,
        };
        assert!(!format!("{set:?}").contains("sentinel"));
        let json = serde_json::to_string(&set).unwrap();
        assert!(json.contains(r#""kind":"string""#), "{json}");
    }
}
