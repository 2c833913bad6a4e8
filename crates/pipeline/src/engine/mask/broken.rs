//! Secrets that line breaks cut in pieces: what `base64` and `fold` write.
//!
//! At each line break the three bytes before it are looked up among those that stand somewhere in a secret; where they
//! may, the secret is followed through the break, byte by byte. A line costs one look at a table of bits, so that an ordinary log
//! does not notice.

use std::collections::HashMap;
use std::ops::Range;

/// The shortest piece that is looked for at the end of a line.
const PIECE: usize = 3;
/// How many bits the table has.
const BITS: usize = 1 << 16;

/// Where secrets may be cut.
#[derive(Debug)]
pub(super) struct Breaks {
    patterns: Vec<Vec<u8>>,
    /// By the three bytes before a break: which secret, and how much of it came before.
    cuts: HashMap<[u8; PIECE], Vec<(u32, u32)>>,
    /// The same for the three bytes after a break that only one or two bytes of the secret stand before.
    starts: HashMap<[u8; PIECE], Vec<(u32, u32)>>,
    bits: Box<[u64]>,
}

impl Breaks {
    pub(super) fn new(patterns: &[Vec<u8>], shortest: usize) -> Self {
        let mut breaks = Self {
            patterns: patterns.to_vec(),
            cuts: HashMap::new(),
            starts: HashMap::new(),
            bits: vec![0; BITS / 64].into(),
        };
        for (index, pattern) in patterns.iter().enumerate() {
            let index = u32::try_from(index).unwrap_or(u32::MAX);
            for cut in PIECE..pattern.len() {
                breaks.add(&pattern[cut - PIECE..cut], index, cut, true);
            }
            for cut in 1..PIECE {
                if pattern.len() >= cut + shortest {
                    breaks.add(&pattern[cut..cut + PIECE], index, cut, false);
                }
            }
        }
        breaks
    }

    fn add(&mut self, piece: &[u8], pattern: u32, cut: usize, before: bool) {
        let Ok(piece) = <[u8; PIECE]>::try_from(piece) else {
            return;
        };
        let bit = hash(piece);
        self.bits[bit / 64] |= 1 << (bit % 64);
        let table = if before {
            &mut self.cuts
        } else {
            &mut self.starts
        };
        let cut = u32::try_from(cut).unwrap_or(u32::MAX);
        table.entry(piece).or_default().push((pattern, cut));
    }

    /// Adds the stretches of `text` that are secrets cut by line breaks; gives where one begins that goes on beyond the end.
    pub(super) fn find(&self, text: &[u8], found: &mut Vec<Range<usize>>) -> Option<usize> {
        let mut open: Option<usize> = None;
        if self.patterns.is_empty() {
            return open;
        }
        self.at_start(text, 0, found);
        for at in memchr::memchr_iter(b'\n', text) {
            self.at_start(text, at + 1, found);
            let end = if at > 0 && text[at - 1] == b'\r' {
                at - 1
            } else {
                at
            };
            let Some(piece) = end.checked_sub(PIECE).map(|from| &text[from..end]) else {
                continue;
            };
            for (pattern, cut) in self.known(piece, true) {
                let pattern = &self.patterns[pattern];
                let Some(from) = end.checked_sub(cut) else {
                    continue;
                };
                if text[from..end] != pattern[..cut] {
                    continue;
                }
                match follow(text, at + 1, &pattern[cut..]) {
                    Followed::To(end) => found.push(from..end),
                    Followed::BeyondTheEnd => {
                        open = Some(open.map_or(from, |before| before.min(from)));
                    }
                    Followed::Nowhere => {}
                }
            }
        }
        open
    }

    /// A secret of which one or two bytes stand in the line before, whatever they are.
    fn at_start(&self, text: &[u8], at: usize, found: &mut Vec<Range<usize>>) {
        let Some(piece) = text.get(at..at + PIECE) else {
            return;
        };
        for (pattern, cut) in self.known(piece, false) {
            if let Followed::To(end) = follow(text, at, &self.patterns[pattern][cut..]) {
                found.push(at..end);
            }
        }
    }

    fn known(&self, piece: &[u8], before: bool) -> impl Iterator<Item = (usize, usize)> {
        let table = if before { &self.cuts } else { &self.starts };
        let piece = <[u8; PIECE]>::try_from(piece).unwrap_or_default();
        let bit = hash(piece);
        let entries = if self.bits[bit / 64] >> (bit % 64) & 1 == 1 {
            table.get(&piece)
        } else {
            None
        };
        entries
            .into_iter()
            .flatten()
            .map(|(pattern, cut)| (*pattern as usize, *cut as usize))
    }
}

enum Followed {
    To(usize),
    BeyondTheEnd,
    Nowhere,
}

/// Follows the rest of a secret from a place on, over any line breaks within it.
fn follow(text: &[u8], mut at: usize, rest: &[u8]) -> Followed {
    for byte in rest {
        loop {
            match text.get(at) {
                Some(b'\n') => at += 1,
                Some(b'\r') if text.get(at + 1) == Some(&b'\n') => at += 2,
                Some(found) if found == byte => {
                    at += 1;
                    break;
                }
                Some(_) => return Followed::Nowhere,
                None => return Followed::BeyondTheEnd,
            }
        }
    }
    Followed::To(at)
}

fn hash(piece: [u8; PIECE]) -> usize {
    let value = u32::from_le_bytes([piece[0], piece[1], piece[2], 0]);
    // The golden ratio of 32 bits spreads neighbours; the upper half are the table's 16 bits.
    (value.wrapping_mul(0x9E37_79B9) >> 16) as usize
}
