//! Each action: what is done, and what must be true right after it.

use std::time::Duration;

use launchway_e2e::{processes, until, until_some};

use crate::app::version_in;
use crate::schedule::{Action, Broken, Victim};
use crate::world::World;

/// How long the disk stays full, at least.
const FULL_FOR: Duration = Duration::from_secs(2);

/// Carries an action out. Gives why where it cannot be done here.
pub(crate) fn perform(world: &World, action: Action) -> Result<(), &'static str> {
    match action {
        Action::Deploy => deploy(world),
        Action::BrokenDeploy(broken) => broken_deploy(world, broken),
        Action::CrashOnFirstRequest => crash_on_first_request(world),
        Action::Rollback => return rollback(world),
        Action::Scale(instances) => scale(world, instances),
        Action::Restart => {
            world.run(&["restart"]).ok("restart");
        }
        Action::Configure => configure(world),
        Action::Kill(Victim::Runner) => {
            during_a_build(world, processes::kill);
        }
        Action::Kill(victim) => kill(world, victim),
        Action::Halt(Victim::Runner, millis) => {
            during_a_build(world, |runner| halt(runner, millis))
        }
        Action::Halt(victim, millis) => halt(pid_of(world, victim), millis),
        Action::Upgrade => upgrade(world),
        Action::FullDisk => return full_disk(world),
        Action::ClockJump(seconds) => return clock_jump(world, seconds),
        Action::ManyAtOnce => many_at_once(world),
    }
    Ok(())
}

fn deploy(world: &World) {
    let version = world.shop.commit_next();
    world.ledger.allow(version);
    world.run(&["deploy"]).ok("the deploy of a good version");
    world.ledger.allow_only(version);
    assert_eq!(world.serving(), version, "the deployed version serves");
}

fn broken_deploy(world: &World, broken: Broken) {
    let before = world.serving();
    world.shop.commit_broken(broken);
    let ran = world.run(&["deploy"]);
    assert_ne!(ran.code, 0, "{broken:?} was deployed: {ran:?}");
    assert_eq!(world.serving(), before, "{broken:?} changed what serves");
}

fn crash_on_first_request(world: &World) {
    let in_fragile = |arguments: &[&str]| {
        world
            .installation
            .run_in(world.fragile.repository.path(), arguments)
    };
    let good = world.fragile.commit_next();
    in_fragile(&["deploy"]).ok("the deploy before the fragile one");
    world.fragile.commit_fragile();
    // It passes its health check, so its deploy may end well; what it does to requests is seen afterwards.
    in_fragile(&["deploy"]);
    until("the fragile release is rolled back", || {
        let answer = launchway_e2e::http::get(
            world.installation.proxy(),
            &launchway_e2e::installation::host(world.fragile.name),
            "/page",
        );
        answer.is_ok_and(|answer| answer.status == 200 && version_in(&answer.text()) == Some(good))
    });
}

fn rollback(world: &World) -> Result<(), &'static str> {
    let releases = world.json(&["releases", "--json"]);
    let earlier: Vec<u32> = releases
        .as_array()
        .unwrap()
        .iter()
        .filter(|release| release["state"]["state"] == "superseded")
        .filter_map(|release| version_in(release["subject"].as_str()?))
        .collect();
    if earlier.is_empty() {
        return Err("there is no release to go back to yet");
    }
    for version in earlier {
        world.ledger.allow(version);
    }
    world.run(&["rollback"]).ok("the rollback");
    world.ledger.allow_only(world.serving());
    Ok(())
}

fn scale(world: &World, instances: u32) {
    world
        .run(&["scale", &format!("web={instances}")])
        .ok("scale");
    until("the instances are as many as asked", || {
        routed(world) == instances as usize
    });
}

fn configure(world: &World) {
    let colour = format!("COLOUR=c{}", world.ledger.now().as_millis());
    world.run(&["config", "set", &colour]).ok("config set");
    let config = world.json(&["config", "list", "--json"]).to_string();
    let (_, value) = colour.split_once('=').unwrap();
    assert!(config.contains(value), "{config}");
}

/// How many instances of the app are in the route table.
fn routed(world: &World) -> usize {
    let instances = world.json(&["ps", "--json"]);
    instances
        .as_array()
        .unwrap()
        .iter()
        .filter(|instance| instance["routed"] == true && instance["healthy"] == true)
        .count()
}

fn pid_of(world: &World, victim: Victim) -> i32 {
    let home = world.installation.home();
    match victim {
        Victim::Control => world.installation.role("control"),
        Victim::Proxy => world.installation.role("proxy"),
        Victim::Runner => until_some("a build runs", || {
            Some(processes::of_role("runner", &home).first()?.pid)
        }),
        Victim::Shim | Victim::App => until_some("an instance serves", || {
            let instances = world.json(&["ps", "--json"]);
            let instance = instances
                .as_array()?
                .iter()
                .find(|instance| instance["routed"] == true)?
                .clone();
            if victim == Victim::App {
                return i32::try_from(instance["status"]["pid"].as_u64()?).ok();
            }
            let id = instance["id"].as_str()?;
            processes::of_role("shim", &home)
                .into_iter()
                .find(|shim| shim.arguments.iter().any(|word| word.ends_with(id)))
                .map(|shim| shim.pid)
        }),
    }
}

