//! From a line to moments: the search for the next one, with the hours in which clocks change.

use jiff::civil::{Date, DateTime};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Timestamp};

use super::field::{Line, values};

/// How many days are looked at: 29 February on a given day of the week comes at least every 40 years.
const DAYS: u32 = 41 * 366;

/// The first run of a line after a moment.
pub(super) fn next_after(line: &Line, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
    if line.every_hour() {
        by_the_clock(line, after, zone)
    } else {
        by_the_calendar(line, after, zone)
    }
}

/// Walks real time in minutes, so that an hour that comes twice is met twice.
fn by_the_clock(line: &Line, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
    let minute = SignedDuration::from_mins(1);
    let local = after.to_zoned(zone.clone());
    // The next full minute of the clock on the wall; some zones once had offsets with seconds.
    let past = SignedDuration::new(
        i64::from(local.second()),
        i32::from(local.millisecond()) * 1_000_000
            + i32::from(local.microsecond()) * 1_000
            + i32::from(local.nanosecond()),
    );
    let mut at = after.checked_sub(past).ok()?.checked_add(minute).ok()?;
    let mut days = 0;
    loop {
        let local = zone.to_datetime(at);
        if line.has_date(local.date()) {
            if line.has_time(local.hour(), local.minute()) {
                return Some(at);
            }
            at = at.checked_add(minute).ok()?;
            continue;
        }
        days += 1;
        if days > DAYS {
            return None;
        }
        let date = next_date(line, local.date().tomorrow().ok()?, &mut days)?;
        let start = zone.to_zoned(DateTime::from(date)).ok()?.timestamp();
        // A zone that jumps over a whole day must not send the walk back.
        at = start.max(at.checked_add(minute).ok()?);
    }
}

/// Walks dates, and turns each time of the day into the one moment that it means.
fn by_the_calendar(line: &Line, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
    let mut days = 0;
    // The day before too: a skipped time runs at the jump, which may be on the next date.
    let today = zone.to_datetime(after).date();
    let mut date = next_date(line, today.yesterday().unwrap_or(today), &mut days)?;
    loop {
        for hour in values(line.hours) {
            for minute in values(line.minutes) {
                let Some(at) = moment(date.at(hour, minute, 0, 0), zone) else {
                    continue;
                };
                if at > after {
                    return Some(at);
                }
            }
        }
        days += 1;
        date = next_date(line, date.tomorrow().ok()?, &mut days)?;
    }
}

/// The first date from `date` on that matches; months that do not are skipped whole.
fn next_date(line: &Line, mut date: Date, days: &mut u32) -> Option<Date> {
    while *days <= DAYS {
        if line.has_date(date) {
            return Some(date);
        }
        *days += 1;
        date = if line.has_month(date.month()) {
            date.tomorrow().ok()?
        } else {
            *days += 27;
            date.last_of_month().tomorrow().ok()?
        };
    }
    None
}

/// The moment of a local time: the first of two, and the jump itself for one that is skipped.
fn moment(local: DateTime, zone: &TimeZone) -> Option<Timestamp> {
    match zone.to_ambiguous_timestamp(local).offset() {
        AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(local).ok(),
        AmbiguousOffset::Fold { before, .. } => before.to_timestamp(local).ok(),
        AmbiguousOffset::Gap { before, after } => {
            // Read with the later offset, the time lies before the jump.
            let early = after.to_timestamp(local).ok()?;
            match zone.following(early).next() {
                Some(jump) => Some(jump.timestamp()),
                None => before.to_timestamp(local).ok(),
            }
        }
    }
}
