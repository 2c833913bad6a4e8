use super::*;

#[test]
fn a_simple_command_replaces_the_shell() {
    for (command, line) in [
        ("gunicorn app:app", "exec gunicorn app:app"),
        (
            "  gunicorn -b 127.0.0.1:$PORT app:app ",
            "exec gunicorn -b 127.0.0.1:$PORT app:app",
        ),
        (
            "node server.js > out.txt 2>&1",
            "exec node server.js > out.txt 2>&1",
        ),
        (
            "A=1 B=$PORT node server.js",
            "A=1 B=$PORT exec node server.js",
        ),
        ("python -c 'a; b | c'", "exec python -c 'a; b | c'"),
        (
            "python -c \"print(1); x\"",
            "exec python -c \"print(1); x\"",
        ),
        ("echo a\\;b", "exec echo a\\;b"),
        ("./run --x={1,2}", "exec ./run --x={1,2}"),
    ] {
        assert_eq!(shell_line(command), line);
    }
}

#[test]
fn what_may_be_more_than_one_command_stays() {
    for command in [
        "cd backend && gunicorn app",
        "a; b",
        "a | b",
        "a &",
        "a\nb",
        "(a)",
        "if true; then a; fi",
        "echo $(date)",
        "echo \"$(date)\"",
        "echo `date`",
        "exec gunicorn app",
        "export A=1",
        "A=1",
        "A='x y' node server.js",
        "while true",
        "node server.js # the server",
        "",
    ] {
        assert_eq!(shell_line(command), command);
    }
}

/// The readings above, held against the shell of this machine.
#[test]
fn the_shell_agrees() {
    for (command, expected) in [
        ("A=1 sh -c 'echo $A-$B'", "1-2\n"),
        ("printf '%s|' a 'b c' \"d;e\" f\\ g", "a|b c|d;e|f g|"),
        ("sh -c 'echo x >&2' 2>&1", "x\n"),
    ] {
        let line = shell_line(command);
        assert!(line.contains("exec "), "{line}");
        let output = Command::new("/bin/sh")
            .arg("-c")
            .arg(&*line)
            .env("B", "2")
            .output()
            .unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), expected, "{line}");
    }
}
