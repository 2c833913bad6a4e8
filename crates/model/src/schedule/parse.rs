//! From text to a [`Schedule`], with errors that point at the character.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::field::{Line, Unit};
use super::hash::Hash;
use super::{MAX_LINES, MAX_TEXT, Schedule, ScheduleError, walk};
use crate::suggest::nearest;

const ALIASES: [(&str, &str); 7] = [
    ("@yearly", "H H H H *"),
    ("@annually", "H H H H *"),
    ("@monthly", "H H H * *"),
    ("@weekly", "H H * * H"),
    ("@daily", "H H * * *"),
    ("@midnight", "H H(0-2) * * *"),
    ("@hourly", "H * * * *"),
];

/// A place in a line: the text from there on, and its column from 0.
#[derive(Clone, Copy)]
struct Spot<'a> {
    text: &'a str,
    column: usize,
}

struct Reader {
    hash: Hash,
    line: u32,
}

pub(super) fn schedule(text: &str, seed: &str) -> Result<Schedule, ScheduleError> {
    let mut reader = Reader {
        hash: Hash::new(seed),
        line: 1,
    };
    let start = Spot { text, column: 0 };
    if text.len() > MAX_TEXT {
        return Err(reader.error(
            start,
            format!("the expression has {} bytes", text.len()),
            format!("At most {MAX_TEXT} bytes are read."),
        ));
    }
    let mut zone = None;
    let mut lines: Vec<Line> = Vec::new();
    for (index, whole) in text.lines().enumerate() {
        reader.line = u32::try_from(index + 1).unwrap_or(u32::MAX);
        let indent = whole.chars().take_while(|c| c.is_whitespace()).count();
        let spot = Spot {
            text: whole.trim(),
            column: indent,
        };
        if spot.text.is_empty() || spot.text.starts_with('#') {
            continue;
        }
        if let Some(name) = spot.text.strip_prefix("TZ=") {
            if zone.is_some() || !lines.is_empty() {
                return Err(reader.error(
                    spot,
                    "`TZ=` stands below another line",
                    "The first line, and it alone, may set the time zone of all lines.",
                ));
            }
            zone = Some(reader.zone(Spot {
                text: name.trim(),
                column: spot.column + 3,
            })?);
            continue;
        }
        if lines.len() == MAX_LINES {
            return Err(reader.error(
                spot,
                format!("the expression has more than {MAX_LINES} lines"),
                "Say more with fewer lines: lists, ranges and steps.",
            ));
        }
        let line = reader.line(spot)?;
        let begin = Timestamp::UNIX_EPOCH;
        if walk::next_after(&line, begin, &TimeZone::UTC).is_none() {
            return Err(reader.error(
                spot,
                format!("`{}` never comes", shown(spot.text)),
                "No year has such a day: mind the length of the months.",
            ));
        }
        lines.push(line);
    }
    if lines.is_empty() {
        reader.line = 1;
        return Err(reader.error(
            start,
            "the expression has no line that says when",
            "Write minute, hour, day of the month, month and day of the week, such as `H 4 * * *`.",
        ));
    }
    Ok(Schedule {
        text: text.to_owned(),
        zone,
        lines,
    })
}

impl Reader {
    fn error(
        &self,
        spot: Spot<'_>,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> ScheduleError {
        ScheduleError {
            line: self.line,
            column: u32::try_from(spot.column + 1).unwrap_or(u32::MAX),
            message: message.into(),
            hint: hint.into(),
        }
    }

