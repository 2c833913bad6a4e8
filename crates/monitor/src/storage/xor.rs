//! The open end of a series in memory: delta-of-delta timestamps and XORed values in one bit stream
//! (Facebook's Gorilla paper, VLDB 2015, with bit widths chosen for scrapes that jitter by milliseconds).
//!
//! Chunks live in memory only; the log and the blocks have encodings of their own, so that nothing read from a disk
//! ever reaches this decoder.

use std::sync::Arc;

#[cfg(test)]
mod tests;

/// Appends samples in order of time.
#[derive(Debug, Default, Clone)]
pub(super) struct XorEncoder {
    bytes: Vec<u8>,
    pending: u64,
    pending_bits: u32,
    count: u32,
    first_time: i64,
    last_time: i64,
    last_delta: i64,
    last_bits: u64,
    leading: u8,
    trailing: u8,
}

/// No XOR window has been written yet.
const NO_WINDOW: u8 = 255;

impl XorEncoder {
    pub(super) fn count(&self) -> u32 {
        self.count
    }

    pub(super) fn first_time(&self) -> i64 {
        self.first_time
    }

    pub(super) fn last_time(&self) -> i64 {
        self.last_time
    }

    /// The bytes held by this chunk, spare room included.
    pub(super) fn allocated(&self) -> usize {
        self.bytes.capacity()
    }

    /// Appends the low bits of a value (64 at most); the others have to be zero. Whole words go to the bytes.
    #[inline]
    fn put(&mut self, value: u64, bits: u32) {
        let free = 64 - self.pending_bits;
        if bits < free {
            self.pending = (self.pending << bits) | value;
            self.pending_bits += bits;
            return;
        }
        let rest = bits - free;
        let word = self.pending.checked_shl(free).unwrap_or(0) | (value >> rest);
        if self.bytes.capacity() - self.bytes.len() < 8 {
            // Growing by a quarter instead of doubling keeps a million open chunks small.
            self.bytes.reserve_exact((self.bytes.len() / 4).max(32));
        }
        self.bytes.extend_from_slice(&word.to_be_bytes());
        self.pending = value & ((1u64 << rest) - 1);
        self.pending_bits = rest;
    }

    /// Adds a sample, which must be later than the last one.
    pub(super) fn push(&mut self, time: i64, value: f64) {
        let bits = value.to_bits();
        if self.count == 0 {
            self.first_time = time;
            self.leading = NO_WINDOW;
            self.put(time as u64, 64);
            self.put(bits, 64);
        } else {
            debug_assert!(time > self.last_time);
            let delta = time.wrapping_sub(self.last_time);
            let change = delta.wrapping_sub(self.last_delta);
            match change {
                0 => self.put(0, 1),
                -64..=63 => self.put((0b10 << 7) | (change as u64 & 0x7f), 9),
                -8192..=8191 => self.put((0b110 << 14) | (change as u64 & 0x3fff), 17),
                -524_288..=524_287 => self.put((0b1110 << 20) | (change as u64 & 0xf_ffff), 24),
                _ => {
                    self.put(0b1111, 4);
                    self.put(change as u64, 64);
                }
            }
            self.last_delta = delta;
            self.put_value(bits ^ self.last_bits);
        }
        self.last_time = time;
        self.last_bits = bits;
        self.count += 1;
    }

    fn put_value(&mut self, xor: u64) {
        if xor == 0 {
            self.put(0, 1);
            return;
        }
        let leading = (xor.leading_zeros() as u8).min(31);
        let trailing = xor.trailing_zeros() as u8;
        if self.leading != NO_WINDOW && leading >= self.leading && trailing >= self.trailing {
            let width = 64 - u32::from(self.leading) - u32::from(self.trailing);
            self.put(0b10, 2);
            self.put(xor >> self.trailing, width);
        } else {
            let width = 64 - u32::from(leading) - u32::from(trailing);
            self.put(
                (0b11 << 11) | (u64::from(leading) << 6) | u64::from(width & 63),
                13,
            );
            self.put(xor >> trailing, width);
            self.leading = leading;
            self.trailing = trailing;
        }
    }

