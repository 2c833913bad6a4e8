//! Encodings of blocks and log: numbers, timestamp vectors, value runs.
//!
//! Most metrics are decimal text at birth, so a run of values is stored as integers over a power of ten where that is
//! exact, as deltas or as deltas of deltas, whichever is shorter, and left to zstd. Every decoder here works on bytes
//! from a disk: it returns `None` for what no encoder makes and never panics.

#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, PoisonError};

/// Unpacks zstd frames with one context for a whole query: making one costs as much as unpacking a small frame.
#[derive(Clone, Default)]
pub(super) struct Unzip(Arc<Mutex<Option<zstd::bulk::Decompressor<'static>>>>);

impl Unzip {
    /// The unpacked bytes, `size` of them at most; `None` where the frame is damaged.
    pub(super) fn unpack(&self, packed: &[u8], size: usize) -> Option<Vec<u8>> {
        let mut context = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if context.is_none() {
            *context = Some(zstd::bulk::Decompressor::new().ok()?);
        }
        context.as_mut()?.decompress(packed, size).ok()
    }
}

/// Appends an LEB128 number.
pub(super) fn put_number(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a signed number, small ones short whatever their sign.
pub(super) fn put_signed(out: &mut Vec<u8>, value: i64) {
    put_number(out, ((value << 1) ^ (value >> 63)) as u64);
}

/// Reads numbers off the front of a slice.
#[derive(Clone, Copy)]
pub(super) struct Unpack<'a> {
    rest: &'a [u8],
}

impl<'a> Unpack<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    #[inline]
    pub(super) fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    pub(super) fn bytes(&mut self, length: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(bytes)
    }

    #[inline]
    pub(super) fn number(&mut self) -> Option<u64> {
        let first = self.byte()?;
        if first < 0x80 {
            return Some(u64::from(first));
        }
        let mut value = u64::from(first & 0x7f);
        let mut shift = 7;
        loop {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f).checked_shl(shift)?;
            if byte < 0x80 {
                return Some(value);
            }
            shift += 7;
            if shift > 63 {
                return None;
            }
        }
    }

    /// A number that counts things in memory.
    pub(super) fn length(&mut self) -> Option<usize> {
        usize::try_from(self.number()?).ok()
    }

    #[inline]
    pub(super) fn signed(&mut self) -> Option<i64> {
        let value = self.number()?;
        Some((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.bytes(8)?.try_into().ok()?))
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.bytes(4)?.try_into().ok()?))
    }
}

/// Appends a vector of times: count, then deltas of deltas.
pub(super) fn put_times(out: &mut Vec<u8>, times: &[i64]) {
    put_number(out, times.len() as u64);
    let (mut last, mut delta) = (0i64, 0i64);
    for &time in times {
        let next = time.wrapping_sub(last);
        put_signed(out, next.wrapping_sub(delta));
        delta = next;
        last = time;
    }
}

/// Reads a vector of times; `None` also where they do not grow.
pub(super) fn take_times(from: &mut Unpack<'_>) -> Option<Vec<i64>> {
    let count = from.length()?;
    // Each time takes a byte at least, so a damaged count cannot ask for more memory than the input is long.
    if count > from.rest().len() {
        return None;
    }
    let mut times = Vec::with_capacity(count);
    let (mut last, mut delta) = (0i64, 0i64);
    for index in 0..count {
        delta = delta.wrapping_add(from.signed()?);
        let time = last.wrapping_add(delta);
        if index > 0 && time <= last {
            return None;
        }
        times.push(time);
        last = time;
    }
    Some(times)
}

const POWERS: [f64; 10] = [1.0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9];
/// Integers beyond this are not exact as doubles once divided.
const LARGEST: f64 = 9e15;

const CONSTANT: u8 = 0;
const DELTAS: u8 = 1;
const DELTAS_OF_DELTAS: u8 = 2;
const XORED: u8 = 3;
/// Added to the kind of a decimal run that has exceptions, such as a staleness marker at its end.
const EXCEPTIONS: u8 = 0x80;

