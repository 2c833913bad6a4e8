//! Hides secrets in everything that a build writes.
//!
//! Hidden are a secret's value, its lines where it has several, and its base64, URL, JSON and hexadecimal forms (see
//! [`forms`]). A secret split over writes is found all the same, since only whole lines are looked at (see
//! [`super::log`]); one that line breaks cut, by [`broken`]. What nobody stored but looks like a secret by its known
//! prefix (a cloud's access key, a forge's token, a private key) is hidden too, and told of. One automaton finds all of
//! them in one pass.
//!
//! **The rule for short secrets:** of 6 bytes and more, a secret is hidden wherever it stands. A credential of 4 or 5
//! bytes is hidden where it stands as a word of its own; a shorter one cannot be stored. A variable of the configuration that
//! is shorter than 6 bytes is not hidden: it is most often a word such as `true`.

use std::borrow::Cow;
use std::ops::Range;

use aho_corasick::{AhoCorasick, Input, MatchKind};
use launchway_model::credential::{SHORTEST, SHORTEST_HIDDEN};

mod broken;
mod forms;
mod lookalike;

use broken::Breaks;
pub(crate) use lookalike::KeyBlock;
use lookalike::LOOKALIKES;

/// What stands in a secret's place.
pub(crate) const HIDDEN: &[u8] = b"****";

/// A piece that is longer than this is looked for in parts of [`PART`] bytes, so that a key of many kilobytes does not make
/// an automaton of many megabytes.
const LONG: usize = 96;
/// A multiple of three: each part begins at the same place of a base64 text.
const PART: usize = 48;
/// How much of one secret is looked for in all its forms; the rest of a larger file is looked for as it stands.
const IN_ALL_FORMS: usize = 16 << 10;

/// Finds and hides secrets.
#[derive(Debug)]
pub(crate) struct Mask {
    finder: AhoCorasick,
    /// How many of the finder's patterns are secrets; then come those that count as whole words alone, then the beginnings
    /// of lookalikes.
    secrets: usize,
    words: usize,
    longest: usize,
    breaks: Breaks,
}

impl Mask {
    /// A mask of these values.
    #[cfg(test)]
    pub(crate) fn new<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Self {
        Self::with_words(secrets, [])
    }

