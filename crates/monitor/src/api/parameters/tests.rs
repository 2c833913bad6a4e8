use super::*;

#[test]
fn forms_are_decoded() {
    let parameters = Parameters::parse("query=a%2Bb+c&match[]=x&match%5B%5D=y%zz&empty=&%E4=1");
    assert_eq!(parameters.get("query"), Some("a+b c"));
    assert_eq!(parameters.all("match[]").collect::<Vec<_>>(), ["x", "y%zz"]);
    assert_eq!(parameters.get("empty"), None);
    assert_eq!(parameters.get("\u{fffd}"), Some("1"));
}

#[test]
fn times_and_durations() {
    assert_eq!(parse_time("1435781451.781"), Some(1_435_781_451_781));
    assert_eq!(parse_time("-1.5"), Some(-1500));
    assert_eq!(
        parse_time("2015-07-01T20:10:51.781Z"),
        Some(1_435_781_451_781)
    );
    assert_eq!(
        parse_time("2015-07-01T22:10:51+02:00"),
        Some(1_435_781_451_000)
    );
    assert_eq!(parse_time("2024-02-29T00:00:00Z"), Some(1_709_164_800_000));
    for wrong in [
        "",
        "now",
        "1e300",
        "NaN",
        "2015-13-01T00:00:00Z",
        "2015-07-01",
        "2015-07-01T20:10:51",
        "2015-07-01Tÿ0:10:51Z",
    ] {
        assert_eq!(parse_time(wrong), None, "{wrong}");
    }
    assert_eq!(parse_duration("1h30m"), Some(5_400_000));
    assert_eq!(parse_duration("15"), Some(15_000));
    assert_eq!(parse_duration("1d1ms"), Some(86_400_001));
    for wrong in [
        "",
        "-1",
        "1m1h",
        "1x",
        "m",
        "99999999999999999y",
        "inf",
        "1m1m",
    ] {
        assert_eq!(parse_duration(wrong), None, "{wrong}");
    }
}
