use super::*;

#[test]
fn a_field_checks_what_it_is_given() {
    let choice = InputParameter {
        name: "TARGET".into(),
        description: String::new(),
        kind: InputKind::Choice {
            choices: vec!["staging".into(), "production".into()],
        },
    };
    assert_eq!(choice.default_value(), "staging");
    assert!(choice.check("production").is_ok());
    assert!(
        choice
            .check("moon")
            .unwrap_err()
            .hint
            .unwrap()
            .contains("staging, production")
    );
    let flag = InputParameter {
        name: "DRY".into(),
        description: String::new(),
        kind: InputKind::Bool { default: true },
    };
    assert_eq!(flag.default_value(), "true");
    assert!(flag.check("yes").is_err());
}

#[test]
fn requests_cross_as_json() {
    let ask = Ask::Input(InputQuestion {
        stage: StageId(3),
        message: "Deploy?".into(),
        ok: "Go".into(),
        submitter: vec!["ops".into()],
        parameters: vec![InputParameter {
            name: "NOTE".into(),
            description: "why".into(),
            kind: InputKind::Text {
                default: "x".into(),
                lines: true,
            },
        }],
    });
    let text = serde_json::to_string(&ask).unwrap();
    assert_eq!(serde_json::from_str::<Ask>(&text).unwrap(), ask);
    assert_eq!(
        serde_json::to_string(&Ask::Deploy).unwrap(),
        r#"{"ask":"deploy"}"#
    );
    let answer = Answer::done(vec!["ok".into()]).value("number", 7);
    let text = serde_json::to_string(&answer).unwrap();
    assert_eq!(serde_json::from_str::<Answer>(&text).unwrap(), answer);
    assert_eq!(
        answer_path(Path::new("/b/7"), 3),
        Path::new("/b/7/answers/3.json")
    );
}
