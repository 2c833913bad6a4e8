//! What an app and its builds cannot reach of Launchway, of the machine and of their neighbours, and what they can.

use std::path::Path;

use launchway_model::app::AppSpec;
use launchway_supervisor::sandbox;

use crate::world::{World, name, run, spec};

/// Whether this host can confine; only root gives apps users of their own.
fn can_confine() -> bool {
    let can = sandbox::abilities().can_mount();
    if !can {
        println!("skipped: this host allows no mount namespaces");
    }
    can
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Which of these shell conditions do not hold in an app.
async fn false_in(world: &World, app: &str, conditions: &[String]) -> Vec<String> {
    let script: String = conditions
        .iter()
        .enumerate()
        .map(|(number, condition)| {
            format!("if {condition}; then :; else echo false {number}; fi 2>/dev/null\n")
        })
        .collect();
    let (code, said) = run(world, app, &format!("{script}echo end")).await;
    assert_eq!((code, said.lines().last()), (0, Some("end")), "{said}");
    said.lines()
        .filter_map(|line| line.strip_prefix("false "))
        .map(|number| conditions[number.parse::<usize>().unwrap()].clone())
        .collect()
}

async fn two_apps(world: &World) {
    for app in ["shop", "blog"] {
        let repository = world.repository(app);
        repository.version(app, &spec("serve"));
        world.deploy(&repository).await.succeeded();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_sees_its_own_and_nothing_else_of_the_home_and_cannot_write_the_system() {
    if !can_confine() {
        return;
    }
    let world = World::new().await;
    two_apps(&world).await;
    let home = world.control.settings().home.clone();
    let mut conditions: Vec<String> = [
        "[ \"$PWD\" = /app ]",
        "[ -r spec.json ]",
        "[ \"$TMPDIR\" = /tmp ]",
        "touch /tmp/one /var/tmp/two \"$HOME/three\" /dev/shm/four",
        "touch written",
        "! touch /etc/launchway-test",
        "! touch /usr/bin/launchway-test",
        "! touch /launchway-test",
        "! touch /var/launchway-test",
        "! mount -t tmpfs none /mnt",
        // No process of anybody else is there to be signalled.
        "[ \"$(ls -d /proc/[0-9]* | wc -l)\" -lt 10 ]",
        "[ \"$(grep NoNewPrivs /proc/self/status | cut -f2)\" = 1 ]",
        "[ \"$(grep CapEff /proc/self/status | cut -f2)\" = 0000000000000000 ]",
        "[ \"$(grep CapBnd /proc/self/status | cut -f2)\" = 0000000000000000 ] || [ \"$(id -u)\" != 0 ]",
    ]
    .map(str::to_owned)
    .into();
    for hidden in [
        home.database(),
        home.secrets_key(),
        home.client_file(),
        home.control_lock(),
        home.proxy_socket(),
        home.instances(),
        home.app(&name("blog")),
        home.trees(&name("blog")),
        home.repository(&name("shop")),
    ] {
        assert!(
            hidden.exists(),
            "{} is there to be hidden",
            hidden.display()
        );
        conditions.push(format!("[ ! -r {} ]", hidden.display()));
    }
    for own in [
        home.app_home(&name("shop")),
        home.app_persist(&name("shop")),
    ] {
        conditions.push(format!("[ -w {} ]", own.display()));
    }
    if is_root() {
        conditions.extend(
            [
                "[ \"$(id -u)\" -ge 52000 ] && [ \"$(id -u)\" -lt 59000 ]",
                "[ \"$(id -un)\" = shop ]",
                "[ \"$(id -G)\" = \"$(id -u)\" ]",
                "! cat /etc/shadow",
                "! kill -0 1",
            ]
            .map(str::to_owned),
        );
    }
    assert_eq!(false_in(&world, "shop", &conditions).await, [""; 0]);
    assert!(!Path::new("/tmp/one").exists() && !Path::new("/app/written").exists());
    // And both still serve.
    assert_eq!(world.get("shop", "/").await.unwrap(), "shop");
    assert_eq!(world.get("blog", "/").await.unwrap(), "blog");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_app_has_a_user_of_its_own_that_it_keeps() {
    if !can_confine() || !is_root() {
        println!("skipped: only root gives apps users of their own");
        return;
    }
    let mut world = World::new().await;
    two_apps(&world).await;
    let (_, shop) = run(&world, "shop", "id -u").await;
    let (_, blog) = run(&world, "blog", "id -u").await;
    assert_ne!(shop, blog);
    world.restart_control().await;
    assert_eq!(run(&world, "shop", "id -u").await.1, shop);
    // Neither can signal the other's processes, even where it would see them.
    let target = world.instances("blog").await[0].clone();
    let launchway_model::instance::InstanceState::Running { pid, .. } = target.status else {
        panic!("{target:?}")
    };
    use std::os::unix::fs::MetadataExt as _;
    let owner = std::fs::metadata(format!("/proc/{pid}")).unwrap().uid();
    assert_eq!(owner.to_string(), blog.trim());
    let (code, said) = run(&world, "shop", &format!("kill -9 {pid}")).await;
    assert_ne!(code, 0, "{said}");
    assert_eq!(world.get("blog", "/").await.unwrap(), "blog");
}

/// What a build made at `/app` works in its release, and a build sees neither the live data nor the processes that serve.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_build_is_confined_as_its_release_is() {
    if !can_confine() {
        return;
    }
    let world = World::new().await;
    let repository = world.repository("shop");
    let described = AppSpec {
        persist: vec!["data/".to_owned()],
        ..spec("serve")
    };
    repository.write("build.sh", "exit 0");
    repository.version("1", &described);
    world.deploy(&repository).await.succeeded();
    let (code, _) = run(&world, "shop", "echo precious > data/rows").await;
    assert_eq!(code, 0);

    let home = world.control.settings().home.clone();
    let live = home.app_persist(&name("shop")).join("data/rows");
    assert_eq!(std::fs::read_to_string(&live).unwrap(), "precious\n");
    let script = format!(
        "set -e\n[ \"$PWD\" = /app ]\n\
         [ ! -e {live} ]\nmkdir -p data\necho rubbish > data/rows\n\
         if touch /etc/launchway-test; then exit 3; fi\n\
         if cat {key}; then exit 4; fi\n\
         if pkill -f 'roles app'; then exit 5; fi\n\
         if [ -e {neighbour} ]; then exit 6; fi\n\
         touch /tmp/in-build\npwd > made-at\n",
        live = live.display(),
        key = home.secrets_key().display(),
        neighbour = home.instances().display(),
    );
    repository.write("build.sh", &script);
    repository.version("2", &described);
    let outcome = world.deploy(&repository).await;
    outcome.succeeded();
    assert_eq!(world.get("shop", "/").await.unwrap(), "2");
    assert_eq!(
        run(&world, "shop", "cat made-at").await,
        (0, "/app\n".to_owned())
    );
    // The tests' own rows went nowhere.
    assert_eq!(std::fs::read_to_string(&live).unwrap(), "precious\n");
    assert_eq!(
        run(&world, "shop", "cat data/rows").await,
        (0, "precious\n".to_owned())
    );
    assert!(!Path::new("/tmp/in-build").exists());
}

/// Trees that were built in their own folder, before builds had a place of their own, go on being seen there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_tree_stays_where_it_was_built() {
    if !can_confine() {
        return;
    }
    let mut world = World::with(|settings| settings.isolate = false).await;
    let repository = world.repository("shop");
    repository.write("build.sh", "pwd > made-at");
    repository.version("1", &spec("serve"));
    world.deploy(&repository).await.succeeded();
    let home = world.control.settings().home.clone();
    let folder = run(&world, "shop", "cat made-at").await.1;
    assert!(
        folder
            .trim()
            .starts_with(home.trees(&name("shop")).to_str().unwrap())
    );

    world.settings.isolate = true;
    world.restart_control().await;
    let same = "[ \"$(cat made-at)\" = \"$PWD\" ] && touch here".to_owned();
    let hidden = format!("[ ! -e {} ]", home.secrets_key().display());
    assert_eq!(false_in(&world, "shop", &[same, hidden]).await, [""; 0]);
    repository.version("2", &spec("serve"));
    world.deploy(&repository).await.succeeded();
    assert_eq!(
        run(&world, "shop", "cat made-at").await,
        (0, "/app\n".to_owned())
    );
    assert_eq!(world.get("shop", "/").await.unwrap(), "2");
}
