//! Times and sizes as people say them.

use std::time::Duration;

use jiff::Timestamp;

/// A duration in two digits or so: `850 ms`, `1.5 s`, `2 min 05 s`, `3 h 10 min`.
pub(crate) fn duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    let seconds = duration.as_secs();
    match millis {
        0..1_000 => format!("{millis} ms"),
        1_000..60_000 => format!("{}.{} s", millis / 1_000, millis % 1_000 / 100),
        60_000..3_600_000 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} min", seconds / 3_600, seconds / 60 % 60),
    }
}

/// How long ago a moment was, in its largest unit: `12s`, `5m`, `3h`, `2d`.
pub(crate) fn age(moment: Timestamp, now: Timestamp) -> String {
    let seconds = now.duration_since(moment).as_secs().max(0);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m", seconds / 60),
        3_600..86_400 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// The time from one moment to another, none where they are the wrong way round.
pub(crate) fn between(from: Timestamp, to: Timestamp) -> String {
    duration(Duration::try_from(to.duration_since(from)).unwrap_or_default())
}

/// A size in binary units: `512 B`, `38.2 MiB`.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 {
        format!("{bytes} B")
    } else {
        format!("{value:.1} {}", UNITS[unit])
    }
}

/// `1 instance`, `3 instances`.
pub(crate) fn count(number: u64, one: &str) -> String {
    if number == 1 {
        format!("1 {one}")
    } else {
        format!("{number} {one}s")
    }
}

/// The first twelve digits of a commit.
pub(crate) fn short(commit: &str) -> &str {
    commit.get(..12).unwrap_or(commit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_keep_the_digits_that_matter() {
        let say = |millis| duration(Duration::from_millis(millis));
        assert_eq!(say(7), "7 ms");
        assert_eq!(say(1_549), "1.5 s");
        assert_eq!(say(125_000), "2 min 05 s");
        assert_eq!(say(11_400_000), "3 h 10 min");
    }

    #[test]
    fn sizes_are_binary() {
        assert_eq!(size(512), "512 B");
        assert_eq!(size(40_000_000), "38.1 MiB");
    }

    #[test]
    fn a_moment_in_the_future_is_no_age() {
        let now = Timestamp::from_second(1_000_000).unwrap();
        assert_eq!(age(Timestamp::from_second(1_000_100).unwrap(), now), "0s");
        assert_eq!(age(Timestamp::from_second(996_000).unwrap(), now), "1h");
    }
}
