//! What runs by the clock, and one-off commands that outlive whoever asked.

use std::time::Duration;

use jiff::Timestamp;
use launchway_control::{cron, oneoff};
use launchway_model::api::{RunOutput, RunRequest, TerminalSize};
use launchway_model::app::{AppSpec, CronSpec, Missed, Overlap, ScaleRule};
use launchway_model::cron::{CronRun, CronState};
use launchway_store::Store;
use launchway_supervisor::terminal::{DATA, EXIT, write_frame};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::world::{World, name, process, spec, until};

fn job(command: &str, overlap: Overlap, missed: Missed) -> CronSpec {
    CronSpec {
        name: process("report"),
        // Not while a test runs, unless on New Year's Eve at a minute to twelve.
        schedule: "59 23 31 12 *".to_owned(),
        time_zone: Some("UTC".to_owned()),
        command: command.to_owned(),
        folder: None,
        timeout_ms: 60_000,
        overlap,
        missed,
    }
}

async fn world(spec: AppSpec) -> World {
    let world = World::new().await;
    let repository = world.repository("shop");
    repository.version("one", &spec);
    world.deploy(&repository).await.succeeded();
    world
}

async fn history(world: &World) -> Vec<CronRun> {
    cron::history(&world.control, &name("shop"), None, 9)
        .await
        .unwrap()
}

