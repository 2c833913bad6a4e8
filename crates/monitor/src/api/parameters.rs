//! Parameters of a request: decoding, times, durations.

use super::{Failure, now};

#[cfg(test)]
mod tests;

/// Names and values in order; a name may come several times.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// Reads `application/x-www-form-urlencoded` text. What is not valid percent-encoding is taken as it is, bytes that
    /// are not UTF-8 become replacement characters.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let pairs = text.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (percent_decode(name, true), percent_decode(value, true))
        });
        Self(pairs.collect())
    }

    /// Adds the parameters of another list.
    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// Adds one parameter.
    pub fn push(&mut self, name: &str, value: &str) {
        self.0.push((name.to_owned(), value.to_owned()));
    }

    /// The first value of a name, if it is not empty.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.all(name).find(|value| !value.is_empty())
    }

    /// All values of a name.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0
            .iter()
            .filter(move |(other, _)| other == name)
            .map(|(_, value)| value.as_str())
    }

    pub(super) fn time(&self, name: &str, default: i64) -> Result<i64, Failure> {
        match self.get(name) {
            None => Ok(default),
            Some(text) => parse_time(text).ok_or_else(|| {
                Failure::bad_parameter(
                    name,
                    format!("cannot parse \"{text}\" to a valid timestamp"),
                )
            }),
        }
    }

    pub(super) fn required_time(&self, name: &str) -> Result<i64, Failure> {
        let text = self.get(name).unwrap_or("");
        parse_time(text).ok_or_else(|| {
            Failure::bad_parameter(
                name,
                format!("cannot parse \"{text}\" to a valid timestamp"),
            )
        })
    }

    pub(super) fn duration(&self, name: &str) -> Result<Option<i64>, Failure> {
        match self.get(name) {
            None => Ok(None),
            Some(text) => parse_duration(text).map(Some).ok_or_else(|| {
                Failure::bad_parameter(name, format!("cannot parse \"{text}\" to a valid duration"))
            }),
        }
    }

    /// `limit`, where zero means none.
    pub(super) fn limit(&self) -> Result<usize, Failure> {
        match self.get("limit") {
            None => Ok(usize::MAX),
            Some(text) => match text.parse::<usize>() {
                Ok(0) => Ok(usize::MAX),
                Ok(limit) => Ok(limit),
                Err(_) => Err(Failure::bad_parameter(
                    "limit",
                    "must be a number that is not negative",
                )),
            },
        }
    }

    /// `start` and `end` with everything as default.
    pub(super) fn wide_range(&self) -> Result<(i64, i64), Failure> {
        // The default is wide, not infinite, so that nothing overflows; the newest data may be a little in the future.
        let (start, end) = (
            self.time("start", 0)?,
            self.time("end", now().saturating_add(366 * 86_400_000))?,
        );
        if end < start {
            return Err(Failure::bad_parameter(
                "end",
                "end timestamp must not be before start timestamp",
            ));
        }
        Ok((start, end))
    }
}

/// Decodes `%41` and, in forms, `+`.
pub(super) fn percent_decode(text: &str, form: bool) -> String {
    if !text.bytes().any(|byte| byte == b'%' || byte == b'+') {
        return text.to_owned();
    }
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    let digit = |at: usize| bytes.get(at).and_then(|byte| (*byte as char).to_digit(16));
    while at < bytes.len() {
        match bytes[at] {
            b'+' if form => out.push(b' '),
            b'%' => {
                if let (Some(high), Some(low)) = (digit(at + 1), digit(at + 2)) {
                    out.push((high * 16 + low) as u8);
                    at += 3;
                    continue;
                }
                out.push(b'%');
            }
            byte => out.push(byte),
        }
        at += 1;
    }
    String::from_utf8(out)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// A time of the API as ms: seconds with a fraction, or RFC 3339.
#[must_use]
pub fn parse_time(text: &str) -> Option<i64> {
    if let Ok(seconds) = text.parse::<f64>() {
        let milliseconds = (seconds * 1000.0).round();
        return (milliseconds.abs() < 9e15).then_some(milliseconds as i64);
    }
    parse_rfc3339(text)
}

fn parse_rfc3339(text: &str) -> Option<i64> {
    let number = |from: usize, to: usize| -> Option<i64> {
        let part = text.get(from..to)?;
        part.bytes()
            .all(|b| b.is_ascii_digit())
            .then(|| part.parse().ok())?
    };
    let bytes = text.as_bytes();
    let separators = [(4, b'-'), (7, b'-'), (13, b':'), (16, b':')];
    if !separators
        .iter()
        .all(|(at, byte)| bytes.get(*at) == Some(byte))
        || !matches!(bytes.get(10), Some(b'T' | b't' | b' '))
    {
        return None;
    }
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    if !(1..=12).contains(&month)
        || !(1..=31).contains(&day)
        || hour > 23
        || minute > 59
        || second > 60
    {
        return None;
    }
    let mut rest = &text[19..];
    let mut fraction = 0;
    if let Some(after) = rest.strip_prefix('.') {
        let digits = after.bytes().take_while(u8::is_ascii_digit).count();
        let padded: String = after[..digits]
            .chars()
            .chain("000".chars())
            .take(3)
            .collect();
        fraction = padded.parse().ok()?;
        rest = &after[digits..];
    }
    let offset = match rest {
        "Z" | "z" => 0,
        _ => {
            let sign = if rest.starts_with('-') { -1 } else { 1 };
            let (hours, minutes) = rest.strip_prefix(['+', '-'])?.split_once(':')?;
            sign * (hours.parse::<i64>().ok()? * 60 + minutes.parse::<i64>().ok()?)
        }
    };
    // Days from the calendar date, after Howard Hinnant.
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    let days = era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100
        + day_of_year
        - 719_468;
    Some(((days * 86_400 + hour * 3600 + (minute - offset) * 60 + second) * 1000) + fraction)
}

/// A duration of the API as ms: seconds with a fraction, or `1h30m`. Not negative.
#[must_use]
pub fn parse_duration(text: &str) -> Option<i64> {
    if let Ok(seconds) = text.parse::<f64>() {
        let milliseconds = (seconds * 1000.0).round();
        return (0.0..9e15)
            .contains(&milliseconds)
            .then_some(milliseconds as i64);
    }
    let units = [
        ("y", 31_536_000_000),
        ("w", 604_800_000),
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1000),
        ("ms", 1),
    ];
    let (mut rest, mut total, mut next) = (text, 0i64, 0);
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number: i64 = rest.get(..digits)?.parse().ok()?;
        let letters = rest[digits..]
            .bytes()
            .take_while(u8::is_ascii_alphabetic)
            .count();
        let unit = &rest[digits..digits + letters];
        // Each unit at most once, the larger before the smaller.
        let at = units
            .iter()
            .position(|(name, _)| *name == unit)
            .filter(|at| *at >= next)?;
        next = at + 1;
        total = total.checked_add(number.checked_mul(units[at].1)?)?;
        rest = &rest[digits + letters..];
    }
    (!text.is_empty()).then_some(total)
}
