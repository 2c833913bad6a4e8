use jiff::civil::DateTime;
use proptest::prelude::*;

use super::*;

fn schedule(text: &str) -> Schedule {
    Schedule::parse(text, "shop/main").unwrap()
}

fn zone(name: &str) -> TimeZone {
    TimeZone::get(name).unwrap()
}

/// The next `count` runs as local times.
fn runs(text: &str, from: &str, name: &str, count: usize) -> Vec<String> {
    let zone = zone(name);
    let from: DateTime = from.parse().unwrap();
    let mut at = zone.to_zoned(from).unwrap().timestamp();
    let schedule = schedule(text);
    (0..count)
        .map(|_| {
            at = schedule.next_after(at, &zone).unwrap();
            at.to_zoned(zone.clone())
                .strftime("%a %F %H:%M %z")
                .to_string()
        })
        .collect()
}

#[test]
fn plain_fields_lists_ranges_steps_and_names() {
    assert_eq!(
        runs("30 4 * * *", "2026-03-01T04:30", "UTC", 2),
        ["Mon 2026-03-02 04:30 +0000", "Tue 2026-03-03 04:30 +0000"]
    );
    assert_eq!(
        runs("*/20 9-17/4 * * MON-FRI", "2026-03-06T17:20", "UTC", 4),
        [
            "Fri 2026-03-06 17:40 +0000",
            "Mon 2026-03-09 09:00 +0000",
            "Mon 2026-03-09 09:20 +0000",
            "Mon 2026-03-09 09:40 +0000"
        ]
    );
    assert_eq!(
        runs("0 0 1,15 jan,JUL *", "2026-02-01T00:00", "UTC", 3),
        [
            "Wed 2026-07-01 00:00 +0000",
            "Wed 2026-07-15 00:00 +0000",
            "Fri 2027-01-01 00:00 +0000"
        ]
    );
    assert_eq!(
        runs("0 12 * * 6-7", "2026-03-06T17:20", "UTC", 2),
        ["Sat 2026-03-07 12:00 +0000", "Sun 2026-03-08 12:00 +0000"]
    );
}

#[test]
fn both_day_fields_have_to_match_as_in_jenkins() {
    assert_eq!(
        runs("0 0 13 * 5", "2026-01-01T00:00", "UTC", 2),
        ["Fri 2026-02-13 00:00 +0000", "Fri 2026-03-13 00:00 +0000"]
    );
}

#[test]
fn a_rare_day_is_found_and_an_impossible_one_refused() {
    assert_eq!(
        runs("0 0 29 2 *", "2026-01-01T00:00", "UTC", 1),
        ["Tue 2028-02-29 00:00 +0000"]
    );
    assert_eq!(
        runs("0 0 29 2 1", "2026-01-01T00:00", "UTC", 1),
        ["Mon 2044-02-29 00:00 +0000"]
    );
    let error = Schedule::parse("0 0 30 2 *", "x").unwrap_err();
    assert_eq!(error.message, "`0 0 30 2 *` never comes");
}

#[test]
fn a_line_sets_the_zone_of_all_and_several_lines_are_one_schedule() {
    let text = "TZ=Asia/Tokyo\n# at night\n0 3 * * *\n\n 0 15 * * 0 \n";
    assert_eq!(
        runs(text, "2026-03-07T00:00", "UTC", 3),
        [
            "Sat 2026-03-07 18:00 +0000",
            "Sun 2026-03-08 06:00 +0000",
            "Sun 2026-03-08 18:00 +0000"
        ]
    );
}

#[test]
fn a_nightly_job_runs_once_on_the_nights_in_which_clocks_change() {
    // 02:30 does not exist on 29 March; the clock jumps from 02:00 to 03:00.
    assert_eq!(
        runs("30 2 * * *", "2026-03-28T00:00", "Europe/Berlin", 3),
        [
            "Sat 2026-03-28 02:30 +0100",
            "Sun 2026-03-29 03:00 +0200",
            "Mon 2026-03-30 02:30 +0200"
        ]
    );
    // 02:30 comes twice on 25 October.
    assert_eq!(
        runs("30 2 * * *", "2026-10-24T12:00", "Europe/Berlin", 2),
        ["Sun 2026-10-25 02:30 +0200", "Mon 2026-10-26 02:30 +0100"]
    );
    // Several skipped times are one run.
    assert_eq!(
        runs("*/30 2 * * *", "2026-03-29T00:00", "Europe/Berlin", 2),
        ["Sun 2026-03-29 03:00 +0200", "Mon 2026-03-30 02:00 +0200"]
    );
}

