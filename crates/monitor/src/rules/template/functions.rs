//! The functions of templates: Prometheus' own and Go's built-in ones.

use super::run::{Run, list, print};
use super::{TemplateError, Value, fail, number};
use crate::promql::{format_value, rfc3339};
use std::cmp::Ordering;

const NAMES: [&str; 47] = [
    "and",
    "args",
    "eq",
    "externalURL",
    "first",
    "ge",
    "graphLink",
    "gt",
    "html",
    "humanize",
    "humanize1024",
    "humanizeDuration",
    "humanizePercentage",
    "humanizeTimestamp",
    "index",
    "js",
    "label",
    "le",
    "len",
    "lt",
    "match",
    "ne",
    "not",
    "now",
    "or",
    "parseDuration",
    "pathPrefix",
    "print",
    "printf",
    "println",
    "query",
    "reReplaceAll",
    "safeHtml",
    "slice",
    "sortByLabel",
    "stripDomain",
    "stripPort",
    "strvalue",
    "tableLink",
    "title",
    "toDuration",
    "toLower",
    "toTime",
    "toUpper",
    "urlQueryEscape",
    "urlquery",
    "value",
];

pub(super) fn exists(name: &str) -> bool {
    NAMES.binary_search(&name).is_ok()
}

fn text(value: &Value) -> Result<&str, TemplateError> {
    match value {
        Value::Text(text) => Ok(text),
        other => fail(format!("expected a text, got {}", print(other))),
    }
}

fn float(value: &Value) -> Result<f64, TemplateError> {
    match value {
        Value::Number(number) => Ok(*number),
        Value::Integer(integer) => Ok(*integer as f64),
        Value::Text(text) => text
            .parse()
            .or_else(|_| fail(format!("{text:?} is not a number"))),
        other => fail(format!("can't convert {} to a number", print(other))),
    }
}

fn items(value: &Value) -> Result<&[Value], TemplateError> {
    match value {
        Value::List(list) => Ok(list),
        other => fail(format!("expected a list, got {}", print(other))),
    }
}

fn field(sample: &Value, name: &str) -> Value {
    match sample {
        Value::Map(map) => map.get(name).cloned().unwrap_or(Value::Nil),
        _ => Value::Nil,
    }
}

fn label(sample: &Value, name: &str) -> String {
    match field(sample, "Labels") {
        Value::Map(labels) => labels.get(name).map(print).unwrap_or_default(),
        _ => String::new(),
    }
}

