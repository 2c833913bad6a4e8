//! From text to a checked expression: what the parser crate lets pass and Prometheus refuses, and what would break it.

use super::Dialect;
use crate::labels::METRIC_NAME;
use crate::storage::{MatchOp, Matcher};
use promql_parser::label::MatchOp as ParsedOp;
use promql_parser::parser::{Expr, VectorSelector, value::ValueType};

/// The longest query, bytes.
const MAX_LENGTH: usize = 128 << 10;
/// Nodes that an expression may have, judged by its operators and brackets: the parser's tree is dropped and walked
/// recursively, and a chain of a hundred thousand additions would overflow a thread's stack.
const MAX_NODES: usize = 2000;
/// Brackets and operators may be nested this deeply.
const MAX_DEPTH: usize = 400;

/// A query that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ParseError {
    /// What is wrong.
    pub message: String,
}

impl ParseError {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
        }
    }
}

/// Reads an expression by Prometheus 3's rules.
///
/// # Errors
/// It is not valid PromQL, or too large.
pub fn parse(query: &str) -> Result<Expr, ParseError> {
    with_room(query, || parse_for(query, Dialect::Prometheus3))?
}

/// Nodes up to which a query is handled on the caller's stack.
const SMALL: usize = 100;
/// Stack that a node may need in all of the walks over the tree, unoptimised.
const STACK_PER_NODE: usize = 32 << 10;

/// Measures the query and does the work on it, on a thread with a larger stack if the query may be nested deeply: the
/// tree is parsed, walked and dropped recursively.
pub(crate) fn with_room<T: Send>(
    query: &str,
    work: impl FnOnce() -> T + Send,
) -> Result<T, ParseError> {
    let nodes = measure(query)?;
    if nodes <= SMALL {
        return Ok(work());
    }
    let thread = std::thread::Builder::new()
        .name("query".to_owned())
        .stack_size((2 << 20) + nodes * STACK_PER_NODE);
    std::thread::scope(|scope| {
        let handle = thread.spawn_scoped(scope, work);
        let handle = handle.map_err(|error| {
            ParseError::new(format!("cannot start a thread for the query: {error}"))
        })?;
        handle
            .join()
            .map_err(|_| ParseError::new("the query failed unexpectedly"))
    })
}

pub(super) fn parse_for(query: &str, dialect: Dialect) -> Result<Expr, ParseError> {
    let renamed = (dialect == Dialect::Prometheus2).then(|| rename_holt_winters(query));
    let text = renamed.as_deref().unwrap_or(query);
    // The parser panics on durations that do not fit, such as `x[1e30]`; that must stay an error of this query.
    let parsed = std::panic::catch_unwind(|| promql_parser::parser::parse(text));
    let expression = match parsed {
        Ok(Ok(expression)) => expression,
        Ok(Err(message)) => return Err(ParseError::new(message)),
        Err(_) => return Err(ParseError::new("a number in the query is out of range")),
    };
    check(&expression)?;
    Ok(expression)
}

/// Refuses texts that would make too large a tree, by counting without building it. Returns the nodes, counted on the
/// safe side.
fn measure(query: &str) -> Result<usize, ParseError> {
    if query.len() > MAX_LENGTH {
        return Err(ParseError::new(format!(
            "the query has {} bytes, at most {MAX_LENGTH} are read",
            query.len()
        )));
    }
    let (mut nodes, mut depth) = (0usize, 0usize);
    let mut quote: Option<u8> = None;
    let mut escaped = false;
    let mut unary = 0usize;
    let mut comment = false;
    for byte in query.bytes() {
        if comment {
            comment = byte != b'\n';
            continue;
        }
        if let Some(open) = quote {
            if escaped {
                escaped = false;
            } else if byte == b'\\' && open != b'`' {
                escaped = true;
            } else if byte == open {
                quote = None;
            }
            continue;
        }
        match byte {
            b'"' | b'\'' | b'`' => quote = Some(byte),
            b'#' => comment = true,
            b'(' | b'[' | b'{' => {
                depth += 1;
                nodes += 1;
            }
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            b'+' | b'-' | b'*' | b'/' | b'%' | b'^' | b'<' | b'>' | b'!' | b'=' => nodes += 1,
            _ => {}
        }
        unary = match byte {
            b'+' | b'-' => unary + 1,
            b' ' | b'\t' | b'\n' | b'\r' => unary,
            _ => 0,
        };
        if depth > MAX_DEPTH || unary > MAX_DEPTH {
            return Err(ParseError::new(format!(
                "the query is nested more than {MAX_DEPTH} deep"
            )));
        }
    }
    // Set operators and `atan2` are words; counting all their letters' occurrences as words errs on the safe side.
    nodes += query
        .split_ascii_whitespace()
        .filter(|word| is_word_operator(word))
        .count();
    if nodes > MAX_NODES {
        return Err(ParseError::new(format!(
            "the query has more than {MAX_NODES} operations"
        )));
    }
    Ok(nodes)
}

