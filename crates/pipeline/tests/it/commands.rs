//! Commands that hang, fork, ignore signals, write much, or are stopped.

use std::fs;

use launchway_model::build::BuildResult;

use crate::site::{Site, lives};

#[test]
fn what_a_build_leaves_running_dies_with_it() {
    let mut site = Site::toml(
        "[[stage]]\nname = \"A\"\nrun = \"sleep 1000 & echo $! > one; (setsid sh -c 'trap \\\"\\\" TERM HUP; echo $$ > two; sleep 1000' &) ; while ! test -s two; do sleep 0.01; done; echo done\"\n\
         [[stage]]\nname = \"B\"\nrun = \"kill -0 $(cat one) && kill -0 $(cat two)\"\n",
    );
    let built = site.build().succeeded();
    assert!(built.log(0).contains(&"done".to_owned()));
    for file in ["one", "two"] {
        let pid = fs::read_to_string(built.tree(file)).unwrap();
        assert!(!lives(&pid), "{file}");
    }
}

#[test]
fn what_asked_to_live_lives() {
    // The process is marked only once it has become `sleep`; until then it is a copy of the shell.
    let mut site = Site::toml(
        "[[stage]]\nname = \"A\"\nrun = \"\"\"\nJENKINS_NODE_COOKIE=dontKillMe setsid sleep 60 > /dev/null 2>&1 & echo $! > pid\nwhile ! grep -q dontKillMe /proc/$(cat pid)/environ; do sleep 0.01; done\n\"\"\"\n",
    );
    let built = site.build().succeeded();
    let pid = fs::read_to_string(built.tree("pid")).unwrap();
    let lived = lives(&pid);
    let _ = std::process::Command::new("kill")
        .arg("-9")
        .arg(pid.trim())
        .status();
    assert!(lived);
}

#[test]
fn a_background_process_goes_on_writing_to_its_stages_log() {
    let mut site = Site::toml(
        "[[stage]]\nname = \"A\"\nrun = \"(while ! test -e go; do sleep 0.01; done; echo late; touch said) &\"\n\
         [[stage]]\nname = \"B\"\nrun = \"touch go; while ! test -e said; do sleep 0.01; done\"\n",
    );
    let built = site.build().succeeded();
    assert!(built.log(0).contains(&"late".to_owned()));
}

#[test]
fn a_cancel_ends_the_whole_tree() {
    let mut site = Site::toml(
        "[[stage]]\nname = \"A\"\nrun = \"\"\"trap '' TERM\nsh -c 'trap \\\"\\\" TERM; echo $$ > child; while :; do sleep 0.1; done' &\necho ready\nwhile :; do sleep 0.1; done\"\"\"\nafter = { aborted = \"echo was aborted\" }\n\
         [[stage]]\nname = \"B\"\nrun = \"true\"\n",
    );
    let mut running = site.start();
    running.wait_for_line(0, "ready");
    let tree = running.job.tree.clone();
    running.wait_for("the child", |_| {
        fs::read_to_string(tree.join("child")).is_ok_and(|pid| !pid.is_empty())
    });
    running.cancel("a newer commit came");
    let built = running.finish();
    assert_eq!(built.result(), BuildResult::Aborted);
    assert_eq!(built.problem().message, "the build was cancelled");
    assert_eq!(built.problem().causes, ["a newer commit came"]);
    assert!(!lives(&fs::read_to_string(built.tree("child")).unwrap()));
    assert!(built.log(0).contains(&"was aborted".to_owned()));
    assert_eq!(built.results()[1].1, BuildResult::NotBuilt);
}

#[test]
fn a_cancel_before_the_start_is_seen() {
    let mut site = Site::toml("[[stage]]\nname = \"A\"\nrun = \"sleep 1000\"\n");
    let job = site.job();
    fs::create_dir_all(&job.folder).unwrap();
    fs::write(job.folder.join("cancel"), "no").unwrap();
    assert_eq!(site.start_job(job).finish().result(), BuildResult::Aborted);
}

#[test]
fn time_limits_of_stages_and_builds_are_kept() {
    let built = Site::toml(
        "[[stage]]\nname = \"A\"\nrun = \"echo before; sleep 1000\"\ntimeout = \"300ms\"\n",
    )
    .build();
    assert_eq!(built.result(), BuildResult::Aborted);
    assert_eq!(
        built.problem().message,
        "stage `A` met its time limit of 300ms"
    );
    assert_eq!(built.problem().output, ["before"]);
    let mut site = Site::toml("[[stage]]\nname = \"A\"\nrun = \"sleep 1000\"\n");
    site.timeout_ms = 300;
    assert_eq!(
        site.build().problem().message,
        "the build met its time limit of 300ms"
    );
    let built =
        Site::toml("timeout = \"200ms\"\n[[stage]]\nname = \"A\"\nrun = \"sleep 1000\"\n").build();
    assert!(built.problem().message.contains("200ms"));
}

#[test]
fn a_command_that_writes_without_end_meets_its_limit() {
    let built = Site::toml("[[stage]]\nname = \"A\"\nrun = \"yes\"\ntimeout = \"200ms\"\n").build();
    assert_eq!(built.result(), BuildResult::Aborted);
}

