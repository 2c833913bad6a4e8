//! Debian versions: `[epoch:]upstream[-revision]`, compared as deb-version(7) describes.

use std::cmp::Ordering;

use super::numbers::compare_digits;

/// A Debian version.
#[derive(Debug, Clone)]
pub struct Debian {
    epoch: String,
    upstream: String,
    revision: String,
}

impl Debian {
    pub(super) fn parse(text: &str) -> Self {
        let (epoch, rest) = match text.split_once(':') {
            Some((epoch, rest)) if epoch.bytes().all(|b| b.is_ascii_digit()) => (epoch, rest),
            _ => ("", text),
        };
        let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, ""));
        Self {
            epoch: epoch.to_owned(),
            upstream: upstream.to_owned(),
            revision: revision.to_owned(),
        }
    }
}

impl Ord for Debian {
    fn cmp(&self, other: &Self) -> Ordering {
        compare_digits(&self.epoch, &other.epoch)
            .then_with(|| compare_part(&self.upstream, &other.upstream))
            .then_with(|| compare_part(&self.revision, &other.revision))
    }
}

/// Alternates between a run of other characters, in Debian's order, and a run of digits, by value.
fn compare_part(mut left: &str, mut right: &str) -> Ordering {
    while !left.is_empty() || !right.is_empty() {
        let (left_text, left_rest) = left.split_at(
            left.bytes()
                .position(|b| b.is_ascii_digit())
                .unwrap_or(left.len()),
        );
        let (right_text, right_rest) = right.split_at(
            right
                .bytes()
                .position(|b| b.is_ascii_digit())
                .unwrap_or(right.len()),
        );
        let order = compare_text(left_text, right_text);
        if order.is_ne() {
            return order;
        }
        let digits = |text: &str| {
            text.bytes()
                .position(|b| !b.is_ascii_digit())
                .unwrap_or(text.len())
        };
        let (left_digits, left_after) = left_rest.split_at(digits(left_rest));
        let (right_digits, right_after) = right_rest.split_at(digits(right_rest));
        let order = compare_digits(left_digits, right_digits);
        if order.is_ne() {
            return order;
        }
        left = left_after;
        right = right_after;
    }
    Ordering::Equal
}

/// `~` stands before the end, letters before everything else.
fn compare_text(left: &str, right: &str) -> Ordering {
    let weight = |byte: Option<&u8>| match byte {
        Some(b'~') => -1,
        None => 0,
        Some(byte) if byte.is_ascii_alphabetic() => i32::from(*byte),
        Some(byte) => i32::from(*byte) + 256,
    };
    let (left, right) = (left.as_bytes(), right.as_bytes());
    for at in 0..left.len().max(right.len()) {
        let order = weight(left.get(at)).cmp(&weight(right.get(at)));
        if order.is_ne() {
            return order;
        }
    }
    Ordering::Equal
}

impl PartialOrd for Debian {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Debian {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Debian {}