/// The newest run, once it is in a state.
async fn run_in(world: &World, state: CronState) -> CronRun {
    until(state.word(), async || {
        history(world)
            .await
            .into_iter()
            .find(|run| run.state == state)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_runs_in_the_serving_release_and_its_history_is_kept() {
    let mut spec = spec("serve");
    spec.cron = vec![job(
        "echo for $LAUNCHWAY_APP; test ! -e broken",
        Overlap::Forbid,
        Missed::Skip,
    )];
    let world = world(spec.clone()).await;
    let jobs = cron::list(&world.control, &name("shop")).await.unwrap();
    assert!(jobs[0].next.is_some() && jobs[0].last.is_none());
    let problem = cron::run_now(&world.control, &name("shop"), &process("reprot"))
        .await
        .unwrap_err();
    assert_eq!(problem.hint.as_deref(), Some("Did you mean `report`?"));
    cron::run_now(&world.control, &name("shop"), &process("report"))
        .await
        .unwrap();
    let run = run_in(&world, CronState::Succeeded).await;
    let log = world.settings.home.instance_log(&run.instance.unwrap());
    assert!(std::fs::read_to_string(log).unwrap().contains("for shop"));
    let repository = world.repository("shop");
    repository.write("broken", "").version("two", &spec);
    world.deploy(&repository).await.succeeded();
    cron::run_now(&world.control, &name("shop"), &process("report"))
        .await
        .unwrap();
    let run = run_in(&world, CronState::Failed).await;
    assert_eq!((run.detail.as_str(), run.release.0), ("exit code 1", 2));
    until("an alert says so", async || {
        let open = launchway_control::alerts::list(
            &world.control,
            launchway_control::alerts::Which::Open,
            None,
            9,
        );
        open.await
            .unwrap()
            .into_iter()
            .find(|alert| alert.kind == "cron")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_is_due_while_the_one_before_lasts() {
    for (overlap, first, second) in [
        (Overlap::Forbid, CronState::Running, CronState::Skipped),
        (Overlap::Allow, CronState::Running, CronState::Running),
        (Overlap::Replace, CronState::Replaced, CronState::Running),
    ] {
        let mut spec = spec("serve");
        spec.cron = vec![job("sleep 1000", overlap, Missed::Skip)];
        let world = world(spec).await;
        for _ in 0..2 {
            let run = cron::run_now(&world.control, &name("shop"), &process("report")).await;
            assert!(run.is_ok() || overlap == Overlap::Forbid, "{run:?}");
        }
        let states: Vec<CronState> = history(&world).await.iter().map(|run| run.state).collect();
        assert_eq!(states, [second, first], "{overlap:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_due_while_nobody_was_there() {
    for (missed, state) in [
        (Missed::Skip, CronState::Missed),
        (Missed::RunOnce, CronState::Succeeded),
    ] {
        let mut spec = spec("serve");
        let mut job = job("true", Overlap::Forbid, missed);
        job.schedule = "0 * * * *".to_owned();
        spec.cron = vec![job];
        spec.scaling = vec![ScaleRule {
            process: process("web"),
            schedule: "30 * * * *".to_owned(),
            time_zone: None,
            instances: 2,
        }];
        let mut world = world(spec).await;
        world.end_control().await;
        // As if it had been off for three hours and a half.
        let then = Timestamp::now() - jiff::SignedDuration::from_mins(210);
        {
            let store = Store::open(&world.settings.home.database()).await.unwrap();
            for clock in ["report", ":scale"] {
                store
                    .move_clock(&name("shop"), clock, then, &[])
                    .await
                    .unwrap();
            }
            store.close().await;
        }
        world.open_again().await;
        let run = run_in(&world, state).await;
        if missed == Missed::Skip {
            assert!(run.detail.contains("was not there for"), "{}", run.detail);
        }
        assert_eq!(history(&world).await.len(), 1, "one run makes up for all");
        until("the newest rule for instances holds", async || {
            (world.instances("shop").await.len() == 2).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_and_detached_commands_go_on_without_control() {
    let mut spec = spec("serve");
    spec.cron = vec![job(
        "while ! test -e go; do sleep 0.05; done",
        Overlap::Forbid,
        Missed::Skip,
    )];
    let mut world = world(spec).await;
    cron::run_now(&world.control, &name("shop"), &process("report"))
        .await
        .unwrap();
    let request = RunRequest {
        command: vec!["sleep 0.2; echo from afar; sleep 1000".to_owned()],
        detach: true,
        terminal: None,
    };
    let mut output = oneoff::run(&world.control, &name("shop"), request)
        .await
        .unwrap();
    let Some(RunOutput::Detached { instance }) = output.recv().await else {
        panic!()
    };
    world.restart_control().await;
    assert_eq!(history(&world).await[0].state, CronState::Running);
    let tree = world
        .control
        .settings()
        .home
        .tree(&name("shop"), launchway_model::BuildId(1));
    std::fs::write(tree.join("go"), "").unwrap();
    run_in(&world, CronState::Succeeded).await;
    let log = world.settings.home.instance_log(&instance);
    until("the detached command has spoken", async || {
        std::fs::read_to_string(&log)
            .unwrap_or_default()
            .contains("from afar")
            .then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_one_off_command_has_a_terminal() {
    let world = world(spec("serve")).await;
    let request = RunRequest {
        command: vec![
            "stty size; read name; echo \"hello $name in $LAUNCHWAY_APP\"; exit 4".to_owned(),
        ],
        detach: false,
        terminal: Some(TerminalSize {
            columns: 111,
            rows: 44,
            term: "xterm".to_owned(),
        }),
    };
    let mut terminal = oneoff::terminal(&world.control, &name("shop"), request)
        .await
        .unwrap();
    let mut typed = Vec::new();
    write_frame(&mut typed, DATA, b"Ada\r").unwrap();
    terminal.stream.write_all(&typed).await.unwrap();
    let mut shown = String::new();
    let code = loop {
        let kind = tokio::time::timeout(Duration::from_secs(60), terminal.stream.read_u8())
            .await
            .unwrap()
            .unwrap();
        let length = terminal.stream.read_u32().await.unwrap();
        let mut payload = vec![0; length as usize];
        terminal.stream.read_exact(&mut payload).await.unwrap();
        match kind {
            DATA => shown += &String::from_utf8_lossy(&payload),
            EXIT => break i32::from_be_bytes(payload.try_into().unwrap()),
            _ => {}
        }
    };
    assert!(shown.contains("44 111"), "{shown}");
    assert!(shown.contains("hello Ada in shop"), "{shown}");
    assert_eq!(code, 4);
    terminal.end().await;
    until("nothing of it is left", async || {
        let left = std::fs::read_dir(world.settings.home.instances())
            .unwrap()
            .flatten();
        let runs = left.filter(|entry| entry.file_name().to_string_lossy().contains(".run."));
        (runs.count() == 0).then_some(())
    })
    .await;
}
