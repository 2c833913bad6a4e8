//! The binary as a process: what needs no server. What needs one is in `e2e`.

#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

mod scanning;

use std::path::Path;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// Runs the binary with a home of its own in which nothing is.
fn launchway(folder: &Path, arguments: &[&str]) -> Output {
    let home = TempDir::new().unwrap();
    Command::new(env!("CARGO_BIN_EXE_launchway"))
        .args(arguments)
        .current_dir(folder)
        .env("LAUNCHWAY_HOME", home.path().join("home"))
        .env("XDG_CONFIG_HOME", home.path())
        .env_remove("LAUNCHWAY_URL")
        .env_remove("LAUNCHWAY_TOKEN")
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A folder with these files.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = TempDir::new().unwrap();
    for (path, text) in files {
        std::fs::write(folder.path().join(path), text).unwrap();
    }
    folder
}

#[test]
fn help_names_every_command_and_the_exit_codes() {
    let folder = folder(&[]);
    let help = launchway(folder.path(), &["--help"]);
    assert!(help.status.success());
    for command in [
        "up", "deploy", "apps", "builds", "releases", "rollback", "ps", "scale", "restart", "stop",
        "logs", "run", "config", "domains", "doctor",
    ] {
        assert!(
            stdout(&help).contains(&format!("\n  {command} ")),
            "{command} is missing:\n{}",
            stdout(&help)
        );
    }
    let codes = launchway(folder.path(), &["help", "exit-codes"]);
    assert!(
        stdout(&codes).contains("70  a fault of Launchway itself"),
        "{}",
        stdout(&codes)
    );
    let same = launchway(folder.path(), &["exit-codes"]);
    assert!(
        stdout(&same).contains("70  a fault of Launchway itself"),
        "{}",
        stdout(&same)
    );
}

#[test]
fn a_mistyped_command_is_refused_with_the_nearest() {
    let folder = folder(&[]);
    let output = launchway(folder.path(), &["deplyo"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("deploy"), "{}", stderr(&output));
}

#[test]
fn completions_are_printed_for_each_shell() {
    let folder = folder(&[]);
    for shell in ["bash", "zsh", "fish"] {
        let output = launchway(folder.path(), &["completions", shell]);
        assert!(output.status.success());
        assert!(stdout(&output).contains("rollback"), "{shell}");
    }
}

#[test]
fn without_a_server_a_command_says_how_to_get_one() {
    let folder = folder(&[]);
    let output = launchway(folder.path(), &["apps"]);
    assert_eq!(output.status.code(), Some(6), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("launchway up"),
        "{}",
        stderr(&output)
    );
    let json = launchway(folder.path(), &["apps", "--json"]);
    let problem: serde_json::Value = serde_json::from_str(&stderr(&json)).unwrap();
    assert_eq!(problem["problem"]["kind"], "unavailable");
    assert_eq!(stdout(&json), "");
}

#[test]
fn a_plan_is_printed_in_words_and_init_writes_it_to_edit() {
    let folder = folder(&[("Procfile", "web: ./serve --port $PORT\n")]);
    let plan = launchway(folder.path(), &["plan"]);
    assert!(plan.status.success(), "{}", stderr(&plan));
    assert!(
        stdout(&plan).contains("./serve --port $PORT"),
        "{}",
        stdout(&plan)
    );
    let json: serde_json::Value =
        serde_json::from_str(&stdout(&launchway(folder.path(), &["plan", "--json"]))).unwrap();
    assert_eq!(
        json["spec"]["processes"]["web"]["command"],
        "./serve --port $PORT"
    );

    let init = launchway(folder.path(), &["init"]);
    assert!(init.status.success(), "{}", stderr(&init));
    let written = std::fs::read_to_string(folder.path().join("launchway.toml")).unwrap();
    assert!(written.contains("./serve --port $PORT"), "{written}");
    // What init wrote says the same as what it read.
    std::fs::remove_file(folder.path().join("Procfile")).unwrap();
    let again: serde_json::Value =
        serde_json::from_str(&stdout(&launchway(folder.path(), &["plan", "--json"]))).unwrap();
    assert_eq!(again["spec"]["processes"], json["spec"]["processes"]);

    let second = launchway(folder.path(), &["init"]);
    assert_eq!(second.status.code(), Some(4));
    assert!(stderr(&second).contains("--force"), "{}", stderr(&second));
    assert_eq!(
        std::fs::read_to_string(folder.path().join("launchway.toml")).unwrap(),
        written,
        "nothing was overwritten"
    );
    assert!(
        launchway(folder.path(), &["init", "--force"])
            .status
            .success()
    );
}

#[test]
fn a_typo_in_a_file_is_shown_with_its_line_and_the_right_word() {
    let folder = folder(&[(
        "launchway.toml",
        "[process.web]\nrun = \"./serve\"\ngrase = \"3s\"\n",
    )]);
    let output = launchway(folder.path(), &["plan"]);
    assert_eq!(output.status.code(), Some(2));
    let said = stderr(&output);
    assert!(
        said.contains("launchway.toml:3") && said.contains("grase") && said.contains("grace"),
        "{said}"
    );
}

#[test]
fn doctor_looks_at_this_machine() {
    let folder = folder(&[]);
    let output = launchway(folder.path(), &["doctor", "--json"]);
    let checks: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    let named = |name: &str| {
        checks
            .as_array()
            .unwrap()
            .iter()
            .find(|check| check["name"] == name)
            .cloned()
    };
    assert_eq!(named("git").unwrap()["verdict"], "good");
    assert_eq!(named("launchway").unwrap()["mend"], "launchway up");
    for name in ["namespaces", "cgroup", "disk", "home"] {
        assert!(named(name).is_some(), "{name} is not looked at");
    }
}

#[test]
fn doctor_names_what_is_missing_and_how_to_mend_it() {
    let folder = folder(&[]);
    let output = Command::new(env!("CARGO_BIN_EXE_launchway"))
        .args(["doctor", "--home"])
        .arg(folder.path().join("home"))
        .env("PATH", folder.path())
        .env("XDG_CONFIG_HOME", folder.path())
        .output()
        .unwrap();
    assert_eq!(
        output.status.code(),
        Some(1),
        "without git Launchway does not work"
    );
    let said = stdout(&output);
    assert!(said.contains("apt-get install git"), "{said}");
    assert!(
        said.contains("apt-get install python3 python3-venv"),
        "{said}"
    );
}

#[test]
fn the_inner_roles_need_their_folder() {
    let folder = folder(&[]);
    for role in ["shim", "runner"] {
        let output = launchway(folder.path(), &[role]);
        assert_eq!(output.status.code(), Some(2));
        assert!(
            stderr(&output).contains("not meant to be typed"),
            "{}",
            stderr(&output)
        );
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let folder = folder(&[]);
    let mut child = Command::new(env!("CARGO_BIN_EXE_launchway"))
        .args(["completions", "zsh"])
        .current_dir(folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(stderr(&output), "");
}
