use std::os::unix::process::ExitStatusExt;

use super::*;

#[test]
fn a_missing_command_is_named_with_what_is_there() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    for name in ["python3.11", "python3", "pythonic"] {
        let path = folder.path().join(name);
        std::fs::write(&path, "").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let path = folder.path().to_str().unwrap();
    let status = ExitStatus::from_raw(127 << 8);
    let problem = of_command(
        "Test",
        "set -e\npython3.9 -m pytest\nx",
        status,
        vec!["sh: 1: python3.9: not found".into()],
        path,
    );
    assert_eq!(
        problem.message,
        "stage `Test`: `python3.9 -m pytest …` exited with 127"
    );
    assert_eq!(
        problem.causes,
        ["python3.9: not found; this machine has python3, python3.11"]
    );
}

#[test]
fn shells_say_it_in_their_own_words() {
    for (line, name) in [
        ("sh: 1: uv: not found", "uv"),
        ("bash: line 3: foo: command not found", "foo"),
        ("/bin/sh: 12: ./tools/x: not found", "x"),
        ("env: ‘node’: No such file or directory", "node"),
        ("/usr/bin/env: 'node': No such file or directory", "node"),
    ] {
        assert_eq!(missing_command(line).as_deref(), Some(name), "{line}");
    }
    for line in ["404: page not found", "the key was not found", "not found"] {
        assert_eq!(
            missing_command(line).filter(|name| name.contains(' ')),
            None,
            "{line}"
        );
    }
}

#[test]
fn a_signal_is_named() {
    let problem = of_command("Build", "x", ExitStatus::from_raw(9), Vec::new(), "");
    assert!(problem.message.contains("signal 9 (KILL"));
}
