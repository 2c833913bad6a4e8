use super::*;

fn problem(text: &str) -> launchway_model::Problem {
    read(FILE, text).unwrap_err().to_problem()
}

/// Message, line, column and hint, for a snapshot.
fn told(text: &str) -> String {
    let problem = problem(text);
    let place = problem.place.unwrap();
    format!(
        "{}:{}:{}: {} | {} | {} | {}",
        place.file,
        place.line,
        place.column,
        problem.message,
        problem.causes.join("; "),
        problem.hint.unwrap_or_default(),
        place.text.unwrap_or_default(),
    )
}

const FULL: &str = r#"
name = "shop"
branch = "main"
release = { run = "flask db upgrade", timeout = "5m" }
health = { path = "/up", status = "200-299", body = "ok", interval = "10s", timeout = "1s", start = "30s", rise = 2, fall = 4 }
persist = ["app.db", "uploads/"]
domains = ["Shop.example.org", "*.example.org"]
required_env = ["SECRET_KEY"]
timeout = "30m"
skip_stages = ["Clean"]

[process]
worker = "python worker.py"

[process.web]
run = "gunicorn app:app"
instances = 2
grace = "30s"
memory = "256M"
cpu = 0.5
pids = 100
open_files = 1024
folder = "server"

[static]
folder = "dist"
fallback = "index.html"

[env]
A = "x"
N = 5
"#;

#[test]
fn every_key_is_read() {
    let draft = read(FILE, FULL).unwrap();
    let spec = draft.spec();
    let web = &spec.processes[&ProcessType::web()];
    assert_eq!(web.instances, 2);
    assert_eq!(web.grace_ms, 30_000);
    assert_eq!(web.limits.memory_bytes, Some(256 << 20));
    assert_eq!(web.limits.cpu_millis, Some(500));
    assert_eq!(web.folder.as_deref(), Some("server"));
    assert_eq!(spec.processes.len(), 2);
    assert_eq!(spec.release.unwrap().timeout_ms, 300_000);
    assert_eq!(spec.health.path.as_deref(), Some("/up"));
    assert_eq!(
        (spec.health.statuses.0[0].from, spec.health.statuses.0[0].to),
        (200, 299)
    );
    assert_eq!((spec.health.rise, spec.health.fall), (2, 4));
    assert_eq!(spec.persist, ["app.db", "uploads/"]);
    assert_eq!(spec.domains, ["shop.example.org", "*.example.org"]);
    assert_eq!(spec.env["N"], "5");
    assert_eq!(spec.required_env.len(), 1);
    assert_eq!(spec.files.unwrap().fallback.as_deref(), Some("index.html"));
    assert_eq!(draft.timeout_ms, Some(1_800_000));
    assert_eq!(draft.skip_stages.unwrap(), ["Clean"]);
}

#[test]
fn every_mistake_names_place_and_remedy() {
    let wrong = [
        "naem = \"shop\"",
        "name = \"My Shop\"",
        "name = 5",
        "[process.web]\nrun = \"x\"\ninstnaces = 2",
        "[process.web]\nrun = \"x\"\ninstances = \"two\"",
        "[process.web]\nrun = \"x\"\ninstances = -1",
        "[process.web]\nrun = \"x\"\ngrace = \"10 bananas\"",
        "[process.web]\nrun = \"x\"\ngrace = 10",
        "[process.Web]\nrun = \"x\"",
        "[process.worker]\nrun = \"x\"\nhealth = \"/\"",
        "[process.web]\nrun = \" \"",
        "health = \"healthz\"",
        "health = \"http://x/healthz\"",
        "health = { status = 999 }",
        "[network]\nmode = \"public\"",
        "[network]\nallow = [\"shop/web/x\"]",
        "[process.web]\nrun = \"x\"\nport = 70000",
        "domains = [\"http://x.org/\"]",
        "persist = [\"../secrets\"]",
        "[env]\n\"A B\" = \"x\"",
        "[env]\nA = []",
        "release = { timeout = \"1m\" }",
        "name = \"x\nbranch = 2",
        "branch = main",
        "[stage]\nname = \"x\"",
    ];
    let told: Vec<String> = wrong.iter().map(|text| told(text)).collect();
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn changed_text_never_panics_and_every_error_has_a_place() {
    // A small generator of its own keeps the changes the same on every run.
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).unwrap()
    };
    let seeds = [
        FULL.to_owned(),
        stages::tests::FULL.to_owned(),
        routing::tests::FULL.to_owned(),
    ];
    let scraps = [
        "[[stage]]",
        "\"",
        "[",
        "]",
        "{",
        "}",
        "=",
        "\n",
        "ä",
        "\0",
        "'''",
        "1e999",
        "-",
        "0x",
        ".",
        "[process.web]",
        "\u{feff}",
    ];
    for round in 0..800 {
        let mut text: Vec<char> = seeds[round % 2].chars().collect();
        for _ in 0..=random(4) {
            let at = random(text.len());
            match random(4) {
                0 => drop(text.remove(at)),
                1 => drop(text.splice(at..at, scraps[random(scraps.len())].chars())),
                2 => {
                    let end = (at + random(40)).min(text.len());
                    drop(text.drain(at..end));
                }
                _ => {
                    let end = (at + random(60)).min(text.len());
                    let piece: Vec<char> = text[at..end].to_vec();
                    let to = random(text.len());
                    drop(text.splice(to..to, piece));
                }
            }
            if text.is_empty() {
                text.push('x');
            }
        }
        let text: String = text.into_iter().collect();
        if let Err(error) = read(FILE, &text) {
            let place = error.to_problem().place.unwrap();
            assert!(place.line >= 1 && place.column >= 1);
        }
    }
}

#[test]
fn a_process_has_the_network_that_it_or_the_app_names() {
    let spec = read(
        FILE,
        r#"
[network]
allow = ["web", "other/*"]
host = true
[process.web]
run = "x"
network = "host"
[process.api]
run = "x"
port = 3000
allow = ["worker"]
[process]
worker = "x"
"#,
    )
    .unwrap()
    .spec();
    let of = |name: &str| {
        spec.processes[&name.parse::<ProcessType>().unwrap()]
            .network
            .clone()
    };
    assert!(!of("web").private);
    assert!(of("worker").private && of("worker").reaches_host);
    assert_eq!(of("worker").allow, ["web", "other/*"]);
    assert_eq!(
        (of("api").port, of("api").allow),
        (Some(3000), vec!["worker".to_owned()])
    );
    // Without a word it is the host's.
    let spec = read(FILE, "[process]\nweb = \"x\"").unwrap().spec();
    assert!(spec.processes[&ProcessType::web()].network.is_default());
}
