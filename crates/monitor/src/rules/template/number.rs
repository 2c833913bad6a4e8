//! Numbers as Go prints them: `%g`, `%e`, `%f`.

/// `%g` with a precision, or the shortest digits that read back the same.
pub(super) fn general(value: f64, precision: Option<usize>) -> String {
    if let Some(special) = special(value) {
        return special;
    }
    if value == 0.0 {
        return if value.is_sign_negative() {
            "-0".to_owned()
        } else {
            "0".to_owned()
        };
    }
    let scientific = match precision {
        Some(precision) => format!("{value:.*e}", precision.max(1) - 1),
        None => format!("{value:e}"),
    };
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let digits = if digits.contains('.') {
        digits.trim_end_matches('0').trim_end_matches('.')
    } else {
        digits
    };
    // The shortest form decides as if its precision were six digits, hence a million is `1e+06`.
    let limit = precision.map_or(6, |precision| precision.max(1) as i32);
    if exponent < -4 || exponent >= limit {
        return format!(
            "{digits}e{}{:02}",
            if exponent < 0 { '-' } else { '+' },
            exponent.abs()
        );
    }
    let decimals = (digits.trim_start_matches('-').replace('.', "").len() as i32 - 1 - exponent)
        .max(0) as usize;
    match precision {
        Some(_) => format!("{value:.decimals$}"),
        None => value.to_string(),
    }
}

fn special(value: f64) -> Option<String> {
    if value.is_nan() {
        Some("NaN".to_owned())
    } else if value.is_infinite() {
        Some(if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned())
    } else {
        None
    }
}

/// `%f` and `%e` with a precision.
pub(super) fn fixed(value: f64, precision: usize, exponent: bool) -> String {
    if let Some(special) = special(value) {
        return special;
    }
    if !exponent {
        return format!("{value:.precision$}");
    }
    let text = format!("{value:.precision$e}");
    let (digits, power) = text.split_once('e').unwrap_or((&text, "0"));
    let power: i32 = power.parse().unwrap_or(0);
    format!(
        "{digits}e{}{:02}",
        if power < 0 { '-' } else { '+' },
        power.abs()
    )
}