#[test]
fn an_hourly_job_follows_the_clock_through_a_repeated_hour() {
    assert_eq!(
        runs("30 * * * *", "2026-10-25T01:45", "Europe/Berlin", 3),
        [
            "Sun 2026-10-25 02:30 +0200",
            "Sun 2026-10-25 02:30 +0100",
            "Sun 2026-10-25 03:30 +0100"
        ]
    );
    assert_eq!(
        runs("30 * * * *", "2026-03-29T01:45", "Europe/Berlin", 1),
        ["Sun 2026-03-29 03:30 +0200"]
    );
    // A zone whose clock changes by half an hour.
    assert_eq!(
        runs("45 * * * *", "2026-04-05T01:30", "Australia/Lord_Howe", 3),
        [
            "Sun 2026-04-05 01:45 +1100",
            "Sun 2026-04-05 01:45 +1030",
            "Sun 2026-04-05 02:45 +1030"
        ]
    );
    // A day that a zone left out whole.
    assert_eq!(
        runs("0 * * * *", "2011-12-29T23:30", "Pacific/Apia", 1),
        ["Sat 2011-12-31 00:00 +1400"]
    );
}

#[test]
fn the_values_of_h_stay_with_their_seed_and_differ_between_seeds() {
    let of = |seed: &str| {
        Schedule::parse("H H * * *", seed)
            .unwrap()
            .next_after(Timestamp::UNIX_EPOCH, &TimeZone::UTC)
            .unwrap()
            .as_second()
            / 60
    };
    assert_eq!(of("shop/main"), of("shop/main"));
    let all: std::collections::BTreeSet<i64> = (0..200).map(|n| of(&format!("app-{n}"))).collect();
    assert!(all.len() > 150, "{}", all.len());
}

#[test]
fn the_generator_is_the_one_that_java_documents() {
    // `new Random(42)`: nextInt(10) gives 0, 3, 8, 4, 0 as every Java prints; the seed is what the hash would fold to.
    let mut hash = hash::Hash::with_folded(42);
    let drawn: Vec<u32> = (0..5).map(|_| hash.below(10)).collect();
    assert_eq!(drawn, [0, 3, 8, 4, 0]);
}

#[test]
fn errors_point_at_the_character() {
    let cases = [
        ("", "the expression has no line that says when", 1, 1),
        (
            "# nothing",
            "the expression has no line that says when",
            1,
            1,
        ),
        ("H 4 * *", "`H 4 * *` has 4 fields instead of five", 1, 8),
        (
            "0 0 * * * *",
            "`0 0 * * * *` has 6 fields instead of five",
            1,
            11,
        ),
        ("60 * * * *", "`60` is not a minute", 1, 1),
        ("0 24 * * *", "`24` is not an hour", 1, 3),
        ("\n  5,x * * * *", "`x` is not a minute", 2, 5),
        ("0 0 0 * *", "`0` is not a day of the month", 1, 5),
        ("0 0 * MAI *", "`MAI` is not a month", 1, 7),
        ("9-3 * * * *", "the range `9-3` ends before it begins", 1, 1),
        ("*/0 * * * *", "`0` is not a step for a minute", 1, 3),
        ("5/10 * * * *", "`5/10` has a step but no range", 1, 3),
        ("H(0-70) * * * *", "`70` is not a minute", 1, 5),
        ("H(5) * * * *", "`5` is not a range", 1, 3),
        ("Hx * * * *", "`Hx` is not understood", 1, 1),
        ("H/61 * * * *", "`61` is not a step for a minute", 1, 3),
        ("h * * * *", "`h` is not a minute", 1, 1),
        ("+5 * * * *", "`+5` is not a minute", 1, 1),
        ("@dialy", "`@dialy` is not known", 1, 1),
        (
            "TZ=Europe/Londn\n0 0 * * *",
            "there is no time zone `Europe/Londn`",
            1,
            4,
        ),
        (
            "TZ=../../etc/passwd\n0 0 * * *",
            "there is no time zone `../../etc/passwd`",
            1,
            4,
        ),
        ("0 0 * * *\nTZ=UTC", "`TZ=` stands below another line", 2, 1),
    ];
    for (text, message, line, column) in cases {
        let error = Schedule::parse(text, "x").unwrap_err();
        assert_eq!(
            (error.message.as_str(), error.line, error.column),
            (message, line, column),
            "{text:?}"
        );
        assert!(error.hint.ends_with(['.', '?']), "{text:?}: {}", error.hint);
    }
    let hint = Schedule::parse("@dialy", "x").unwrap_err().hint;
    assert_eq!(hint, "Did you mean `@daily`?");
}

