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

/// The first year that Go's calendar can count; it begins a cycle of 400 years, as the year 1 does.
const FIRST_YEAR: i64 = -292_277_022_399;
/// Seconds from the start of that year to 1970.
const FIRST_TO_EPOCH: i64 = 9_223_371_966_579_724_800 + 62_135_596_800;
/// Days from the start of the year 1 to 1970.
const YEAR_ONE_TO_EPOCH: i64 = 719_162;

impl Date {
    /// From seconds since 1970. What is no number or beyond the range of 64 bits is the earliest time that there is:
    /// that is what Go's conversion makes of it, and so what Prometheus answers.
    pub(super) fn from_seconds(seconds: f64) -> Self {
        let in_range = (-9.223_372_036_854_776e18..9.223_372_036_854_776e18).contains(&seconds);
        let seconds = if in_range { seconds as i64 } else { i64::MIN };
        // Unsigned, and wrapping as Go does, so that the earliest time comes out as the same day.
        let absolute = seconds.wrapping_add(FIRST_TO_EPOCH) as u64;
        let (all_days, rest) = (absolute / 86_400, absolute % 86_400);
        let (cycles, days) = (
            all_days / 146_097,
            (all_days % 146_097) as i64 - YEAR_ONE_TO_EPOCH,
        );
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
        let year_of_cycle = year_of_era + era * 400 + i64::from(month <= 2);
        let year = year_of_cycle + cycles as i64 * 400 + FIRST_YEAR - 1;
        let before: u32 = (1..month).map(|month| days_in(year, month)).sum();
        Self {
            year,
            month,
            day,
            day_of_year: before + day,
            // The first year begins on a Monday.
            weekday: ((all_days + 1) % 7) as u32,
            hour: (rest / 3600) as u32,
            minute: (rest / 60 % 60) as u32,
            second: (rest % 60) as u32,
        }
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
    let date = Date::from_seconds(milliseconds.div_euclid(1000) as f64);
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
