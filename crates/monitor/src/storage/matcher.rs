//! Label matchers: which series a query means.

use regex::Regex;

#[cfg(test)]
mod tests;

/// How a matcher compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MatchOp {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`, anchored at both ends.
    Regex,
    /// `!~`
    NotRegex,
}

/// The regular expression of a matcher cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid regular expression {pattern:?}: {message}")]
pub struct MatcherError {
    /// The expression as given.
    pub pattern: String,
    /// What is wrong with it.
    pub message: String,
}

/// A condition on one label. An absent label has the empty value.
#[derive(Clone, Debug)]
pub struct Matcher {
    name: String,
    op: MatchOp,
    value: String,
    pattern: Pattern,
}

#[derive(Clone, Debug)]
enum Pattern {
    /// One of these values exactly; for expressions such as `a|b|c`, too.
    OneOf(Vec<String>),
    Anything,
    Something,
    Regex(Regex),
}

impl Matcher {
    /// A matcher.
    ///
    /// # Errors
    /// The regular expression cannot be read, or is too large when compiled.
    pub fn new(name: &str, op: MatchOp, value: &str) -> Result<Self, MatcherError> {
        let pattern = match op {
            MatchOp::Equal | MatchOp::NotEqual => Pattern::OneOf(vec![value.to_owned()]),
            MatchOp::Regex | MatchOp::NotRegex => compile(value)?,
        };
        Ok(Self {
            name: name.to_owned(),
            op,
            value: value.to_owned(),
            pattern,
        })
    }

    /// `name="value"`.
    #[must_use]
    pub fn equal(name: &str, value: &str) -> Self {
        Self {
            name: name.to_owned(),
            op: MatchOp::Equal,
            value: value.to_owned(),
            pattern: Pattern::OneOf(vec![value.to_owned()]),
        }
    }

    /// The label's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How it compares.
    #[must_use]
    pub fn op(&self) -> MatchOp {
        self.op
    }

    /// The value or expression as given.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Whether a value fulfils the condition.
    #[must_use]
    pub fn matches(&self, value: &str) -> bool {
        let found = match &self.pattern {
            Pattern::OneOf(values) => values.iter().any(|wanted| wanted == value),
            Pattern::Anything => true,
            Pattern::Something => !value.is_empty(),
            Pattern::Regex(regex) => regex.is_match(value),
        };
        found != matches!(self.op, MatchOp::NotEqual | MatchOp::NotRegex)
    }

    /// The only values that can match, where they are known and the empty one is not among them.
    pub(super) fn exact_values(&self) -> Option<&[String]> {
        match (&self.pattern, self.op) {
            (Pattern::OneOf(values), MatchOp::Equal | MatchOp::Regex) => Some(values),
            _ => None,
        }
    }
}

impl std::fmt::Display for Matcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let op = match self.op {
            MatchOp::Equal => "=",
            MatchOp::NotEqual => "!=",
            MatchOp::Regex => "=~",
            MatchOp::NotRegex => "!~",
        };
        write!(f, "{}{op}{}", self.name, crate::labels::quoted(&self.value))
    }
}

fn compile(pattern: &str) -> Result<Pattern, MatcherError> {
    match pattern {
        ".*" => return Ok(Pattern::Anything),
        ".+" => return Ok(Pattern::Something),
        _ => {}
    }
    let inner = pattern
        .strip_prefix('(')
        .and_then(|p| p.strip_suffix(')'))
        .unwrap_or(pattern);
    if inner.chars().all(|c| {
        c == '|' || c == '_' || c == '-' || c == ':' || c == '/' || c == ' ' || c.is_alphanumeric()
    }) {
        let mut values: Vec<String> = inner.split('|').map(str::to_owned).collect();
        values.sort_unstable();
        values.dedup();
        return Ok(Pattern::OneOf(values));
    }
    anchored(pattern).map(Pattern::Regex)
}

/// Compiles an expression as Prometheus does: it has to match the whole text, and `.` matches line ends.
pub(crate) fn anchored(pattern: &str) -> Result<Regex, MatcherError> {
    let fail = |message: String| MatcherError {
        pattern: pattern.to_owned(),
        message,
    };
    // Compiled alone first: `a)(b` must not become valid by the parentheses put around it.
    regex_syntax_check(pattern).map_err(fail)?;
    regex::RegexBuilder::new(&format!("^(?s:{pattern})$"))
        .size_limit(4 << 20)
        .dfa_size_limit(4 << 20)
        .build()
        .map_err(|error| fail(last_line(&error.to_string())))
}

fn regex_syntax_check(pattern: &str) -> Result<(), String> {
    regex::RegexBuilder::new(pattern)
        .size_limit(4 << 20)
        .build()
        .map(drop)
        .map_err(|error| last_line(&error.to_string()))
}

/// The regex crate draws the place of the error over several lines; the last one says what it is.
fn last_line(message: &str) -> String {
    let line = message
        .lines()
        .rev()
        .find(|line| !line.trim().is_empty())
        .unwrap_or(message);
    line.trim_start_matches("error: ").trim().to_owned()
}