    /// A copy for a reader, cut to what it holds now.
    pub(super) fn snapshot(&self) -> XorChunk {
        let mut bytes = Vec::with_capacity(self.bytes.len() + 8);
        bytes.extend_from_slice(&self.bytes);
        if self.pending_bits > 0 {
            let word = self.pending << (64 - self.pending_bits);
            bytes.extend_from_slice(&word.to_be_bytes()[..self.pending_bits.div_ceil(8) as usize]);
        }
        XorChunk {
            bytes: bytes.into(),
            count: self.count,
            first_time: self.first_time,
            last_time: self.last_time,
        }
    }

    /// The finished chunk; the encoder starts anew.
    pub(super) fn seal(&mut self) -> XorChunk {
        let chunk = self.snapshot();
        *self = Self::default();
        chunk
    }
}

/// A finished, immutable chunk.
#[derive(Debug, Clone)]
pub(super) struct XorChunk {
    bytes: Arc<[u8]>,
    count: u32,
    pub(super) first_time: i64,
    pub(super) last_time: i64,
}

impl XorChunk {
    pub(super) fn allocated(&self) -> usize {
        self.bytes.len()
    }

    /// Adds the samples with `low <= time <= high` to the two vectors.
    pub(super) fn read(&self, low: i64, high: i64, times: &mut Vec<i64>, values: &mut Vec<f64>) {
        let mut bits = BitReader {
            bytes: &self.bytes,
            at: 0,
            window: 0,
            available: 0,
        };
        let (mut time, mut delta, mut value) = (0i64, 0i64, 0u64);
        let (mut width, mut trailing) = (0u32, 0u32);
        for index in 0..self.count {
            if index == 0 {
                time = bits.take(64) as i64;
                value = bits.take(64);
            } else {
                let change = if bits.take(1) == 0 {
                    0
                } else if bits.take(1) == 0 {
                    signed(bits.take(7), 7)
                } else if bits.take(1) == 0 {
                    signed(bits.take(14), 14)
                } else if bits.take(1) == 0 {
                    signed(bits.take(20), 20)
                } else {
                    bits.take(64) as i64
                };
                delta = delta.wrapping_add(change);
                time = time.wrapping_add(delta);
                if bits.take(1) == 1 {
                    if bits.take(1) == 1 {
                        let leading = bits.take(5) as u32;
                        width = bits.take(6) as u32;
                        if width == 0 {
                            width = 64;
                        }
                        trailing = 64 - leading - width;
                    }
                    value ^= bits.take(width) << trailing;
                }
            }
            if time > high {
                break;
            }
            if time >= low {
                times.push(time);
                values.push(f64::from_bits(value));
            }
        }
    }
}

fn signed(value: u64, bits: u32) -> i64 {
    ((value << (64 - bits)) as i64) >> (64 - bits)
}

struct BitReader<'a> {
    bytes: &'a [u8],
    at: usize,
    window: u64,
    available: u32,
}

impl BitReader<'_> {
    fn take(&mut self, bits: u32) -> u64 {
        if bits > 32 {
            let high = self.take(bits - 32);
            return (high << 32) | self.take(32);
        }
        while self.available < bits {
            // Past the end there are zeros; the count ends the reading before they could matter.
            if let Some(next) = self.bytes.get(self.at..self.at + 4) {
                let word = u32::from_be_bytes([next[0], next[1], next[2], next[3]]);
                if self.available <= 32 {
                    self.window = (self.window << 32) | u64::from(word);
                    self.at += 4;
                    self.available += 32;
                    continue;
                }
            }
            self.window =
                (self.window << 8) | u64::from(self.bytes.get(self.at).copied().unwrap_or(0));
            self.at += 1;
            self.available += 8;
        }
        self.available -= bits;
        (self.window >> self.available) & ((1u64 << bits) - 1)
    }
}
