//! What control starts in its own tests: `roles shim FOLDER` is the real shim, `roles runner FOLDER` a small runner that
//! takes a release's specification from the repository as it is, and `roles app MODE` an app that behaves as told.
//!
//! The real runner has its own tests in the crate `pipeline`, and both meet in the end-to-end tests.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr)]

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use jiff::Timestamp;
use launchway_model::Problem;
use launchway_model::app::AppSpec;
use launchway_model::build::{BuildResult, StageId, StageInfo, TestCounts};
use launchway_model::runner::{
    CANCEL_FILE, EVENTS_FILE, JOB_FILE, LOG_FOLDER, LogLine, LogSource, RunnerEvent,
    RunnerEventKind, RunnerJob,
};

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let role = arguments.next().unwrap_or_default();
    let subject = arguments.next().unwrap_or_default();
    match role.to_str() {
        Some("shim") => launchway_supervisor::shim::run(Path::new(&subject)),
        Some("runner") => launchway_supervisor::room::run(Path::new(&subject), |folder, inside| {
            run_build(folder, inside.known_as)
        }),
        Some("terminal") => {
            let arguments: Vec<_> = std::env::args_os().skip(2).collect();
            launchway_supervisor::terminal::run(&arguments)
        }
        Some("app") => run_app(subject.to_str().unwrap()),
        _ => ExitCode::FAILURE,
    }
}

