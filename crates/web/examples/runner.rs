//! What control starts as a runner in this crate's tests, `runner runner FOLDER`: it takes the repository as a folder of
//! files to serve and runs its `build.sh`, if it has one, as the only stage.
//!
//! The real runner has its own tests in the crate `pipeline`, and everything meets in the end-to-end tests.
#![allow(
    clippy::unwrap_used,
    reason = "a panic of this program is a failed build, which a test then shows"
)]

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use jiff::Timestamp;
use launchway_model::app::{AppSpec, FilesSpec};
use launchway_model::build::{BuildResult, StageId, StageInfo, TestCase, TestCounts, TestOutcome};
use launchway_model::runner::{
    EVENTS_FILE, JOB_FILE, LOG_FOLDER, LogLine, LogSource, RunnerEvent, RunnerEventKind, RunnerJob,
    TESTS_FILE,
};
use launchway_model::{PROTOCOL, Problem};

fn main() {
    let folder = std::env::args_os().nth(2).unwrap();
    let folder = Path::new(&folder);
    let job: RunnerJob =
        serde_json::from_slice(&std::fs::read(folder.join(JOB_FILE)).unwrap()).unwrap();
    let mut spool = File::create(folder.join(EVENTS_FILE)).unwrap();
    let mut seq = 0;
    let mut tell = |kind| {
        let event = RunnerEvent {
            seq,
            at: Timestamp::now(),
            kind,
        };
        seq += 1;
        let mut line = serde_json::to_vec(&event).unwrap();
        line.push(b'\n');
        spool.write_all(&line).unwrap();
    };
    tell(RunnerEventKind::Started {
        pid: std::process::id(),
        protocol: PROTOCOL,
    });
    std::fs::create_dir_all(&job.tree).unwrap();
    let archive = Command::new("git")
        .arg("--git-dir")
        .arg(&job.repository)
        .args(["archive", "--output"])
        .arg(folder.join("tree.tar"))
        .arg(&job.commit)
        .status()
        .unwrap();
    assert!(
        archive.success(),
        "the commit is in the repository while it is pushed"
    );
    let unpacked = Command::new("tar")
        .arg("-xf")
        .arg(folder.join("tree.tar"))
        .arg("-C")
        .arg(&job.tree)
        .status()
        .unwrap();
    assert!(unpacked.success());
    let stage = StageId(0);
    let spec = AppSpec {
        files: Some(FilesSpec {
            folder: ".".to_owned(),
            fallback: None,
        }),
        ..AppSpec::default()
    };
    tell(RunnerEventKind::Planned {
        spec: Box::new(spec),
        words: vec!["Static files, as they are".to_owned()],
        stages: vec![StageInfo {
            id: stage,
            parent: None,
            name: "Build".to_owned(),
            parallel: false,
        }],
        triggers: Vec::new(),
    });
    tell(RunnerEventKind::StageStarted { stage });
    std::fs::create_dir_all(folder.join(LOG_FOLDER)).unwrap();
    let mut log = File::create(folder.join(LOG_FOLDER).join("0.log")).unwrap();
    let mut success = true;
    if job.tree.join("build.sh").exists() {
        let output = Command::new("sh")
            .arg("build.sh")
            .current_dir(&job.tree)
            .output()
            .unwrap();
        success = output.status.success();
        for line in String::from_utf8_lossy(&output.stdout).lines() {
            let line = LogLine {
                millis: Timestamp::now().as_millisecond(),
                source: LogSource::Out,
                text: line.into(),
            };
            log.write_all(line.to_file_line().as_bytes()).unwrap();
        }
    }
    let (result, problem) = if success {
        (BuildResult::Success, None)
    } else {
        let problem = Problem::failed("stage `Build` failed: `sh build.sh` exited with code 1")
            .hint("Run `sh build.sh` yourself.");
        (BuildResult::Failure, Some(problem))
    };
    tell(RunnerEventKind::StageFinished { stage, result });
    let tests = [TestCase {
        suite: "site".to_owned(),
        name: "links lead somewhere".to_owned(),
        outcome: TestOutcome::Passed,
        seconds: 0.25,
        detail: None,
    }];
    std::fs::write(folder.join(TESTS_FILE), serde_json::to_vec(&tests).unwrap()).unwrap();
    tell(RunnerEventKind::Tests {
        counts: TestCounts {
            passed: 1,
            failed: 0,
            skipped: 0,
        },
    });
    tell(RunnerEventKind::Finished { result, problem });
}
