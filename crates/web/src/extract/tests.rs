use launchway_model::ProblemKind;
use launchway_model::api::{ConfigChange, RollbackRequest, ScaleRequest};

use super::*;

#[test]
fn an_unknown_field_is_named_with_its_place_and_the_nearest_known_one() {
    let problem = parse_json::<ScaleRequest>(b"{\n  \"formaton\": {\"web\": 3}\n}").unwrap_err();
    assert_eq!(problem.kind, ProblemKind::Invalid);
    assert_eq!(problem.message, "unknown field `formaton`");
    assert_eq!(problem.hint.as_deref(), Some("Did you mean `formation`?"));
    let place = problem.place.unwrap();
    assert_eq!((place.file.as_str(), place.line), ("request body", 2));
    assert_eq!(place.text.as_deref(), Some("  \"formaton\": {\"web\": 3}"));
}

#[test]
fn an_unknown_field_without_a_near_one_lists_what_is_known() {
    let problem = parse_json::<ConfigChange>(br#"{"zzz": 1}"#).unwrap_err();
    assert_eq!(problem.hint.as_deref(), Some("Known fields: set, unset."));
}

#[test]
fn a_wrong_type_names_the_field() {
    let problem = parse_json::<ScaleRequest>(br#"{"formation": {"web": "3"}}"#).unwrap_err();
    assert!(
        problem
            .message
            .starts_with("`formation.web`: invalid type: string"),
        "{problem}"
    );
    let problem = parse_json::<ScaleRequest>(br#"{"formation": {"Web": 3}}"#).unwrap_err();
    assert!(
        problem
            .message
            .contains("`Web` is not a valid process type"),
        "{problem}"
    );
}

#[test]
fn broken_json_and_missing_fields_are_refused() {
    for (text, words) in [
        ("{", "not a JSON object"),
        ("[1]", "not a JSON object"),
        ("{} x", "trailing characters"),
        ("{}", "missing field `formation`"),
        ("", "missing field `formation`"),
        (r#"{"formation":{},"formation":{}}"#, "duplicate field"),
    ] {
        let problem = parse_json::<ScaleRequest>(text.as_bytes()).unwrap_err();
        assert!(problem.to_string().contains(words), "{text}: {problem}");
        assert!(problem.place.is_some(), "{text}");
    }
    assert!(parse_json::<ScaleRequest>(b"\xff").is_err());
}

#[test]
fn an_empty_body_means_all_defaults() {
    assert_eq!(parse_json::<RollbackRequest>(b"").unwrap().release, None);
}
