//! Bad input: each gets an error that names the place and the remedy, and what serves goes on serving.

use launchway_e2e::{Repository, until};

use crate::apps::{self, assert_undisturbed, deployed, shared};

#[test]
fn a_typo_in_launchway_toml_is_shown_with_its_line() {
    let repository = deployed(shared(), "typo");
    repository.write("launchway.toml", "[process.web]\nrun = \"python3 app.py\n");
    repository.commit("a quote is missing");
    shared()
        .run_in(repository.path(), &["deploy"])
        .refused(2, &["launchway.toml", ":2:"]);
    assert_undisturbed(shared(), "typo");
    // The same words without a deploy.
    shared()
        .run_in(repository.path(), &["plan"])
        .refused(2, &["launchway.toml", ":2:"]);
}

#[test]
fn an_unknown_key_is_shown_with_the_nearest_right_one() {
    let repository = deployed(shared(), "unknown-key");
    repository.replace("launchway.toml", "grace", "grase");
    repository.commit("a wrong key");
    shared()
        .run_in(repository.path(), &["deploy"])
        .refused(2, &["grase", "Did you mean `grace`?", "launchway.toml:4"]);
    assert_undisturbed(shared(), "unknown-key");
}

#[test]
fn a_procfile_without_web_says_so() {
    let repository = deployed(shared(), "no-web");
    repository.git(&["rm", "--quiet", "launchway.toml"]);
    repository.write("Procfile", "wbe: python3 app.py\n");
    repository.commit("a process type is mistyped");
    shared()
        .run_in(repository.path(), &["deploy"])
        .refused(2, &["Procfile", "web"]);
    assert_undisturbed(shared(), "no-web");
}

#[test]
fn a_commit_that_does_not_exist_is_named() {
    let repository = deployed(shared(), "no-commit");
    let missing = "0123456789012345678901234567890123456789";
    let ran = shared().run_in(repository.path(), &["deploy", "--commit", missing]);
    assert!(ran.code == 2 || ran.code == 3, "{ran:?}");
    assert!(ran.stderr.contains("0123456789"), "{}", ran.stderr);
    assert_undisturbed(shared(), "no-commit");
}

#[test]
fn a_branch_that_does_not_exist_is_named() {
    let repository = deployed(shared(), "no-branch");
    let ran = shared().run_in(repository.path(), &["deploy", "--branch", "nowhere"]);
    assert!(ran.code == 2 || ran.code == 3, "{ran:?}");
    assert!(ran.stderr.contains("nowhere"), "{}", ran.stderr);
    assert_undisturbed(shared(), "no-branch");
}

#[test]
fn a_repository_that_cannot_be_cloned_is_named_with_what_git_said() {
    deployed(shared(), "no-clone");
    // Port 1 of loopback: nothing listens there.
    let ran = shared().run(&["deploy", "http://127.0.0.1:1/team/no-clone.git"]);
    assert!([1, 2, 3, 6].contains(&ran.code), "{ran:?}");
    assert!(
        ran.stderr.contains("127.0.0.1:1/team/no-clone.git"),
        "{}",
        ran.stderr
    );
    let ran = shared().run_in(std::path::Path::new("/"), &["deploy", "/nowhere/at/all"]);
    ran.refused(2, &["/nowhere/at/all"]);
    assert_undisturbed(shared(), "no-clone");
}

#[test]
fn a_folder_that_is_no_repository_says_how_to_make_one() {
    let folder = tempfile::tempdir().unwrap();
    shared()
        .run_in(folder.path(), &["deploy"])
        .refused(2, &["is not in a git repository", "git init"]);
    let empty = Repository::new("empty");
    shared()
        .run_in(empty.path(), &["deploy"])
        .refused(2, &["has no commit yet", "git commit"]);
}

#[test]
fn a_build_command_that_fails_is_shown_with_its_exit_and_output() {
    let repository = deployed(shared(), "build-fails");
    repository.write(
        "launchway.toml",
        &format!(
            "{}\n[[stage]]\nname = \"Assets\"\nrun = \"echo the disk is on fire; exit 3\"\n",
            apps::DESCRIPTION
        ),
    );
    repository.commit("a stage that fails");
    shared()
        .run_in(repository.path(), &["deploy"])
        .refused(1, &["Assets", "the disk is on fire"]);
    assert_undisturbed(shared(), "build-fails");
    let builds = shared()
        .run(&["builds", "--app", "build-fails", "--json"])
        .ok("builds")
        .json();
    assert_eq!(builds[0]["state"]["result"], "failure", "{builds:#}");
}

#[test]
fn a_build_command_that_hangs_meets_its_timeout_and_leaves_no_process() {
    let repository = deployed(shared(), "build-hangs");
    let (one, two) = (apps::long_sleep(1), apps::long_sleep(2));
    repository.write(
        "launchway.toml",
        &format!(
            "{}\n[[stage]]\nname = \"Waits\"\ntimeout = \"2s\"\nrun = \"sleep {one} & sleep {two}\"\n",
            apps::DESCRIPTION
        ),
    );
    repository.commit("a stage that hangs");
    let ran = shared().run_in(repository.path(), &["deploy"]);
    assert_ne!(ran.code, 0);
    assert!(ran.stderr.contains("Waits"), "{}", ran.stderr);
    assert_undisturbed(shared(), "build-hangs");
    until("no process of the build is left", || {
        !apps::sleeps(&one) && !apps::sleeps(&two)
    });
}

#[test]
fn a_red_test_keeps_the_release_out() {
    let repository = deployed(shared(), "red-test");
    repository.replace("app.py", "version 1", "version 2");
    repository.write("test_app.py", "import unittest\n\nclass Test(unittest.TestCase):\n    def test_two(self):\n        self.assertEqual(1, 2)\n");
    repository.write(
        "launchway.toml",
        &format!(
            "{}\n[[stage]]\nname = \"Tests\"\nrun = \"python3 -m unittest\"\n",
            apps::DESCRIPTION
        ),
    );
    repository.commit("a red test");
    shared()
        .run_in(repository.path(), &["deploy"])
        .refused(1, &["Tests", "AssertionError"]);
    assert_undisturbed(shared(), "red-test");
}

#[test]
fn a_failing_release_command_keeps_the_release_out() {
    let repository = deployed(shared(), "release-fails");
    repository.write(
        "launchway.toml",
        &format!(
            "release = \"echo no such table >&2; exit 7\"\n{}",
            apps::DESCRIPTION
        ),
    );
    repository.commit("a migration that fails");
    shared()
        .run_in(repository.path(), &["deploy"])
        .refused(1, &["no such table", "7"]);
    assert_undisturbed(shared(), "release-fails");
}

#[test]
fn what_is_not_there_is_named() {
    deployed(shared(), "nearest");
    shared()
        .run(&["ps", "--app", "nearets"])
        .refused(3, &["nearets", "launchway apps"]);
    shared()
        .run(&["rollback", "--app", "nearest", "v99"])
        .refused(3, &["v99"]);
    shared()
        .run(&["builds", "show", "99999"])
        .refused(3, &["99999"]);
}

#[test]
fn a_repository_that_says_nothing_of_what_to_run_names_what_was_looked_for() {
    let repository = Repository::of_files("says-nothing", &[("notes.txt", "hello")]);
    shared()
        .run_in(repository.path(), &["deploy"])
        .refused(2, &["what to run", "Procfile"]);
}
