use launchway_model::app::{AppSpec, Missed, Overlap, Strategy};

use super::super::launchway_toml::{FILE, read};
use super::*;

/// Everything that routes, deploys and runs by the clock.
pub(in super::super) const FULL: &str = r#"
once = "python seed.py"
release = "python migrate.py"

[process.web]
run = "serve"
health = { path = "/up", method = "head", status = ["200-299", 401], body_matches = "^ok", headers = { "X-Probe" = "1" }, host = "shop.org" }

[process.backend]
run = "serve"
http = true
health = { command = "./check", timeout = "1s" }

[process.nightly]
run = "python nightly.py"
schedule = "H 3 * * *"
time_zone = "UTC"
overlap = "replace"
missed = "run-once"
timeout = "1h"

[env]
BACKEND_URL = "${process.backend.url}"

[http]
https_only = true
hsts = "180d"
www = "remove"
allow = ["10.0.0.0/8", "::1"]
deny = "10.1.2.3"
users = { ada = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08" }
request_headers = { "X-Env" = "prod", Cookie = false }
response_headers = { "X-Frame-Options" = "DENY", Server = false }
max_body = "10MiB"
rate = 20
burst = 40
connections = 8
sticky = true
timeout = "90s"
compress = false

[[route]]
path = "/api/"
process = "backend"
strip_prefix = true
rate = 5

[[route]]
host = ["Docs.shop.org"]
static = "docs"
fallback = "index.html"

[static]
folder = "public"
path = "/assets"

[deploy]
strategy = "canary"
steps = [5, "25%", 50]
interval = "2m"
header = "X-Canary: yes"
promote = "manual"

[deploy.verify]
run = "./smoke"
timeout = "30s"
hold = "10s"
watch = "5m"
max_errors = "5%"
max_slower = 2.5
min_requests = 50

[[cron]]
name = "report"
schedule = "@weekly"
run = "python report.py"

[[scale]]
schedule = "0 8 * * 1-5"
instances = 4
"#;

fn spec(text: &str) -> AppSpec {
    read(FILE, text).unwrap().spec()
}

#[test]
fn every_key_is_read() {
    let draft = read(FILE, FULL).unwrap();
    draft.check_expected().unwrap();
    let spec = draft.spec();
    let rules = &spec.rules;
    assert!(rules.https_only && spec.www == Some(Www::Remove));
    assert_eq!(rules.hsts_seconds, Some(180 * 86_400));
    assert_eq!(rules.allow, ["10.0.0.0/8", "::1"]);
    assert_eq!(rules.deny, ["10.1.2.3"]);
    assert_eq!(rules.users[0].name, "ada");
    assert_eq!(rules.request_fields.len(), 2);
    assert!(
        rules
            .answer_fields
            .iter()
            .any(|field| field.value.is_none())
    );
    assert_eq!(rules.body_bytes, Some(10 << 20));
    assert_eq!(
        (rules.rate.unwrap().per_second, rules.rate.unwrap().burst),
        (20, 40)
    );
    assert_eq!(rules.in_flight, Some(8));
    assert_eq!(rules.sticky_cookie.as_deref(), Some("launchway_instance"));
    assert_eq!(rules.answer_timeout_ms, Some(90_000));
    assert!(rules.uncompressed);
    rules.check().unwrap();

    let [api, docs, assets] = spec.routes.as_slice() else {
        panic!("{:?}", spec.routes)
    };
    assert!(api.path == "/api" && api.strip_prefix);
    let own = api.rules.as_ref().unwrap();
    assert_eq!(own.rate.unwrap().per_second, 5);
    assert!(own.https_only, "what a route leaves open is the app's");
    assert_eq!(docs.hosts, ["docs.shop.org"]);
    assert!(docs.path == "/" && !docs.strip_prefix && docs.rules.is_none());
    assert!(assets.path == "/assets" && assets.strip_prefix && spec.files.is_none());

    assert_eq!(spec.health.method, "HEAD");
    assert!(spec.health.statuses.contains(401) && !spec.health.statuses.contains(302));
    assert_eq!(spec.health.headers["X-Probe"], "1");
    let backend = &spec.processes[&"backend".parse().unwrap()];
    assert!(backend.http && backend.health.as_ref().unwrap().command.is_some());

    assert_eq!(spec.once.unwrap().command, "python seed.py");
    let Strategy::Canary(canary) = &spec.rollout.strategy else {
        panic!()
    };
    assert_eq!(canary.steps, [5, 25, 50]);
    assert_eq!(
        canary.header.as_ref().unwrap().value.as_deref(),
        Some("yes")
    );
    assert!(!canary.promote && canary.interval_ms == 120_000);
    let verify = &spec.rollout.verify;
    assert_eq!(
        (verify.max_errors, verify.max_slower, verify.min_requests),
        (5, 2500, 50)
    );
    assert_eq!((verify.hold_ms, verify.watch_ms), (10_000, Some(300_000)));

    let names: Vec<&str> = spec.cron.iter().map(|job| job.name.as_str()).collect();
    assert_eq!(names, ["nightly", "report"]);
    assert_eq!(spec.cron[0].overlap, Overlap::Replace);
    assert_eq!(spec.cron[0].missed, Missed::RunOnce);
    assert!(!spec.processes.keys().any(|name| name.as_str() == "nightly"));
    assert_eq!(spec.scaling[0].instances, 4);
}

#[test]
fn a_process_whose_address_is_asked_for_takes_requests() {
    let spec = spec(
        "[process]\napi = \"serve\"\nworker = \"work\"\n[env]\nAPI = \"${process.api.url}/v1\"",
    );
    assert!(spec.takes_requests(&"api".parse().unwrap()));
    assert!(!spec.takes_requests(&"worker".parse().unwrap()));
}

#[test]
fn what_was_stored_before_is_read_still() {
    let old =
        r#"{"processes":{"web":{"command":"x"}},"health":{"statuses":{"from":200,"to":204}}}"#;
    let spec: AppSpec = serde_json::from_str(old).unwrap();
    assert!(spec.health.statuses.contains(204) && !spec.health.statuses.contains(205));
    assert!(spec.routes.is_empty() && spec.rollout.is_default());
    let written = serde_json::to_value(&spec).unwrap();
    assert_eq!(written["health"]["statuses"]["to"], 204);
}

#[test]
fn every_mistake_names_place_and_remedy() {
    let wrong = [
        "[http]\nhttps = true",
        "[http]\nallow = [\"10.0.0.0/40\"]",
        "[http]\nwww = \"yes\"",
        "[http]\nusers = [\"ada:secret\"]",
        "[http]\nresponse_headers = { Connection = \"close\" }",
        "[http]\nrequest_headers = { A = true }",
        "[http]\nrate = \"5/s\"",
        "[http]\nburst = 5",
        "[[route]]\npath = \"/api\"",
        "[[route]]\npath = \"api\"\nprocess = \"web\"",
        "[[route]]\npath = \"/api/*\"\nprocess = \"web\"",
        "[[route]]\npath = \"/~x\"\nprocess = \"web\"",
        "[[route]]\nprocess = \"web\"\nstatic = \"x\"",
        "[[route]]\nproces = \"web\"",
        "[[route]]\nprocess = \"web\"\n[[route]]\npath = \"/\"\nprocess = \"web\"",
        "[route]\nprocess = \"web\"",
        "[env]\nA = \"${process.web.port}\"",
        "deploy = \"bluegreen\"",
        "[deploy]\nstrategy = \"rolling\"\nsteps = [5]",
        "[deploy]\nstrategy = \"rolling\"\nmax_extra = 0",
        "[deploy]\nstrategy = \"canary\"\nsteps = [50, 5]",
        "[deploy]\nstrategy = \"canary\"\nheader = \"a b\"",
        "[deploy.verify]\nmax_slower = 0.5",
        "[deploy.verify]\nmax_errors = \"lots\"",
        "[deploy.verify]\ntimeout = \"5s\"",
        "[[cron]]\nname = \"x\"\nrun = \"y\"",
        "[[cron]]\nname = \"x\"\nrun = \"y\"\nschedule = \"61 * * * *\"",
        "[[cron]]\nname = \"x\"\nrun = \"y\"\nschedule = \"@daily\"\noverlap = \"forbit\"",
        "[[cron]]\nname = \"x\"\nrun = \"y\"\nschedule = \"@daily\"\ntime_zone = \"Mars\"",
        "[process.web]\nrun = \"x\"\noverlap = \"allow\"",
        "[[scale]]\nschedule = \"@daily\"",
        "health = { path = \"/\", command = \"x\" }",
        "health = { path = \"/\", body_matches = \"(\" }",
        "health = { method = \"BREW\" }",
        "health = { status = \"200-100\" }",
    ];
    let told: Vec<String> = wrong
        .iter()
        .map(|text| {
            let problem = read(FILE, text).unwrap_err().to_problem();
            let place = problem.place.unwrap();
            format!(
                "{}:{}: {} | {} | {}",
                place.line,
                place.column,
                problem.message,
                problem.causes.join("; "),
                problem.hint.unwrap_or_default(),
            )
        })
        .collect();
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn a_process_that_no_file_describes_is_named_with_the_nearest_one() {
    let draft = read(
        FILE,
        "[process]\nbackend = \"x\"\n[[route]]\npath = \"/api\"\nprocess = \"bakend\"",
    )
    .unwrap();
    let problem = draft.check_expected().unwrap_err().to_problem();
    assert_eq!(problem.message, "there is no process type `bakend`");
    assert_eq!(problem.hint.as_deref(), Some("Did you mean `backend`?"));
    assert_eq!(problem.place.unwrap().line, 5);
}
