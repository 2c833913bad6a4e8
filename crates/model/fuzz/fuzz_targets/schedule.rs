//! Cron expressions: refused with a place in the text, or understood with a next run that lies after and repeats itself.
#![no_main]

use jiff::Timestamp;
use jiff::tz::TimeZone;
use launchway_model::schedule::Schedule;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&str, u32)| {
    let (text, second) = input;
    let after = Timestamp::from_second(i64::from(second)).expect("a second of this age");
    match Schedule::parse(text, "seed") {
        Err(error) => assert!(error.line >= 1 && error.column >= 1 && !error.hint.is_empty()),
        Ok(schedule) => {
            let next = schedule.next_after(after, &TimeZone::UTC).expect("a day that comes");
            assert!(next > after);
            let before = Timestamp::from_second(next.as_second() - 1).expect("a second of this age");
            assert_eq!(schedule.next_after(before, &TimeZone::UTC), Some(next));
        }
    }
});
