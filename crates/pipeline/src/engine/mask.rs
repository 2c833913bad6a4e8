//! Hides secrets in everything that a build writes.
//!
//! Hidden are a secret's value, its lines where it has several, and its base64, URL, JSON and hexadecimal forms. A secret split
//! over writes is found all the same, since only whole lines are looked at (see [`super::log`]). What nobody stored but looks
//! like a secret by its known prefix (a cloud's access key, a forge's token, a private key) is hidden too, and told of.
//! One automaton finds all of them in one pass.

use std::borrow::Cow;
use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, MatchKind};
use regex::bytes::Regex;

/// A kind of secret that is known by how it begins: its beginning, its form from there on, its name.
struct Lookalike {
    prefix: &'static str,
    form: Regex,
    name: &'static str,
}

static LOOKALIKES: LazyLock<Vec<Lookalike>> = LazyLock::new(|| {
    let known = [
        ("AKIA", r"^AKIA[0-9A-Z]{16}\b", "an AWS access key"),
        ("ASIA", r"^ASIA[0-9A-Z]{16}\b", "an AWS access key"),
        ("AIza", r"^AIza[0-9A-Za-z_\-]{35}", "a Google API key"),
        ("ghp_", r"^ghp_[A-Za-z0-9]{36,}", "a GitHub token"),
        ("gho_", r"^gho_[A-Za-z0-9]{36,}", "a GitHub token"),
        ("ghu_", r"^ghu_[A-Za-z0-9]{36,}", "a GitHub token"),
        ("ghs_", r"^ghs_[A-Za-z0-9]{36,}", "a GitHub token"),
        (
            "github_pat_",
            r"^github_pat_[A-Za-z0-9_]{22,}",
            "a GitHub token",
        ),
        ("glpat-", r"^glpat-[A-Za-z0-9_\-]{20,}", "a GitLab token"),
        ("xoxb-", r"^xoxb-[A-Za-z0-9-]{10,}", "a Slack token"),
        ("xoxp-", r"^xoxp-[A-Za-z0-9-]{10,}", "a Slack token"),
        ("sk_live_", r"^sk_live_[A-Za-z0-9]{16,}", "a Stripe key"),
        ("rk_live_", r"^rk_live_[A-Za-z0-9]{16,}", "a Stripe key"),
        ("npm_", r"^npm_[A-Za-z0-9]{36}\b", "an npm token"),
        ("pypi-AgE", r"^pypi-AgE[A-Za-z0-9_\-]{50,}", "a PyPI token"),
        (
            "dckr_pat_",
            r"^dckr_pat_[A-Za-z0-9_\-]{20,}",
            "a Docker token",
        ),
        (
            "SG.",
            r"^SG\.[A-Za-z0-9_\-]{16,32}\.[A-Za-z0-9_\-]{16,64}",
            "a SendGrid key",
        ),
    ];
    known
        .into_iter()
        .map(|(prefix, form, name)| Lookalike {
            prefix,
            form: Regex::new(form).expect("the pattern is a constant that the tests compile"),
            name,
        })
        .collect()
});

/// How a private key begins and ends; what is between, over lines, is hidden by [`KeyBlock`].
const KEY_BEGIN: &[u8] = b"-----BEGIN ";
const KEY_END: &[u8] = b"-----END ";
const KEY_WORDS: &[u8] = b"PRIVATE KEY";

/// What stands in a secret's place.
pub(crate) const HIDDEN: &[u8] = b"****";

/// Shorter values are not hidden: they are too likely to be parts of ordinary words.
const MIN_LENGTH: usize = 6;

/// Finds and hides secrets.
#[derive(Debug)]
pub(crate) struct Mask {
    finder: AhoCorasick,
    /// How many of the finder's patterns are secrets; the rest are beginnings of lookalikes.
    secrets: usize,
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
        let secrets = patterns.len();
        patterns.extend(
            LOOKALIKES
                .iter()
                .map(|known| known.prefix.as_bytes().to_vec()),
        );
        let finder = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .build(&patterns)
            .expect("the patterns of one app's secrets fit an automaton");
        Self {
            finder,
            secrets,
            // No lookalike is longer than this but by many repetitions; of those the beginning is enough.
            longest: longest.max(128),
        }
    }

    /// The length of the longest text that is hidden, in bytes.
    pub(crate) fn longest(&self) -> usize {
        self.longest
    }

    /// The bytes with every secret replaced.
    pub(crate) fn bytes<'a>(&self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        self.bytes_told(bytes, &mut None)
    }

    /// The same; `told` gets the name of a kind of secret that was hidden by its look alone.
    pub(crate) fn bytes_told<'a>(
        &self,
        bytes: &'a [u8],
        told: &mut Option<&'static str>,
    ) -> Cow<'a, [u8]> {
        let mut shown: Vec<u8> = Vec::new();
        let mut last = 0;
        for found in self.finder.find_iter(bytes) {
            if found.start() < last {
                continue;
            }
            let end = match found.pattern().as_usize().checked_sub(self.secrets) {
                None => found.end(),
                Some(lookalike) => {
                    let known = &LOOKALIKES[lookalike];
                    let rest = &bytes[found.start()..];
                    let Some(form) = known.form.find(&rest[..rest.len().min(1024)]) else {
                        continue;
                    };
                    *told = Some(known.name);
                    found.start() + form.end()
                }
            };
            shown.extend_from_slice(&bytes[last..found.start()]);
            shown.extend_from_slice(HIDDEN);
            last = end;
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

/// Hides private keys that are printed over several lines.
#[derive(Debug, Default)]
pub(crate) struct KeyBlock {
    inside: bool,
}

impl KeyBlock {
    /// Whole lines with the lines of private keys replaced.
    pub(crate) fn lines<'a>(
        &mut self,
        bytes: &'a [u8],
        told: &mut Option<&'static str>,
    ) -> Cow<'a, [u8]> {
        if !self.inside && memchr::memmem::find(bytes, KEY_BEGIN).is_none() {
            return Cow::Borrowed(bytes);
        }
        let mut shown = Vec::with_capacity(bytes.len());
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            let begins = memchr::memmem::find(line, KEY_BEGIN)
                .filter(|at| memchr::memmem::find(&line[*at..], KEY_WORDS).is_some());
            if !self.inside && begins.is_none() {
                shown.extend_from_slice(line);
                continue;
            }
            if let Some(at) = begins {
                *told = Some("a private key");
                shown.extend_from_slice(&line[..at]);
            }
            shown.extend_from_slice(HIDDEN);
            shown.push(b'\n');
            let from = begins.unwrap_or(0);
            self.inside = memchr::memmem::find(&line[from..], KEY_END).is_none();
        }
        Cow::Owned(shown)
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
