//! Label sets: what names a time series.
//!
//! A [`Labels`] is one packed, immutable allocation that is cheap to clone, compare and hash: a million series cost
//! a million small allocations, not ten million. Pairs are sorted by name, names are unique and values are not empty
//! (an empty value means that the label is absent, as in Prometheus). This module knows nothing of matchers or storage.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex};

#[cfg(test)]
mod tests;

/// The label that holds the metric's name.
pub const METRIC_NAME: &str = "__name__";

/// The bits of the staleness marker: a NaN that says "this series ended here" (Prometheus' `value.StaleNaN`).
pub const STALE_NAN_BITS: u64 = 0x7ff0_0000_0000_0002;

/// The staleness marker as a sample value.
#[must_use]
pub fn stale_nan() -> f64 {
    f64::from_bits(STALE_NAN_BITS)
}

/// Whether a sample value is the staleness marker (an ordinary NaN is not).
#[must_use]
pub fn is_stale_nan(value: f64) -> bool {
    value.to_bits() == STALE_NAN_BITS
}

/// An immutable, sorted set of label pairs.
///
/// The packed form is, for every pair in order of names: length of the name, name, length of the value, value; each
/// length is a LEB128 number of at most five bytes. Two sets are equal exactly when their packed forms are.
#[derive(Clone, PartialEq, Eq)]
pub struct Labels(Arc<[u8]>);

impl Default for Labels {
    fn default() -> Self {
        Self::empty()
    }
}

impl Labels {
    /// The set without labels.
    #[must_use]
    pub fn empty() -> Self {
        Self(Arc::from(&[][..]))
    }

    /// Builds a set from pairs in any order. Pairs with an empty value are left out; of two pairs with one name the
    /// later wins.
    pub fn from_pairs<N: AsRef<str>, V: AsRef<str>>(
        pairs: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        let mut builder = LabelsBuilder::default();
        for (name, value) in pairs {
            builder.set(name.as_ref(), value.as_ref());
        }
        builder.build()
    }

    /// The pairs in order of their names.
    #[must_use]
    pub fn iter(&self) -> Pairs<'_> {
        Pairs { rest: &self.0 }
    }

    /// The value of a label, or `None` where it is absent.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let mut pairs = self.iter();
        while !pairs.rest.is_empty() {
            let (candidate, value) = (pairs.next_bytes(), pairs.next_bytes());
            match candidate.cmp(name.as_bytes()) {
                Ordering::Less => {}
                Ordering::Equal => return Some(text_of(value)),
                Ordering::Greater => return None,
            }
        }
        None
    }

    /// The metric's name, or the empty string where there is none.
    #[must_use]
    pub fn metric_name(&self) -> &str {
        self.get(METRIC_NAME).unwrap_or("")
    }

    /// How many labels there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Whether there is no label at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The bytes that the packed form takes.
    #[must_use]
    pub fn packed_len(&self) -> usize {
        self.0.len()
    }

    /// The same set without the labels for which `keep` says no.
    #[must_use]
    pub fn filtered(&self, mut keep: impl FnMut(&str) -> bool) -> Self {
        if self.iter().all(|(name, _)| keep(name)) {
            return self.clone();
        }
        let mut packed = Vec::with_capacity(self.0.len());
        for (name, value) in self.iter() {
            if keep(name) {
                push_pair(&mut packed, name, value);
            }
        }
        Self(packed.into())
    }

    /// The same set without the metric's name.
    #[must_use]
    pub fn without_name(&self) -> Self {
        if self.get(METRIC_NAME).is_none() {
            return self.clone();
        }
        self.filtered(|name| name != METRIC_NAME)
    }

    /// The same set with one label set (an empty value removes it).
    #[must_use]
    pub fn with(&self, name: &str, value: &str) -> Self {
        let mut packed = Vec::with_capacity(self.0.len() + name.len() + value.len() + 4);
        let mut done = value.is_empty();
        for (other, other_value) in self.iter() {
            if other == name {
                continue;
            }
            if !done && other > name {
                push_pair(&mut packed, name, value);
                done = true;
            }
            push_pair(&mut packed, other, other_value);
        }
        if !done {
            push_pair(&mut packed, name, value);
        }
        Self(packed.into())
    }
}