pub(super) fn call(
    run: &mut Run<'_>,
    name: &str,
    arguments: &[Value],
) -> Result<Value, TemplateError> {
    use Value::{Boolean, Number, Text};
    Ok(match (name, arguments) {
        ("not", [value]) => Boolean(!value.is_true()),
        ("eq", [first, rest @ ..]) if !rest.is_empty() => {
            let mut equal = false;
            for other in rest {
                equal |= compare(first, other)? == Ordering::Equal;
            }
            Boolean(equal)
        }
        ("ne", [a, b]) => Boolean(compare(a, b)? != Ordering::Equal),
        ("lt", [a, b]) => Boolean(compare(a, b)? == Ordering::Less),
        ("le", [a, b]) => Boolean(compare(a, b)? != Ordering::Greater),
        ("gt", [a, b]) => Boolean(compare(a, b)? == Ordering::Greater),
        ("ge", [a, b]) => Boolean(compare(a, b)? != Ordering::Less),
        ("len", [value]) => Value::Integer(match value {
            Text(text) => text.len(),
            Value::List(list) => list.len(),
            Value::Map(map) => map.len(),
            other => return fail(format!("len of {}", print(other))),
        } as i64),
        ("index", [first, keys @ ..]) => {
            let mut value = first.clone();
            for key in keys {
                value = match (&value, key) {
                    (Value::Map(map), key) => map
                        .get(text(key)?)
                        .cloned()
                        .unwrap_or_else(|| Text(String::new())),
                    (Value::List(list), Value::Integer(at)) => {
                        let found = usize::try_from(*at)
                            .ok()
                            .and_then(|at| list.get(at))
                            .cloned();
                        found.map_or_else(|| fail(format!("index out of range: {at}")), Ok)?
                    }
                    (other, _) => return fail(format!("can't index {}", print(other))),
                };
            }
            value
        }
        ("slice", [Text(text), bounds @ ..]) => {
            let bound = |at: usize, default: usize| match bounds.get(at) {
                Some(Value::Integer(bound)) => usize::try_from(*bound).unwrap_or(usize::MAX),
                _ => default,
            };
            let part = text.get(bound(0, 0)..bound(1, text.len()));
            Text(
                part.map_or_else(|| fail("slice out of range"), Ok)?
                    .to_owned(),
            )
        }
        ("print", all) => Text(all.iter().map(print).collect::<Vec<_>>().concat()),
        ("println", all) => Text(all.iter().map(print).collect::<Vec<_>>().join(" ") + "\n"),
        ("printf", [format, rest @ ..]) => Text(printf(text(format)?, rest)?),
        ("query", [expression]) => {
            let samples = (run.environment.query)(text(expression)?).map_err(TemplateError)?;
            list(
                samples
                    .iter()
                    .map(|(labels, value)| Value::sample(labels.iter(), *value))
                    .collect(),
            )
        }
        ("first", [value]) => match items(value)? {
            [first, ..] => first.clone(),
            [] => return fail("first() called on vector with no elements"),
        },
        ("label", [name, sample]) => Text(label(sample, text(name)?)),
        ("value", [sample]) => field(sample, "Value"),
        ("strvalue", [sample]) => Text(label(sample, "__value__")),
        ("sortByLabel", [name, value]) => {
            let name = text(name)?;
            let mut sorted = items(value)?.to_vec();
            sorted.sort_by_key(|sample| label(sample, name));
            list(sorted)
        }
        ("args", all) => Value::map(
            all.iter()
                .enumerate()
                .map(|(at, value)| (format!("arg{at}"), value.clone())),
        ),
        ("reReplaceAll", [pattern, with, value]) => {
            let regex = regex::RegexBuilder::new(text(pattern)?)
                .size_limit(1 << 20)
                .build();
            let regex = regex.map_err(|error| TemplateError(error.to_string()))?;
            Text(regex.replace_all(text(value)?, text(with)?).into_owned())
        }
        ("match", [pattern, value]) => {
            let regex = regex::RegexBuilder::new(text(pattern)?)
                .size_limit(1 << 20)
                .build();
            Boolean(
                regex
                    .map_err(|error| TemplateError(error.to_string()))?
                    .is_match(text(value)?),
            )
        }
        ("title", [value]) => Text(title(text(value)?)),
        ("toUpper", [value]) => Text(text(value)?.to_uppercase()),
        ("toLower", [value]) => Text(text(value)?.to_lowercase()),
        ("safeHtml", [value]) => value.clone(),
        ("html", all) => Text(escape_html(&all.iter().map(print).collect::<String>())),
        ("js", all) => Text(
            all.iter()
                .map(print)
                .collect::<String>()
                .replace('\\', "\\\\")
                .replace('\'', "\\'"),
        ),
        ("urlquery" | "urlQueryEscape", all) => {
            Text(url_escape(&all.iter().map(print).collect::<String>()))
        }
        ("graphLink", [expression]) => Text(format!(
            "/graph?g0.expr={}&g0.tab=0",
            url_escape(text(expression)?)
        )),
        ("tableLink", [expression]) => Text(format!(
            "/graph?g0.expr={}&g0.tab=1",
            url_escape(text(expression)?)
        )),
        ("stripPort", [value]) => {
            let host = text(value)?;
            let stripped = host
                .rsplit_once(':')
                .filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()));
            Text(
                stripped
                    .map_or(host, |(host, _)| {
                        host.trim_start_matches('[').trim_end_matches(']')
                    })
                    .to_owned(),
            )
        }
        ("stripDomain", [value]) => Text(strip_domain(text(value)?)),
        ("humanize", [value]) => Text(humanize(float(value)?)),
        ("humanize1024", [value]) => Text(humanize1024(float(value)?)),
        ("humanizeDuration", [value]) => Text(humanize_duration(float(value)?)),
        ("humanizePercentage", [value]) => Text(format!(
            "{}%",
            number::general(float(value)? * 100.0, Some(4))
        )),
        ("humanizeTimestamp", [value]) => Text(timestamp(float(value)?)),
        ("toTime", [value]) => Text(timestamp(float(value)?)),
        ("toDuration", [value]) => Text(humanize_duration(float(value)?)),
        ("now", []) => {
            let now =
                std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH);
            Number(now.map_or(0.0, |now| now.as_secs_f64()))
        }
        ("parseDuration", [value]) => {
            let milliseconds = crate::api::parse_duration(text(value)?);
            Number(milliseconds.map_or_else(|| fail("not a valid duration"), Ok)? as f64 / 1e3)
        }
        ("externalURL", []) => Text(run.environment.external_url.to_owned()),
        ("pathPrefix", []) => {
            let rest = run
                .environment
                .external_url
                .split_once("://")
                .map_or("", |(_, rest)| rest);
            Text(
                rest.find('/')
                    .map_or("", |at| rest[at..].trim_end_matches('/'))
                    .to_owned(),
            )
        }
        (name, arguments) => {
            return fail(format!(
                "wrong number or kind of arguments for {name}: {}",
                arguments.len()
            ));
        }
    })
}

