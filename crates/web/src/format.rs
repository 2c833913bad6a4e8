//! Numbers and times in words for people: durations, sizes, rates.

use std::time::Duration;

use jiff::Timestamp;

/// A duration with two figures that matter: `850 ms`, `1.2 s`, `2 min 5 s`, `3 h 4 min`.
pub fn duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    let seconds = duration.as_secs();
    if millis < 1000 {
        return format!("{millis} ms");
    }
    if millis < 9_950 {
        return format!("{:.1} s", millis as f64 / 1000.0);
    }
    match seconds {
        0..60 => format!("{} s", (millis + 500) / 1000),
        60..3600 => with_rest(seconds / 60, "min", seconds % 60, "s"),
        3600..86_400 => with_rest(seconds / 3600, "h", seconds % 3600 / 60, "min"),
        _ => with_rest(seconds / 86_400, "d", seconds % 86_400 / 3600, "h"),
    }
}

fn with_rest(whole: u64, unit: &str, rest: u64, rest_unit: &str) -> String {
    if rest == 0 {
        format!("{whole} {unit}")
    } else {
        format!("{whole} {unit} {rest} {rest_unit}")
    }
}

/// The same for a count of milliseconds.
pub fn millis(millis: u64) -> String {
    duration(Duration::from_millis(millis))
}

/// The time between two moments; nothing where the clock went back.
pub fn between(from: Timestamp, to: Timestamp) -> String {
    millis(u64::try_from(to.as_millisecond() - from.as_millisecond()).unwrap_or(0))
}

/// How long ago a moment was, in one unit: `now`, `40 s ago`, `3 min ago`, `2 d ago`.
pub fn ago(at: Timestamp, now: Timestamp) -> String {
    let seconds = now.as_second() - at.as_second();
    match seconds {
        ..5 => "now".to_owned(),
        5..60 => format!("{seconds} s ago"),
        60..3600 => format!("{} min ago", seconds / 60),
        3600..86_400 => format!("{} h ago", seconds / 3600),
        _ => format!("{} d ago", seconds / 86_400),
    }
}

/// A size in binary units: `812 B`, `41 MiB`, `1.5 GiB`.
pub fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1023.5 && unit < UNITS.len() - 1 {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 || value >= 9.95 {
        format!("{value:.0} {}", UNITS[unit])
    } else {
        format!("{value:.1} {}", UNITS[unit])
    }
}

/// A rate: `0`, `0.3`, `12.5`, `340`.
pub fn rate(value: f64) -> String {
    if !value.is_finite() || value < 0.05 {
        "0".to_owned()
    } else if value < 99.95 {
        format!("{value:.1}")
    } else {
        format!("{value:.0}")
    }
}

/// A share from 0 to 1 in percent: `0 %`, `0.4 %`, `12 %`.
pub fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if !percent.is_finite() || percent < 0.05 {
        "0 %".to_owned()
    } else if percent < 9.95 {
        format!("{percent:.1} %")
    } else {
        format!("{percent:.0} %")
    }
}

/// A noun with its count: `1 instance`, `3 instances`.
pub fn count(number: usize, noun: &str) -> String {
    if number == 1 {
        format!("1 {noun}")
    } else {
        format!("{number} {noun}s")
    }
}

#[cfg(test)]
mod tests;
