//! Methods of texts and of matchers.

use std::sync::Arc;

use super::super::interpreter::{Thrown, groups, regex};
use super::super::value::{Matcher, locked};
use super::{Call, Called, Value};

/// Splits a text into lines, whatever ends them.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.split('\n')
        .map(|line| line.strip_suffix('\r').unwrap_or(line))
}

pub(super) fn text(call: &Call<'_, '_>, text: &Arc<str>, name: &str) -> Called {
    Some(Ok(match name {
        "trim" | "strip" => text.trim().into(),
        "length" | "size" => Value::Int(i64::try_from(text.chars().count()).unwrap_or(i64::MAX)),
        "isEmpty" => Value::Bool(text.is_empty()),
        "isBlank" | "isAllWhitespace" => Value::Bool(text.trim().is_empty()),
        "toLowerCase" => text.to_lowercase().into(),
        "toUpperCase" => text.to_uppercase().into(),
        "capitalize" => capitalized(text, |c| c.to_uppercase().collect()).into(),
        "uncapitalize" => capitalized(text, |c| c.to_lowercase().collect()).into(),
        "reverse" => text.chars().rev().collect::<String>().into(),
        "contains" => Value::Bool(text.contains(&call.text_arg(0))),
        "startsWith" => Value::Bool(text.starts_with(&call.text_arg(0))),
        "endsWith" => Value::Bool(text.ends_with(&call.text_arg(0))),
        "equalsIgnoreCase" => Value::Bool(text.to_lowercase() == call.text_arg(0).to_lowercase()),
        "indexOf" => position(text, text.find(&call.text_arg(0))),
        "lastIndexOf" => position(text, text.rfind(&call.text_arg(0))),
        "concat" | "plus" => format!("{text}{}", call.text_arg(0)).into(),
        "count" => {
            let part = call.text_arg(0);
            let count = if part.is_empty() {
                0
            } else {
                text.matches(&part).count()
            };
            Value::Int(i64::try_from(count).unwrap_or(i64::MAX))
        }
        "replace" => text.replace(&call.text_arg(0), &call.text_arg(1)).into(),
        "replaceAll" | "replaceFirst" => return Some(replace(call, text, name == "replaceFirst")),
        "minus" => text.replacen(&call.text_arg(0), "", 1).into(),
        "split" => return Some(split(call, text)),
        "tokenize" => tokenized(call, text),
        "readLines" => Value::list(lines(text.strip_suffix('\n').unwrap_or(text)).map(Value::from)),
        "eachLine" => {
            let closure = call.closure_arg()?;
            for line in lines(text.strip_suffix('\n').unwrap_or(text)) {
                if let Err(thrown) = call.run(closure, vec![line.into()]) {
                    return Some(Err(thrown));
                }
            }
            Value::Null
        }
        "stripIndent" => strip_indent(text).into(),
        "stripMargin" => {
            let stripped =
                lines(text).map(|line| line.trim_start().strip_prefix('|').unwrap_or(line));
            stripped.collect::<Vec<_>>().join("\n").into()
        }
        "toInteger" | "toLong" => match text.trim().parse() {
            Ok(number) => Value::Int(number),
            Err(_) => return Some(Err(not_a_number(call, text))),
        },
        "toDouble" | "toFloat" | "toBigDecimal" => match text.trim().parse() {
            Ok(number) => Value::Decimal(number),
            Err(_) => return Some(Err(not_a_number(call, text))),
        },
        "toBoolean" => Value::Bool(matches!(
            text.trim().to_lowercase().as_str(),
            "true" | "y" | "1"
        )),
        "isNumber" | "isInteger" | "isLong" => {
            let whole = text.trim().parse::<i64>().is_ok();
            Value::Bool(whole || (name == "isNumber" && text.trim().parse::<f64>().is_ok()))
        }
        "matches" => match regex(&format!("^(?:{})$", call.text_arg(0)), call.span) {
            Ok(pattern) => Value::Bool(pattern.is_match(text)),
            Err(thrown) => return Some(Err(thrown)),
        },
        "substring" | "subSequence" => return Some(substring(call, text)),
        "take" | "drop" => {
            let count = usize::try_from(call.int_arg(0)?).unwrap_or(0);
            let (head, tail) = split_at_char(text, count);
            if name == "take" {
                head.into()
            } else {
                tail.into()
            }
        }
        "padLeft" | "padRight" | "center" => return Some(pad(call, text, name)),
        "multiply" => {
            let times = usize::try_from(call.int_arg(0)?).unwrap_or(0);
            if text.len().saturating_mul(times) > (16 << 20) {
                return Some(Err(Thrown::fatal(
                    "the text is over its limit of 16 MiB",
                    call.span,
                )));
            }
            text.repeat(times).into()
        }
        "charAt" | "getAt" => match call.place_arg(0, text.chars().count()) {
            Ok(at) => text
                .chars()
                .nth(at)
                .map(String::from)
                .unwrap_or_default()
                .into(),
            Err(thrown) => return Some(Err(thrown)),
        },
        "toList" | "chars" => Value::list(text.chars().map(|c| Value::from(c.to_string()))),
        "compareTo" => Value::Int(match text.as_ref().cmp(call.text_arg(0).as_str()) {
            std::cmp::Ordering::Less => -1,
            std::cmp::Ordering::Equal => 0,
            std::cmp::Ordering::Greater => 1,
        }),
        "hashCode" => Value::Int(i64::from(java_hash(text))),
        "format" | "formatted" => return None,
        _ => return None,
    }))
}