fn compare(a: &Value, b: &Value) -> Result<Ordering, TemplateError> {
    let order = match (a, b) {
        (Value::Text(a), Value::Text(b)) => Some(a.cmp(b)),
        (Value::Boolean(a), Value::Boolean(b)) => Some(a.cmp(b)),
        (Value::Integer(a), Value::Integer(b)) => Some(a.cmp(b)),
        // Go refuses to compare an integer with a float; a person who writes `eq $value 1` means it.
        (Value::Integer(_) | Value::Number(_), Value::Integer(_) | Value::Number(_)) => {
            float(a)?.partial_cmp(&float(b)?).or(Some(Ordering::Less))
        }
        _ => None,
    };
    order.map_or_else(
        || {
            fail(format!(
                "incompatible types for comparison: {} and {}",
                print(a),
                print(b)
            ))
        },
        Ok,
    )
}

/// `%[flags][width][.precision]verb`
fn printf(format: &str, arguments: &[Value]) -> Result<String, TemplateError> {
    let mut out = String::new();
    let mut characters = format.chars().peekable();
    let mut next = arguments.iter();
    while let Some(character) = characters.next() {
        if character != '%' {
            out.push(character);
            continue;
        }
        let mut flags = String::new();
        while let Some(flag) = characters.next_if(|c| "-+ 0#".contains(*c)) {
            flags.push(flag);
        }
        let digits = |characters: &mut std::iter::Peekable<std::str::Chars<'_>>| -> Option<usize> {
            let mut text = String::new();
            while let Some(digit) = characters.next_if(char::is_ascii_digit) {
                text.push(digit);
            }
            text.parse().ok().map(|width: usize| width.min(200))
        };
        let width = digits(&mut characters).unwrap_or(0);
        let precision = if characters.next_if_eq(&'.').is_some() {
            Some(digits(&mut characters).unwrap_or(0))
        } else {
            None
        };
        let Some(verb) = characters.next() else {
            return fail("printf format ends with %");
        };
        if verb == '%' {
            out.push('%');
            continue;
        }
        let Some(value) = next.next() else {
            out.push_str(&format!("%!{verb}(MISSING)"));
            continue;
        };
        let mut text = one(verb, precision, value)?;
        if flags.contains('+')
            && !text.starts_with(['-', '+'])
            && matches!(verb, 'd' | 'f' | 'e' | 'g')
        {
            text.insert(0, '+');
        }
        let missing = width.saturating_sub(text.chars().count());
        if flags.contains('-') {
            text.push_str(&" ".repeat(missing));
        } else if flags.contains('0') && matches!(verb, 'd' | 'f' | 'e' | 'g' | 'x') {
            let at = usize::from(text.starts_with(['-', '+']));
            text.insert_str(at, &"0".repeat(missing));
        } else {
            text.insert_str(0, &" ".repeat(missing));
        }
        out.push_str(&text);
    }
    Ok(out)
}