#[test]
fn lines_come_while_the_command_runs() {
    let mut site = Site::toml(
        "[[stage]]\nname = \"A\"\nrun = \"echo first; while ! test -e go; do sleep 0.01; done; echo second\"\n",
    );
    let mut running = site.start();
    running.wait_for_line(0, "first");
    assert!(!running.log(0).contains(&"second".to_owned()));
    fs::write(running.job.tree.join("go"), "").unwrap();
    running.finish().succeeded();
}

#[test]
fn scripts_with_an_interpreter_and_scripts_of_any_length() {
    let long: String = (0..20_000).map(|number| format!(": {number}\n")).collect();
    let mut site = Site::toml(&format!(
        "[[stage]]\nname = \"A\"\nrun = \"\"\"#!/usr/bin/env -S cat\nI am the script\"\"\"\n[[stage]]\nname = \"B\"\nrun = \"\"\"\n{long}echo end\"\"\"\n"
    ));
    let built = site.build().succeeded();
    assert!(
        built
            .log(0)
            .iter()
            .filter(|line| line.contains("I am the script"))
            .count()
            >= 2
    );
    assert_eq!(built.log(1).last().unwrap(), "end");
    let built = Site::toml("[[stage]]\nname = \"A\"\nrun = \"#!/no/such/thing\\nx\"\n").build();
    assert!(built.problem().hint.unwrap().contains("/no/such/thing"));
}

#[test]
fn a_runner_that_was_killed_leaves_what_can_be_found() {
    let mut site = Site::toml(
        "[[stage]]\nname = \"A\"\nrun = \"setsid sleep 1000 & echo $! > pid; echo ready; sleep 1000\"\n",
    );
    let mut running = site.start();
    running.wait_for_line(0, "ready");
    running.child.kill().unwrap();
    running.child.wait().unwrap();
    let pid = fs::read_to_string(running.job.tree.join("pid")).unwrap();
    assert!(lives(&pid));
    assert!(launchway_pipeline::runner::end_leftovers(&running.job.folder) >= 2);
    assert!(!lives(&pid));
    running.wait_for("nothing more", |running| {
        running
            .seen
            .iter()
            .all(|event| !format!("{:?}", event.kind).starts_with("Finished"))
    });
}

#[test]
fn a_build_runs_at_low_priority_in_a_session_of_its_own() {
    let mut site = Site::toml(
        "[[stage]]\nname = \"A\"\nrun = \"echo nice $(nice); echo session $(cut -d ' ' -f 6 /proc/$PPID/stat) of $PPID\"\n",
    );
    let built = site.build().succeeded();
    let log = built.log(0);
    let rest = |word: &str| {
        let line = log.iter().find_map(|line| line.strip_prefix(word));
        line.unwrap_or_else(|| panic!("{log:?}")).to_owned()
    };
    assert!(rest("nice ").parse::<i32>().unwrap() >= 10);
    let session = rest("session ");
    let (session, runner) = session.split_once(" of ").unwrap();
    assert_eq!(session, runner);
}

#[test]
fn the_builds_own_folder_is_what_dir_makes() {
    let mut site = Site::new(&[
        ("Procfile", "web: x\n"),
        (
            "launchway.toml",
            "[[stage]]\nname = \"A\"\nfolder = \"sub/deep\"\nrun = \"pwd > here\"\n",
        ),
    ]);
    let built = site.build().succeeded();
    let here = fs::read_to_string(built.tree("sub/deep/here")).unwrap();
    assert!(here.trim().ends_with("sub/deep"));
}

#[test]
fn a_link_does_not_lead_a_stage_out_of_its_tree() {
    let mut site = Site::toml(
        "[[stage]]\nname = \"A\"\nrun = \"ln -s /tmp out\"\n[[stage]]\nname = \"B\"\nfolder = \"out/launchway-test-nothing\"\nrun = \"true\"\n",
    );
    let built = site.build();
    assert_eq!(built.result(), BuildResult::Failure);
    assert!(
        built
            .problem()
            .message
            .contains("not inside the build's tree")
    );
    let _ = fs::remove_dir("/tmp/launchway-test-nothing");
}

#[test]
fn a_build_over_its_memory_limit_is_told() {
    let mut site = Site::toml(
        "[[stage]]\nname = \"A\"\nrun = \"dd if=/dev/zero of=/dev/null bs=300M count=1\"\n",
    );
    site.memory_bytes = Some(64 << 20);
    let built = site.build();
    let log = built.log(0);
    if log.iter().any(|line| line.starts_with("No memory limit: ")) {
        // A host that lets nobody make a control group: the build runs without one, and has said so.
        assert_eq!(built.result(), BuildResult::Success);
        return;
    }
    assert_eq!(built.result(), BuildResult::Failure);
    let problem = built.problem();
    assert!(
        problem
            .causes
            .iter()
            .any(|cause| cause.contains("memory limit of 64M")),
        "{problem:?}"
    );
}
