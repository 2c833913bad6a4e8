//! From text to tokens. Interpolated texts hold the tokens of their expressions, so that the parser never lexes.

use super::error::{Span, SyntaxError};

/// A token with its place.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token {
    pub(super) kind: TokenKind,
    pub(super) span: Span,
    /// Whether a line end stands before it: statements end there.
    pub(super) newline_before: bool,
    /// Whether white space stands before it: `a [1]` and `a[1]` differ.
    pub(super) space_before: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum TokenKind {
    Word(String),
    Int(i64),
    Decimal(f64),
    Text(String),
    Interpolated(Vec<Piece>),
    Symbol(&'static str),
    End,
}

/// A piece of an interpolated text.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Piece {
    Text(String),
    /// The expression's tokens, ended by [`TokenKind::End`].
    Tokens(Vec<Token>),
}

/// Longest first, so that the first match is the right one.
const SYMBOLS: [&str; 60] = [
    "<=>", "==~", "...", "..<", "**=", "<<=", ">>=", "*.@", "===", "!==", "?.", "*.", ".&", "?:",
    "->", "=~", "==", "!=", "<=", ">=", "&&", "||", "++", "--", "+=", "-=", "*=", "/=", "%=", "**",
    "<<", ">>", "..", "?[", "!in", "{", "}", "(", ")", "[", "]", ",", ";", ":", "?", ".", "=", "<",
    ">", "+", "-", "*", "/", "%", "!", "&", "|", "^", "~", "@",
];

/// Braces and interpolations nested deeper than this are refused, so that no text can exhaust the stack.
const MAX_DEPTH: usize = 100;

