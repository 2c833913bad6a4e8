//! Expressions over labels, as Jenkins writes them: `linux && !arm`, `docker || "has space"`, `(a || b) && c`.
//!
//! `!` binds closest, then `&&`, then `||`; `->` (implies) and `<->` (if and only if) come last, as in Jenkins. A label is a
//! quoted text, or a word without spaces, quotes, parentheses and operators; inside a word `-`, `.`, `/`, `:`, `+`, `@` and the
//! like are fine.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The longest expression, in bytes.
const MAX_LENGTH: usize = 4096;
/// The deepest nesting of parentheses and `!`.
const MAX_DEPTH: u32 = 64;

/// Which labels a machine must have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LabelExpression {
    text: String,
    root: Node,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Node {
    Label(String),
    Not(Box<Node>),
    And(Box<Node>, Box<Node>),
    Or(Box<Node>, Box<Node>),
    Implies(Box<Node>, Box<Node>),
    Equal(Box<Node>, Box<Node>),
}

/// Why a text is no expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not an expression of labels: column {column}: expected {expected}, found {found}"
)]
pub struct LabelError {
    /// The text.
    pub text: String,
    /// Where, in characters from 1.
    pub column: usize,
    /// What could stand there.
    pub expected: &'static str,
    /// What does.
    pub found: String,
}

impl LabelExpression {
    /// Whether a machine with these labels satisfies it.
    pub fn matches(&self, labels: &BTreeSet<String>) -> bool {
        self.root.holds(labels)
    }

    /// The labels that it cannot do without: those of a chain of `&&`. A machine without one of them never satisfies it.
    pub fn needed(&self) -> Vec<&str> {
        fn walk<'a>(node: &'a Node, needed: &mut Vec<&'a str>) {
            match node {
                Node::Label(label) => needed.push(label),
                Node::And(a, b) => {
                    walk(a, needed);
                    walk(b, needed);
                }
                Node::Not(_) | Node::Or(..) | Node::Implies(..) | Node::Equal(..) => {}
            }
        }
        let mut needed = Vec::new();
        walk(&self.root, &mut needed);
        needed
    }

    /// The expression as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for LabelExpression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl From<LabelExpression> for String {
    fn from(expression: LabelExpression) -> Self {
        expression.text
    }
}

impl TryFrom<String> for LabelExpression {
    type Error = LabelError;

    fn try_from(text: String) -> Result<Self, LabelError> {
        text.parse()
    }
}

impl FromStr for LabelExpression {
    type Err = LabelError;

    fn from_str(text: &str) -> Result<Self, LabelError> {
        let mut parser = Parser {
            text,
            at: 0,
            depth: 0,
        };
        if text.len() > MAX_LENGTH {
            return Err(LabelError {
                text: text.chars().take(40).collect::<String>() + "…",
                column: 1,
                expected: "at most 4096 bytes",
                found: format!("{} bytes", text.len()),
            });
        }
        let root = parser.equal()?;
        parser.skip_space();
        if parser.at < text.len() {
            return Err(parser.unexpected("an operator such as `&&` or `||`, or the end"));
        }
        Ok(Self {
            text: text.trim().to_owned(),
            root,
        })
    }
}

impl Node {
    fn holds(&self, labels: &BTreeSet<String>) -> bool {
        match self {
            Self::Label(label) => labels.contains(label),
            Self::Not(inner) => !inner.holds(labels),
            Self::And(a, b) => a.holds(labels) && b.holds(labels),
            Self::Or(a, b) => a.holds(labels) || b.holds(labels),
            Self::Implies(a, b) => !a.holds(labels) || b.holds(labels),
            Self::Equal(a, b) => a.holds(labels) == b.holds(labels),
        }
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: u32,
}

impl Parser<'_> {
    fn equal(&mut self) -> Result<Node, LabelError> {
        self.chain("<->", Self::implies, Node::Equal)
    }

    fn implies(&mut self) -> Result<Node, LabelError> {
        self.chain("->", Self::or, Node::Implies)
    }

    fn or(&mut self) -> Result<Node, LabelError> {
        self.chain("||", Self::and, Node::Or)
    }

    fn and(&mut self) -> Result<Node, LabelError> {
        self.chain("&&", Self::not, Node::And)
    }

    /// Operands between one operator, taken together from the left.
    fn chain(
        &mut self,
        operator: &str,
        operand: fn(&mut Self) -> Result<Node, LabelError>,
        make: fn(Box<Node>, Box<Node>) -> Node,
    ) -> Result<Node, LabelError> {
        let mut node = operand(self)?;
        while self.take(operator) {
            node = make(Box::new(node), Box::new(operand(self)?));
        }
        Ok(node)
    }

    fn not(&mut self) -> Result<Node, LabelError> {
        if !self.take("!") {
            return self.atom();
        }
        self.deeper()?;
        let inner = self.not()?;
        self.depth -= 1;
        Ok(Node::Not(Box::new(inner)))
    }

    fn atom(&mut self) -> Result<Node, LabelError> {
        if self.take("(") {
            self.deeper()?;
            let inner = self.equal()?;
            self.depth -= 1;
            if !self.take(")") {
                return Err(self.unexpected("`)`"));
            }
            return Ok(inner);
        }
        self.skip_space();
        let rest = &self.text[self.at..];
        if let Some(quoted) = rest.strip_prefix('"') {
            let Some(end) = quoted.find('"') else {
                self.at = self.text.len();
                return Err(self.unexpected("a closing `\"`"));
            };
            let label = quoted[..end].trim();
            if label.is_empty() {
                return Err(self.unexpected("a label between the quotes"));
            }
            let label = label.to_owned();
            self.at += end + 2;
            return Ok(Node::Label(label));
        }
        let end = word_end(rest);
        if end == 0 {
            return Err(self.unexpected("a label, `!` or `(`"));
        }
        self.at += end;
        Ok(Node::Label(rest[..end].to_owned()))
    }

    fn deeper(&mut self) -> Result<(), LabelError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.unexpected("fewer nested parentheses"));
        }
        Ok(())
    }

    fn take(&mut self, token: &str) -> bool {
        self.skip_space();
        let found = self.text[self.at..].starts_with(token);
        if found {
            self.at += token.len();
        }
        found
    }

    fn skip_space(&mut self) {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_start().len();
    }

    fn unexpected(&self, expected: &'static str) -> LabelError {
        let rest = &self.text[self.at..];
        let found = match rest.chars().next() {
            None => "the end".to_owned(),
            Some(_) => {
                let end = word_end(rest);
                let shown = if end == 0 {
                    rest.chars().next().map(String::from).unwrap_or_default()
                } else {
                    rest[..end].to_owned()
                };
                format!("`{shown}`")
            }
        };
        LabelError {
            text: self.text.to_owned(),
            column: self.text[..self.at].chars().count() + 1,
            expected,
            found,
        }
    }
}

/// How many bytes of a text are a bare label.
fn word_end(text: &str) -> usize {
    text.char_indices()
        .find(|(at, c)| {
            c.is_whitespace()
                || c.is_control()
                || matches!(
                    c,
                    '(' | ')' | '"' | '\'' | '!' | '&' | '|' | '<' | '>' | ','
                )
                || text[*at..].starts_with("->")
        })
        .map_or(text.len(), |(at, _)| at)
}

#[cfg(test)]
mod tests;
