//! Semantic Versioning 2.0, read leniently, for npm, Rust, Go and NuGet.
//!
//! Go's pseudo-versions (`v0.0.0-20200101000000-abcdef012345`) are SemVer pre-releases by design, and
//! `+incompatible` is build metadata, so both need no rule of their own. A leading `v` or `=` is dropped,
//! missing parts are zero, more than three parts are compared as NuGet does, and build metadata never counts.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::numbers::{compare_digits, is_digits};

/// A semantic version.
#[derive(Debug, Clone)]
pub struct SemVer {
    release: Vec<String>,
    labels: Vec<String>,
}

impl SemVer {
    pub(super) fn parse(text: &str, ignore_case: bool) -> Self {
        let text = text.trim_start_matches(['v', 'V', '=']).trim_start();
        let text = text.split('+').next().unwrap_or_default();
        let (release, labels) = match text.find('-') {
            Some(dash) => (&text[..dash], &text[dash + 1..]),
            // `1.0.0rc1` lacks its hyphen; npm's loose reading puts it there.
            None => match text.find(|c: char| c != '.' && !c.is_ascii_digit()) {
                Some(start) => text.split_at(start),
                None => (text, ""),
            },
        };
        let labels = if ignore_case {
            labels.to_ascii_lowercase()
        } else {
            labels.to_owned()
        };
        Self {
            release: release
                .split('.')
                .map(|part| {
                    if is_digits(part) {
                        part.to_owned()
                    } else {
                        "0".to_owned()
                    }
                })
                .collect(),
            labels: labels
                .split('.')
                .filter(|label| !label.is_empty())
                .map(str::to_owned)
                .collect(),
        }
    }

    pub(super) fn is_prerelease(&self) -> bool {
        !self.labels.is_empty()
    }
}

impl Ord for SemVer {
    fn cmp(&self, other: &Self) -> Ordering {
        let parts = self.release.len().max(other.release.len());
        for at in 0..parts {
            // A missing part is zero, and an empty run of digits counts as zero.
            let left = self.release.get(at).map_or("", String::as_str);
            let right = other.release.get(at).map_or("", String::as_str);
            let order = compare_digits(left, right);
            if order.is_ne() {
                return order;
            }
        }
        match (self.labels.is_empty(), other.labels.is_empty()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            (false, false) => {
                for (left, right) in self.labels.iter().zip(&other.labels) {
                    let order = match (is_digits(left), is_digits(right)) {
                        (true, true) => compare_digits(left, right),
                        (true, false) => Ordering::Less,
                        (false, true) => Ordering::Greater,
                        (false, false) => left.cmp(right),
                    };
                    if order.is_ne() {
                        return order;
                    }
                }
                self.labels.len().cmp(&other.labels.len())
            }
        }
    }
}

impl PartialOrd for SemVer {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for SemVer {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for SemVer {}

pub(super) fn canonical(text: &str) -> Cow<'_, str> {
    let text = text.trim_start_matches(['v', 'V', '=']).trim_start();
    Cow::Borrowed(text.split('+').next().unwrap_or_default())
}