    fn zone(&self, spot: Spot<'_>) -> Result<TimeZone, ScheduleError> {
        let known = || jiff::tz::db().available().map(|name| name.to_string());
        // Without its name checked, a path could lead out of the database's folder.
        let plain = !spot.text.is_empty()
            && spot
                .text
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "/_+-".contains(c));
        match TimeZone::get(spot.text) {
            Ok(zone) if plain => Ok(zone),
            _ => {
                let names: Vec<String> = known().collect();
                let near = nearest(spot.text, names.iter().map(String::as_str));
                Err(self.error(
                    spot,
                    format!("there is no time zone `{}`", shown(spot.text)),
                    match near {
                        Some(near) => format!("Did you mean `{near}`?"),
                        None => "A time zone is named as in `TZ=Europe/London`.".to_owned(),
                    },
                ))
            }
        }
    }

    fn line(&mut self, spot: Spot<'_>) -> Result<Line, ScheduleError> {
        if spot.text.starts_with('@') {
            let Some((_, meaning)) = ALIASES.iter().find(|(alias, _)| *alias == spot.text) else {
                let near = nearest(spot.text, ALIASES.map(|(alias, _)| alias));
                return Err(self.error(
                    spot,
                    format!("`{}` is not known", shown(spot.text)),
                    match near {
                        Some(near) => format!("Did you mean `{near}`?"),
                        None => {
                            "Known are @yearly, @monthly, @weekly, @daily, @midnight and @hourly."
                                .to_owned()
                        }
                    },
                ));
            };
            return self.line(Spot {
                text: meaning,
                column: spot.column,
            });
        }
        let fields = split(spot, char::is_whitespace);
        if fields.len() != 5 {
            let end = Spot {
                text: "",
                column: fields.get(5).map_or_else(
                    || spot.column + spot.text.chars().count(),
                    |sixth| sixth.column,
                ),
            };
            return Err(self.error(
                end,
                format!(
                    "`{}` has {} field{} instead of five",
                    shown(spot.text),
                    fields.len(),
                    if fields.len() == 1 { "" } else { "s" }
                ),
                "Write minute, hour, day of the month, month and day of the week, such as `H 4 * * *`.",
            ));
        }
        let mut line = Line::default();
        for (unit, field) in Unit::ALL.into_iter().zip(fields) {
            let mut bits = 0;
            for part in parts(field) {
                bits |= self.part(unit, part)?;
            }
            line.set(unit, bits);
        }
        Ok(line)
    }

    /// One part of a list: `*`, `*/2`, `3`, `3-9`, `3-9/2`, `H`, `H/15`, `H(0-29)`, `H(0-29)/10`.
    fn part(&mut self, unit: Unit, spot: Spot<'_>) -> Result<u64, ScheduleError> {
        let (body, step) = match spot.text.split_once('/') {
            Some((body, step)) => {
                let step = Spot {
                    text: step,
                    column: spot.column + body.chars().count() + 1,
                };
                (body, Some(step))
            }
            None => (spot.text, None),
        };
        let body = Spot {
            text: body,
            column: spot.column,
        };
        if body.text == "*" {
            return self.stepped(unit, (unit.low(), unit.high()), step);
        }
        if let Some(rest) = body.text.strip_prefix('H') {
            let (low, high) = if rest.is_empty() {
                (unit.low(), unit.high_of_hash())
            } else if let Some(range) = rest.strip_prefix('(').and_then(|r| r.strip_suffix(')')) {
                let range = Spot {
                    text: range,
                    column: body.column + 2,
                };
                let found = self.range(unit, range)?;
                if !range.text.contains('-') {
                    return Err(self.error(
                        range,
                        format!("`{}` is not a range", shown(range.text)),
                        format!("Write `H({}-{})`.", unit.low(), unit.high_of_hash()),
                    ));
                }
                found
            } else {
                return Err(self.error(
                    body,
                    format!("`{}` is not understood", shown(body.text)),
                    "`H` stands alone, or as `H/15`, `H(0-29)` or `H(0-29)/10`.",
                ));
            };
            return match step {
                None => Ok(1 << (low + self.hash.below(high + 1 - low))),
                Some(step) => {
                    let step = self.step(unit, (low, high), step)?;
                    let first = low + self.hash.below(step);
                    Ok(every(first, high, step))
                }
            };
        }
        let (low, high) = self.range(unit, body)?;
        if let Some(step) = step
            && !body.text.contains('-')
        {
            return Err(self.error(
                step,
                format!("`{}` has a step but no range", shown(spot.text)),
                format!(
                    "Write `{low}-{}/{}`, or `*/{}`.",
                    unit.high(),
                    step.text,
                    step.text
                ),
            ));
        }
        self.stepped(unit, (low, high), step)
    }

    fn stepped(
        &self,
        unit: Unit,
        (low, high): (u32, u32),
        step: Option<Spot<'_>>,
    ) -> Result<u64, ScheduleError> {
        let step = match step {
            None => 1,
            Some(step) => self.step(unit, (low, high), step)?,
        };
        // A step over the week counts its seven days, not Sunday twice.
        let high = if unit == Unit::Weekday && (low, high) == (0, 7) {
            6
        } else {
            high
        };
        Ok(every(low, high, step))
    }

    fn step(
        &self,
        unit: Unit,
        (low, high): (u32, u32),
        spot: Spot<'_>,
    ) -> Result<u32, ScheduleError> {
        let most = high - low + 1;
        match spot.text.parse::<u32>() {
            Ok(step) if (1..=most).contains(&step) && digits(spot.text) => Ok(step),
            _ => Err(self.error(
                spot,
                format!("`{}` is not a step for {}", shown(spot.text), unit.name()),
                format!("A step is a number from 1 to {most} here."),
            )),
        }
    }

    /// `3` or `3-9`.
    fn range(&self, unit: Unit, spot: Spot<'_>) -> Result<(u32, u32), ScheduleError> {
        let Some((low, high)) = spot.text.split_once('-') else {
            let value = self.value(unit, spot)?;
            return Ok((value, value));
        };
        let low = Spot {
            text: low,
            column: spot.column,
        };
        let high = Spot {
            text: high,
            column: spot.column + low.text.chars().count() + 1,
        };
        let (from, mut to) = (self.value(unit, low)?, self.value(unit, high)?);
        // `FRI-SUN`: a week may end with Sunday.
        if unit == Unit::Weekday && to == 0 && from > 0 {
            to = 7;
        }
        if to < from {
            return Err(self.error(
                spot,
                format!("the range `{}` ends before it begins", shown(spot.text)),
                format!(
                    "Write `{from}-{},{}-{to}`.",
                    unit.high_of_hash(),
                    unit.low()
                ),
            ));
        }
        Ok((from, to))
    }

    fn value(&self, unit: Unit, spot: Spot<'_>) -> Result<u32, ScheduleError> {
        let words = unit.words();
        let word = words
            .iter()
            .position(|word| word.eq_ignore_ascii_case(spot.text));
        if let Some(index) = word {
            return Ok(unit.low() + u32::try_from(index).unwrap_or(0));
        }
        match spot.text.parse::<u32>() {
            Ok(value) if (unit.low()..=unit.high()).contains(&value) && digits(spot.text) => {
                Ok(value)
            }
            _ => Err(self.error(
                spot,
                format!("`{}` is not {}", shown(spot.text), unit.name()),
                match (spot.text, words) {
                    ("h", _) => "Write `H` in capitals.".to_owned(),
                    ("?", _) => "Write `*` for any value.".to_owned(),
                    (_, []) => format!("It is a number from {} to {}.", unit.low(), unit.high()),
                    (_, [first, .., last]) | (_, [first @ last]) => format!(
                        "It is a number from {} to {}, or {first} to {last}.",
                        unit.low(),
                        unit.high()
                    ),
                },
            )),
        }
    }
}

