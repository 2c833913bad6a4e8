use std::collections::BTreeSet;

use serde_json::Value;

fn document() -> Value {
    let (_, document) = super::endpoints().finish();
    serde_json::from_str(&document.to_json().unwrap()).unwrap()
}

#[test]
fn every_reference_of_the_document_resolves_and_every_schema_is_used() {
    fn references(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(object) => {
                if let Some(Value::String(reference)) = object.get("$ref") {
                    found.insert(reference.clone());
                }
                object.values().for_each(|value| references(value, found));
            }
            Value::Array(array) => array.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }
    let document = document();
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    assert!(found.len() > 20, "{found:?}");
    for reference in &found {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(
            document.pointer(pointer).is_some(),
            "{reference} leads nowhere"
        );
    }
}

#[test]
fn the_operations_are_these() {
    let document = document();
    let mut lines = Vec::new();
    let mut ids = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let answers: Vec<&String> =
                operation["responses"].as_object().unwrap().keys().collect();
            lines.push(format!(
                "{:6} {path} -> {}: {}",
                method.to_uppercase(),
                answers[0],
                operation["summary"].as_str().unwrap()
            ));
            assert!(ids.insert(operation["operationId"].as_str().unwrap().to_owned()));
            assert!(
                answers.contains(&&"default".to_owned()),
                "{path} says nothing of errors"
            );
            let named = path.matches('{').count();
            let given = operation["parameters"].as_array().map_or(0, |all| {
                all.iter().filter(|one| one["in"] == "path").count()
            });
            assert_eq!(named, given, "{path}");
        }
    }
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn ranges_are_read_as_the_standard_says() {
    use super::builds::parse_range;
    assert_eq!(parse_range("bytes=0-", 10), Some(Ok((0, 9))));
    assert_eq!(parse_range("bytes=2-4", 10), Some(Ok((2, 4))));
    assert_eq!(parse_range("bytes=2-400", 10), Some(Ok((2, 9))));
    assert_eq!(parse_range("bytes=-3", 10), Some(Ok((7, 9))));
    assert_eq!(parse_range("bytes=-30", 10), Some(Ok((0, 9))));
    assert_eq!(parse_range("bytes=10-", 10), Some(Err(())));
    assert_eq!(parse_range("bytes=0-", 0), Some(Err(())));
    assert_eq!(parse_range("bytes=-0", 10), Some(Err(())));
    assert_eq!(parse_range("bytes=4-2", 10), None);
    assert_eq!(parse_range("bytes=0-1,4-5", 10), None);
    assert_eq!(parse_range("lines=0-1", 10), None);
    assert_eq!(parse_range("bytes=x-", 10), None);
}

#[tokio::test]
async fn a_growing_file_is_sent_whole_or_in_part() {
    use super::builds::file;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("0.log");
    let text = async |range: Option<&str>| {
        let response = file(&path, range).await.unwrap();
        let status = response.status().as_u16();
        let range = response
            .headers()
            .get("content-range")
            .map(|value| value.to_str().unwrap().to_owned());
        let body = axum::body::to_bytes(response.into_body(), 1000)
            .await
            .unwrap();
        (status, range, String::from_utf8(body.to_vec()).unwrap())
    };
    assert_eq!(text(Some("bytes=0-")).await, (200, None, String::new()));
    std::fs::write(&path, "0123456789").unwrap();
    assert_eq!(text(None).await, (200, None, "0123456789".to_owned()));
    assert_eq!(
        text(Some("bytes=8-")).await,
        (206, Some("bytes 8-9/10".to_owned()), "89".to_owned())
    );
    assert_eq!(
        text(Some("bytes=10-")).await,
        (416, Some("bytes */10".to_owned()), String::new())
    );
}
