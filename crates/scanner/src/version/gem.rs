//! Ruby versions, as `Gem::Version#<=>` compares them: segments of digits or letters, letters below digits,
//! trailing zeros without weight, and `-` read as `.pre.`.

use std::cmp::Ordering;

use super::numbers::{compare_digits, is_digits, runs};

/// A gem's version.
#[derive(Debug, Clone)]
pub struct Gem {
    segments: Vec<String>,
}

impl Gem {
    pub(super) fn parse(text: &str) -> Self {
        let spelled = text.replace('-', ".pre.");
        let mut segments: Vec<String> = spelled
            .split(|c: char| !c.is_ascii_alphanumeric())
            .flat_map(runs)
            .map(str::to_owned)
            .collect();
        // Zeros before a letter or at the end carry no weight: 1.0.a equals 1.a, 1.0 equals 1.
        let prerelease_at = segments
            .iter()
            .position(|segment| !is_digits(segment))
            .unwrap_or(segments.len());
        let labels = segments.split_off(prerelease_at);
        drop_zeros(&mut segments);
        let mut labels = labels;
        drop_zeros(&mut labels);
        segments.append(&mut labels);
        Self { segments }
    }

    pub(super) fn is_prerelease(&self) -> bool {
        self.segments.iter().any(|segment| !is_digits(segment))
    }
}

fn drop_zeros(segments: &mut Vec<String>) {
    while segments
        .last()
        .is_some_and(|last| last.bytes().all(|b| b == b'0'))
    {
        segments.pop();
    }
}

impl Ord for Gem {
    fn cmp(&self, other: &Self) -> Ordering {
        for at in 0..self.segments.len().max(other.segments.len()) {
            let left = self.segments.get(at).map_or("0", String::as_str);
            let right = other.segments.get(at).map_or("0", String::as_str);
            let order = match (is_digits(left), is_digits(right)) {
                (true, true) => compare_digits(left, right),
                (true, false) => Ordering::Greater,
                (false, true) => Ordering::Less,
                (false, false) => left.cmp(right),
            };
            if order.is_ne() {
                return order;
            }
        }
        Ordering::Equal
    }
}

impl PartialOrd for Gem {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Gem {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Gem {}
