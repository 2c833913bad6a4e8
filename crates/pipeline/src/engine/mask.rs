//! Hides secrets in everything that a build writes.
//!
//! Hidden are a secret's value, its lines where it has several, and its base64, URL, JSON and hexadecimal forms. A secret split
//! over writes is found all the same, since only whole lines are looked at (see [`super::log`]).

use std::borrow::Cow;

use aho_corasick::{AhoCorasick, MatchKind};

/// What stands in a secret's place.
pub(crate) const HIDDEN: &[u8] = b"****";

/// Shorter values are not hidden: they are too likely to be parts of ordinary words.
const MIN_LENGTH: usize = 6;

/// Finds and hides secrets.
#[derive(Debug)]
pub(crate) struct Mask {
    finder: Option<AhoCorasick>,
    longest: usize,
}

impl Mask {
    /// A mask of these values.
    pub(crate) fn new<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Self {
        let mut patterns: Vec<Vec<u8>> = Vec::new();
        for secret in secrets {
            let secret = secret.trim_end_matches(['\n', '\r']);
            let mut parts: Vec<&str> = secret.lines().map(str::trim).collect();
            if parts.len() > 1 {
                parts.push(secret);
            }
            for part in parts.into_iter().filter(|part| part.len() >= MIN_LENGTH) {
                patterns.extend(forms(part));
            }
        }
        patterns.retain(|pattern| !pattern.contains(&b'\n'));
        patterns.sort();
        patterns.dedup();
        let longest = patterns.iter().map(Vec::len).max().unwrap_or(0);
        let finder = (!patterns.is_empty())
            .then(|| {
                AhoCorasick::builder()
                    .match_kind(MatchKind::LeftmostLongest)
                    .build(&patterns)
            })
            .transpose()
            .expect("the patterns of one app's secrets fit an automaton");
        Self { finder, longest }
    }

    /// The length of the longest text that is hidden, in bytes.
    pub(crate) fn longest(&self) -> usize {
        self.longest
    }

    /// The bytes with every secret replaced.
    pub(crate) fn bytes<'a>(&self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        let Some(finder) = &self.finder else {
            return Cow::Borrowed(bytes);
        };
        let mut shown: Vec<u8> = Vec::new();
        let mut last = 0;
        for found in finder.find_iter(bytes) {
            shown.extend_from_slice(&bytes[last..found.start()]);
            shown.extend_from_slice(HIDDEN);
            last = found.end();
        }
        if last == 0 {
            return Cow::Borrowed(bytes);
        }
        shown.extend_from_slice(&bytes[last..]);
        Cow::Owned(shown)
    }

    /// The text with every secret replaced.
    pub(crate) fn text(&self, text: &str) -> String {
        match self.bytes(text.as_bytes()) {
            Cow::Borrowed(_) => text.to_owned(),
            Cow::Owned(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        }
    }
}

/// A value in the forms in which tools print it.
fn forms(value: &str) -> Vec<Vec<u8>> {
    let bytes = value.as_bytes();
    let mut forms = vec![bytes.to_vec()];
    for shift in 0..3 {
        for table in [BASE64, BASE64_URL] {
            let encoded = base64_inner(bytes, shift, table);
            if encoded.len() >= MIN_LENGTH {
                forms.push(encoded);
            }
        }
    }
    for lower in [false, true] {
        forms.push(url(bytes, lower));
        forms.push(hex(bytes, lower));
    }
    let json = serde_json::to_string(value).unwrap_or_default();
    let json = json.trim_start_matches('"');
    forms.push(json.strip_suffix('"').unwrap_or(json).as_bytes().to_vec());
    // A shell that traces prints a word with a quote in this form.
    forms.push(value.replace('\'', "'\\''").into_bytes());
    forms
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const BASE64_URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// The characters of a base64 text that depend on `bytes` alone, when `shift` other bytes come before them: a secret is found
/// within a longer text that was encoded as a whole, such as `user:password`.
fn base64_inner(bytes: &[u8], shift: usize, table: &[u8; 64]) -> Vec<u8> {
    let mut padded = vec![0; shift];
    padded.extend_from_slice(bytes);
    let bits = padded.len() * 8;
    let at = |index: usize| -> usize {
        let mut value = 0_usize;
        for bit in index * 6..index * 6 + 6 {
            let byte = padded.get(bit / 8).copied().unwrap_or(0);
            value = value << 1 | usize::from(byte >> (7 - bit % 8) & 1);
        }
        value
    };
    let first = (shift * 8).div_ceil(6);
    let last = bits / 6;
    (first..last).map(|index| table[at(index)]).collect()
}

fn url(bytes: &[u8], lower: bool) -> Vec<u8> {
    let mut shown = Vec::new();
    for byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(byte) {
            shown.push(*byte);
        } else {
            shown.push(b'%');
            shown.extend(hex(&[*byte], lower));
        }
    }
    shown
}

fn hex(bytes: &[u8], lower: bool) -> Vec<u8> {
    let digits: &[u8; 16] = if lower {
        b"0123456789abcdef"
    } else {
        b"0123456789ABCDEF"
    };
    bytes
        .iter()
        .flat_map(|byte| {
            [
                digits[usize::from(byte >> 4)],
                digits[usize::from(byte & 15)],
            ]
        })
        .collect()
}

#[cfg(test)]
mod tests;