/// The bits of `first`, `first + step` … up to `high`.
fn every(first: u32, high: u32, step: u32) -> u64 {
    let mut bits = 0;
    let mut value = first;
    while value <= high {
        bits |= 1 << value;
        value += step;
    }
    bits
}

/// Rust's numbers may begin with a plus sign.
fn digits(text: &str) -> bool {
    !text.is_empty() && text.len() <= 4 && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// A user's text within a message, cut to what one reads.
fn shown(text: &str) -> String {
    if text.chars().count() <= 60 {
        text.to_owned()
    } else {
        let cut: String = text.chars().take(57).collect();
        format!("{cut}...")
    }
}

/// The parts of a list; a comma never stands within brackets.
fn parts(field: Spot<'_>) -> Vec<Spot<'_>> {
    let mut found = Vec::new();
    let mut column = field.column;
    for text in field.text.split(',') {
        found.push(Spot { text, column });
        column += text.chars().count() + 1;
    }
    found
}

/// The stretches between separators, without the empty ones.
fn split(spot: Spot<'_>, separates: impl Fn(char) -> bool) -> Vec<Spot<'_>> {
    let mut found = Vec::new();
    let mut begin: Option<(usize, usize)> = None;
    for (column, (at, c)) in spot.text.char_indices().enumerate() {
        match (separates(c), begin) {
            (false, None) => begin = Some((at, column)),
            (true, Some((from, first))) => {
                found.push(Spot {
                    text: &spot.text[from..at],
                    column: spot.column + first,
                });
                begin = None;
            }
            _ => {}
        }
    }
    if let Some((from, first)) = begin {
        found.push(Spot {
            text: &spot.text[from..],
            column: spot.column + first,
        });
    }
    found
}