/// All tokens of `text`, ended by [`TokenKind::End`].
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, SyntaxError> {
    let mut lexer = Lexer {
        text,
        at: 0,
        depth: 0,
    };
    if text.starts_with("#!") {
        lexer.at = text.find('\n').unwrap_or(text.len());
    } else if text.starts_with('\u{feff}') {
        lexer.at = '\u{feff}'.len_utf8();
    }
    lexer.until(None)
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

impl Lexer<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn bump(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    /// Tokens up to the end of the text, or up to the `}` that closes the interpolation opened at the place given.
    fn until(&mut self, opened: Option<Span>) -> Result<Vec<Token>, SyntaxError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(SyntaxError::new(
                Span::new(self.at, self.at),
                "strings are nested too deeply",
            ));
        }
        let mut tokens: Vec<Token> = Vec::new();
        let mut braces = 0_usize;
        loop {
            let (newline_before, space_before) = self.skip_space()?;
            let start = self.at;
            let kind = match self.peek() {
                None if opened.is_some() => {
                    let span = opened.unwrap_or_default();
                    return Err(SyntaxError::new(span, "`${` is never closed: expected `}`"));
                }
                None => TokenKind::End,
                Some('}') if opened.is_some() && braces == 0 => {
                    self.at += 1;
                    TokenKind::End
                }
                Some(c) => self.token(c, tokens.last(), space_before)?,
            };
            match kind {
                TokenKind::Symbol("{") => braces += 1,
                TokenKind::Symbol("}") => braces = braces.saturating_sub(1),
                _ => {}
            }
            let end = kind == TokenKind::End;
            tokens.push(Token {
                kind,
                span: Span::new(start, self.at),
                newline_before,
                space_before,
            });
            if end {
                self.depth -= 1;
                return Ok(tokens);
            }
        }
    }

    /// Skips white space and comments; tells whether a line ended and whether there was any.
    fn skip_space(&mut self) -> Result<(bool, bool), SyntaxError> {
        let start = self.at;
        let mut newline = false;
        loop {
            let rest = self.rest();
            if rest.starts_with("//") {
                self.at += rest.find('\n').unwrap_or(rest.len());
            } else if rest.starts_with("/*") {
                let Some(length) = rest.find("*/") else {
                    let span = Span::new(self.at, self.at + 2);
                    return Err(SyntaxError::new(
                        span,
                        "the comment is never closed: expected `*/`",
                    ));
                };
                newline |= rest[..length].contains('\n');
                self.at += length + 2;
            } else if rest.starts_with("\\\n") {
                self.at += 2;
            } else if rest.starts_with("\\\r\n") {
                self.at += 3;
            } else {
                match self.peek() {
                    Some('\n') => newline = true,
                    Some(c) if c.is_whitespace() => {}
                    _ => break,
                }
                self.bump();
            }
        }
        Ok((newline, self.at > start))
    }

    fn token(
        &mut self,
        first: char,
        before: Option<&Token>,
        space: bool,
    ) -> Result<TokenKind, SyntaxError> {
        if first.is_alphabetic() || first == '_' || first == '$' {
            return Ok(TokenKind::Word(self.word()));
        }
        if first.is_ascii_digit() {
            return self.number();
        }
        let rest = self.rest();
        if rest.starts_with("'''") || rest.starts_with("\"\"\"") {
            let quote = if first == '\'' { "'''" } else { "\"\"\"" };
            return self.quoted(quote);
        }
        if first == '\'' || first == '"' {
            return self.quoted(&first.to_string());
        }
        if first == '/' && self.slash_begins_text(before, space) {
            return self.quoted("/");
        }
        if let Some(after) = rest.strip_prefix("!in") {
            // `!in` is one operator, but `!index` is a negated name.
            if after.starts_with(|c: char| c.is_alphanumeric() || c == '_') {
                self.at += 1;
                return Ok(TokenKind::Symbol("!"));
            }
        }
        for symbol in SYMBOLS {
            if rest.starts_with(symbol) {
                self.at += symbol.len();
                return Ok(TokenKind::Symbol(symbol));
            }
        }
        let span = Span::new(self.at, self.at + first.len_utf8());
        Err(SyntaxError::new(
            span,
            format!("found the character `{first}`, which begins nothing in Groovy"),
        ))
    }

    fn word(&mut self) -> String {
        let rest = self.rest();
        let length = rest
            .find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$'))
            .unwrap_or(rest.len());
        let word = rest[..length].to_owned();
        self.at += length;
        word
    }

    fn number(&mut self) -> Result<TokenKind, SyntaxError> {
        let start = self.at;
        let rest = self.rest();
        if rest.starts_with("0x") || rest.starts_with("0X") {
            let length = rest[2..]
                .find(|c: char| !c.is_ascii_hexdigit())
                .unwrap_or(rest.len() - 2);
            let digits = rest[2..2 + length].to_owned();
            self.at += 2 + length;
            let span = Span::new(start, self.at);
            return i64::from_str_radix(&digits, 16)
                .map(TokenKind::Int)
                .map_err(|_| SyntaxError::new(span, "the number does not fit 64 bits"));
        }
        let bytes = rest.as_bytes();
        let digits = |mut at: usize| {
            while bytes
                .get(at)
                .is_some_and(|b| b.is_ascii_digit() || *b == b'_')
            {
                at += 1;
            }
            at
        };
        let mut length = digits(0);
        let mut decimal = false;
        if bytes.get(length) == Some(&b'.') && bytes.get(length + 1).is_some_and(u8::is_ascii_digit)
        {
            decimal = true;
            length = digits(length + 1);
        }
        let number = rest[..length].replace('_', "");
        self.at += length;
        let span = Span::new(start, self.at);
        // Type suffixes change nothing that a pipeline can tell.
        if self.peek().is_some_and(|c| "lLgGiIdDfF".contains(c)) {
            decimal |= self.peek().is_some_and(|c| "dDfF".contains(c));
            self.bump();
        }
        if decimal {
            let value = number
                .parse()
                .map_err(|_| SyntaxError::new(span, "the number cannot be read"))?;
            return Ok(TokenKind::Decimal(value));
        }
        number
            .parse()
            .map(TokenKind::Int)
            .map_err(|_| SyntaxError::new(span, "the number does not fit 64 bits"))
    }

    /// Whether a `/` begins a slashy text: it does where no operand stands before it, and in `sh /…/`, a word, a space, no
    /// space behind, and another slash on the line.
    fn slash_begins_text(&self, before: Option<&Token>, space: bool) -> bool {
        let rest = &self.rest()[1..];
        let line = rest.split('\n').next().unwrap_or_default();
        match before.map(|token| &token.kind) {
            None => true,
            Some(TokenKind::Word(word)) => {
                matches!(word.as_str(), "return" | "in" | "case" | "assert" | "throw")
                    || (space && !rest.starts_with([' ', '=']) && line.contains('/'))
            }
            Some(
                TokenKind::Int(_)
                | TokenKind::Decimal(_)
                | TokenKind::Text(_)
                | TokenKind::Interpolated(_),
            ) => false,
            Some(TokenKind::Symbol(symbol)) => !matches!(*symbol, ")" | "]" | "}" | "++" | "--"),
            Some(TokenKind::End) => true,
        }
    }

    fn quoted(&mut self, quote: &str) -> Result<TokenKind, SyntaxError> {
        let start = self.at;
        self.at += quote.len();
        let interpolates = quote != "'" && quote != "'''";
        let slashy = quote == "/";
        let mut pieces = Vec::new();
        let mut text = String::new();
        loop {
            if self.rest().starts_with(quote) {
                self.at += quote.len();
                break;
            }
            let place = self.at;
            let Some(c) = self.bump() else {
                return Err(unclosed(start, quote));
            };
            match c {
                '\n' if quote.len() == 1 && !slashy => return Err(unclosed(start, quote)),
                '\r' if self.peek() == Some('\n') => {}
                '\\' if slashy => match self.peek() {
                    Some('/') => {
                        self.bump();
                        text.push('/');
                    }
                    _ => text.push('\\'),
                },
                '\\' => self.escape(place, &mut text)?,
                '$' if interpolates => {
                    if let Some(tokens) = self.interpolation(place)? {
                        if !text.is_empty() {
                            pieces.push(Piece::Text(std::mem::take(&mut text)));
                        }
                        pieces.push(Piece::Tokens(tokens));
                    } else {
                        text.push('$');
                    }
                }
                c => text.push(c),
            }
        }
        if pieces.is_empty() {
            return Ok(TokenKind::Text(text));
        }
        if !text.is_empty() {
            pieces.push(Piece::Text(text));
        }
        Ok(TokenKind::Interpolated(pieces))
    }

    fn escape(&mut self, place: usize, text: &mut String) -> Result<(), SyntaxError> {
        match self.bump() {
            Some('n') => text.push('\n'),
            Some('t') => text.push('\t'),
            Some('r') => text.push('\r'),
            Some('b') => text.push('\u{8}'),
            Some('f') => text.push('\u{c}'),
            Some('0') => text.push('\0'),
            Some(c @ ('\\' | '\'' | '"' | '$' | '/')) => text.push(c),
            Some('\n') => {}
            Some('\r') if self.peek() == Some('\n') => {
                self.bump();
            }
            Some('u') => {
                let code = self
                    .rest()
                    .get(..4)
                    .and_then(|digits| u32::from_str_radix(digits, 16).ok());
                let Some(c) = code.and_then(char::from_u32) else {
                    let span = Span::new(place, self.at);
                    return Err(SyntaxError::new(
                        span,
                        "`\\u` must be followed by four hexadecimal digits",
                    ));
                };
                self.at += 4;
                text.push(c);
            }
            other => {
                let span = Span::new(place, self.at);
                let found = other.map_or_else(|| "the end".to_owned(), |c| format!("`\\{c}`"));
                return Err(SyntaxError::new(
                    span,
                    format!("found {found}, which is no escape in a Groovy string"),
                )
                .hint("Double the backslash (`\\\\`), or use a slashy string: /…/."));
            }
        }
        Ok(())
    }

    /// The tokens behind a `$`: `${…}`, or a name with properties; nothing where the `$` stands for itself.
    fn interpolation(&mut self, place: usize) -> Result<Option<Vec<Token>>, SyntaxError> {
        if self.peek() == Some('{') {
            self.at += 1;
            return self.until(Some(Span::new(place, self.at))).map(Some);
        }
        if !self.peek().is_some_and(|c| c.is_alphabetic() || c == '_') {
            return Ok(None);
        }
        let mut tokens = Vec::new();
        let mut push = |kind, start, end| {
            let span = Span::new(start, end);
            tokens.push(Token {
                kind,
                span,
                newline_before: false,
                space_before: false,
            });
        };
        loop {
            let start = self.at;
            let rest = self.rest();
            // A `$` ends the name here: `$a$b` are two.
            let length = rest
                .find(|c: char| !(c.is_alphanumeric() || c == '_'))
                .unwrap_or(rest.len());
            push(
                TokenKind::Word(rest[..length].to_owned()),
                start,
                start + length,
            );
            self.at += length;
            let mut next = self.rest().chars();
            if next.next() != Some('.')
                || !next.next().is_some_and(|c| c.is_alphabetic() || c == '_')
            {
                break;
            }
            push(TokenKind::Symbol("."), self.at, self.at + 1);
            self.at += 1;
        }
        push(TokenKind::End, self.at, self.at);
        Ok(Some(tokens))
    }
}

fn unclosed(start: usize, quote: &str) -> SyntaxError {
    let error = SyntaxError::new(
        Span::new(start, start + quote.len()),
        format!("the string is never closed: expected `{quote}`"),
    );
    match quote {
        "'" | "\"" => error.hint(
            "A string over several lines stands in triple quotes: \"\"\" … \"\"\" or ''' … '''.",
        ),
        _ => error,
    }
}
