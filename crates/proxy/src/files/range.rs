//! The `Range` field (RFC 9110, section 14): one range is served, several are answered with the whole file, as the RFC allows.

use crate::h1::decimal;

/// What of a file is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ranged {
    Whole,
    Part { from: u64, length: u64 },
    Unsatisfiable,
}

/// Reads the field; `holds` is asked whether `If-Range` lets it count.
pub(super) fn of(range: Option<&str>, length: u64, holds: impl FnOnce() -> bool) -> Ranged {
    let Some(spec) = range.and_then(|range| range.trim().strip_prefix("bytes=")) else {
        return Ranged::Whole;
    };
    if spec.contains(',') || !holds() {
        return Ranged::Whole;
    }
    let Some((first, last)) = spec.trim().split_once('-') else {
        return Ranged::Whole;
    };
    let number = |text: &str| decimal(text.as_bytes());
    match (first, last) {
        ("", suffix) => match number(suffix) {
            None => Ranged::Whole,
            Some(0) => Ranged::Unsatisfiable,
            Some(_) if length == 0 => Ranged::Unsatisfiable,
            Some(suffix) => {
                let part = suffix.min(length);
                Ranged::Part {
                    from: length - part,
                    length: part,
                }
            }
        },
        (first, last) => {
            let Some(from) = number(first) else {
                return Ranged::Whole;
            };
            let to = match last {
                "" => u64::MAX,
                last => match number(last) {
                    Some(to) if to >= from => to,
                    _ => return Ranged::Whole,
                },
            };
            if from >= length {
                return Ranged::Unsatisfiable;
            }
            Ranged::Part {
                from,
                length: to.min(length - 1) - from + 1,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_the_rfc_says() {
        let of = |range| of(Some(range), 100, || true);
        let part = |from, length| Ranged::Part { from, length };
        assert_eq!(of("bytes=0-9"), part(0, 10));
        assert_eq!(of("bytes=90-"), part(90, 10));
        assert_eq!(of("bytes=90-1000"), part(90, 10));
        assert_eq!(of("bytes=-5"), part(95, 5));
        assert_eq!(of("bytes=-500"), part(0, 100));
        assert_eq!(of("bytes=100-"), Ranged::Unsatisfiable);
        assert_eq!(of("bytes=-0"), Ranged::Unsatisfiable);
        for whole in [
            "bytes=5-1",
            "bytes=a-b",
            "bytes=0-1,5-6",
            "lines=1-2",
            "bytes=",
            "bytes=-",
        ] {
            assert_eq!(of(whole), Ranged::Whole, "{whole}");
        }
        assert_eq!(super::of(Some("bytes=0-9"), 100, || false), Ranged::Whole);
        assert_eq!(
            super::of(Some("bytes=-1"), 0, || true),
            Ranged::Unsatisfiable
        );
    }
}
