//! What a lock file, a manifest or an installed environment names: packages at versions, each with its place.

use std::sync::Arc;

use serde::Serialize;

use crate::ecosystem::Ecosystem;

/// A package at one version, as one file names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// Its ecosystem.
    pub ecosystem: Ecosystem,
    /// Its name as the file spells it.
    pub name: String,
    /// Its version as the file spells it.
    pub version: String,
    /// The line, from 1; 0 where a file has no lines to name.
    pub line: u32,
    /// Where the package itself comes from.
    pub origin: Origin,
    /// Whether only development needs it, where the format says so.
    pub dev: bool,
}

/// Where a package comes from. Advisories speak of registries: a name in a private repository or a local
/// folder may belong to something else, so only registry packages are matched; the rest is listed as skipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// A registry or a mirror of one.
    Registry,
    /// A version control repository.
    Git,
    /// A local folder or file.
    Path,
    /// An archive at an address.
    Url,
}

/// A requirement without one exact version, which can't be matched as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unresolved {
    /// Its ecosystem.
    pub ecosystem: Ecosystem,
    /// Its name.
    pub name: String,
    /// What the file says instead of a version.
    pub requirement: String,
    /// The line, from 1.
    pub line: u32,
}

/// A place in a file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Location {
    /// The file, relative to the scanned folder, with `/`.
    pub file: Arc<str>,
    /// The line, from 1; 0 where none can be named.
    pub line: u32,
}

impl Package {
    /// A registry package.
    pub fn new(
        ecosystem: Ecosystem,
        name: impl Into<String>,
        version: impl Into<String>,
        line: u32,
    ) -> Self {
        Self {
            ecosystem,
            name: name.into(),
            version: version.into(),
            line,
            origin: Origin::Registry,
            dev: false,
        }
    }

    /// The same package from elsewhere.
    #[must_use]
    pub fn from(mut self, origin: Origin) -> Self {
        self.origin = origin;
        self
    }

    /// The same package, needed by development only.
    #[must_use]
    pub fn dev(mut self, dev: bool) -> Self {
        self.dev = dev;
        self
    }
}