fn capitalized(text: &str, change: impl Fn(char) -> String) -> String {
    let mut chars = text.chars();
    chars
        .next()
        .map_or_else(String::new, |first| change(first) + chars.as_str())
}

/// A byte position as Java counts it: in characters, -1 for none.
fn position(text: &str, at: Option<usize>) -> Value {
    Value::Int(at.map_or(-1, |at| {
        i64::try_from(text[..at].chars().count()).unwrap_or(i64::MAX)
    }))
}

fn not_a_number(call: &Call<'_, '_>, text: &str) -> Thrown {
    Thrown::new(
        "java.lang.NumberFormatException",
        format!("for input string: \"{text}\""),
        call.span,
    )
}

fn replace(call: &Call<'_, '_>, text: &str, first: bool) -> Result<Value, Thrown> {
    let pattern = regex(&call.text_arg(0), call.span)?;
    let limit = usize::from(first);
    if let Some(closure) = call.closure_arg() {
        let mut out = String::new();
        let mut end = 0;
        for captures in pattern
            .captures_iter(text)
            .take(if first { 1 } else { 100_000 })
        {
            let Some(whole) = captures.get(0) else {
                continue;
            };
            out.push_str(&text[end..whole.start()]);
            let args = captures
                .iter()
                .map(|group| group.map_or(Value::Null, |group| group.as_str().into()))
                .collect();
            out.push_str(&call.run(closure, args)?.to_text());
            end = whole.end();
        }
        out.push_str(&text[end..]);
        return Ok(out.into());
    }
    // Java's `$1` is `${1}` here, lest `$1a` name the group `1a`.
    let replacement = regex(r"\$(\d)", call.span)?
        .replace_all(&call.text_arg(1), "$${$1}")
        .into_owned();
    Ok(pattern
        .replacen(text, limit, replacement.as_str())
        .into_owned()
        .into())
}

fn split(call: &Call<'_, '_>, text: &str) -> Result<Value, Thrown> {
    if call.arg(0).is_none() {
        return Ok(Value::list(text.split_whitespace().map(Value::from)));
    }
    let pattern = regex(&call.text_arg(0), call.span)?;
    let limit = call
        .int_arg(1)
        .and_then(|limit| usize::try_from(limit).ok())
        .unwrap_or(0);
    let mut parts: Vec<&str> = match limit {
        0 => pattern.split(text).collect(),
        limit => pattern.splitn(text, limit).collect(),
    };
    // As in Java: empty texts at the end go, where no limit is given.
    while limit == 0 && parts.len() > 1 && parts.last().is_some_and(|last| last.is_empty()) {
        parts.pop();
    }
    // A pattern that matches the empty text gives an empty one at the front, which Java leaves out.
    if parts.len() > 1
        && parts[0].is_empty()
        && pattern.find(text).is_some_and(|found| found.is_empty())
    {
        parts.remove(0);
    }
    Ok(Value::list(parts.into_iter().map(Value::from)))
}

