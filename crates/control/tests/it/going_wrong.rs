//! What goes wrong elsewhere, each with a small real app: docs/isolation.md lists which test is which case.

use std::time::Duration;

use launchway_control::{alerts, formation, strays};
use launchway_model::app::AppSpec;
use launchway_model::instance::InstanceState;

use crate::world::{PATIENCE, World, command, name, run, spec, until};

fn main_process(status: &InstanceState) -> u32 {
    match status {
        InstanceState::Running { pid, .. } => *pid,
        other => panic!("{other:?}"),
    }
}

fn confined() -> bool {
    let can = launchway_supervisor::sandbox::abilities().can_mount();
    if !can {
        println!("skipped: this host allows no mount namespaces");
    }
    can
}

/// A pipeline that ends "its" server by name, as hand-made deploys do, ends neither its own app nor the neighbour.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killing_by_name_reaches_nothing_that_serves() {
    if !confined() {
        return;
    }
    let world = World::new().await;
    for app in ["shop", "blog"] {
        let repository = world.repository(app);
        repository.version(app, &spec("serve"));
        world.deploy(&repository).await.succeeded();
    }
    let before: Vec<u32> = [world.instances("shop").await, world.instances("blog").await]
        .concat()
        .iter()
        .map(|seen| main_process(&seen.status))
        .collect();
    let repository = world.repository("shop");
    repository.write(
        "build.sh",
        "command -v pkill > /dev/null || exit 9\npkill -9 -f 'roles app'\npkill -9 roles\nkill -9 -1\ntrue",
    );
    repository.commit("a pipeline that kills");
    // It may end itself by it, but nobody else.
    let _ = world.deploy(&repository).await;
    for pid in &before[1..] {
        assert!(std::path::Path::new(&format!("/proc/{pid}")).exists());
    }
    let (code, _) = run(&world, "shop", "pkill -9 -f '[r]oles app'; test $? = 1").await;
    assert_eq!(code, 0);
    assert_eq!(world.get("blog", "/").await.unwrap(), "blog");
    assert_eq!(world.get("shop", "/").await.unwrap(), "shop");
    assert!(
        world
            .instances("blog")
            .await
            .iter()
            .all(|seen| seen.restarts == 0)
    );
}

/// `npm start` hands no signal on to the server below it: all of it ends all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_left_of_npm_start() {
    let has_npm = std::process::Command::new("npm")
        .arg("--version")
        .output()
        .is_ok_and(|output| output.status.success());
    if !has_npm {
        println!("skipped: there is no npm");
        return;
    }
    let world = World::new().await;
    let repository = world.repository("shop");
    let mark = format!("marked-{}-{}", std::process::id(), line!());
    repository
        .write("package.json", r#"{"name":"shop","version":"1.0.0","scripts":{"start":"node server.js MARK"}}"#.replace("MARK", &mark).as_str())
        .write(
            "server.js",
            "process.on('SIGTERM', () => {});\n\
             require('http').createServer((q, a) => a.end('from node')).listen(process.env.PORT, '127.0.0.1');\n",
        );
    let mut described = command("npm start");
    if let Some(web) = described.processes.values_mut().next() {
        web.grace_ms = 500;
    }
    repository.version("1", &described);
    world.deploy(&repository).await.succeeded();
    assert!(world.get("shop", "/").await.is_ok());
    assert!(marked(&mark) > 0);
    let stopped = formation::stop(&world.control, &name("shop")).await;
    assert!(world.changed(stopped).await.problem.is_none());
    until("nothing is left", async || {
        (marked(&mark) == 0).then_some(())
    })
    .await;
}

/// How many processes name a word on their command line.
fn marked(word: &str) -> usize {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter(|entry| {
            std::fs::read(entry.path().join("cmdline"))
                .is_ok_and(|line| String::from_utf8_lossy(&line).contains(word))
        })
        .count()
}

/// What gunicorn 25 does with `~/.gunicorn/gunicorn.ctl`: a file of one name in each app's HOME.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_apps_do_not_share_a_home() {
    let world = World::new().await;
    for app in ["shop", "blog"] {
        let repository = world.repository(app);
        repository.version(app, &spec("serve"));
        world.deploy(&repository).await.succeeded();
        let line = format!(
            "mkdir -p ~/.gunicorn && test ! -e ~/.gunicorn/gunicorn.ctl && echo {app} > ~/.gunicorn/gunicorn.ctl"
        );
        assert_eq!(run(&world, app, &line).await.0, 0);
    }
    for app in ["shop", "blog"] {
        let (_, said) = run(&world, app, "cat ~/.gunicorn/gunicorn.ctl").await;
        assert_eq!(said.trim(), app);
    }
}

