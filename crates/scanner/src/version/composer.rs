//! PHP versions: Composer's normal form (four numbers, a stability label), compared as `version_compare` does.

use std::cmp::Ordering;

use super::numbers::{compare_digits, is_digits, runs};

/// A Composer version.
#[derive(Debug, Clone)]
pub struct Composer {
    release: Vec<String>,
    labels: Vec<String>,
}

impl Composer {
    pub(super) fn parse(text: &str) -> Self {
        let lower = text.to_ascii_lowercase();
        let text = lower.strip_prefix('v').unwrap_or(&lower);
        let text = text.split('+').next().unwrap_or_default();
        let mut parts = text
            .split(['.', '-', '_'])
            .flat_map(runs)
            .map(str::to_owned)
            .peekable();
        let mut release = Vec::new();
        while let Some(number) = parts.next_if(|part| is_digits(part)) {
            release.push(number);
        }
        while release.len() < 4 {
            release.push("0".to_owned());
        }
        Self {
            release,
            labels: parts.collect(),
        }
    }
}

/// The order of labels in `version_compare`: any other text, dev, alpha, beta, RC, a number, pl.
fn rank(label: &str) -> u8 {
    match label {
        "dev" => 1,
        "alpha" | "a" => 2,
        "beta" | "b" => 3,
        "rc" | "c" => 4,
        "pl" | "p" | "patch" => 6,
        number if is_digits(number) => 5,
        "stable" => 5,
        _ => 0,
    }
}

impl Ord for Composer {
    fn cmp(&self, other: &Self) -> Ordering {
        for at in 0..self.release.len().max(other.release.len()) {
            let left = self.release.get(at).map_or("", String::as_str);
            let right = other.release.get(at).map_or("", String::as_str);
            let order = compare_digits(left, right);
            if order.is_ne() {
                return order;
            }
        }
        for at in 0..self.labels.len().max(other.labels.len()) {
            // A missing label stands for the release itself, which is the rank of a number.
            let left = self.labels.get(at).map_or("0", String::as_str);
            let right = other.labels.get(at).map_or("0", String::as_str);
            let order = if is_digits(left) && is_digits(right) {
                compare_digits(left, right)
            } else {
                rank(left).cmp(&rank(right)).then_with(|| {
                    // Labels without a meaning are told apart, so that only equal ones are equal.
                    if rank(left) == 0 {
                        left.cmp(right)
                    } else {
                        Ordering::Equal
                    }
                })
            };
            if order.is_ne() {
                return order;
            }
        }
        Ordering::Equal
    }
}

impl PartialOrd for Composer {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Composer {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Composer {}