fn tokenized(call: &Call<'_, '_>, text: &str) -> Value {
    let separators = match call.arg(0) {
        Some(separators) => separators.to_text(),
        None => " \t\n\r\u{c}".to_owned(),
    };
    Value::list(
        text.split(|c| separators.contains(c))
            .filter(|part| !part.is_empty())
            .map(Value::from),
    )
}

fn strip_indent(text: &str) -> String {
    let indent = |line: &str| line.len() - line.trim_start().len();
    let common = lines(text)
        .filter(|line| !line.trim().is_empty())
        .map(indent)
        .min()
        .unwrap_or(0);
    lines(text)
        .map(|line| line.get(common..).unwrap_or(line.trim_start()))
        .collect::<Vec<_>>()
        .join("\n")
}

fn split_at_char(text: &str, count: usize) -> (&str, &str) {
    let at = text
        .char_indices()
        .nth(count)
        .map_or(text.len(), |(at, _)| at);
    text.split_at(at)
}

fn substring(call: &Call<'_, '_>, text: &str) -> Result<Value, Thrown> {
    let length = text.chars().count();
    let from = call.place_arg(0, length)?;
    let to = if call.arg(1).is_some() {
        call.place_arg(1, length)?
    } else {
        length
    };
    if to < from {
        let message = format!("the end {to} lies before the start {from}");
        return Err(Thrown::new(
            "java.lang.StringIndexOutOfBoundsException",
            message,
            call.span,
        ));
    }
    Ok(text
        .chars()
        .skip(from)
        .take(to - from)
        .collect::<String>()
        .into())
}

fn pad(call: &Call<'_, '_>, text: &str, name: &str) -> Result<Value, Thrown> {
    let width = call.place_arg(0, 1 << 20)?;
    let fill = call.arg(1).map_or_else(|| " ".to_owned(), Value::to_text);
    let missing = width.saturating_sub(text.chars().count());
    let padding = |count: usize| fill.chars().cycle().take(count).collect::<String>();
    Ok(match name {
        "padLeft" => padding(missing) + text,
        "padRight" => text.to_owned() + &padding(missing),
        _ => padding(missing / 2) + text + &padding(missing - missing / 2),
    }
    .into())
}

fn java_hash(text: &str) -> i32 {
    text.encode_utf16().fold(0_i32, |hash, unit| {
        hash.wrapping_mul(31).wrapping_add(i32::from(unit))
    })
}

pub(super) fn matcher(call: &Call<'_, '_>, matcher: &Matcher, name: &str) -> Called {
    Some(Ok(match name {
        "matches" => Value::Bool(matcher.whole),
        "find" => {
            let mut at = locked(&matcher.at);
            *at += 1;
            Value::Bool(*at <= matcher.found.len())
        }
        "size" | "getCount" | "count" => {
            Value::Int(i64::try_from(matcher.found.len()).unwrap_or(i64::MAX))
        }
        "hasGroup" => Value::Bool(matcher.found.first().is_some_and(|groups| groups.len() > 1)),
        "groupCount" => Value::Int(
            matcher
                .found
                .first()
                .map_or(0, |groups| i64::try_from(groups.len() - 1).unwrap_or(0)),
        ),
        "group" => {
            let at = locked(&matcher.at).saturating_sub(1);
            let group = usize::try_from(call.int_arg(0).unwrap_or(0)).unwrap_or(usize::MAX);
            match matcher.found.get(at).and_then(|groups| groups.get(group)) {
                Some(text) => text.clone().map_or(Value::Null, Value::Text),
                None => {
                    let message = format!("no match, or no group {group}");
                    return Some(Err(Thrown::new(
                        "java.lang.IllegalStateException",
                        message,
                        call.span,
                    )));
                }
            }
        }
        "getAt" => {
            let at = usize::try_from(call.int_arg(0)?)
                .ok()
                .filter(|at| *at < matcher.found.len())?;
            groups(matcher, at)
        }
        _ => return None,
    }))
}