/// A virtual environment names its own path in every script of it, and works in the release.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_virtual_environment_made_by_a_build_works_in_its_release() {
    let world = World::new().await;
    let repository = world.repository("shop");
    repository.write(
        "build.sh",
        "set -e\n/usr/bin/python3 -m venv --without-pip .venv\n\
         printf '#!%s/.venv/bin/python3\\nimport sys\\nprint(sys.prefix)\\n' \"$PWD\" > .venv/bin/tool\n\
         chmod +x .venv/bin/tool\n",
    );
    repository.version("1", &spec("serve"));
    world.deploy(&repository).await.succeeded();
    let (code, said) = run(&world, "shop", "tool && test \"$(tool)\" = \"$PWD/.venv\"").await;
    assert_eq!(code, 0, "{said}");
}

/// State in the working folder is named before the next release loses it; at a persistent path it stays.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn state_in_the_working_folder_is_named_and_a_persistent_path_stays() {
    let world = World::new().await;
    let repository = world.repository("shop");
    let mut described = AppSpec {
        persist: vec!["app.db".to_owned()],
        ..spec("serve")
    };
    repository.write("app.db", "seed");
    repository.version("1", &described);
    world.deploy(&repository).await.succeeded();
    let (code, _) = run(
        &world,
        "shop",
        "echo row >> app.db && echo '{}' > urls.json && mkdir -p logs && echo x > logs/a.log",
    )
    .await;
    assert_eq!(code, 0);
    strays::once(&world.control).await.unwrap();
    let open = async || {
        let app = name("shop");
        let found = alerts::list(&world.control, alerts::Which::Open, Some(&app), 10).await;
        found
            .unwrap()
            .into_iter()
            .find(|alert| alert.kind == strays::KIND)
    };
    let alert = open().await.unwrap();
    // `first` is what the test app itself notes at its start.
    assert!(
        alert
            .summary
            .ends_with("writes into its tree: first, logs/a.log, urls.json"),
        "{}",
        alert.summary
    );
    // The description is mended: the next release has all of it, and the alert ends.
    described.persist = ["app.db", "first", "urls.json", "logs/"]
        .map(str::to_owned)
        .into();
    repository.version("2", &described);
    world.deploy(&repository).await.succeeded();
    strays::once(&world.control).await.unwrap();
    assert_eq!(open().await, None);
    assert_eq!(run(&world, "shop", "cat app.db").await.1, "seedrow\n");
    run(&world, "shop", "echo kept > urls.json").await;
    repository.version("3", &described);
    world.deploy(&repository).await.succeeded();
    assert_eq!(run(&world, "shop", "cat urls.json").await.1, "kept\n");
}

/// An app with one worker that is busy answers no health check meanwhile; it is neither ended nor taken out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_busy_app_with_one_worker_goes_on_serving() {
    let world = World::new().await;
    let repository = world.repository("shop");
    repository.write(
        "server.py",
        "import http.server, os, time\n\
         class Handler(http.server.BaseHTTPRequestHandler):\n\
        \x20   protocol_version = 'HTTP/1.1'\n\
        \x20   def do_GET(self):\n\
        \x20       if self.path == '/slow': time.sleep(3)\n\
        \x20       body = b'done'\n\
        \x20       self.send_response(200); self.send_header('Content-Length', '4'); self.send_header('Connection', 'close')\n\
        \x20       self.end_headers(); self.wfile.write(body); self.close_connection = True\n\
        \x20   def log_message(self, *a): pass\n\
         # On all addresses, as many do.\n\
         http.server.HTTPServer(('0.0.0.0', int(os.environ['PORT'])), Handler).serve_forever()\n",
    );
    let mut described = command("exec /usr/bin/python3 server.py");
    described.health.timeout_ms = 300;
    described.health.interval_ms = 100;
    repository.version("1", &described);
    world.deploy(&repository).await.succeeded();
    assert_eq!(world.get("shop", "/slow").await.unwrap(), "done");
    let limit = tokio::time::Instant::now() + PATIENCE;
    while world.instances("shop").await[0].healthy != Some(true) {
        assert!(tokio::time::Instant::now() < limit);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let seen = world.instances("shop").await;
    assert!(seen[0].routed && seen[0].restarts == 0, "{seen:?}");
}
