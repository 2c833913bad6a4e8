//! Writes results as the API's JSON, straight into the body: a dashboard's answers are megabytes of numbers.

use crate::labels::Labels;
use crate::promql::{Series, Value};
use std::fmt::Write;

/// A JSON string.
pub(super) fn text(out: &mut String, value: &str) {
    out.push('"');
    let mut rest = value;
    while let Some(at) = rest
        .bytes()
        .position(|byte| byte == b'"' || byte == b'\\' || byte < 0x20)
    {
        out.push_str(&rest[..at]);
        match rest.as_bytes()[at] {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            byte => {
                let _ = write!(out, "\\u{byte:04x}");
            }
        }
        rest = &rest[at + 1..];
    }
    out.push_str(rest);
    out.push('"');
}

pub(super) fn labels(out: &mut String, labels: &Labels) {
    out.push('{');
    for (at, (name, value)) in labels.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        text(out, name);
        out.push(':');
        text(out, value);
    }
    out.push('}');
}

/// Seconds with three digits after the point where they are not all zero.
pub(super) fn time(out: &mut String, milliseconds: i64) {
    let (sign, absolute) = (
        if milliseconds < 0 { "-" } else { "" },
        milliseconds.unsigned_abs(),
    );
    let _ = match absolute % 1000 {
        0 => write!(out, "{sign}{}", absolute / 1000),
        fraction => write!(out, "{sign}{}.{fraction:03}", absolute / 1000),
    };
}

/// `[time, "value"]`
pub(super) fn point(out: &mut String, at: i64, value: f64) {
    out.push('[');
    time(out, at);
    out.push_str(",\"");
    number(out, value);
    out.push_str("\"]");
}

/// As Go's `strconv.FormatFloat(value, 'f' or 'e', -1, 64)`: exponents below 1e-6 and from 1e21.
fn number(out: &mut String, value: f64) {
    let absolute = value.abs();
    let _ = if value.is_nan() {
        write!(out, "NaN")
    } else if value.is_infinite() {
        write!(out, "{}", if value > 0.0 { "+Inf" } else { "-Inf" })
    } else if absolute != 0.0 && !(1e-6..1e21).contains(&absolute) {
        // Rust writes `1e-7`, Go `1e-07`.
        let text = format!("{value:e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, exponent) = exponent
            .strip_prefix('-')
            .map_or(('+', exponent), |rest| ('-', rest));
        write!(out, "{digits}e{sign}{exponent:0>2}")
    } else {
        write!(out, "{value}")
    };
}

/// `{"resultType":…,"result":…}` without its closing brace, so that statistics can follow.
pub(super) fn result(out: &mut String, value: &Value) {
    let _ = write!(
        out,
        "{{\"resultType\":\"{}\",\"result\":",
        value.type_name()
    );
    match value {
        Value::Scalar(at, value) => point(out, *at, *value),
        Value::Text(at, value) => {
            out.push('[');
            time(out, *at);
            out.push(',');
            text(out, value);
            out.push(']');
        }
        Value::Vector(all) => list(out, all, |out, series| {
            out.push_str("{\"metric\":");
            labels(out, &series.labels);
            out.push_str(",\"value\":");
            if let Some((at, value)) = series.points.first() {
                point(out, *at, *value);
            }
            out.push('}');
        }),
        Value::Matrix(all) => list(out, all, |out, series| {
            out.reserve(series.points.len() * 32);
            out.push_str("{\"metric\":");
            labels(out, &series.labels);
            out.push_str(",\"values\":");
            list(out, &series.points, |out, (at, value)| {
                point(out, *at, *value)
            });
            out.push('}');
        }),
    }
}

pub(super) fn list<T>(out: &mut String, all: &[T], mut one: impl FnMut(&mut String, &T)) {
    out.push('[');
    for (at, item) in all.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        one(out, item);
    }
    out.push(']');
}

/// The bytes that a result will take, roughly, so that the body is not copied again and again while it grows.
pub(super) fn estimate(value: &Value) -> usize {
    let series = |all: &[Series]| {
        all.iter()
            .map(|s| s.labels.packed_len() * 2 + s.points.len() * 32 + 40)
            .sum()
    };
    match value {
        Value::Scalar(..) | Value::Text(..) => 128,
        Value::Vector(all) | Value::Matrix(all) => series(all),
    }
}
