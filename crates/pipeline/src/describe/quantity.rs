//! Times and sizes as people write them: `10s`, `1h30m`, `256M`.

/// The longest time that is taken, so that no sum of times overflows: ten years.
const MAX_MS: u64 = 10 * 365 * 24 * 3_600_000;

/// A time in milliseconds: one or more numbers with the units `ms`, `s`, `m`, `h` or `d`. `None` where the text is
/// no time, is 0, or is longer than ten years.
pub fn duration_ms(text: &str) -> Option<u64> {
    let mut rest = text.trim();
    let mut total: u64 = 0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = rest[..digits].parse().ok()?;
        rest = rest[digits..].trim_start();
        let end = rest
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(rest.len());
        let unit = match &rest[..end] {
            "ms" => 1,
            "s" | "sec" | "seconds" => 1_000,
            "m" | "min" | "minutes" => 60_000,
            "h" | "hours" => 3_600_000,
            "d" | "days" => 24 * 3_600_000,
            _ => return None,
        };
        total = total.checked_add(number.checked_mul(unit)?)?;
        rest = rest[end..].trim_start();
    }
    (1..=MAX_MS).contains(&total).then_some(total)
}

/// A time for people, in the form that [`duration_ms`] reads.
pub fn show_ms(ms: u64) -> String {
    let units = [
        (86_400_000, "d"),
        (3_600_000, "h"),
        (60_000, "m"),
        (1_000, "s"),
        (1, "ms"),
    ];
    let mut rest = ms;
    let mut shown = String::new();
    for (size, unit) in units {
        if rest >= size {
            shown += &format!("{}{unit}", rest / size);
            rest %= size;
        }
    }
    if shown.is_empty() {
        "0s".to_owned()
    } else {
        shown
    }
}

/// A size in bytes: a number with `K`, `M`, `G` or `T` (powers of 1024), with or without `B` or `iB`.
pub fn size_bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let number: u64 = text[..digits].parse().ok()?;
    let unit = text[digits..].trim().to_ascii_lowercase();
    let unit = unit
        .strip_suffix("ib")
        .or(unit.strip_suffix('b'))
        .unwrap_or(&unit);
    let shift = match unit {
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        "" if text.ends_with(['b', 'B']) => 0,
        _ => return None,
    };
    number.checked_mul(1 << shift).filter(|bytes| *bytes > 0)
}

/// A size for people, in the form that [`size_bytes`] reads.
pub fn show_bytes(bytes: u64) -> String {
    for (shift, unit) in [(40, "T"), (30, "G"), (20, "M"), (10, "K")] {
        if bytes >> shift > 0 && bytes.trailing_zeros() >= shift {
            return format!("{}{unit}", bytes >> shift);
        }
    }
    format!("{bytes}B")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        assert_eq!(duration_ms("10s"), Some(10_000));
        assert_eq!(duration_ms("1h30m"), Some(5_400_000));
        assert_eq!(duration_ms(" 250ms "), Some(250));
        assert_eq!(duration_ms("5 m"), Some(300_000));
        for wrong in [
            "",
            "10",
            "s",
            "10x",
            "0s",
            "-5s",
            "1.5h",
            "99999999999d",
            "10s5",
        ] {
            assert_eq!(duration_ms(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn sizes_have_units() {
        assert_eq!(size_bytes("256M"), Some(256 << 20));
        assert_eq!(size_bytes("1GiB"), Some(1 << 30));
        assert_eq!(size_bytes("12b"), Some(12));
        for wrong in ["", "12", "M", "1X", "0M", "99999999999999T"] {
            assert_eq!(size_bytes(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_is_shown_is_read_back() {
        for ms in [1, 1_000, 61_001, 5_400_000, 86_400_000] {
            assert_eq!(duration_ms(&show_ms(ms)), Some(ms));
        }
        for bytes in [1, 1024, 1025, 256 << 20, 3 << 30] {
            assert_eq!(size_bytes(&show_bytes(bytes)), Some(bytes));
        }
    }
}
