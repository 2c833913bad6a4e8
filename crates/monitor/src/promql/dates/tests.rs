use super::*;

#[test]
fn known_days() {
    let date = Date::from_seconds(1_709_164_800.0 + 3661.0); // 2024-02-29
    assert_eq!(
        (
            date.year,
            date.month,
            date.day,
            date.day_of_year,
            date.weekday
        ),
        (2024, 2, 29, 60, 4)
    );
    assert_eq!(
        (date.hour, date.minute, date.second, date.days_in_month()),
        (1, 1, 1, 29)
    );
    let date = Date::from_seconds(-1.0);
    assert_eq!(
        (date.year, date.month, date.day, date.hour, date.weekday),
        (1969, 12, 31, 23, 3)
    );
    // What Prometheus answers for NaN: hour 15 of the last day of a December, a Sunday.
    let date = Date::from_seconds(f64::NAN);
    assert_eq!(
        (date.month, date.days_in_month(), date.hour, date.weekday),
        (12, 31, 15, 0)
    );
    assert_eq!(rfc3339(1_709_164_800_120), "2024-02-29T00:00:00.120Z");
}

#[test]
fn every_day_of_four_centuries_follows_the_one_before() {
    let mut last = Date::from_seconds(0.0);
    for day in 1..146_097i64 {
        let date = Date::from_seconds((day * 86_400) as f64);
        assert_eq!(date.weekday, (last.weekday + 1) % 7);
        if date.day == 1 {
            assert_eq!(last.day, last.days_in_month());
        } else {
            assert_eq!(
                (date.day, date.month, date.year),
                (last.day + 1, last.month, last.year)
            );
        }
        last = date;
    }
    assert_eq!(last.year, 2369);
}
