//! Templates of labels and annotations: the part of Go's `text/template` that rule files use, with Prometheus' functions.
//!
//! Supported are texts, `{{ pipelines }}` with trimming (`{{-`, `-}}`) and comments, variables, `if`, `else if`, `with`,
//! `range`, `define` and `template`, fields, parentheses, and the functions listed in [`functions`]. A template is parsed
//! once; running it is bounded in steps and output, whatever it says.

use std::collections::BTreeMap;
use std::rc::Rc;

mod functions;
mod number;
mod run;
#[cfg(test)]
mod tests;

pub use run::{Environment, Sample};

/// What is wrong with a template, or with running it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TemplateError(pub(super) String);

fn fail<T>(message: impl Into<String>) -> Result<T, TemplateError> {
    Err(TemplateError(message.into()))
}

/// A parsed template.
#[derive(Clone, Debug)]
pub struct Template {
    body: Vec<Part>,
    defined: BTreeMap<String, Vec<Part>>,
}

#[derive(Clone, Debug)]
enum Part {
    Text(String),
    Print(Pipeline),
    If {
        branches: Vec<(Pipeline, Vec<Part>)>,
        otherwise: Vec<Part>,
    },
    With {
        pipeline: Pipeline,
        body: Vec<Part>,
        otherwise: Vec<Part>,
    },
    Range {
        pipeline: Pipeline,
        body: Vec<Part>,
        otherwise: Vec<Part>,
    },
    Call {
        name: String,
        argument: Option<Pipeline>,
    },
    Break,
    Continue,
}

#[derive(Clone, Debug)]
struct Pipeline {
    /// Variables that get the result: one, or for `range` up to two.
    variables: Vec<String>,
    declares: bool,
    commands: Vec<Vec<Operand>>,
}

#[derive(Clone, Debug)]
enum Operand {
    Dot(Vec<String>),
    Variable(String, Vec<String>),
    Text(String),
    Integer(i64),
    Number(f64),
    Boolean(bool),
    Nil,
    Function(String),
    Nested(Box<Pipeline>, Vec<String>),
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    /// `.`, `.a.b`
    Fields(Vec<String>),
    /// `$`, `$a`
    Variable(String),
    Word(String),
    Text(String),
    Integer(i64),
    Number(f64),
    Declare,
    Assign,
    Pipe,
    Comma,
    Open,
    Close,
}

/// A piece of the source: text, or the inside of an action.
enum Piece<'a> {
    Text(&'a str),
    Action(&'a str),
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// It is not valid, or calls a function that does not exist.
    pub fn parse(source: &str) -> Result<Self, TemplateError> {
        let mut parser = TemplateParser {
            pieces: split(source)?,
            at: 0,
            defined: BTreeMap::new(),
            depth: 0,
        };
        let (body, end) = parser.parts()?;
        match end {
            Stop::Source => Ok(Self {
                body,
                defined: parser.defined,
            }),
            Stop::End => fail("unexpected {{end}}"),
            Stop::Else(_) => fail("unexpected {{else}}"),
        }
    }
}

fn split(source: &str) -> Result<Vec<Piece<'_>>, TemplateError> {
    let mut pieces = Vec::new();
    let mut rest = source;
    let mut trim = false;
    loop {
        let Some(open) = rest.find("{{") else {
            pieces.push(Piece::Text(if trim { rest.trim_start() } else { rest }));
            return Ok(pieces);
        };
        let mut text = &rest[..open];
        if trim {
            text = text.trim_start();
        }
        let mut action = &rest[open + 2..];
        if let Some(after) = action.strip_prefix('-')
            && after.starts_with(char::is_whitespace)
        {
            text = text.trim_end();
            action = after;
        }
        pieces.push(Piece::Text(text));
        let close = end_of_action(action)?;
        rest = &action[close + 2..];
        let mut inside = &action[..close];
        trim = false;
        if let Some(before) = inside.strip_suffix('-')
            && before.ends_with(char::is_whitespace)
        {
            trim = true;
            inside = before;
        }
        let inside = inside.trim();
        if let Some(comment) = inside.strip_prefix("/*") {
            if !comment.ends_with("*/") {
                return fail("unclosed comment");
            }
            continue;
        }
        pieces.push(Piece::Action(inside));
    }
}

