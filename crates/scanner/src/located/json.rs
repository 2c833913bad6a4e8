//! JSON by RFC 8259, strictly, with lines. Agreement with `serde_json` on what is JSON is tested.

use std::borrow::Cow;

use super::{Entry, MAX_DEPTH, MAX_VALUES, Node, SyntaxError, Value};

/// Reads one JSON document. A byte order mark before it is skipped, as npm and .NET skip it.
///
/// # Errors
/// At the first character that is not JSON, and past [`MAX_DEPTH`] or [`MAX_VALUES`].
pub fn parse(text: &str) -> Result<Node<'_>, SyntaxError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = Reader {
        text,
        bytes: text.as_bytes(),
        at: 0,
        line: 1,
        line_start: 0,
        values: 0,
    };
    reader.skip_space();
    let node = reader.value(0)?;
    reader.skip_space();
    if reader.at < reader.bytes.len() {
        return Err(reader.error("expected the end of the document"));
    }
    Ok(node)
}

struct Reader<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    line: u32,
    line_start: usize,
    values: usize,
}

impl<'a> Reader<'a> {
    fn error(&self, message: &str) -> SyntaxError {
        let found = match self
            .text
            .get(self.at..)
            .and_then(|rest| rest.chars().next())
        {
            Some(character) => format!("{message}, found {character:?}"),
            None => format!("{message}, found the end of the file"),
        };
        let column = self
            .text
            .get(self.line_start..self.at)
            .map_or(0, |line| line.chars().count());
        SyntaxError {
            line: self.line,
            column: u32::try_from(column).unwrap_or(u32::MAX - 1) + 1,
            message: found,
        }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while let Some(byte) = self.peek() {
            match byte {
                b' ' | b'\t' | b'\r' => self.at += 1,
                b'\n' => {
                    self.at += 1;
                    self.line += 1;
                    self.line_start = self.at;
                }
                _ => return,
            }
        }
    }