fn one(verb: char, precision: Option<usize>, value: &Value) -> Result<String, TemplateError> {
    Ok(match (verb, value) {
        ('v', value) => print(value),
        ('s', Value::Number(number)) => format!("%!s(float64={})", number::general(*number, None)),
        ('s', value) => print(value)
            .chars()
            .take(precision.unwrap_or(usize::MAX))
            .collect(),
        ('q', value) => crate::labels::quoted(&print(value)),
        ('d', Value::Integer(integer)) => integer.to_string(),
        ('x', Value::Integer(integer)) => format!("{integer:x}"),
        ('t', Value::Boolean(boolean)) => boolean.to_string(),
        ('f' | 'F', Value::Number(number)) => number::fixed(*number, precision.unwrap_or(6), false),
        ('e', Value::Number(number)) => number::fixed(*number, precision.unwrap_or(6), true),
        ('g', Value::Number(number)) => number::general(*number, precision),
        (verb, value) => format!("%!{verb}({})", print(value)),
    })
}

fn title(text: &str) -> String {
    let mut out = String::new();
    let mut start = true;
    for character in text.chars() {
        if start {
            out.extend(character.to_uppercase())
        } else {
            out.push(character)
        }
        start = !(character.is_alphanumeric() || character == '_' || character == '\'');
    }
    out
}

fn escape_html(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&#34;")
        .replace('\'', "&#39;")
}

fn url_escape(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                out.push(byte as char)
            }
            b' ' => out.push('+'),
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

fn strip_domain(host: &str) -> String {
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => (name, Some(port)),
        _ => (host, None),
    };
    // An address has no domain.
    if name.contains(':') || name.parse::<std::net::IpAddr>().is_ok() {
        return host.to_owned();
    }
    let short = name.split('.').next().unwrap_or(name);
    port.map_or_else(|| short.to_owned(), |port| format!("{short}:{port}"))
}

fn humanize(mut value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return number::general(value, Some(4));
    }
    let mut prefix = "";
    if value.abs() >= 1.0 {
        for next in ["k", "M", "G", "T", "P", "E", "Z", "Y"] {
            if value.abs() < 1000.0 {
                break;
            }
            prefix = next;
            value /= 1000.0;
        }
    } else {
        for next in ["m", "u", "n", "p", "f", "a", "z", "y"] {
            if value.abs() >= 1.0 {
                break;
            }
            prefix = next;
            value *= 1000.0;
        }
    }
    number::general(value, Some(4)) + prefix
}

fn humanize1024(mut value: f64) -> String {
    let mut prefix = "";
    if value.is_finite() {
        for next in ["ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi"] {
            if value.abs() < 1024.0 {
                break;
            }
            prefix = next;
            value /= 1024.0;
        }
    }
    number::general(value, Some(4)) + prefix
}

fn humanize_duration(value: f64) -> String {
    if !value.is_finite() {
        return number::general(value, Some(4));
    }
    if value.abs() < 1.0 && value != 0.0 {
        return humanize(value) + "s";
    }
    let (sign, total) = (if value < 0.0 { "-" } else { "" }, value.abs() as u64);
    let (seconds, minutes, hours, days) = (
        total % 60,
        total / 60 % 60,
        total / 3600 % 24,
        total / 86_400,
    );
    if days > 0 {
        format!("{sign}{days}d {hours}h {minutes}m {seconds}s")
    } else if hours > 0 {
        format!("{sign}{hours}h {minutes}m {seconds}s")
    } else if minutes > 0 {
        format!("{sign}{minutes}m {seconds}s")
    } else {
        number::general(value, Some(4)) + "s"
    }
}

fn timestamp(seconds: f64) -> String {
    if !seconds.is_finite() || seconds.abs() > 1e12 {
        return format_value(seconds);
    }
    let text = rfc3339((seconds * 1e3).round() as i64);
    text.replacen('T', " ", 1).replace('Z', " +0000 UTC")
}