/// One build: checks the commit out, takes `spec.json` as the specification, runs `build.sh` as the only stage.
fn run_build(folder: &Path, known_as: u32) -> ExitCode {
    let mut job: RunnerJob =
        serde_json::from_slice(&std::fs::read(folder.join(JOB_FILE)).unwrap()).unwrap();
    job.tree = job.seen_tree().to_owned();
    if job.secrets {
        let secrets: launchway_model::credential::RunnerSecrets =
            serde_json::from_reader(std::io::stdin()).unwrap();
        job.env = secrets.env;
        for credential in secrets.credentials {
            // Tests look at what a build was given.
            job.env.insert(
                format!("CREDENTIAL_{}", credential.id.as_str().to_uppercase()),
                serde_json::to_string(&credential.secret).unwrap(),
            );
        }
    }
    let mut spool = Spool {
        file: File::create(folder.join(EVENTS_FILE)).unwrap(),
        seq: 0,
    };
    spool.write(RunnerEventKind::Started {
        pid: known_as,
        protocol: launchway_model::PROTOCOL,
    });
    std::fs::create_dir_all(&job.tree).unwrap();
    let checked_out = as_user(&job, "sh")
        .arg("-c")
        .arg(r#"git -c safe.directory=* --git-dir "$1" archive "$2" | tar -x -C "$3""#)
        .arg("sh")
        .args([
            job.repository.as_os_str(),
            job.commit.as_ref(),
            job.tree.as_os_str(),
        ])
        .status()
        .unwrap();
    assert!(checked_out.success());
    let spec: AppSpec = match std::fs::read(job.tree.join("spec.json")) {
        Ok(text) => serde_json::from_slice(&text).unwrap(),
        Err(_) => {
            let problem = Some(Problem::invalid(
                "nothing in this repository says what to run",
            ));
            spool.write(RunnerEventKind::Finished {
                result: BuildResult::Failure,
                problem,
            });
            return ExitCode::SUCCESS;
        }
    };
    let stage = StageId(0);
    let stages = vec![StageInfo {
        id: stage,
        parent: None,
        name: "build".to_owned(),
        parallel: false,
    }];
    spool.write(RunnerEventKind::Planned {
        spec: Box::new(spec),
        words: vec!["runs build.sh".to_owned()],
        stages,
        triggers: read_triggers(&job),
    });
    spool.write(RunnerEventKind::StageStarted { stage });
    std::fs::create_dir_all(folder.join(LOG_FOLDER)).unwrap();
    let mut log = OpenOptions::new()
        .create(true)
        .append(true)
        .open(folder.join(LOG_FOLDER).join("0.log"))
        .unwrap();
    let (result, problem) = build(&job, folder, &mut log);
    spool.write(RunnerEventKind::StageFinished { stage, result });
    if job.tree.join("tests").exists() {
        spool.write(RunnerEventKind::Tests {
            counts: TestCounts {
                passed: 3,
                failed: 0,
                skipped: 1,
            },
        });
    }
    spool.write(RunnerEventKind::Finished { result, problem });
    ExitCode::SUCCESS
}

/// A command as the user that the job names.
fn as_user(job: &RunnerJob, program: &str) -> Command {
    use std::os::unix::process::CommandExt as _;
    let mut command = Command::new(program);
    if let Some(who) = job.user {
        command.uid(who.user).gid(who.group);
    }
    command
}

/// What `triggers.json` in the tree says.
fn read_triggers(job: &RunnerJob) -> Vec<launchway_model::trigger::TriggerSpec> {
    std::fs::read(job.tree.join("triggers.json"))
        .map(|text| serde_json::from_slice(&text).unwrap())
        .unwrap_or_default()
}

fn build(job: &RunnerJob, folder: &Path, log: &mut File) -> (BuildResult, Option<Problem>) {
    if !job.tree.join("build.sh").exists() {
        return (BuildResult::Success, None);
    }
    let mut child = as_user(job, "sh")
        .arg("build.sh")
        .current_dir(&job.tree)
        .envs(&job.env)
        .env("LAUNCHWAY_BUILD_FOLDER", folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    let mut writer = log.try_clone().unwrap();
    let reader = std::thread::spawn(move || {
        for line in output.lines().map_while(Result::ok) {
            let line = LogLine {
                millis: Timestamp::now().as_millisecond(),
                source: LogSource::Out,
                text: line.into(),
            };
            writer.write_all(line.to_file_line().as_bytes()).unwrap();
        }
    });
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if let Ok(reason) = std::fs::read_to_string(folder.join(CANCEL_FILE)) {
            child.kill().unwrap();
            child.wait().unwrap();
            return (BuildResult::Aborted, Some(Problem::failed(reason)));
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    reader.join().unwrap();
    if status.success() {
        (BuildResult::Success, None)
    } else {
        (
            BuildResult::Failure,
            Some(Problem::failed(format!("stage `build` failed: {status}"))),
        )
    }
}

struct Spool {
    file: File,
    seq: u64,
}

impl Spool {
    fn write(&mut self, kind: RunnerEventKind) {
        let event = RunnerEvent {
            seq: self.seq,
            at: Timestamp::now(),
            kind,
        };
        self.seq += 1;
        let mut line = serde_json::to_vec(&event).unwrap();
        line.push(b'\n');
        self.file.write_all(&line).unwrap();
    }
}

/// An app of one page, whose text is the file `version` of its tree.
fn run_app(mode: &str) -> ExitCode {
    let port: u16 = std::env::var("PORT").unwrap().parse().unwrap();
    println!("mode {mode}");
    match mode {
        "silent" => loop {
            std::thread::sleep(Duration::from_secs(60));
        },
        "exits" => {
            eprintln!("ModuleNotFoundError: No module named 'flask'");
            return ExitCode::from(7);
        }
        "wrong-port" => return serve(TcpListener::bind("127.0.0.1:0").unwrap(), "serve"),
        _ => {}
    }
    serve(TcpListener::bind(("127.0.0.1", port)).unwrap(), mode)
}

fn serve(listener: TcpListener, mode: &str) -> ExitCode {
    let first = OpenOptions::new()
        .create_new(true)
        .write(true)
        .open("first")
        .is_ok();
    let began = std::time::Instant::now();
    for connection in listener.incoming() {
        let (mode, young) = (mode.to_owned(), began.elapsed() < Duration::from_secs(2));
        let Ok(connection) = connection else { continue };
        std::thread::spawn(move || answer(connection, &mode, first, young));
    }
    ExitCode::SUCCESS
}

fn answer(mut connection: TcpStream, mode: &str, first: bool, young: bool) {
    let mut lines = BufReader::new(connection.try_clone().unwrap()).lines();
    let Some(Ok(request)) = lines.next() else {
        return;
    };
    while lines
        .next()
        .is_some_and(|line| line.is_ok_and(|line| !line.is_empty()))
    {}
    let path = request.split(' ').nth(1).unwrap_or("/").to_owned();
    let mut status = "200 OK";
    match (mode, path.as_str()) {
        (_, "/crash") => {
            println!("told to crash");
            std::process::exit(3);
        }
        (_, "/env") => {
            let env: Vec<String> = std::env::vars()
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            let body = env.join("\n");
            let _ = write!(
                connection,
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
            return;
        }
        (_, "/slow") => std::thread::sleep(Duration::from_millis(500)),
        ("500", _) => {
            println!("Traceback: it is broken");
            status = "500 Internal Server Error";
        }
        // The first instance is healthy at once and crashes a moment later; the others take their time.
        ("crash-after-healthy", _) if first => {
            std::thread::spawn(|| {
                std::thread::sleep(Duration::from_millis(300));
                println!("crash after the first answer");
                std::process::exit(3);
            });
        }
        ("crash-after-healthy", _) if young => status = "503 Service Unavailable",
        _ => {}
    }
    let body = std::fs::read_to_string("version").unwrap_or_default();
    let _ = write!(
        connection,
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
}