impl Ord for Labels {
    /// Pairs are compared in order, names before values, as Prometheus sorts its answers.
    fn cmp(&self, other: &Self) -> Ordering {
        // On bytes: their order is that of the texts, and sorting ten thousand series compares a million of them.
        let (mut left, mut right) = (self.iter(), other.iter());
        loop {
            match (left.rest.is_empty(), right.rest.is_empty()) {
                (false, false) => {}
                (left, right) => return right.cmp(&left),
            }
            let order = left
                .next_bytes()
                .cmp(right.next_bytes())
                .then_with(|| left.next_bytes().cmp(right.next_bytes()));
            if order.is_ne() {
                return order;
            }
        }
    }
}

impl PartialOrd for Labels {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Hash for Labels {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (*self.0).hash(state);
    }
}

impl Labels {
    /// The packed form (see the type's description), for writing it to disk as it is.
    pub(crate) fn packed(&self) -> &[u8] {
        &self.0
    }

    /// Packs pairs that are sorted by unique names and have no empty value.
    pub(crate) fn from_sorted(pairs: &[(&str, &str)]) -> Self {
        debug_assert!(pairs.windows(2).all(|w| w[0].0 < w[1].0));
        let mut packed = Vec::with_capacity(pairs.iter().map(|(n, v)| n.len() + v.len() + 2).sum());
        for (name, value) in pairs {
            push_pair(&mut packed, name, value);
        }
        Self(packed.into())
    }

    /// Reads a packed form, refusing one that no builder makes (a length out of bounds, bytes that are not UTF-8,
    /// names not in order, an empty value).
    pub(crate) fn from_packed(packed: &[u8]) -> Option<Self> {
        let mut rest = packed;
        let mut last: Option<&str> = None;
        while !rest.is_empty() {
            let name = checked_text(&mut rest)?;
            let value = checked_text(&mut rest)?;
            if value.is_empty() || last.is_some_and(|last| last >= name) {
                return None;
            }
            last = Some(name);
        }
        Some(Self(packed.into()))
    }
}

fn checked_text<'a>(rest: &mut &'a [u8]) -> Option<&'a str> {
    let mut length = 0usize;
    for at in 0..5 {
        let byte = *rest.get(at)?;
        length |= ((byte & 0x7f) as usize) << (7 * at);
        if byte < 0x80 {
            let text = rest.get(at + 1..(at + 1).checked_add(length)?)?;
            *rest = &rest[at + 1 + length..];
            return std::str::from_utf8(text).ok();
        }
    }
    None
}

impl fmt::Display for Labels {
    /// The form that PromQL reads: `name{a="b"}`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.metric_name();
        let legacy = is_legacy_metric_name(name);
        if legacy {
            f.write_str(name)?;
        }
        let mut first = true;
        for (label, value) in self.iter() {
            if label == METRIC_NAME && legacy {
                continue;
            }
            f.write_str(if first { "{" } else { ", " })?;
            first = false;
            if label == METRIC_NAME {
                write!(f, "{}", quoted(value))?;
            } else if is_legacy_label_name(label) {
                write!(f, "{label}={}", quoted(value))?;
            } else {
                write!(f, "{}={}", quoted(label), quoted(value))?;
            }
        }
        if !first {
            f.write_str("}")?;
        } else if !legacy {
            f.write_str("{}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl serde::Serialize for Labels {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'a> IntoIterator for &'a Labels {
    type Item = (&'a str, &'a str);
    type IntoIter = Pairs<'a>;
    fn into_iter(self) -> Pairs<'a> {
        self.iter()
    }
}

/// A value in double quotes with `"`, `\` and line ends escaped, as Go's `%q` and PromQL's strings have it.
#[must_use]
pub fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if (c as u32) < 0x20 || c as u32 == 0x7f => {
                out.push_str(&format!("\\x{:02x}", c as u32))
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Whether a name is `[a-zA-Z_:][a-zA-Z0-9_:]*`.
#[must_use]
pub fn is_legacy_metric_name(name: &str) -> bool {
    !name.is_empty()
        && name.bytes().enumerate().all(|(at, b)| {
            b == b'_' || b == b':' || b.is_ascii_alphabetic() || (at > 0 && b.is_ascii_digit())
        })
}

/// Whether a name is `[a-zA-Z_][a-zA-Z0-9_]*`.
#[must_use]
pub fn is_legacy_label_name(name: &str) -> bool {
    is_legacy_metric_name(name) && !name.contains(':')
}

/// Iterator over the pairs of a [`Labels`], in order of names.
#[derive(Clone, Debug)]
pub struct Pairs<'a> {
    rest: &'a [u8],
}

impl<'a> Pairs<'a> {
    /// The bytes of the next text; there must be one.
    fn next_bytes(&mut self) -> &'a [u8] {
        let mut length = 0usize;
        let mut shift = 0;
        let mut used = 0;
        loop {
            let byte = self.rest[used];
            used += 1;
            length |= ((byte & 0x7f) as usize) << shift;
            if byte < 0x80 {
                break;
            }
            shift += 7;
        }
        let (text, rest) = self.rest[used..].split_at(length);
        self.rest = rest;
        text
    }
}

