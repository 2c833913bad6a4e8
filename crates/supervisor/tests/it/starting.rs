//! Starting, ending by itself, starting again.

use std::time::{Duration, Instant};

use launchway_model::instance::{Exit, InstanceState};
use launchway_model::runner::LogSource;
use launchway_supervisor::{ShimLink, SupervisorError};

use crate::support::{Host, Installation, line, log_lines, output, running, seen, signal, until};

#[tokio::test]
async fn an_app_runs_with_its_own_environment_alone() {
    for host in Host::all() {
        let site = Installation::on(host);
        let mut spec = site.spec("env; echo at $(pwd); echo done; sleep 1000");
        spec.env.insert("PORT".into(), "5001".into());
        std::fs::create_dir(site.tree.join("backend")).unwrap();
        spec.folder = Some("backend".into());
        let handle = site.supervisor.start(spec).await.unwrap();
        line(handle.spec(), "done").await;
        let lines = output(handle.spec());
        let mut names: Vec<&str> = lines
            .iter()
            .filter_map(|line| line.split_once('='))
            .map(|(name, _)| name)
            .filter(|name| !["PWD", "OLDPWD", "SHLVL", "_"].contains(name))
            .collect();
        names.sort_unstable();
        assert_eq!(
            names,
            ["LANG", "LAUNCHWAY_INSTANCE_FOLDER", "PATH", "PORT"],
            "{host:?}"
        );
        assert!(
            lines.contains(&format!("at {}/backend", site.tree.display())),
            "{lines:?}"
        );
        handle.stop(Some(Duration::from_secs(5))).await.unwrap();
    }
}

#[tokio::test]
async fn the_status_names_the_real_process() {
    for host in Host::all() {
        let site = Installation::on(host);
        let handle = site.start("sleep 4000001").await;
        let pid = running(&handle).await;
        // The shell first, which the command then replaces.
        until("the command", || {
            let command = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
            (command == "sleep\x004000001\0").then_some(())
        })
        .await;
        let shim = handle.status().shim_pid;
        let command = std::fs::read_to_string(format!("/proc/{shim}/cmdline")).unwrap();
        assert!(command.contains("shim"), "{command}");
        assert_eq!(launchway_supervisor::observe::tree(shim).pids, [pid]);
        assert_eq!(handle.stop(None).await.unwrap(), Some(Exit::Signal(15)));
        let view = handle.watch().borrow().clone();
        assert_eq!(view.link, ShimLink::Ended);
        assert_eq!(
            view.status.state,
            InstanceState::Stopped {
                exit: Some(Exit::Signal(15))
            }
        );
        site.supervisor.remove(handle.instance()).await.unwrap();
        assert!(!site.home.instance(handle.instance()).exists());
    }
}

#[tokio::test]
async fn a_crash_is_followed_by_a_new_start() {
    for host in Host::all() {
        let site = Installation::on(host);
        let handle = site.start("sleep 4000002").await;
        let first = running(&handle).await;
        let killed = Instant::now();
        signal(first, rustix::process::Signal::KILL);
        let view = seen(&handle, "a restart", |view| view.status.restarts == 1).await;
        let took = killed.elapsed();
        assert!(took >= Duration::from_millis(95), "no pause: {took:?}");
        assert_eq!(view.status.last_exit, Some(Exit::Signal(9)));
        assert_ne!(running(&handle).await, first);
        let said = log_lines(handle.spec());
        let words = "ended with signal 9 (SIGKILL); it is started again in 100 ms";
        assert!(
            said.contains(&(LogSource::Launchway, words.into())),
            "{said:?}"
        );
        handle.stop(None).await.unwrap();
    }
}

#[tokio::test]
async fn the_pauses_grow_and_it_never_gives_up() {
    let site = Installation::new();
    let handle = site.start("echo $(date +%s%N); exit 3").await;
    let view = seen(&handle, "five restarts", |view| view.status.restarts == 5).await;
    assert_eq!(view.status.last_exit, Some(Exit::Code(3)));
    let starts = until("six starts", || {
        let lines = output(handle.spec());
        (lines.len() == 6).then_some(lines)
    })
    .await;
    let starts: Vec<u64> = starts.iter().map(|line| line.parse().unwrap()).collect();
    let mut least = 95;
    for pair in starts.windows(2) {
        let pause = (pair[1] - pair[0]) / 1_000_000;
        assert!(
            pause >= least,
            "a pause of {pause} ms where {least} is the least"
        );
        least = least * 2 + 5;
    }
    // A stop in a pause is a stop at once.
    handle.stop(None).await.unwrap();
}