#[test]
fn what_was_missed_is_counted_and_its_last_known() {
    let schedule = schedule("0 * * * *");
    let at = |text: &str| text.parse::<Timestamp>().unwrap();
    let missed = schedule
        .missed(
            at("2026-01-01T00:00:00Z"),
            at("2026-01-01T03:20:00Z"),
            &TimeZone::UTC,
        )
        .unwrap();
    assert_eq!(
        missed,
        Missed {
            count: 3,
            last: at("2026-01-01T03:00:00Z")
        }
    );
    assert_eq!(
        schedule.missed(
            at("2026-01-01T00:00:00Z"),
            at("2026-01-01T00:59:59Z"),
            &TimeZone::UTC
        ),
        None
    );
    let long = schedule
        .missed(
            at("2020-01-01T00:00:00Z"),
            at("2026-01-01T03:20:00Z"),
            &TimeZone::UTC,
        )
        .unwrap();
    assert_eq!(
        long,
        Missed {
            count: 1000,
            last: at("2026-01-01T03:00:00Z")
        }
    );
}

/// Expressions of every form.
fn expression() -> impl Strategy<Value = String> {
    let field = |low: u32, high: u32| {
        prop_oneof![
            Just("*".to_owned()),
            Just("H".to_owned()),
            (low..=high).prop_map(|value| value.to_string()),
            (1..=(high - low)).prop_map(|step| format!("*/{step}")),
            (1..=(high - low)).prop_map(|step| format!("H/{}", step.min(5))),
            (low..=high, low..=high).prop_map(|(a, b)| format!("{}-{}", a.min(b), a.max(b))),
            (low..=high, low..=high).prop_map(|(a, b)| format!("H({}-{})", a.min(b), a.max(b))),
            (low..=high, low..=high).prop_map(|(a, b)| format!("{a},{b}")),
        ]
    };
    (
        field(0, 59),
        field(0, 23),
        field(1, 28),
        field(1, 12),
        field(0, 7),
    )
        .prop_map(|(a, b, c, d, e)| format!("{a} {b} {c} {d} {e}"))
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "(TZ=[A-Za-z/]{0,9}\n)?[-*/,H()0-9@a-z \n\t\u{e9}]{0,60}") {
        if let Ok(schedule) = Schedule::parse(&text, "seed") {
            let _ = schedule.next_after(Timestamp::UNIX_EPOCH, &TimeZone::UTC);
        }
    }

    #[test]
    fn the_next_run_lies_after_and_none_lies_between(
        text in expression(),
        second in 0_i64..2_500_000_000,
        name in prop_oneof![Just("UTC"), Just("Europe/Berlin"), Just("America/New_York"), Just("Australia/Lord_Howe"), Just("Asia/Kathmandu")],
    ) {
        let zone = zone(name);
        let schedule = schedule(&text);
        let after = Timestamp::from_second(second).unwrap();
        let next = schedule.next_after(after, &zone).unwrap();
        prop_assert!(next > after);
        prop_assert_eq!(next.as_second() % 60, 0);
        // From any moment between, the same run comes next: none is stepped over.
        let between = Timestamp::from_second(after.as_second() + (next.as_second() - after.as_second()) / 2).unwrap();
        if between < next {
            prop_assert_eq!(schedule.next_after(between, &zone), Some(next));
        }
        prop_assert_eq!(schedule.next_after(Timestamp::from_second(next.as_second() - 1).unwrap(), &zone), Some(next));
        prop_assert_eq!(schedule.last_until(next, &zone), Some(next));
    }

    #[test]
    fn a_run_matches_its_fields_where_no_clock_changes(text in expression(), second in 0_i64..2_500_000_000) {
        let schedule = schedule(&text);
        let next = schedule.next_after(Timestamp::from_second(second).unwrap(), &TimeZone::UTC).unwrap();
        let local = TimeZone::UTC.to_datetime(next);
        let line = schedule.lines[0];
        prop_assert!(line.has_date(local.date()) && line.has_time(local.hour(), local.minute()), "{} is not {}", local, text);
    }
}