/// Checking again costs little beside the rest of a query and keeps this crate's label code free of `unsafe`.
fn text_of(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("labels are only ever packed from strings")
}

impl<'a> Iterator for Pairs<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let name = self.next_bytes();
        Some((text_of(name), text_of(self.next_bytes())))
    }
}

fn push_text(packed: &mut Vec<u8>, text: &str) {
    let mut length = text.len();
    while length >= 0x80 {
        packed.push(length as u8 | 0x80);
        length >>= 7;
    }
    packed.push(length as u8);
    packed.extend_from_slice(text.as_bytes());
}

fn push_pair(packed: &mut Vec<u8>, name: &str, value: &str) {
    push_text(packed, name);
    push_text(packed, value);
}

/// Collects label pairs in any order; the last value set for a name wins.
#[derive(Clone, Debug, Default)]
pub struct LabelsBuilder {
    pairs: Vec<(String, String)>,
}

impl LabelsBuilder {
    /// Starts from an existing set.
    #[must_use]
    pub fn from_labels(labels: &Labels) -> Self {
        Self {
            pairs: labels
                .iter()
                .map(|(n, v)| (n.to_owned(), v.to_owned()))
                .collect(),
        }
    }

    /// Sets a label; an empty value removes it.
    pub fn set(&mut self, name: &str, value: &str) -> &mut Self {
        match self.pairs.iter_mut().find(|(other, _)| other == name) {
            Some(pair) => {
                pair.1.clear();
                pair.1.push_str(value);
            }
            None => self.pairs.push((name.to_owned(), value.to_owned())),
        }
        self
    }

    /// Removes a label.
    pub fn remove(&mut self, name: &str) -> &mut Self {
        self.pairs.retain(|(other, _)| other != name);
        self
    }

    /// The value set so far, or `None`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.pairs
            .iter()
            .find(|(other, value)| other == name && !value.is_empty())
            .map(|(_, value)| value.as_str())
    }

    /// Whether a label was set, be it to the empty value.
    #[must_use]
    pub fn is_set(&self, name: &str) -> bool {
        self.pairs.iter().any(|(other, _)| other == name)
    }

    /// The pairs set so far, in the order of their first setting; empty values stand for absent labels.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Forgets all labels, keeping the memory.
    pub fn clear(&mut self) {
        self.pairs.clear();
    }

    /// The label set. The builder can be used further.
    pub fn build(&mut self) -> Labels {
        self.pairs.retain(|(_, value)| !value.is_empty());
        self.pairs.sort_unstable();
        let mut packed =
            Vec::with_capacity(self.pairs.iter().map(|(n, v)| n.len() + v.len() + 2).sum());
        for (name, value) in &self.pairs {
            push_pair(&mut packed, name, value);
        }
        Labels(packed.into())
    }
}

/// Keeps one allocation for each distinct label set, so that parts that hold the same series share it.
#[derive(Debug, Default)]
pub struct Interner {
    known: Mutex<HashSet<Labels>>,
}

impl Interner {
    /// The shared copy of a label set.
    pub fn intern(&self, labels: &Labels) -> Labels {
        let mut known = self
            .known
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(shared) = known.get(labels) {
            return shared.clone();
        }
        known.insert(labels.clone());
        labels.clone()
    }

    /// Forgets the sets that nobody else holds any more. Returns how many are left.
    pub fn sweep(&self) -> usize {
        let mut known = self
            .known
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        known.retain(|labels| Arc::strong_count(&labels.0) > 1);
        known.len()
    }
}
