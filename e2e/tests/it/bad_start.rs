//! Apps that do not start as they should, or do not stop: the error names why, and what serves goes on serving.

use launchway_e2e::{Repository, processes, until};

use crate::apps::{self, assert_undisturbed, deployed, shared};

/// Deploys a change of the app that must be refused with these words.
fn refused(repository: &Repository, app: &str, names: &[&str]) {
    repository.commit("a change that breaks it");
    shared()
        .run_in(repository.path(), &["deploy"])
        .refused(1, names);
    assert_undisturbed(shared(), app);
    // Nothing of the refused release is left running.
    until("the refused instances are gone", || {
        let instances = shared()
            .run(&["ps", "--app", app, "--json"])
            .ok("ps")
            .json();
        instances.as_array().unwrap().len() == 1
    });
}

#[test]
fn an_app_that_never_binds_is_refused() {
    let repository = deployed(shared(), "never-binds");
    repository.replace(
        "app.py",
        "    Server((",
        "    print('resting', flush=True); time.sleep(3600); Server((",
    );
    refused(&repository, "never-binds", &["resting"]);
}

#[test]
fn an_app_that_binds_another_port_is_refused_with_that_port() {
    let repository = deployed(shared(), "wrong-port");
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    repository.replace("app.py", "int(os.environ[\"PORT\"])", &free.to_string());
    refused(&repository, "wrong-port", &[&free.to_string(), "PORT"]);
}

#[test]
fn an_app_that_answers_500_is_refused_with_the_answer() {
    let repository = deployed(shared(), "answers-500");
    repository.replace("app.py", "send_response(200)", "send_response(500)");
    refused(&repository, "answers-500", &["500"]);
}

#[test]
fn an_app_that_crashes_at_its_start_is_refused_with_its_last_words() {
    let repository = deployed(shared(), "crashes");
    repository.replace(
        "app.py",
        "    Server((",
        "    raise KeyError('DATABASE_URL'); Server((",
    );
    refused(&repository, "crashes", &["KeyError: 'DATABASE_URL'"]);
}

#[test]
fn an_app_that_crashes_after_it_was_healthy_is_started_again() {
    let repository = deployed(shared(), "crashes-later");
    repository.replace("app.py", "        if self.path == \"/slow\":", "        if self.path == \"/crash\":\n            os._exit(9)\n        if self.path == \"/slow\":");
    repository.commit("a way to crash it");
    shared().deploy(&repository);
    // The answer to the request that crashes the app is the proxy's, whatever it is.
    let _ = shared().get("crashes-later", "/crash");
    until("it serves again", || {
        let answer = shared().get("crashes-later", "/");
        answer.status == 200 && answer.text() == "version 1"
    });
    // The proxy may ask again where a GET had no answer, and crash it once more.
    until("the restart is counted", || {
        let instances = shared()
            .run(&["ps", "--app", "crashes-later", "--json"])
            .ok("ps")
            .json();
        instances[0]["restarts"]
            .as_u64()
            .is_some_and(|restarts| restarts > 0)
    });
    let logs = shared()
        .run(&["logs", "--app", "crashes-later"])
        .ok("logs")
        .stdout;
    assert!(logs.contains("exit code 9"), "{logs}");
}

#[test]
fn an_app_that_ignores_sigterm_is_killed_after_its_grace_time() {
    let repository = deployed(shared(), "ignores-term");
    repository.replace(
        "app.py",
        "import os, sys, time",
        "import os, sys, time, signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)",
    );
    repository.commit("it ignores SIGTERM");
    shared().deploy(&repository);
    let pid = apps::serving_pid(shared(), "ignores-term");
    assert!(processes::lives(pid));
    repository.replace("app.py", "version 1", "version 2");
    repository.commit("the next one");
    shared().deploy(&repository);
    assert_eq!(shared().get("ignores-term", "/").text(), "version 2");
    until("the old one is killed", || !processes::lives(pid));
}

#[test]
fn an_app_that_forks_is_stopped_with_all_its_children() {
    let repository = deployed(shared(), "forks");
    let seconds = apps::long_sleep(4);
    repository.replace(
        "app.py",
        "    print(\"starting\"",
        &format!(
            "    import subprocess\n    subprocess.Popen(['sh', '-c', 'setsid sleep {seconds} & exit 0']).wait()\n    print(\"starting\""
        ),
    );
    repository.commit("it leaves a daemon behind");
    shared().deploy(&repository);
    assert!(apps::sleeps(&seconds), "the app's daemon runs");
    shared().run(&["stop", "--app", "forks"]).ok("stop");
    until("the daemon is gone", || !apps::sleeps(&seconds));
    assert_eq!(shared().get("forks", "/").status, 503);
    shared().run(&["start", "--app", "forks"]).ok("start");
    assert_eq!(shared().get("forks", "/").status, 200);
}

#[test]
fn an_app_whose_main_process_forks_away_is_refused() {
    let repository = deployed(shared(), "forks-away");
    repository.replace(
        "app.py",
        "    print(\"starting\"",
        "    if os.fork(): os._exit(0)\n    time.sleep(1)\n    print(\"starting\"",
    );
    repository.commit("it daemonizes itself");
    let ran = shared().run_in(repository.path(), &["deploy"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.contains("exit code 0"), "{}", ran.stderr);
    assert_undisturbed(shared(), "forks-away");
}
