//! The package ecosystems that the scanner knows, by the names that OSV gives them.
//!
//! An ecosystem decides how a package's name is spelled, in which order its versions stand, and how a
//! package URL is written. Ecosystems that no lock file of ours leads to are left out of the index.

use std::borrow::Cow;
use std::fmt;

/// A package ecosystem, named as in the OSV schema.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ecosystem {
    /// The Python Package Index.
    PyPi,
    /// The npm registry.
    Npm,
    /// The Rust registry.
    CratesIo,
    /// Go modules.
    Go,
    /// Maven repositories (Java, Kotlin, Scala), packages named `group:artifact`.
    Maven,
    /// Ruby gems.
    RubyGems,
    /// Composer packages of PHP.
    Packagist,
    /// .NET packages.
    NuGet,
    /// Debian source packages of one release, such as `12`.
    Debian(String),
}

/// The order in which an ecosystem's versions stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// PEP 440.
    Pep440,
    /// Semantic Versioning 2.0, read leniently (missing parts are zero, a leading `v` is dropped).
    SemVer,
    /// Maven's `ComparableVersion`.
    Maven,
    /// `Gem::Version`.
    Gem,
    /// Composer's normalisation and PHP's `version_compare`.
    Composer,
    /// NuGet: four numbers and SemVer labels without regard to case.
    NuGet,
    /// Debian's `dpkg --compare-versions`.
    Debian,
}

impl Ecosystem {
    /// Reads OSV's name, such as `PyPI` or `Debian:12`; `None` for one that the scanner doesn't know.
    pub fn from_osv(name: &str) -> Option<Self> {
        let (base, suffix) = name.split_once(':').unwrap_or((name, ""));
        Some(match base {
            "PyPI" => Self::PyPi,
            "npm" => Self::Npm,
            "crates.io" => Self::CratesIo,
            "Go" => Self::Go,
            "Maven" => Self::Maven,
            "RubyGems" => Self::RubyGems,
            "Packagist" => Self::Packagist,
            "NuGet" => Self::NuGet,
            "Debian" => Self::Debian(suffix.to_owned()),
            _ => return None,
        })
    }

    /// OSV's name without a release: the folder in which OSV's bucket keeps the ecosystem's records.
    pub fn bucket(&self) -> &'static str {
        match self {
            Self::PyPi => "PyPI",
            Self::Npm => "npm",
            Self::CratesIo => "crates.io",
            Self::Go => "Go",
            Self::Maven => "Maven",
            Self::RubyGems => "RubyGems",
            Self::Packagist => "Packagist",
            Self::NuGet => "NuGet",
            Self::Debian(_) => "Debian",
        }
    }

    /// The order of this ecosystem's versions.
    pub fn scheme(&self) -> Scheme {
        match self {
            Self::PyPi => Scheme::Pep440,
            Self::Npm | Self::CratesIo | Self::Go => Scheme::SemVer,
            Self::Maven => Scheme::Maven,
            Self::RubyGems => Scheme::Gem,
            Self::Packagist => Scheme::Composer,
            Self::NuGet => Scheme::NuGet,
            Self::Debian(_) => Scheme::Debian,
        }
    }

    /// The one spelling under which a package is looked up: PEP 503 for Python, lower case where the
    /// registry doesn't distinguish case, and unchanged elsewhere.
    pub fn normalize<'a>(&self, name: &'a str) -> Cow<'a, str> {
        match self {
            Self::PyPi => normalize_python(name),
            Self::Packagist | Self::NuGet if name.bytes().any(|b| b.is_ascii_uppercase()) => {
                Cow::Owned(name.to_ascii_lowercase())
            }
            _ => Cow::Borrowed(name),
        }
    }

    /// The package URL of a package at a version (the purl specification, type by ecosystem).
    pub fn purl(&self, name: &str, version: &str) -> String {
        let (kind, path) = match self {
            Self::PyPi => ("pypi", percent(&normalize_python(name))),
            Self::Npm => ("npm", percent(name)),
            Self::CratesIo => ("cargo", percent(name)),
            Self::Go => ("golang", percent(name)),
            Self::Maven => ("maven", percent(&name.replacen(':', "/", 1))),
            Self::RubyGems => ("gem", percent(name)),
            Self::Packagist => ("composer", percent(&name.to_ascii_lowercase())),
            Self::NuGet => ("nuget", percent(name)),
            Self::Debian(_) => ("deb/debian", percent(name)),
        };
        if version.is_empty() {
            format!("pkg:{kind}/{path}")
        } else {
            format!("pkg:{kind}/{path}@{}", percent(version).replace('/', "%2F"))
        }
    }
}

impl fmt::Display for Ecosystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.bucket())?;
        match self {
            Self::Debian(release) if !release.is_empty() => write!(f, ":{release}"),
            _ => Ok(()),
        }
    }
}

/// PEP 503: lower case, and every run of `-`, `_` and `.` becomes one `-`.
fn normalize_python(name: &str) -> Cow<'_, str> {
    let clean = name
        .bytes()
        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !name.contains("--");
    if clean {
        return Cow::Borrowed(name);
    }
    let mut normal = String::with_capacity(name.len());
    let mut in_run = false;
    for character in name.chars() {
        if matches!(character, '-' | '_' | '.') {
            in_run = true;
            continue;
        }
        if in_run {
            normal.push('-');
            in_run = false;
        }
        normal.extend(character.to_lowercase());
    }
    if in_run {
        normal.push('-');
    }
    Cow::Owned(normal)
}

/// Percent-encodes what a purl's path may not hold; `/` stays, since it parts the namespace from the name.
fn percent(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'~' | b'/' | b':') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests;