fn is_word_operator(word: &str) -> bool {
    ["and", "or", "unless", "atan2", "offset"]
        .iter()
        .any(|operator| word.eq_ignore_ascii_case(operator))
}

/// Prometheus 2's name of a function that 3 renamed.
fn rename_holt_winters(query: &str) -> String {
    query.replace("holt_winters(", "double_exponential_smoothing(")
}

fn check(expression: &Expr) -> Result<(), ParseError> {
    match expression {
        Expr::VectorSelector(selector) => check_selector(selector),
        Expr::MatrixSelector(matrix) => {
            if matrix.range.is_zero() {
                return Err(ParseError::new("duration must be greater than 0"));
            }
            check_selector(&matrix.vs)
        }
        Expr::Aggregate(aggregate) => {
            if let Some(param) = &aggregate.param {
                check(param)?;
                let text = aggregate.op.id() == promql_parser::parser::token::T_COUNT_VALUES;
                let expected = if text {
                    ValueType::String
                } else {
                    ValueType::Scalar
                };
                if param.value_type() != expected {
                    return Err(ParseError::new(format!(
                        "expected type {expected} in aggregation parameter, got {}",
                        param.value_type()
                    )));
                }
            }
            check(&aggregate.expr)
        }
        Expr::Unary(unary) => check(&unary.expr),
        Expr::Binary(binary) => {
            check(&binary.lhs)?;
            check(&binary.rhs)
        }
        Expr::Paren(paren) => check(&paren.expr),
        Expr::Subquery(subquery) => {
            if subquery.range.is_zero() || subquery.step.is_some_and(|step| step.is_zero()) {
                return Err(ParseError::new("duration must be greater than 0"));
            }
            check(&subquery.expr)
        }
        Expr::Call(call) => {
            for (at, argument) in call.args.args.iter().enumerate() {
                check(argument)?;
                let last = call.func.arg_types.len().saturating_sub(1);
                if let Some(expected) = call.func.arg_types.get(at.min(last))
                    && argument.value_type() != *expected
                {
                    return Err(ParseError::new(format!(
                        "expected type {expected} in call to function \"{}\", got {}",
                        call.func.name,
                        argument.value_type()
                    )));
                }
            }
            Ok(())
        }
        Expr::NumberLiteral(_) | Expr::StringLiteral(_) | Expr::Extension(_) => Ok(()),
    }
}

fn check_selector(selector: &VectorSelector) -> Result<(), ParseError> {
    if !selector.matchers.or_matchers.is_empty() {
        return Err(ParseError::new(
            "unexpected <or> in label matching, expected \",\" or \"}\"",
        ));
    }
    if selector.name.is_some()
        && selector
            .matchers
            .matchers
            .iter()
            .any(|matcher| matcher.name == METRIC_NAME)
    {
        return Err(ParseError::new("metric name must not be set twice"));
    }
    let matchers = selector_matchers(selector)?;
    if matchers.iter().all(|matcher| matcher.matches("")) {
        return Err(ParseError::new(
            "vector selector must contain at least one non-empty matcher",
        ));
    }
    Ok(())
}

/// The conditions of a selector, its metric name among them.
///
/// # Errors
/// A regular expression is too large.
pub fn selector_matchers(selector: &VectorSelector) -> Result<Vec<Matcher>, ParseError> {
    let mut matchers = Vec::with_capacity(selector.matchers.matchers.len() + 1);
    if let Some(name) = &selector.name {
        matchers.push(Matcher::equal(METRIC_NAME, name));
    }
    for matcher in &selector.matchers.matchers {
        let op = match matcher.op {
            ParsedOp::Equal => MatchOp::Equal,
            ParsedOp::NotEqual => MatchOp::NotEqual,
            ParsedOp::Re(_) => MatchOp::Regex,
            ParsedOp::NotRe(_) => MatchOp::NotRegex,
        };
        matchers.push(
            Matcher::new(&matcher.name, op, &matcher.value)
                .map_err(|e| ParseError::new(e.to_string()))?,
        );
    }
    Ok(matchers)
}

/// Reads a series selector, as `match[]` of the HTTP API has it.
///
/// # Errors
/// It is not a selector, or matches everything.
pub fn parse_selector(text: &str) -> Result<Vec<Matcher>, ParseError> {
    match parse(text)? {
        Expr::VectorSelector(selector) if selector.offset.is_none() && selector.at.is_none() => {
            selector_matchers(&selector)
        }
        _ => Err(ParseError::new(format!(
            "expected a series selector, got {text:?}"
        ))),
    }
}
