//! Numbers of the exposition formats: what Go's `ParseFloat` takes, read fast where they are short.

/// Powers of ten that a double holds exactly.
static POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];

/// A number, `NaN` or an infinity; `None` for anything else, also for a number beyond the range.
///
/// Up to fifteen digits with a small exponent are exact by one division or multiplication of doubles (Clinger's fast
/// path); the rest goes through the standard library.
pub(crate) fn parse_value(text: &str) -> Option<f64> {
    let bytes = text.as_bytes();
    let (negative, mut at) = match bytes.first()? {
        b'-' => (true, 1),
        b'+' => (false, 1),
        _ => (false, 0),
    };
    let (mut mantissa, mut digits, mut fraction) = (0u64, 0usize, 0usize);
    let start = at;
    while let Some(digit) = bytes
        .get(at)
        .map(|byte| byte.wrapping_sub(b'0'))
        .filter(|digit| *digit < 10)
    {
        mantissa = mantissa.wrapping_mul(10).wrapping_add(u64::from(digit));
        digits += 1;
        at += 1;
    }
    if bytes.get(at) == Some(&b'.') {
        at += 1;
        let point = at;
        while let Some(digit) = bytes
            .get(at)
            .map(|byte| byte.wrapping_sub(b'0'))
            .filter(|digit| *digit < 10)
        {
            mantissa = mantissa.wrapping_mul(10).wrapping_add(u64::from(digit));
            at += 1;
        }
        fraction = at - point;
        digits += fraction;
    }
    if digits == 0 || digits > 15 {
        return slow(text, bytes, start);
    }
    let mut exponent = -(fraction as i32);
    if let Some(b'e' | b'E') = bytes.get(at) {
        let written: i32 = text[at + 1..].parse().ok()?;
        exponent = exponent.checked_add(written)?;
        at = bytes.len();
    }
    if at != bytes.len() {
        return slow(text, bytes, start);
    }
    let size = exponent.unsigned_abs() as usize;
    let value = match exponent {
        0 => mantissa as f64,
        ..0 if size < POWERS.len() => mantissa as f64 / POWERS[size],
        1.. if size < POWERS.len() => mantissa as f64 * POWERS[size],
        _ => return slow(text, bytes, start),
    };
    Some(if negative { -value } else { value })
}

fn slow(text: &str, bytes: &[u8], start: usize) -> Option<f64> {
    let named = bytes.get(start).is_some_and(u8::is_ascii_alphabetic);
    let value: f64 = text.parse().ok()?;
    if named {
        // "NaN" may have any NaN's bits in the standard library; the store knows one as the marker of staleness.
        return Some(if value.is_nan() { f64::NAN } else { value });
    }
    value.is_finite().then_some(value)
}
