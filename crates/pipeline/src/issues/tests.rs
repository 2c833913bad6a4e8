use super::*;

fn one(text: &str) -> Issue {
    let all = read(text.as_bytes()).unwrap();
    assert_eq!(all.len(), 1, "{all:?}");
    all[0].clone()
}

#[test]
fn lines_of_many_tools() {
    let flake8 = one("./app/views.py:3:1: F401 'os' imported but unused");
    assert_eq!(
        (flake8.file.as_str(), flake8.line, flake8.rule.as_str()),
        ("app/views.py", 3, "F401")
    );
    assert_eq!(flake8.severity, Severity::High);
    let pylint = one(
        "************* Module app\napp.py:10:0: C0116: Missing function docstring (missing-function-docstring)\n\nYour code has been rated at 9/10",
    );
    assert_eq!(
        (pylint.line, pylint.rule.as_str(), pylint.severity),
        (10, "C0116", Severity::Low)
    );
    let parseable = one("app.py:3: [W0611(unused-import), f] Unused import os");
    assert_eq!(
        (parseable.rule.as_str(), parseable.message.as_str()),
        ("unused-import", "Unused import os")
    );
    let gcc = one("src/a.c:3:5: warning: unused variable 'x' [-Wunused-variable]");
    assert_eq!(
        (gcc.rule.as_str(), gcc.severity),
        ("-Wunused-variable", Severity::Normal)
    );
    let mypy = one("a.py:7: error: Incompatible types  [assignment]");
    assert_eq!(
        (mypy.rule.as_str(), mypy.severity),
        ("assignment", Severity::Error)
    );
}

#[test]
fn checkstyle() {
    let text = "<?xml version='1.0'?><checkstyle version='5'><file name='a.java'><error line='3' severity='error' message='a &lt; b' source='com.x.Rule'/><error severity='info' message='m' source=''/></file></checkstyle>";
    let all = read(text.as_bytes()).unwrap();
    assert_eq!(all.len(), 2);
    assert_eq!(
        (
            all[0].rule.as_str(),
            all[0].message.as_str(),
            all[0].severity
        ),
        ("Rule", "a < b", Severity::Error)
    );
    assert_eq!(all[1].line, 0);
    assert!(read(b"<html/>").is_err());
    assert!(read(b"<checkstyle><file").is_err());
}

#[test]
fn json_of_many_tools() {
    let sarif = one(
        r#"{"version":"2.1.0","runs":[{"tool":{"driver":{"rules":[{"id":"R1","defaultConfiguration":{"level":"error"}}]}},"results":[
        {"ruleId":"R1","message":{"text":"bad"},"locations":[{"physicalLocation":{"artifactLocation":{"uri":"x.py"},"region":{"startLine":4}}}]},
        {"ruleId":"R2","message":{"text":"was seen"},"suppressions":[{"kind":"inSource"}]}]}]}"#,
    );
    assert_eq!(
        (sarif.file.as_str(), sarif.line, sarif.severity),
        ("x.py", 4, Severity::Error)
    );
    let eslint = one(
        r#"[{"filePath":"/w/a.js","messages":[{"ruleId":"semi","severity":2,"message":"Missing semicolon.","line":9}]}]"#,
    );
    assert_eq!(
        (eslint.rule.as_str(), eslint.severity),
        ("semi", Severity::Error)
    );
    let pylint = one(
        r#"[{"type":"convention","path":"a.py","line":1,"symbol":"missing-docstring","message":"m","message-id":"C0114"}]"#,
    );
    assert_eq!(
        (pylint.rule.as_str(), pylint.severity),
        ("missing-docstring", Severity::Low)
    );
    let cargo = one(
        "{\"reason\":\"compiler-artifact\"}\n{\"reason\":\"compiler-message\",\"message\":{\"level\":\"warning\",\"code\":{\"code\":\"unused_variables\"},\"message\":\"unused variable\",\"spans\":[{\"is_primary\":true,\"file_name\":\"src/main.rs\",\"line_start\":2}]}}\n{\"reason\":\"compiler-message\",\"message\":{\"level\":\"warning\",\"code\":null,\"message\":\"1 warning emitted\",\"spans\":[]}}\n",
    );
    assert_eq!(
        (cargo.file.as_str(), cargo.rule.as_str()),
        ("src/main.rs", "unused_variables")
    );
    assert!(read(b"[]").unwrap().is_empty());
    assert!(read(b"{\"a\":1}").is_err());
    assert!(read(b"{").is_err());
}

#[test]
fn a_finding_keeps_its_fingerprint_when_lines_move() {
    let a = one("a.py:3:1: F401 'os' imported but unused");
    let b = one("a.py:9:1: F401 'os' imported but unused");
    assert_eq!(fingerprint(&a), fingerprint(&b));
    assert_ne!(
        fingerprint(&a),
        fingerprint(&one("b.py:3:1: F401 'os' imported but unused"))
    );
}
