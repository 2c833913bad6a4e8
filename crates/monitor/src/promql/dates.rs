//! The calendar, in UTC (proleptic Gregorian, after Howard Hinnant's `civil_from_days`).

#[cfg(test)]
mod tests;

/// A moment, split up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Date {
    pub(super) year: i64,
    pub(super) month: u32,
    pub(super) day: u32,
    /// From 1.
    pub(super) day_of_year: u32,
    /// Sunday is 0.
    pub(super) weekday: u32,
    pub(super) hour: u32,
    pub(super) minute: u32,
    pub(super) second: u32,
}

pub(super) fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

impl Date {
    /// From seconds since 1970; `None` beyond a quarter of a million years, where a calendar means nothing.
    pub(super) fn from_seconds(seconds: f64) -> Option<Self> {
        if !seconds.is_finite() || seconds.abs() > 8e12 {
            return None;
        }
        let seconds = seconds as i64;
        let (days, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
        let shifted = days + 719_468;
        let era = shifted.div_euclid(146_097);
        let day_of_era = shifted.rem_euclid(146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_from_march = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_from_march + 2) / 153;
        let day = (day_from_march - (153 * month_from_march + 2) / 5 + 1) as u32;
        let month = if month_from_march < 10 {
            month_from_march + 3
        } else {
            month_from_march - 9
        } as u32;
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        let before: u32 = (1..month).map(|month| days_in(year, month)).sum();
        Some(Self {
            year,
            month,
            day,
            day_of_year: before + day,
            weekday: (days + 4).rem_euclid(7) as u32,
            hour: (rest / 3600) as u32,
            minute: (rest / 60 % 60) as u32,
            second: (rest % 60) as u32,
        })
    }

    pub(super) fn days_in_month(self) -> u32 {
        days_in(self.year, self.month)
    }
}

fn days_in(year: i64, month: u32) -> u32 {
    match month {
        2 => 28 + u32::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// RFC 3339 with milliseconds where they are not zero, for messages and the HTTP API.
#[must_use]
pub(crate) fn rfc3339(milliseconds: i64) -> String {
    let Some(date) = Date::from_seconds(milliseconds.div_euclid(1000) as f64) else {
        return milliseconds.to_string();
    };
    let Date {
        year,
        month,
        day,
        hour,
        minute,
        second,
        ..
    } = date;
    let fraction = milliseconds.rem_euclid(1000);
    let fraction = if fraction == 0 {
        String::new()
    } else {
        format!(".{fraction:03}")
    };
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}Z")
}