/// The value as an integer over `10^scale`, if that is exact to the bit.
#[inline]
fn scaled(value: f64, scale: usize) -> Option<i64> {
    let rounded = (value * POWERS[scale]).round();
    let integer = rounded as i64;
    // Through the integer, so that minus zero, which has no integer, is found to differ.
    let exact =
        rounded.abs() < LARGEST && (integer as f64 / POWERS[scale]).to_bits() == value.to_bits();
    exact.then_some(integer)
}

/// Scratch space of [`put_values`], so that packing a block does not allocate for each run.
#[derive(Default)]
pub(super) struct ValuePacker {
    integers: Vec<i64>,
    exceptions: Vec<(usize, u64)>,
    scaled: Vec<i64>,
}

impl ValuePacker {
    /// Finds the smallest common scale; values that have none are exceptions. `false` where these are too many.
    fn find_scale(&mut self, values: &[f64]) -> Option<usize> {
        let mut scale = 0;
        self.exceptions.clear();
        for (index, &value) in values.iter().enumerate() {
            if scaled(value, scale).is_some() {
                continue;
            }
            match (scale + 1..POWERS.len()).find(|s| scaled(value, *s).is_some()) {
                Some(larger) => scale = larger,
                None => {
                    self.exceptions.push((index, value.to_bits()));
                    if self.exceptions.len() > 1 + values.len() / 8 {
                        return None;
                    }
                }
            }
        }
        Some(scale)
    }

    fn find_integers(&mut self, values: &[f64]) -> Option<usize> {
        let scale = self.find_scale(values)?;
        self.exceptions.clear();
        self.integers.clear();
        for (index, &value) in values.iter().enumerate() {
            // A value that was exact at a smaller scale may be too large at the final one.
            match scaled(value, scale) {
                Some(integer) => self.integers.push(integer),
                None => {
                    self.exceptions.push((index, value.to_bits()));
                    self.integers
                        .push(self.integers.last().copied().unwrap_or(0));
                    if self.exceptions.len() > 1 + values.len() / 8 {
                        return None;
                    }
                }
            }
        }
        Some(scale)
    }

    /// Appends a run of values. Their number is not stored: it is that of the times they belong to.
    pub(super) fn put_values(&mut self, out: &mut Vec<u8>, values: &[f64]) {
        let Some(&first) = values.first() else { return };
        if values
            .iter()
            .all(|value| value.to_bits() == first.to_bits())
        {
            out.push(CONSTANT);
            out.extend_from_slice(&first.to_bits().to_le_bytes());
            return;
        }
        let Some(scale) = self.find_integers(values) else {
            return put_xored(out, values);
        };
        let cost = |value: i64| {
            let bits = 64 - (((value << 1) ^ (value >> 63)) as u64).leading_zeros();
            bits.saturating_sub(1) / 7 + 1
        };
        let (mut one, mut two) = (0, 0);
        for at in 1..self.integers.len() {
            let delta = self.integers[at] - self.integers[at - 1];
            let before = if at == 1 {
                0
            } else {
                self.integers[at - 1] - self.integers[at - 2]
            };
            one += cost(delta);
            two += cost(delta - before);
        }
        let kind = if two < one { DELTAS_OF_DELTAS } else { DELTAS };
        if self.exceptions.is_empty() {
            out.extend_from_slice(&[kind, scale as u8]);
        } else {
            out.extend_from_slice(&[kind | EXCEPTIONS, scale as u8]);
            put_number(out, self.exceptions.len() as u64);
            for (index, bits) in &self.exceptions {
                put_number(out, *index as u64);
                out.extend_from_slice(&bits.to_le_bytes());
            }
        }
        let (mut last, mut delta) = (0, 0);
        for (index, &integer) in self.integers.iter().enumerate() {
            let step = integer - last;
            if kind == DELTAS || index == 0 {
                put_signed(out, step);
            } else {
                put_signed(out, step - delta);
                delta = step;
            }
            last = integer;
        }
    }