    fn value(&mut self, depth: usize) -> Result<Node<'a>, SyntaxError> {
        if depth > MAX_DEPTH {
            return Err(self.error("the document nests too deeply"));
        }
        self.values += 1;
        if self.values > MAX_VALUES {
            return Err(self.error("the document holds too many values"));
        }
        let line = self.line;
        let value = match self.peek() {
            Some(b'{') => self.map(depth)?,
            Some(b'[') => self.list(depth)?,
            Some(b'"') => Value::Text(self.string()?),
            Some(b't') => self.word("true", Value::Bool(true))?,
            Some(b'f') => self.word("false", Value::Bool(false))?,
            Some(b'n') => self.word("null", Value::Null)?,
            Some(b'-' | b'0'..=b'9') => Value::Text(Cow::Borrowed(self.number()?)),
            _ => return Err(self.error("expected a JSON value")),
        };
        Ok(Node { line, value })
    }

    fn word(&mut self, word: &str, value: Value<'a>) -> Result<Value<'a>, SyntaxError> {
        if self.bytes[self.at..].starts_with(word.as_bytes()) {
            self.at += word.len();
            return Ok(value);
        }
        Err(self.error(&format!("expected {word}")))
    }

    fn map(&mut self, depth: usize) -> Result<Value<'a>, SyntaxError> {
        self.at += 1;
        let mut entries = Vec::new();
        self.skip_space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Value::Map(entries));
        }
        loop {
            if self.peek() != Some(b'"') {
                return Err(self.error("expected a key in double quotes"));
            }
            let line = self.line;
            let key = self.string()?;
            self.skip_space();
            if self.peek() != Some(b':') {
                return Err(self.error("expected ':' after the key"));
            }
            self.at += 1;
            self.skip_space();
            let node = self.value(depth + 1)?;
            entries.push(Entry { key, line, node });
            self.skip_space();
            match self.peek() {
                Some(b',') => {
                    self.at += 1;
                    self.skip_space();
                }
                Some(b'}') => {
                    self.at += 1;
                    return Ok(Value::Map(entries));
                }
                _ => return Err(self.error("expected ',' or '}'")),
            }
        }
    }

    fn list(&mut self, depth: usize) -> Result<Value<'a>, SyntaxError> {
        self.at += 1;
        let mut items = Vec::new();
        self.skip_space();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Value::List(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            self.skip_space();
            match self.peek() {
                Some(b',') => {
                    self.at += 1;
                    self.skip_space();
                }
                Some(b']') => {
                    self.at += 1;
                    return Ok(Value::List(items));
                }
                _ => return Err(self.error("expected ',' or ']'")),
            }
        }
    }

    fn number(&mut self) -> Result<&'a str, SyntaxError> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.digits(),
            _ => return Err(self.error("expected a digit")),
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.some_digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.some_digits()?;
        }
        Ok(&self.text[start..self.at])
    }

    fn some_digits(&mut self) -> Result<(), SyntaxError> {
        if !matches!(self.peek(), Some(b'0'..=b'9')) {
            return Err(self.error("expected a digit"));
        }
        self.digits();
        Ok(())
    }

    fn digits(&mut self) {
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
    }

    fn string(&mut self) -> Result<Cow<'a, str>, SyntaxError> {
        self.at += 1;
        let start = self.at;
        let rest = &self.bytes[start..];
        // Most strings hold no escape: they are borrowed from the document.
        let Some(end) = memchr::memchr2(b'"', b'\\', rest) else {
            return Err(self.error("this text has no closing quote"));
        };
        self.check_controls(start, start + end)?;
        if rest[end] == b'"' {
            self.at = start + end + 1;
            return Ok(Cow::Borrowed(&self.text[start..start + end]));
        }
        let mut out = String::from(&self.text[start..start + end]);
        self.at = start + end;
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(Cow::Owned(out));
                }
                Some(b'\\') => {
                    self.at += 1;
                    self.escape(&mut out)?;
                }
                Some(_) => {
                    let from = self.at;
                    let Some(run) = memchr::memchr2(b'"', b'\\', &self.bytes[from..]) else {
                        return Err(self.error("this text has no closing quote"));
                    };
                    self.check_controls(from, from + run)?;
                    out.push_str(&self.text[from..from + run]);
                    self.at = from + run;
                }
                None => return Err(self.error("this text has no closing quote")),
            }
        }
    }

    fn check_controls(&mut self, from: usize, to: usize) -> Result<(), SyntaxError> {
        if let Some(position) = self.bytes[from..to].iter().position(|byte| *byte < 0x20) {
            self.at = from + position;
            return Err(self.error("a control character must be escaped in text"));
        }
        Ok(())
    }

    fn escape(&mut self, out: &mut String) -> Result<(), SyntaxError> {
        let simple = match self.peek() {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                self.at += 1;
                let first = self.hex()?;
                let code = if (0xd800..0xdc00).contains(&first) {
                    if !self.bytes[self.at..].starts_with(b"\\u") {
                        return Err(self.error("expected the second half of a surrogate pair"));
                    }
                    self.at += 2;
                    let second = self.hex()?;
                    if !(0xdc00..0xe000).contains(&second) {
                        return Err(self.error("expected the second half of a surrogate pair"));
                    }
                    0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00)
                } else {
                    first
                };
                let Some(character) = char::from_u32(code) else {
                    return Err(self.error("this escape is half of a surrogate pair"));
                };
                out.push(character);
                return Ok(());
            }
            _ => return Err(self.error("expected an escape")),
        };
        self.at += 1;
        out.push(simple);
        Ok(())
    }

    fn hex(&mut self) -> Result<u32, SyntaxError> {
        let digits = self
            .bytes
            .get(self.at..self.at + 4)
            .filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let Some(digits) = digits else {
            return Err(self.error("expected four hexadecimal digits"));
        };
        let value = digits.iter().fold(0, |sum, digit| {
            sum * 16
                + char::from(*digit)
                    .to_digit(16)
                    .expect("the digits were checked just before")
        });
        self.at += 4;
        Ok(value)
    }
}
