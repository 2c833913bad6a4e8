//! The wire format of protobuf, as far as Prometheus' messages need it: reading fields, and writing them.
//!
//! Messages are few and small in number here, so that hand-written readers cost less than generated code.
//! **Invariant:** reading never panics and never takes more memory than the message has bytes.

/// Why bytes are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The message ends within a field.
    #[error("the message ends within a field")]
    Truncated,
    /// A number has more than 64 bits.
    #[error("a number is too long")]
    LongNumber,
    /// A field has a type that is no longer used, or another than its number promises.
    #[error("field {0} has an unexpected type")]
    Type(u32),
    /// A text is not UTF-8.
    #[error("field {0} is not UTF-8")]
    Text(u32),
}

/// A field's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// A varint: integers, booleans and enums.
    Number(u64),
    /// Eight bytes: a double.
    Fixed(u64),
    /// Four bytes.
    Fixed32(u32),
    /// A text, message or packed list.
    Bytes(&'a [u8]),
}

/// A field with its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// The number in the message's description.
    pub number: u32,
    /// Its value.
    pub value: Value<'a>,
}

impl<'a> Field<'a> {
    /// As an integer.
    ///
    /// # Errors
    /// It is something else.
    pub fn integer(self) -> Result<u64, WireError> {
        match self.value {
            Value::Number(number) => Ok(number),
            _ => Err(WireError::Type(self.number)),
        }
    }

    /// As a double.
    ///
    /// # Errors
    /// It is something else.
    pub fn double(self) -> Result<f64, WireError> {
        match self.value {
            Value::Fixed(bits) => Ok(f64::from_bits(bits)),
            _ => Err(WireError::Type(self.number)),
        }
    }

    /// As bytes: a message within this one, or a packed list.
    ///
    /// # Errors
    /// It is something else.
    pub fn bytes(self) -> Result<&'a [u8], WireError> {
        match self.value {
            Value::Bytes(bytes) => Ok(bytes),
            _ => Err(WireError::Type(self.number)),
        }
    }

    /// As a text.
    ///
    /// # Errors
    /// It is something else, or not UTF-8.
    pub fn text(self) -> Result<&'a str, WireError> {
        std::str::from_utf8(self.bytes()?).map_err(|_| WireError::Text(self.number))
    }
}

/// Walks over the fields of a message.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'a> {
    rest: &'a [u8],
}

/// The fields of a message.
#[must_use]
pub fn fields(message: &[u8]) -> Fields<'_> {
    Fields { rest: message }
}

impl<'a> Fields<'a> {
    /// The next field, or `None` at the end.
    ///
    /// # Errors
    /// The bytes are no message.
    #[expect(
        clippy::should_implement_trait,
        reason = "an iterator of results would be read on after its first error"
    )]
    pub fn next(&mut self) -> Result<Option<Field<'a>>, WireError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let key = number(&mut self.rest)?;
        let field = (key >> 3) as u32;
        let value = match key & 7 {
            0 => Value::Number(number(&mut self.rest)?),
            1 => {
                let (bytes, rest) = self.rest.split_first_chunk().ok_or(WireError::Truncated)?;
                self.rest = rest;
                Value::Fixed(u64::from_le_bytes(*bytes))
            }
            2 => {
                let length = number(&mut self.rest)?;
                Value::Bytes(take(&mut self.rest, length)?)
            }
            5 => {
                let (bytes, rest) = self.rest.split_first_chunk().ok_or(WireError::Truncated)?;
                self.rest = rest;
                Value::Fixed32(u32::from_le_bytes(*bytes))
            }
            _ => return Err(WireError::Type(field)),
        };
        Ok(Some(Field {
            number: field,
            value,
        }))
    }
}

/// Reads a varint at the start of `rest` and moves behind it.
///
/// # Errors
/// There is none, or it is too long.
pub fn number(rest: &mut &[u8]) -> Result<u64, WireError> {
    let mut value = 0u64;
    for (at, byte) in rest.iter().enumerate().take(10) {
        value |= u64::from(byte & 0x7f) << (7 * at);
        if *byte < 0x80 {
            *rest = &rest[at + 1..];
            return Ok(value);
        }
    }
    Err(if rest.len() < 10 {
        WireError::Truncated
    } else {
        WireError::LongNumber
    })
}

/// Takes `length` bytes from the start of `rest`.
///
/// # Errors
/// There are not so many.
pub fn take<'a>(rest: &mut &'a [u8], length: u64) -> Result<&'a [u8], WireError> {
    let length = usize::try_from(length).map_err(|_| WireError::Truncated)?;
    let (taken, after) = rest.split_at_checked(length).ok_or(WireError::Truncated)?;
    *rest = after;
    Ok(taken)
}

/// Appends a varint.
pub fn put_number(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends an integer field; zero is the default and is left out.
pub fn put_integer(out: &mut Vec<u8>, field: u32, value: u64) {
    if value != 0 {
        put_number(out, u64::from(field) << 3);
        put_number(out, value);
    }
}

/// Appends a double field, zero too: in a list of messages it is a value.
pub fn put_double(out: &mut Vec<u8>, field: u32, value: f64) {
    put_number(out, u64::from(field) << 3 | 1);
    out.extend_from_slice(&value.to_bits().to_le_bytes());
}

/// Appends a text, message or packed list; nothing of it is left out.
pub fn put_bytes(out: &mut Vec<u8>, field: u32, bytes: &[u8]) {
    put_number(out, u64::from(field) << 3 | 2);
    put_number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}
