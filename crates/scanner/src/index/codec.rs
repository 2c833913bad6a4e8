//! Numbers and texts of the index: LEB128 for counts, length before text.

/// Appends to a buffer.
pub(super) struct Writer<'a>(pub(super) &'a mut Vec<u8>);

impl Writer<'_> {
    pub(super) fn count(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push((value as u8 & 0x7f) | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    pub(super) fn len(&mut self, value: usize) {
        self.count(value as u64);
    }

    pub(super) fn byte(&mut self, value: u8) {
        self.0.push(value);
    }

    pub(super) fn text(&mut self, text: &str) {
        self.len(text.len());
        self.0.extend_from_slice(text.as_bytes());
    }

    pub(super) fn texts(&mut self, texts: &[String]) {
        self.len(texts.len());
        for text in texts {
            self.text(text);
        }
    }

    /// A signed number, zigzag coded.
    pub(super) fn signed(&mut self, value: i64) {
        self.count(((value << 1) ^ (value >> 63)) as u64);
    }
}

/// Reads what [`Writer`] wrote; every method answers `None` past the end or at damage.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    pub(super) fn count(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    /// A count of items that follow; each takes a byte or more, so a larger count is damage.
    pub(super) fn len(&mut self) -> Option<usize> {
        let value = usize::try_from(self.count()?).ok()?;
        (value <= self.0.len()).then_some(value)
    }

    pub(super) fn index(&mut self) -> Option<u32> {
        u32::try_from(self.count()?).ok()
    }

    pub(super) fn text(&mut self) -> Option<&'a str> {
        let length = self.len()?;
        let (text, rest) = self.0.split_at(length);
        self.0 = rest;
        std::str::from_utf8(text).ok()
    }

    pub(super) fn texts(&mut self) -> Option<Vec<&'a str>> {
        let count = self.len()?;
        // The count is bounded by the bytes that are left, and known: no text is moved while the list grows.
        let mut texts = Vec::with_capacity(count);
        for _ in 0..count {
            texts.push(self.text()?);
        }
        Some(texts)
    }

    pub(super) fn signed(&mut self) -> Option<i64> {
        let value = self.count()?;
        Some((value >> 1) as i64 ^ -((value & 1) as i64))
    }
}
