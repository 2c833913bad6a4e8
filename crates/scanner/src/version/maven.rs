//! Maven versions, by the version order specification of the POM reference (Maven 3.9).
//!
//! A version is split at `.`, `-`, `_` and where digits and letters meet; null values before a hyphen or
//! the end are dropped; then tokens are compared in order, the shorter version padded with nulls.

use std::cmp::Ordering;

use super::numbers::{compare_digits, is_digits, runs};

/// A Maven version.
#[derive(Debug, Clone)]
pub struct Maven {
    tokens: Vec<Token>,
}

#[derive(Debug, Clone)]
struct Token {
    /// Set off by a hyphen, or by a dot.
    hyphen: bool,
    text: String,
}

impl Token {
    fn is_number(&self) -> bool {
        is_digits(&self.text)
    }

    fn is_null(&self) -> bool {
        if self.is_number() {
            self.text.bytes().all(|b| b == b'0')
        } else {
            qualifier(&self.text).0 == RELEASE
        }
    }
}

/// The rank of a release itself among the qualifiers.
const RELEASE: u8 = 5;

/// Known qualifiers by rank; unknown ones come after all of them, in lexical order.
fn qualifier(text: &str) -> (u8, &str) {
    match text {
        "alpha" => (0, ""),
        "beta" => (1, ""),
        "milestone" => (2, ""),
        "rc" | "cr" => (3, ""),
        "snapshot" => (4, ""),
        "" | "final" | "ga" | "release" => (RELEASE, ""),
        "sp" => (6, ""),
        other => (7, other),
    }
}

impl Maven {
    pub(super) fn parse(text: &str) -> Self {
        let lower = text.to_ascii_lowercase();
        let mut tokens: Vec<Token> = Vec::new();
        let mut hyphen = false;
        let mut start = 0;
        let bytes = lower.as_bytes();
        for at in 0..=bytes.len() {
            let separator = bytes.get(at).copied();
            if !matches!(separator, None | Some(b'.' | b'-' | b'_')) {
                continue;
            }
            push_segment(&mut tokens, hyphen, &lower[start..at]);
            hyphen = !matches!(separator, Some(b'.'));
            start = at + 1;
        }
        trim(&mut tokens);
        Self { tokens }
    }
}

/// Splits a segment where digits and letters meet: such a place counts as a hyphen.
fn push_segment(tokens: &mut Vec<Token>, hyphen: bool, segment: &str) {
    if segment.is_empty() {
        tokens.push(Token {
            hyphen,
            text: "0".to_owned(),
        });
        return;
    }
    let mut parts = runs(segment).peekable();
    let mut first = true;
    while let Some(part) = parts.next() {
        let text = match (part, parts.peek().is_some()) {
            ("a", true) => "alpha",
            ("b", true) => "beta",
            ("m", true) => "milestone",
            (other, _) => other,
        };
        let hyphen = if first { hyphen } else { true };
        // A qualifier after a dot stands where one after a hyphen does.
        tokens.push(Token {
            hyphen: hyphen || !is_digits(text),
            text: text.to_owned(),
        });
        first = false;
    }
}

/// Drops null values before the end and before each hyphen.
fn trim(tokens: &mut Vec<Token>) {
    let mut at = tokens.len();
    while at > 0 {
        let before_hyphen = at == tokens.len() || tokens[at].hyphen;
        if before_hyphen && at > 1 && tokens[at - 1].is_null() {
            tokens.remove(at - 1);
        }
        at -= 1;
    }
}

impl Ord for Maven {
    fn cmp(&self, other: &Self) -> Ordering {
        for at in 0..self.tokens.len().max(other.tokens.len()) {
            let order = match (self.tokens.get(at), other.tokens.get(at)) {
                (Some(left), Some(right)) => compare(left, right),
                (Some(left), None) => compare(left, &padding(left)),
                (None, Some(right)) => compare(&padding(right), right),
                (None, None) => Ordering::Equal,
            };
            if order.is_ne() {
                return order;
            }
        }
        Ordering::Equal
    }
}

/// The null value that stands for a missing token opposite to `other`.
fn padding(other: &Token) -> Token {
    Token {
        hyphen: other.hyphen,
        text: if other.is_number() {
            "0".to_owned()
        } else {
            String::new()
        },
    }
}

fn compare(left: &Token, right: &Token) -> Ordering {
    let rank = |token: &Token| match (token.is_number(), token.hyphen) {
        (false, _) => 0,
        (true, true) => 1,
        (true, false) => 2,
    };
    rank(left).cmp(&rank(right)).then_with(|| {
        if left.is_number() {
            compare_digits(&left.text, &right.text)
        } else {
            qualifier(&left.text).cmp(&qualifier(&right.text))
        }
    })
}

impl PartialOrd for Maven {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Maven {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Maven {}