fn kill(world: &World, victim: Victim) {
    let wanted = routed(world);
    let pid = pid_of(world, victim);
    if victim != Victim::Control {
        world.ledger.blow(format!("{victim:?} {pid} killed"));
    }
    processes::kill(pid);
    until("the killed process is gone", || !processes::lives(pid));
    if matches!(victim, Victim::Control | Victim::Proxy) {
        pid_of(world, victim);
    }
    until("as many instances serve as before", || {
        routed(world) == wanted
    });
}

fn halt(pid: i32, millis: u64) {
    processes::halt(pid);
    std::thread::sleep(Duration::from_millis(millis));
    processes::go_on(pid);
}

/// Starts a deploy, does something to its runner, and takes whatever comes of it, as long as what is recorded serves.
fn during_a_build(world: &World, blow: impl FnOnce(i32)) {
    let version = world.shop.commit_next();
    world.ledger.allow(version);
    let deploy = std::thread::scope(|scope| {
        let deploy = scope.spawn(|| world.run(&["deploy"]));
        let home = world.installation.home();
        // A build can be over before anybody saw its runner.
        let runner = until_some("a build runs or is over", || {
            let runner = processes::of_role("runner", &home)
                .first()
                .map(|found| found.pid);
            (runner.is_some() || deploy.is_finished()).then_some(runner)
        });
        if let Some(runner) = runner {
            blow(runner);
        }
        deploy.join().unwrap()
    });
    let serving = world.serving();
    assert_eq!(
        serving == version,
        deploy.code == 0,
        "version {serving} serves after: {deploy:?}"
    );
    world.ledger.allow_only(serving);
}

fn upgrade(world: &World) {
    use std::io::Write as _;
    // Bytes after a program's end change nothing but the file: another binary that does the same.
    let next = world.installation.home().with_file_name("next");
    std::fs::copy(launchway_e2e::launchway(), &next).unwrap();
    let mut file = std::fs::OpenOptions::new()
        .append(true)
        .open(&next)
        .unwrap();
    write!(file, "{:?}", world.ledger.now()).unwrap();
    drop(file);
    world
        .run(&["upgrade", next.to_str().unwrap()])
        .ok("the upgrade");
}

fn full_disk(world: &World) -> Result<(), &'static str> {
    let Some(disk) = &world.disk else {
        return Err("no disk of its own");
    };
    let version = world.shop.commit_next();
    world.ledger.allow(version);
    disk.fill();
    let since = std::time::Instant::now();
    let ran = world.run(&["deploy"]);
    let alerts = || {
        let ran = world.run(&["alerts", "list", "--json"]);
        ran.code == 0 && ran.stdout.contains("\"disk\"")
    };
    until("an alert says that the disk is full", alerts);
    world.await_load();
    if let Some(left) = FULL_FOR.checked_sub(since.elapsed()) {
        std::thread::sleep(left);
    }
    disk.free();
    until("the alert is over", || {
        let ran = world.run(&["alerts", "list", "--json"]);
        ran.code == 0 && !ran.stdout.contains("\"disk\"")
    });
    // The reserve may have been room enough for it.
    let serving = world.serving();
    assert!(
        ran.code == 0 || serving != version,
        "version {serving} serves after: {ran:?}"
    );
    world.ledger.allow_only(serving);
    deploy(world);
    Ok(())
}

fn clock_jump(world: &World, seconds: i64) -> Result<(), &'static str> {
    let Some(clock) = &world.clock else {
        return Err("no libfaketime");
    };
    std::fs::write(clock.path(), format!("{seconds:+}")).unwrap();
    // The library looks at the file once a second.
    std::thread::sleep(Duration::from_millis(1500));
    deploy(world);
    Ok(())
}

fn many_at_once(world: &World) {
    let version = world.shop.commit_next();
    world.ledger.allow(version);
    let deploy = std::thread::scope(|scope| {
        let deploy = scope.spawn(|| world.run(&["deploy"]));
        for victim in [Victim::App, Victim::Proxy, Victim::Control] {
            let pid = pid_of(world, victim);
            if victim != Victim::Control {
                world.ledger.blow(format!("{victim:?} {pid} killed"));
            }
            processes::kill(pid);
        }
        deploy.join().unwrap()
    });
    let serving = world.serving();
    assert_eq!(
        serving == version,
        deploy.code == 0,
        "version {serving} serves after: {deploy:?}"
    );
    world.ledger.allow_only(serving);
}
