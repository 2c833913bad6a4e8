//! Names and ids: newtypes that are valid once they exist.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is not a valid {what}: {rule}")]
pub struct NameError {
    /// The text as it was given.
    pub given: String,
    /// What it was meant to name ("app name").
    pub what: &'static str,
    /// The rule that it breaks, in words.
    pub rule: &'static str,
}

macro_rules! text_name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $max:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
        #[serde(try_from = "String", into = "String")]
        #[schema(value_type = String)]
        pub struct $name(String);

        impl $name {
            /// The longest name allowed, in bytes.
            pub const MAX: usize = $max;

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                match check_label(text, $max) {
                    Ok(()) => Ok(Self(text.to_owned())),
                    Err(rule) => Err(NameError { given: text.to_owned(), what: $what, rule }),
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_name!(
    /// The name of an app: a DNS label, since it becomes the first label of the app's host name.
    AppName, "app name", 40
);
text_name!(
    /// The name of a process type, as in a Procfile: `web`, `worker`, `release`.
    ProcessType, "process type", 24
);

impl ProcessType {
    /// The process type that takes HTTP requests.
    pub fn web() -> Self {
        Self("web".to_owned())
    }

    /// Whether instances of this type get a route.
    pub fn is_web(&self) -> bool {
        self.0 == "web"
    }
}

impl AppName {
    /// The nearest valid app name to any text (a folder's name, a repository's), or `app` where nothing is left.
    pub fn from_any(text: &str) -> Self {
        let mut name = String::new();
        for c in text.trim_end_matches(".git").chars() {
            match c.to_ascii_lowercase() {
                c @ ('a'..='z' | '0'..='9') => name.push(c),
                _ if name.ends_with('-') || name.is_empty() => {}
                _ => name.push('-'),
            }
        }
        let name = name.trim_start_matches(|c: char| !c.is_ascii_lowercase());
        let cut = &name[..name.len().min(Self::MAX)];
        let cut = cut.trim_end_matches('-');
        Self(if cut.is_empty() {
            "app".to_owned()
        } else {
            cut.to_owned()
        })
    }
}

/// A label as RFC 1123 has it, narrowed: starts with a letter, lower case.
fn check_label(text: &str, max: usize) -> Result<(), &'static str> {
    if text.is_empty() {
        return Err("it is empty");
    }
    if text.len() > max {
        return Err("it is too long");
    }
    if !text.starts_with(|c: char| c.is_ascii_lowercase()) {
        return Err("it must start with a lower-case letter");
    }
    if text.ends_with('-') {
        return Err("it must not end with a hyphen");
    }
    if !text
        .bytes()
        .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
    {
        return Err("only lower-case letters, digits and hyphens are allowed");
    }
    Ok(())
}

macro_rules! number_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                text.strip_prefix($prefix).unwrap_or(text).parse().map(Self).map_err(|_| NameError {
                    given: text.to_owned(),
                    what: stringify!($name),
                    rule: "it must be a whole number",
                })
            }
        }
    };
}

number_id!(
    /// A build, numbered over the whole installation: `builds/N` on disk.
    BuildId, "#"
);
number_id!(
    /// A release, numbered per app from 1: `v12`.
    ReleaseNumber, "v"
);
number_id!(
    /// One attempt to put a release into service, numbered over the whole installation.
    DeployId, "d"
);

/// One instance of a process type of a release: `shop.web.v12.7`.
///
/// The last number is drawn from one counter of the installation, so an id is never used twice, whatever is rolled
/// back or scaled. The id is the name of the instance's folder under `instances/`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct InstanceId {
    app: AppName,
    process: ProcessType,
    release: ReleaseNumber,
    serial: u64,
}

impl InstanceId {
    /// Puts an id together; `serial` is unique in the installation.
    pub fn new(app: AppName, process: ProcessType, release: ReleaseNumber, serial: u64) -> Self {
        Self {
            app,
            process,
            release,
            serial,
        }
    }

    /// The app that the instance belongs to.
    pub fn app(&self) -> &AppName {
        &self.app
    }

    /// The process type that it runs.
    pub fn process(&self) -> &ProcessType {
        &self.process
    }

    /// The release that it runs.
    pub fn release(&self) -> ReleaseNumber {
        self.release
    }

    /// The number that makes it unique.
    pub fn serial(&self) -> u64 {
        self.serial
    }
}

impl utoipa::PartialSchema for InstanceId {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        String::schema()
    }
}

impl ToSchema for InstanceId {}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}.{}.{}.{}",
            self.app, self.process, self.release, self.serial
        )
    }
}

impl FromStr for InstanceId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let wrong = || NameError {
            given: text.to_owned(),
            what: "instance id",
            rule: "it must read APP.PROCESS.vRELEASE.SERIAL",
        };
        let mut parts = text.split('.');
        let mut next = || parts.next().ok_or_else(wrong);
        let app = next()?.parse()?;
        let process = next()?.parse()?;
        let release = next()?
            .strip_prefix('v')
            .ok_or_else(wrong)?
            .parse()
            .map_err(|_| wrong())?;
        let serial = next()?.parse().map_err(|_| wrong())?;
        match parts.next() {
            None => Ok(Self {
                app,
                process,
                release,
                serial,
            }),
            Some(_) => Err(wrong()),
        }
    }
}

impl TryFrom<String> for InstanceId {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<InstanceId> for String {
    fn from(id: InstanceId) -> Self {
        id.to_string()
    }
}

#[cfg(test)]
mod tests;