    /// A mask of these values; of `credentials` those of 4 and 5 bytes are hidden as whole words.
    pub(crate) fn with_words<'a>(
        secrets: impl IntoIterator<Item = &'a str>,
        credentials: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let mut patterns: Vec<Vec<u8>> = Vec::new();
        let mut words: Vec<Vec<u8>> = Vec::new();
        for secret in secrets {
            add(secret, &mut patterns);
        }
        for secret in credentials {
            add(secret, &mut patterns);
            let word = secret.trim();
            if (SHORTEST..SHORTEST_HIDDEN).contains(&word.len()) {
                words.push(word.as_bytes().to_vec());
                words.extend(forms::of(word).into_iter().skip(1));
            }
        }
        patterns.retain(|pattern| pattern.len() >= SHORTEST_HIDDEN && !pattern.contains(&b'\n'));
        patterns.sort();
        patterns.dedup();
        words.retain(|word| word.len() >= SHORTEST);
        words.sort();
        words.dedup();
        let longest = patterns.iter().map(Vec::len).max().unwrap_or(0);
        let breaks = Breaks::new(&patterns, SHORTEST_HIDDEN);
        let (secrets, words_number) = (patterns.len(), words.len());
        patterns.extend(words);
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
            words: words_number,
            // No lookalike is longer than this but by many repetitions; of those the beginning is enough.
            longest: longest.max(128),
            breaks,
        }
    }

    /// The length of the longest text that is hidden, in bytes.
    pub(crate) fn longest(&self) -> usize {
        self.longest
    }

    /// Where in these whole lines a secret may begin that the next line goes on with: up to there they can be shown.
    pub(crate) fn decided(&self, lines: &[u8]) -> usize {
        // Only the last lines can be undecided; a secret is not cut into more than these bytes.
        let from = lines.len().saturating_sub(4 * self.longest.max(256));
        let from = memchr::memchr(b'\n', &lines[from..])
            .map_or(from, |at| if from == 0 { 0 } else { from + at + 1 });
        match self.breaks.find(&lines[from..], &mut Vec::new()) {
            None => lines.len(),
            Some(open) => {
                let open = from + open;
                memchr::memrchr(b'\n', &lines[..open]).map_or(0, |at| at + 1)
            }
        }
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
        let mut found = self.whole(bytes, told);
        let sorted = found.len();
        if let Some(open) = self.breaks.find(bytes, &mut found) {
            // No next line comes any more, or not in time: what is there of the secret is hidden.
            if found.len() == sorted && sorted == 0 && bytes.len() - open < SHORTEST_HIDDEN {
                return Cow::Borrowed(bytes);
            }
            if bytes.len() - open > SHORTEST_HIDDEN {
                found.push(open..bytes.len() - usize::from(bytes.ends_with(b"\n")));
            }
        }
        if found.is_empty() {
            return Cow::Borrowed(bytes);
        }
        if found.len() > sorted {
            found.sort_by_key(|range| range.start);
        }
        let mut shown: Vec<u8> = Vec::with_capacity(bytes.len());
        let mut last = 0;
        let mut ranges = found.into_iter().peekable();
        while let Some(mut range) = ranges.next() {
            while let Some(next) = ranges.next_if(|next| next.start <= range.end) {
                range.end = range.end.max(next.end);
            }
            shown.extend_from_slice(&bytes[last..range.start]);
            shown.extend_from_slice(HIDDEN);
            // Line breaks stay, so that lines do.
            for piece in bytes[range.clone()].split(|byte| *byte == b'\n').skip(1) {
                shown.push(b'\n');
                if !piece.is_empty() {
                    shown.extend_from_slice(HIDDEN);
                }
            }
            last = range.end;
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

    /// The stretches that the automaton finds, in order.
    fn whole(&self, bytes: &[u8], told: &mut Option<&'static str>) -> Vec<Range<usize>> {
        let mut ranges = Vec::new();
        let mut at = 0;
        while at < bytes.len()
            && let Some(found) = self.finder.find(Input::new(bytes).range(at..))
        {
            let pattern = found.pattern().as_usize();
            let end = if pattern < self.secrets {
                Some(found.end())
            } else if pattern < self.secrets + self.words {
                is_word(bytes, found.start(), found.end()).then_some(found.end())
            } else {
                let known = &LOOKALIKES[pattern - self.secrets - self.words];
                let rest = &bytes[found.start()..];
                let form = known.form.find(&rest[..rest.len().min(1024)]);
                form.map(|form| {
                    *told = Some(known.name);
                    found.start() + form.end()
                })
            };
            match end {
                Some(end) => {
                    ranges.push(found.start()..end);
                    at = end;
                }
                // Another secret may begin within what was none.
                None => at = found.start() + 1,
            }
        }
        ranges
    }
}

/// Whether a stretch is bounded by what is neither letter nor digit.
fn is_word(bytes: &[u8], start: usize, end: usize) -> bool {
    let outside = |byte: Option<&u8>| !byte.is_some_and(u8::is_ascii_alphanumeric);
    outside(start.checked_sub(1).and_then(|at| bytes.get(at))) && outside(bytes.get(end))
}

/// The patterns of one secret.
fn add(secret: &str, patterns: &mut Vec<Vec<u8>>) {
    let secret = secret.trim_end_matches(['\n', '\r']);
    let mut spent = 0;
    let mut piece = |text: &str| {
        let long = text.len() > LONG;
        let mut start = 0;
        while start < text.len() {
            // A rest that would be too short to be told from ordinary text belongs to the part before it.
            let end = match start + PART {
                end if long && end + 2 * SHORTEST_HIDDEN < text.len() => {
                    text.ceil_char_boundary(end)
                }
                _ => text.len(),
            };
            let part = &text[start..end];
            if part.len() >= SHORTEST_HIDDEN {
                spent += part.len();
                if spent <= IN_ALL_FORMS {
                    patterns.extend(forms::of(part));
                } else {
                    patterns.push(part.as_bytes().to_vec());
                }
            }
            start = end;
        }
    };
    let lines: Vec<&str> = secret.lines().map(str::trim).collect();
    if let [line] = lines[..] {
        piece(line);
        // Blanks around a secret are part of what is encoded.
        if line != secret {
            piece(secret);
        }
        return;
    }
    for line in lines {
        piece(line);
        // Of a file of settings the value alone is the secret.
        let value = line.split_once('=').or_else(|| line.split_once(": "));
        if let Some((_, value)) = value {
            let value = value.trim_matches([' ', '"', '\'', ',']);
            if value.len() >= SHORTEST_HIDDEN + 2 {
                piece(value);
            }
        }
    }
}

#[cfg(test)]
mod tests;
