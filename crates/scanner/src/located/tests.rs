use proptest::prelude::*;

use super::*;

/// Turns our tree into serde_json's, numbers aside, to compare the two readers.
fn plain(node: &Node<'_>) -> serde_json::Value {
    match &node.value {
        Value::Null => serde_json::Value::Null,
        Value::Bool(truth) => (*truth).into(),
        Value::Text(text) => text.as_ref().into(),
        Value::List(items) => items.iter().map(plain).collect(),
        Value::Map(entries) => serde_json::Value::Object(
            entries
                .iter()
                .map(|entry| (entry.key.to_string(), plain(&entry.node)))
                .collect(),
        ),
    }
}

#[test]
fn json_values_know_their_lines() {
    let node =
        json::parse("{\n \"a\": [1,\n  \"x\\u0041\\n\"],\n \"b\": {\"c\": null}\n}\n").unwrap();
    assert_eq!(
        node.get("a").unwrap().items()[1],
        Node {
            line: 3,
            value: Value::Text("xA\n".into())
        }
    );
    assert_eq!(node.entries()[1].line, 4);
    assert_eq!(node.get("b").unwrap().get("c").unwrap().value, Value::Null);
}

#[test]
fn json_errors_name_line_and_column() {
    let error = json::parse("{\n \"a\": [1,\n  2 3]}").unwrap_err();
    assert_eq!((error.line, error.column), (3, 5));
    assert_eq!(
        error.to_string(),
        "line 3, column 5: expected ',' or ']', found '3'"
    );
}

#[test]
fn deep_documents_are_refused_by_all_three() {
    let deep = 100_000;
    assert!(
        json::parse(&"[".repeat(deep))
            .unwrap_err()
            .message
            .contains("deeply")
    );
    assert!(yaml::parse(&"[".repeat(deep)).is_err());
    assert!(toml::parse(&format!("a = {}", "[".repeat(deep))).is_err());
    let fits = format!("{}{}", "[".repeat(MAX_DEPTH), "]".repeat(MAX_DEPTH));
    assert!(json::parse(&fits).is_ok());
}

#[test]
fn documents_of_too_many_values_are_refused() {
    let text = format!("[{}1]", "1,".repeat(MAX_VALUES + 1));
    assert!(json::parse(&text).unwrap_err().message.contains("too many"));
    assert!(
        toml::parse(&format!("a = {text}{}", " ".repeat(10 << 20)))
            .unwrap_err()
            .message
            .contains("larger")
    );
}

#[test]
fn yaml_keeps_spelling_and_lines() {
    let node = yaml::parse("id: X-1\nversions:\n- 1.10\n- \"0.1\"\nwithdrawn: ~\nmodified: 2021-01-01T00:00:00Z\ndetails: |-\n  one\n  two\n").unwrap();
    assert_eq!(node.text("id"), Some("X-1"));
    assert_eq!(
        node.get("versions").unwrap().items()[0].as_text(),
        Some("1.10")
    );
    assert_eq!(node.get("versions").unwrap().items()[1].line, 4);
    assert_eq!(node.get("withdrawn").unwrap().value, Value::Null);
    assert_eq!(node.text("modified"), Some("2021-01-01T00:00:00Z"));
    assert_eq!(node.text("details"), Some("one\ntwo"));
    assert!(
        yaml::parse("a: &x [1]\nb: *x\n")
            .unwrap_err()
            .message
            .contains("alias")
    );
    let error = yaml::parse("a: 1\nb: [1, 2\nc: }").unwrap_err();
    assert!(error.line >= 2, "{error}");
}

#[test]
fn toml_values_know_their_lines() {
    let node =
        toml::parse("[[package]]\nname = \"a\"\nversion = \"1\"\n\n[[package]]\nname = \"b\"\n")
            .unwrap();
    let packages = node.get("package").unwrap().items();
    assert_eq!(packages[1].get("name").unwrap().line, 6);
    assert_eq!(packages[0].text("version"), Some("1"));
    let error = toml::parse("a = 1\nb = \n").unwrap_err();
    assert_eq!(error.line, 2);
}

proptest! {
    #[test]
    fn json_agrees_with_serde_json(text in r#"[\[\]{}",:0-9ae.tn\\u -]{0,24}"#) {
        let ours = json::parse(&text);
        let theirs: Result<serde_json::Value, _> = serde_json::from_str(&text);
        prop_assert_eq!(ours.is_ok(), theirs.is_ok(), "{:?}: {:?} {:?}", text, ours, theirs);
    }

    #[test]
    fn json_strings_agree_with_serde_json(text in ".{0,24}") {
        let written = serde_json::to_string(&text).unwrap();
        prop_assert_eq!(plain(&json::parse(&written).unwrap()), serde_json::Value::String(text));
    }

    #[test]
    fn no_text_makes_a_reader_panic(text in "[\\[\\]{}\",:0-9ab.\\-#=|>&*!%'?\n ]{0,60}") {
        let _ = json::parse(&text);
        let _ = yaml::parse(&text);
        let _ = toml::parse(&text);
    }
}
