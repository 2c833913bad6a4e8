//! Python versions: PEP 440 by `pep440_rs`, and a place for those that break it.
//!
//! A local version (`1.0+cpu`) counts as the release that it was built from: PEP 440 says the same of `==`,
//! and a rebuilt wheel has its release's vulnerabilities. A version outside PEP 440 stands below every
//! valid one, as the old `LegacyVersion` did, and among its like in lexical order.

use std::borrow::Cow;
use std::str::FromStr;

use pep440_rs::Version;

/// A Python version; legacy ones sort first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pep440 {
    /// One that breaks PEP 440.
    Legacy(String),
    /// One that follows it.
    Valid(Version),
}

impl Pep440 {
    pub(super) fn parse(text: &str) -> Self {
        match Version::from_str(text) {
            Ok(version) => Self::Valid(version.without_local()),
            Err(_) => Self::Legacy(text.to_ascii_lowercase()),
        }
    }

    pub(super) fn is_prerelease(&self) -> bool {
        match self {
            Self::Legacy(_) => true,
            Self::Valid(version) => version.any_prerelease(),
        }
    }
}

pub(super) fn canonical(text: &str) -> Cow<'_, str> {
    // Nearly every listed version is plain numbers without a trailing zero part and needs no parser.
    let plain = text.split('.').all(|part| {
        !part.is_empty()
            && part.bytes().all(|byte| byte.is_ascii_digit())
            && (part.len() == 1 || !part.starts_with('0'))
    });
    if plain {
        let mut trimmed = text;
        while let Some(shorter) = trimmed.strip_suffix(".0") {
            trimmed = shorter;
        }
        return Cow::Borrowed(trimmed);
    }
    match Version::from_str(text) {
        Ok(version) => {
            let version = version.without_local();
            let mut release = version.release().to_vec();
            while release.len() > 1 && release.last() == Some(&0) {
                release.pop();
            }
            Cow::Owned(version.with_release(release).to_string())
        }
        Err(_) => Cow::Owned(text.to_ascii_lowercase()),
    }
}