#[tokio::test]
async fn a_command_that_cannot_run_is_told_and_tried_again() {
    let site = Installation::new();
    let mut spec = site.spec("echo never");
    spec.folder = Some("missing".into());
    let handle = site.supervisor.start(spec).await.unwrap();
    let view = seen(&handle, "a restart", |view| view.status.restarts > 0).await;
    assert_eq!(view.status.last_exit, Some(Exit::Code(126)));
    let lines = log_lines(handle.spec());
    assert!(
        lines
            .iter()
            .any(|(source, text)| *source == LogSource::Launchway
                && text.starts_with("cannot start: cannot enter")
                && text.contains("missing")),
        "{lines:?}"
    );
    handle.stop(None).await.unwrap();
}

#[tokio::test]
async fn a_one_off_ends_with_its_exit() {
    for host in Host::all() {
        let site = Installation::on(host);
        let mut spec = site.spec("echo once; exit 7");
        spec.restart = false;
        let handle = site.supervisor.start(spec).await.unwrap();
        let view = seen(&handle, "its end", |view| view.link != ShimLink::Live).await;
        assert_eq!(view.link, ShimLink::Ended);
        assert_eq!(
            view.status.state,
            InstanceState::Stopped {
                exit: Some(Exit::Code(7))
            }
        );
        assert_eq!(view.status.restarts, 0);
        assert_eq!(output(handle.spec()), ["once"]);
        let state =
            std::fs::read_to_string(site.home.instance(handle.instance()).join("state.json"))
                .unwrap();
        assert!(
            state.contains("\"stopped\"") && state.contains("\"code\":7"),
            "{state}"
        );
    }
}

#[tokio::test]
async fn restart_is_a_new_process_at_once() {
    let site = Installation::new();
    let handle = site.start("sleep 4000003").await;
    let first = running(&handle).await;
    handle.restart().await.unwrap();
    seen(&handle, "a restart", |view| view.status.restarts == 1).await;
    assert_ne!(running(&handle).await, first);
    handle.stop(None).await.unwrap();
}

#[tokio::test]
async fn an_instance_has_one_shim() {
    let site = Installation::new();
    let handle = site.start("sleep 4000004").await;
    let again = site.supervisor.start(handle.spec().clone()).await;
    assert!(
        matches!(again, Err(SupervisorError::StillLives { .. })),
        "{again:?}"
    );
    let removed = site.supervisor.remove(handle.instance()).await;
    assert!(
        matches!(removed, Err(SupervisorError::StillLives { .. })),
        "{removed:?}"
    );
    running(&handle).await;
    handle.stop(None).await.unwrap();
    site.supervisor.remove(handle.instance()).await.unwrap();
    site.supervisor.remove(handle.instance()).await.unwrap();
}

#[tokio::test]
async fn a_shim_that_cannot_start_says_why() {
    let site = Installation::new();
    let mut spec = site.spec("true");
    spec.protocol = 99;
    let error = site.supervisor.start(spec).await.unwrap_err().to_string();
    assert!(error.contains("protocol 99"), "{error}");

    let nowhere = launchway_supervisor::Supervisor::new("/nonexistent".into(), site.home.clone());
    let error = nowhere.start(site.spec("true")).await.unwrap_err();
    assert!(matches!(error, SupervisorError::Spawn { .. }), "{error}");
}

#[tokio::test]
async fn a_deep_home_is_no_obstacle() {
    let deep = ["a-rather-long-name-of-a-folder"; 8].join("/");
    let site = Installation::below(Host::Plain, &deep);
    assert!(site.home.instances().as_os_str().len() > 200);
    let handle = site.start("sleep 4000005").await;
    running(&handle).await;
    handle.stop(None).await.unwrap();
}

/// Whoever may open the socket may still say anything.
#[tokio::test]
async fn a_client_that_talks_nonsense_harms_nothing() {
    use std::io::{BufRead, BufReader, Read, Write};
    use std::os::unix::net::UnixStream;

    let site = Installation::new();
    let handle = site.start("sleep 4000016").await;
    let pid = running(&handle).await;
    let socket = site.home.instance(handle.instance()).join("shim.sock");
    tokio::task::spawn_blocking(move || {
        let mut stream = UnixStream::connect(&socket).unwrap();
        stream
            .write_all(b"hello\n{\"ask\":\"dance\"}\n{\"ask\":\"status\"}\n")
            .unwrap();
        let mut replies = BufReader::new(stream.try_clone().unwrap()).lines();
        for expected in ["refused", "refused", "status"] {
            let reply = replies.next().unwrap().unwrap();
            assert!(
                reply.contains(&format!("\"reply\":\"{expected}\"")),
                "{reply}"
            );
        }
        // Without an end, a line is no request however long it gets.
        let _ = stream.write_all(&[b'x'; 100_000]);
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
        // More than are served: the rest waits or is turned away.
        let many: Vec<_> = (0..200).map(|_| UnixStream::connect(&socket)).collect();
        drop(many);
    })
    .await
    .unwrap();
    assert_eq!(running(&handle).await, pid);
    assert_eq!(handle.status().restarts, 0);
    handle.stop(None).await.unwrap();
}