/// Where `}}` is, texts in quotes left out.
fn end_of_action(action: &str) -> Result<usize, TemplateError> {
    let mut quote = None;
    let mut escaped = false;
    let bytes = action.as_bytes();
    if action.trim_start().starts_with("/*") {
        return action
            .find("}}")
            .map_or_else(|| fail("unclosed comment"), Ok);
    }
    for (at, &byte) in bytes.iter().enumerate() {
        match quote {
            Some(_) if escaped => escaped = false,
            Some(open) if byte == b'\\' && open != b'`' => escaped = true,
            Some(open) if byte == open => quote = None,
            Some(_) => {}
            None if matches!(byte, b'"' | b'`' | b'\'') => quote = Some(byte),
            None if byte == b'}' && bytes.get(at + 1) == Some(&b'}') => return Ok(at),
            None => {}
        }
    }
    fail("unclosed action")
}

enum Stop {
    Source,
    End,
    /// `else`, `else if x`, `else with x`: what follows the word.
    Else(String),
}

struct TemplateParser<'a> {
    pieces: Vec<Piece<'a>>,
    at: usize,
    defined: BTreeMap<String, Vec<Part>>,
    depth: usize,
}

impl TemplateParser<'_> {
    fn parts(&mut self) -> Result<(Vec<Part>, Stop), TemplateError> {
        self.depth += 1;
        if self.depth > 50 {
            return fail("nested more than 50 deep");
        }
        let mut parts = Vec::new();
        while let Some(piece) = self.pieces.get(self.at) {
            self.at += 1;
            let action = match piece {
                Piece::Text("") => continue,
                Piece::Text(text) => {
                    parts.push(Part::Text((*text).to_owned()));
                    continue;
                }
                Piece::Action(action) => *action,
            };
            let (word, rest) = action
                .split_once(char::is_whitespace)
                .unwrap_or((action, ""));
            let rest = rest.trim();
            match word {
                "end" => {
                    self.depth -= 1;
                    return Ok((parts, Stop::End));
                }
                "else" => {
                    self.depth -= 1;
                    return Ok((parts, Stop::Else(rest.to_owned())));
                }
                "if" => parts.push(self.condition(rest)?),
                "with" | "range" => parts.push(self.block(word, rest)?),
                "define" => self.define(rest)?,
                "template" => parts.push(call(rest)?),
                "break" if rest.is_empty() => parts.push(Part::Break),
                "continue" if rest.is_empty() => parts.push(Part::Continue),
                _ => parts.push(Part::Print(pipeline(action)?)),
            }
        }
        self.depth -= 1;
        Ok((parts, Stop::Source))
    }

    fn condition(&mut self, first: &str) -> Result<Part, TemplateError> {
        let mut branches = Vec::new();
        let mut condition = pipeline(first)?;
        loop {
            let (body, end) = self.parts()?;
            branches.push((condition, body));
            match end {
                Stop::End => {
                    return Ok(Part::If {
                        branches,
                        otherwise: Vec::new(),
                    });
                }
                Stop::Else(rest) if rest.is_empty() => {
                    return Ok(Part::If {
                        branches,
                        otherwise: self.last_body()?,
                    });
                }
                Stop::Else(rest) => match rest.strip_prefix("if ") {
                    Some(next) => condition = pipeline(next)?,
                    None => return fail(format!("unexpected {rest:?} after else")),
                },
                Stop::Source => return fail("unexpected end of the template in {{if}}"),
            }
        }
    }

    fn last_body(&mut self) -> Result<Vec<Part>, TemplateError> {
        match self.parts()? {
            (body, Stop::End) => Ok(body),
            _ => fail("expected {{end}}"),
        }
    }

    fn block(&mut self, word: &str, rest: &str) -> Result<Part, TemplateError> {
        let pipeline = pipeline(rest)?;
        let (body, end) = self.parts()?;
        let otherwise = match end {
            Stop::End => Vec::new(),
            Stop::Else(rest) if rest.is_empty() => self.last_body()?,
            _ => return fail(format!("expected {{{{end}}}} of {{{{{word}}}}}")),
        };
        Ok(if word == "with" {
            Part::With {
                pipeline,
                body,
                otherwise,
            }
        } else {
            Part::Range {
                pipeline,
                body,
                otherwise,
            }
        })
    }

    fn define(&mut self, rest: &str) -> Result<(), TemplateError> {
        let [Token::Text(name)] = &tokens(rest)?[..] else {
            return fail("define needs a name in quotes");
        };
        let body = self.last_body()?;
        self.defined.insert(name.clone(), body);
        Ok(())
    }
}