    /// Appends `count` values to `out`.
    pub(super) fn take_values(
        &mut self,
        from: &mut Unpack<'_>,
        count: usize,
        out: &mut Vec<f64>,
    ) -> Option<()> {
        if count == 0 {
            return Some(());
        }
        let kind = from.byte()?;
        match kind & !EXCEPTIONS {
            CONSTANT => {
                let value = f64::from_bits(from.u64()?);
                out.resize(out.len() + count, value);
                Some(())
            }
            DELTAS | DELTAS_OF_DELTAS => self.take_decimals(kind, from, count, out),
            XORED => take_xored(from, count, out),
            _ => None,
        }
    }

    fn take_decimals(
        &mut self,
        kind: u8,
        from: &mut Unpack<'_>,
        count: usize,
        out: &mut Vec<f64>,
    ) -> Option<()> {
        let scale = *POWERS.get(usize::from(from.byte()?))?;
        self.exceptions.clear();
        if kind & EXCEPTIONS != 0 {
            for _ in 0..from.length()? {
                let index = from.length()?;
                if index >= count {
                    return None;
                }
                self.exceptions.push((index, from.u64()?));
            }
        }
        if count > from.rest().len() {
            return None;
        }
        let start = out.len();
        self.scaled.clear();
        let (mut last, mut delta) = (0i64, 0i64);
        if kind & !EXCEPTIONS == DELTAS {
            for _ in 0..count {
                last = last.wrapping_add(from.signed()?);
                self.scaled.push(last);
            }
        } else {
            last = from.signed()?;
            self.scaled.push(last);
            for _ in 1..count {
                delta = delta.wrapping_add(from.signed()?);
                last = last.wrapping_add(delta);
                self.scaled.push(last);
            }
        }
        if scale == 1.0 {
            out.extend(self.scaled.iter().map(|integer| *integer as f64));
        } else {
            out.extend(self.scaled.iter().map(|integer| *integer as f64 / scale));
        }
        for (index, bits) in &self.exceptions {
            out[start + index] = f64::from_bits(*bits);
        }
        Some(())
    }
}

fn put_xored(out: &mut Vec<u8>, values: &[f64]) {
    out.push(XORED);
    let mut last = 0;
    for value in values {
        put_xor(out, 0, value.to_bits() ^ last);
        last = value.to_bits();
    }
}

fn take_xored(from: &mut Unpack<'_>, count: usize, out: &mut Vec<f64>) -> Option<()> {
    if count > from.rest().len() {
        return None;
    }
    let mut last = 0;
    for _ in 0..count {
        let code = from.byte()?;
        last ^= take_xor(from, code)?;
        out.push(f64::from_bits(last));
    }
    Some(())
}

/// Appends an XOR without its zero bytes: a code of six bits (under the two given `flags` bits), then the other bytes.
#[inline]
pub(super) fn put_xor(out: &mut Vec<u8>, flags: u8, xor: u64) {
    if xor == 0 {
        out.push(flags);
        return;
    }
    let trailing = xor.trailing_zeros() / 8;
    let length = 8 - xor.leading_zeros() / 8 - trailing;
    out.push(flags | (1 + (length - 1) * 8 + trailing) as u8);
    out.extend_from_slice(&(xor >> (trailing * 8)).to_le_bytes()[..length as usize]);
}

/// Reads what [`put_xor`] wrote after its code.
#[inline]
pub(super) fn take_xor(from: &mut Unpack<'_>, code: u8) -> Option<u64> {
    let code = code & 0x3f;
    if code == 0 {
        return Some(0);
    }
    let (length, trailing) = (usize::from((code - 1) / 8 + 1), u32::from((code - 1) % 8));
    if length as u32 + trailing > 8 {
        return None;
    }
    let mut bytes = [0; 8];
    bytes[..length].copy_from_slice(from.bytes(length)?);
    Some(u64::from_le_bytes(bytes) << (trailing * 8))
}
