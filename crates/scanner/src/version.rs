//! Version orders, one per ecosystem, as OSV's evaluation rules ask for them.
//!
//! [`Version::parse`] never fails: an advisory may list versions that break their scheme (108 of the Python
//! database's do), and a scan must still say something about them. What can't be read gets a place that is
//! documented at each scheme. Two versions of different schemes are never compared by the scanner.

mod composer;
mod debian;
mod gem;
mod maven;
mod numbers;
mod pep440;
mod semver;

use std::borrow::Cow;
use std::cmp::Ordering;

use crate::ecosystem::Scheme;

/// A version of one scheme, ready to be compared with others of the same scheme.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// PEP 440.
    Pep440(pep440::Pep440),
    /// SemVer, and NuGet's four-part form of it.
    SemVer(semver::SemVer),
    /// Maven.
    Maven(maven::Maven),
    /// RubyGems.
    Gem(gem::Gem),
    /// Composer.
    Composer(composer::Composer),
    /// Debian.
    Debian(debian::Debian),
}

impl Version {
    /// Reads a version by the rules of `scheme`.
    pub fn parse(scheme: Scheme, text: &str) -> Self {
        let text = text.trim();
        match scheme {
            Scheme::Pep440 => Self::Pep440(pep440::Pep440::parse(text)),
            Scheme::SemVer => Self::SemVer(semver::SemVer::parse(text, false)),
            Scheme::NuGet => Self::SemVer(semver::SemVer::parse(text, true)),
            Scheme::Maven => Self::Maven(maven::Maven::parse(text)),
            Scheme::Gem => Self::Gem(gem::Gem::parse(text)),
            Scheme::Composer => Self::Composer(composer::Composer::parse(text)),
            Scheme::Debian => Self::Debian(debian::Debian::parse(text)),
        }
    }

    /// Whether this is a version before a release, which nobody should be told to upgrade to.
    pub fn is_prerelease(&self) -> bool {
        match self {
            Self::Pep440(version) => version.is_prerelease(),
            Self::SemVer(version) => version.is_prerelease(),
            Self::Gem(version) => version.is_prerelease(),
            _ => false,
        }
    }
}

/// Compares two versions of one scheme.
pub fn compare(scheme: Scheme, left: &str, right: &str) -> Ordering {
    Version::parse(scheme, left).cmp(&Version::parse(scheme, right))
}

/// The spelling under which a version is listed in the index, so that `1.0` and `1.0.0` of a scheme that
/// holds them equal are found by one comparison of strings.
pub fn canonical(scheme: Scheme, text: &str) -> Cow<'_, str> {
    let text = text.trim();
    match scheme {
        Scheme::Pep440 => pep440::canonical(text),
        Scheme::SemVer => semver::canonical(text),
        _ => Cow::Borrowed(text),
    }
}

#[cfg(test)]
mod tests;
