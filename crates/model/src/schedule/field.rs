//! The five fields of a line, as sets of bits.

use jiff::civil::Date;

/// What a field counts, with its bounds and its words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Minute,
    Hour,
    Day,
    Month,
    Weekday,
}

impl Unit {
    pub(super) const ALL: [Self; 5] = [
        Self::Minute,
        Self::Hour,
        Self::Day,
        Self::Month,
        Self::Weekday,
    ];

    /// Its name with its article.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Minute => "a minute",
            Self::Hour => "an hour",
            Self::Day => "a day of the month",
            Self::Month => "a month",
            Self::Weekday => "a day of the week",
        }
    }

    pub(super) fn low(self) -> u32 {
        match self {
            Self::Minute | Self::Hour | Self::Weekday => 0,
            Self::Day | Self::Month => 1,
        }
    }

    pub(super) fn high(self) -> u32 {
        match self {
            Self::Minute => 59,
            Self::Hour => 23,
            Self::Day => 31,
            Self::Month => 12,
            // Sunday is both 0 and 7.
            Self::Weekday => 7,
        }
    }

    /// The highest value that `H` takes: one that every month has, and no day of the week twice.
    pub(super) fn high_of_hash(self) -> u32 {
        match self {
            Self::Day => 28,
            Self::Weekday => 6,
            _ => self.high(),
        }
    }

    /// Names that stand for values, from `low` on.
    pub(super) fn words(self) -> &'static [&'static str] {
        match self {
            Self::Minute | Self::Hour | Self::Day => &[],
            Self::Month => &[
                "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
            ],
            Self::Weekday => &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"],
        }
    }
}

/// One line: in each field the bit N says that N matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Line {
    pub(super) minutes: u64,
    pub(super) hours: u64,
    pub(super) days: u64,
    pub(super) months: u64,
    /// Sunday is bit 0 alone.
    pub(super) weekdays: u64,
}

impl Line {
    pub(super) fn set(&mut self, unit: Unit, bits: u64) {
        match unit {
            Unit::Minute => self.minutes = bits,
            Unit::Hour => self.hours = bits,
            Unit::Day => self.days = bits,
            Unit::Month => self.months = bits,
            Unit::Weekday => self.weekdays = (bits | bits >> 7) & 0x7f,
        }
    }

    /// Whether the line names every hour, so that it follows the clock rather than the calendar.
    pub(super) fn every_hour(self) -> bool {
        self.hours == (1 << 24) - 1
    }

    pub(super) fn has_month(self, month: i8) -> bool {
        has(self.months, month)
    }

    pub(super) fn has_date(self, date: Date) -> bool {
        has(self.months, date.month())
            && has(self.days, date.day())
            && has(self.weekdays, date.weekday().to_sunday_zero_offset())
    }

    pub(super) fn has_time(self, hour: i8, minute: i8) -> bool {
        has(self.hours, hour) && has(self.minutes, minute)
    }
}

fn has(bits: u64, value: i8) -> bool {
    u32::try_from(value).is_ok_and(|value| bits >> value & 1 == 1)
}

/// The values whose bits are set, as clock and calendar count them.
pub(super) fn values(bits: u64) -> impl Iterator<Item = i8> {
    (0..60_i8).filter(move |value| has(bits, *value))
}
