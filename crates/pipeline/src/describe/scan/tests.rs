use launchway_model::scan::ScanPolicy;

use super::super::launchway_toml::read;

fn policy(section: &str) -> ScanPolicy {
    let text = format!("[scan]\n{section}");
    read("launchway.toml", &text).unwrap().scan.unwrap()
}

#[test]
fn a_section_says_what_keeps_a_build_from_becoming_a_release() {
    assert_eq!(read("launchway.toml", "").unwrap().scan, None);
    assert!(!policy("").is_gate());
    assert_eq!(
        policy(
            "fail_on = \"High\"\nfixable_only = true\ngrace_days = 7\nmax_data_age_days = 14\ndev = false\nexclude = [\"docs/**\"]\nignore_file = \"ops/ignore.toml\""
        ),
        ScanPolicy {
            fail_on: "high".to_owned(),
            fixable_only: true,
            grace_days: Some(7),
            max_data_age_days: Some(14),
            dev: false,
            exclude: vec!["docs/**".to_owned()],
            ignore_file: Some("ops/ignore.toml".to_owned()),
            ..ScanPolicy::default()
        }
    );
    assert_eq!(policy("fail_on = 7.5").fail_on, "7.5");
    assert_eq!(policy("fail_on = 9").fail_on, "9");
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    for (section, words) in [
        ("fail_on = \"worst\"", "`worst` is no level"),
        ("fail_on = 11", "`11` is no level"),
        ("fail_on = true", "must be a level"),
        ("failon = \"high\"", "fail_on"),
        ("paths = [\"../other\"]", "not inside the repository"),
        ("grace_days = -1", "grace_days"),
    ] {
        let error = read("launchway.toml", &format!("[scan]\n{section}")).unwrap_err();
        let problem = launchway_model::Problem::from(error);
        let said = format!("{problem} {:?}", problem.hint);
        assert!(said.contains(words), "{section}: {said}");
        assert_eq!(problem.place.map(|place| place.line), Some(2), "{section}");
    }
}