fn call(rest: &str) -> Result<Part, TemplateError> {
    let mut tokens = tokens(rest)?;
    if tokens.is_empty() {
        return fail("template needs a name in quotes");
    }
    let Token::Text(name) = tokens.remove(0) else {
        return fail("template needs a name in quotes");
    };
    let argument = if tokens.is_empty() {
        None
    } else {
        Some(pipeline_of(tokens)?)
    };
    Ok(Part::Call { name, argument })
}

fn pipeline(text: &str) -> Result<Pipeline, TemplateError> {
    pipeline_of(tokens(text)?)
}

fn pipeline_of(tokens: Vec<Token>) -> Result<Pipeline, TemplateError> {
    let mut rest: &[Token] = &tokens;
    let pipeline = take_pipeline(&mut rest, 0)?;
    if rest.is_empty() {
        Ok(pipeline)
    } else {
        fail("unexpected \")\"")
    }
}

fn take_pipeline(rest: &mut &[Token], depth: usize) -> Result<Pipeline, TemplateError> {
    if depth > 50 {
        return fail("nested more than 50 deep");
    }
    let mut pipeline = Pipeline {
        variables: Vec::new(),
        declares: false,
        commands: Vec::new(),
    };
    match *rest {
        [
            Token::Variable(name),
            Token::Declare | Token::Assign,
            after @ ..,
        ] => {
            pipeline.declares = rest[1] == Token::Declare;
            pipeline.variables = vec![name.clone()];
            *rest = after;
        }
        [
            Token::Variable(key),
            Token::Comma,
            Token::Variable(value),
            Token::Declare | Token::Assign,
            after @ ..,
        ] => {
            pipeline.declares = rest[3] == Token::Declare;
            pipeline.variables = vec![key.clone(), value.clone()];
            *rest = after;
        }
        _ => {}
    }
    loop {
        let mut command = Vec::new();
        while let Some((first, after)) = rest.split_first() {
            if matches!(first, Token::Pipe | Token::Close) {
                break;
            }
            *rest = after;
            command.push(operand(first, rest, depth)?);
        }
        if command.is_empty() {
            return fail("missing value for command");
        }
        pipeline.commands.push(command);
        match rest.first() {
            Some(Token::Pipe) => *rest = &rest[1..],
            _ => return Ok(pipeline),
        }
    }
}

fn operand(first: &Token, rest: &mut &[Token], depth: usize) -> Result<Operand, TemplateError> {
    Ok(match first {
        Token::Fields(fields) => Operand::Dot(fields.clone()),
        Token::Variable(name) => {
            // `$a.b.c` comes as one name.
            let mut parts = name.split('.').map(str::to_owned);
            let variable = parts.next().unwrap_or_default();
            Operand::Variable(variable, parts.collect())
        }
        Token::Text(text) => Operand::Text(text.clone()),
        Token::Integer(integer) => Operand::Integer(*integer),
        Token::Number(number) => Operand::Number(*number),
        Token::Word(word) => match word.as_str() {
            "true" => Operand::Boolean(true),
            "false" => Operand::Boolean(false),
            "nil" => Operand::Nil,
            name if functions::exists(name) => Operand::Function(name.to_owned()),
            name => return fail(format!("function {name:?} not defined")),
        },
        Token::Open => {
            let inner = take_pipeline(rest, depth + 1)?;
            let Some((Token::Close, after)) = rest.split_first() else {
                return fail("unclosed \"(\"");
            };
            *rest = after;
            let mut fields = Vec::new();
            if let Some((Token::Fields(names), after)) = rest.split_first()
                && !names.is_empty()
            {
                fields = names.clone();
                *rest = after;
            }
            Operand::Nested(Box::new(inner), fields)
        }
        other => return fail(format!("unexpected {other:?}")),
    })
}

