use super::*;

#[track_caller]
fn scores(vector: &str, score: f64, level: Level) {
    let severity = Severity::from_vector(vector).unwrap();
    assert_eq!(
        (severity.score, severity.level),
        (Some(score), level),
        "{vector}"
    );
}

#[test]
fn cvss_2_examples_of_its_guide() {
    scores("AV:N/AC:L/Au:N/C:N/I:N/A:C", 7.8, Level::High);
    scores("AV:N/AC:L/Au:N/C:C/I:C/A:C", 10.0, Level::High);
    scores("(AV:L/AC:H/Au:N/C:C/I:C/A:C)", 6.2, Level::Medium);
}

#[test]
fn cvss_3_examples_of_its_documents() {
    scores(
        "CVSS:3.1/AV:N/AC:L/PR:L/UI:N/S:U/C:L/I:L/A:N",
        5.4,
        Level::Medium,
    );
    scores(
        "CVSS:3.0/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H",
        9.8,
        Level::Critical,
    );
    scores(
        "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:C/C:H/I:H/A:H",
        10.0,
        Level::Critical,
    );
    scores(
        "CVSS:3.1/AV:N/AC:L/PR:N/UI:R/S:C/C:L/I:L/A:N",
        6.1,
        Level::Medium,
    );
    scores(
        "CVSS:3.1/AV:N/AC:H/PR:N/UI:N/S:U/C:H/I:N/A:N",
        5.9,
        Level::Medium,
    );
    scores(
        "CVSS:3.1/AV:L/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:N",
        0.0,
        Level::None,
    );
}

#[test]
fn cvss_4_examples_of_its_documents() {
    scores(
        "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:H/SI:H/SA:H",
        10.0,
        Level::Critical,
    );
    scores(
        "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N",
        9.3,
        Level::Critical,
    );
    scores(
        "CVSS:4.0/AV:N/AC:L/AT:P/PR:N/UI:P/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N",
        7.7,
        Level::High,
    );
    scores(
        "CVSS:4.0/AV:L/AC:L/AT:P/PR:L/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N",
        7.3,
        Level::High,
    );
}

#[test]
fn the_newest_version_counts_and_words_come_last() {
    let both = [
        "AV:N/AC:L/Au:N/C:N/I:N/A:C",
        "CVSS:3.1/AV:N/AC:L/PR:N/UI:R/S:C/C:L/I:L/A:N",
    ];
    assert_eq!(Severity::choose(both, Some("LOW")).score, Some(6.1));
    assert_eq!(Severity::choose([], Some("MODERATE")).level, Level::Medium);
    assert_eq!(Severity::choose(["nonsense"], None), Severity::default());
}