fn tokens(text: &str) -> Result<Vec<Token>, TemplateError> {
    let mut out = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let (token, after) = match first {
            '|' => (Token::Pipe, &rest[1..]),
            ',' => (Token::Comma, &rest[1..]),
            '(' => (Token::Open, &rest[1..]),
            ')' => (Token::Close, &rest[1..]),
            ':' if rest.starts_with(":=") => (Token::Declare, &rest[2..]),
            '=' => (Token::Assign, &rest[1..]),
            '"' => quoted_text(rest)?,
            '`' => match rest[1..].find('`') {
                Some(end) => (Token::Text(rest[1..=end].to_owned()), &rest[end + 2..]),
                None => return fail("unterminated raw quoted string"),
            },
            '.' if !rest[1..].starts_with(|c: char| c.is_ascii_digit()) => {
                let end = name_end(rest);
                let fields = rest[..end]
                    .split('.')
                    .filter(|field| !field.is_empty())
                    .map(str::to_owned)
                    .collect();
                (Token::Fields(fields), &rest[end..])
            }
            '$' => {
                let end = 1 + name_end(&rest[1..]);
                (Token::Variable(rest[1..end].to_owned()), &rest[end..])
            }
            c if c.is_ascii_digit() || c == '-' || c == '+' || c == '.' => number_token(rest)?,
            c if c.is_alphabetic() || c == '_' => {
                let end = name_end(rest);
                (Token::Word(rest[..end].to_owned()), &rest[end..])
            }
            c => return fail(format!("unexpected {c:?} in action")),
        };
        out.push(token);
        rest = after.trim_start();
    }
    Ok(out)
}

fn name_end(text: &str) -> usize {
    text.find(|c: char| !c.is_alphanumeric() && c != '_' && c != '.')
        .unwrap_or(text.len())
}

fn number_token(rest: &str) -> Result<(Token, &str), TemplateError> {
    let end = rest[1..]
        .find(|c: char| !c.is_ascii_alphanumeric() && c != '.')
        .map_or(rest.len(), |at| at + 1);
    let text = &rest[..end];
    if let Ok(integer) = text.parse::<i64>() {
        return Ok((Token::Integer(integer), &rest[end..]));
    }
    match text.parse::<f64>() {
        Ok(number) => Ok((Token::Number(number), &rest[end..])),
        Err(_) => fail(format!("bad number syntax: {text:?}")),
    }
}

fn quoted_text(rest: &str) -> Result<(Token, &str), TemplateError> {
    let mut text = String::new();
    let mut characters = rest[1..].char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Ok((Token::Text(text), &rest[at + 2..])),
            '\\' => match characters.next() {
                Some((_, 'n')) => text.push('\n'),
                Some((_, 't')) => text.push('\t'),
                Some((_, 'r')) => text.push('\r'),
                Some((_, c @ ('"' | '\\' | '\''))) => text.push(c),
                Some((_, c)) => return fail(format!("unknown escape \\{c}")),
                None => break,
            },
            character => text.push(character),
        }
    }
    fail("unterminated quoted string")
}

/// A value while a template runs.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Nil,
    Boolean(bool),
    Integer(i64),
    Number(f64),
    Text(String),
    List(Rc<Vec<Value>>),
    Map(Rc<BTreeMap<String, Value>>),
}

impl Value {
    pub(super) fn map(pairs: impl IntoIterator<Item = (String, Self)>) -> Self {
        Self::Map(Rc::new(pairs.into_iter().collect()))
    }

    pub(super) fn labels<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        Self::map(
            pairs
                .into_iter()
                .map(|(name, value)| (name.to_owned(), Self::Text(value.to_owned()))),
        )
    }

    /// A sample of a query's answer.
    pub(super) fn sample<'a>(
        labels: impl IntoIterator<Item = (&'a str, &'a str)>,
        value: f64,
    ) -> Self {
        Self::map([
            ("Labels".to_owned(), Self::labels(labels)),
            ("Value".to_owned(), Self::Number(value)),
        ])
    }

    fn is_true(&self) -> bool {
        match self {
            Self::Nil => false,
            Self::Boolean(value) => *value,
            Self::Integer(value) => *value != 0,
            Self::Number(value) => *value != 0.0,
            Self::Text(value) => !value.is_empty(),
            Self::List(list) => !list.is_empty(),
            Self::Map(map) => !map.is_empty(),
        }
    }
}
