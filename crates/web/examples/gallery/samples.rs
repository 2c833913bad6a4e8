//! Sample data for pages: one installation in all the states that a person meets.

// The path is given since the pages' own tests include this file by its path.
#[path = "samples/alerts.rs"]
mod alerts;
#[path = "samples/findings.rs"]
mod findings;

use std::collections::BTreeMap;

use jiff::Timestamp;
use launchway_model::api::{App, AppLogLine, Config, Description, Status, Token, Traffic};
use launchway_model::app::{AppSpec, CommandSpec, ProcessSpec};
use launchway_model::build::{
    Build, BuildRequest, BuildResult, BuildState, Stage, StageId, StageInfo, StageState, TestCase,
    TestCounts, TestOutcome,
};
use launchway_model::deploy::{
    Deploy, DeployPhase, DeployState, PhaseRecord, Release, ReleaseState,
};
use launchway_model::instance::{Exit, Instance, InstanceState, TargetAddress};
use launchway_model::problem::Place;
use launchway_model::runner::LogSource;
use launchway_model::{
    AppName, BuildId, DeployId, InstanceId, Problem, ProcessType, ReleaseNumber,
};
use launchway_web::html::Html;
use launchway_web::pages::Sample;
use launchway_web::pages::log::LogView;

/// The installation at one moment.
pub struct Samples {
    pub now: Timestamp,
}

fn name(text: &str) -> AppName {
    text.parse().expect("a sample's name is valid")
}

/// Forty hex digits that look like a commit.
fn commit(seed: u64) -> String {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..40)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            char::from_digit((state % 16) as u32, 16).unwrap_or('0')
        })
        .collect()
}

fn process(text: &str) -> ProcessType {
    text.parse().expect("a sample's process type is valid")
}

impl Samples {
    pub fn ago(&self, seconds: f64) -> Timestamp {
        let millis = self.now.as_millisecond() - (seconds * 1000.0) as i64;
        Timestamp::from_millisecond(millis).expect("samples lie near the present")
    }

    pub fn status(&self) -> Status {
        Status {
            version: "0.1.0".to_owned(),
            pid: 4242,
            proxy: vec!["127.0.0.1:8080".to_owned()],
            url: "http://127.0.0.1:4321".to_owned(),
            apps: 4,
            active_builds: 1,
        }
    }

    pub fn release(&self, number: u64, subject: &str, state: ReleaseState, age: f64) -> Release {
        let mut spec = AppSpec::default();
        spec.processes
            .insert(process("web"), ProcessSpec::new("gunicorn shop:app"));
        spec.release = Some(CommandSpec {
            command: "flask db upgrade".to_owned(),
            timeout_ms: 600_000,
        });
        spec.required_env.insert(
            "STRIPE_KEY".to_owned(),
            "The key of the payment provider.".to_owned(),
        );
        Release {
            app: name("shop"),
            number: ReleaseNumber(number),
            build: BuildId(30 + number),
            commit: commit(number),
            subject: subject.to_owned(),
            spec,
            config_version: 3,
            created: self.ago(age),
            cause: "deploy".to_owned(),
            state,
        }
    }

    pub fn releases(&self) -> Vec<Release> {
        let mut releases = vec![
            self.release(12, "Cart: keep items over a login", ReleaseState::Serving, 190.0),
            self.release(11, "Checkout in one step", ReleaseState::Superseded, 9_000.0),
            self.release(
                10,
                "Try the new payment client",
                ReleaseState::Refused {
                    problem: self.failure(),
                },
                12_000.0,
            ),
            self.release(9, "Faster search by a trigram index", ReleaseState::Superseded, 90_000.0),
            self.release(8, "First page shows what is new, and everything that other people who bought it also bought", ReleaseState::Superseded, 400_000.0),
        ];
        releases[1].cause = "config set SECRET_KEY".to_owned();
        releases
    }

    pub fn instance(
        &self,
        app: &str,
        kind: &str,
        serial: u64,
        status: InstanceState,
        healthy: Option<bool>,
    ) -> Instance {
        let running = matches!(status, InstanceState::Running { .. });
        let web = kind == "web";
        Instance {
            id: InstanceId::new(name(app), process(kind), ReleaseNumber(12), serial),
            status,
            healthy,
            routed: web && healthy == Some(true),
            address: web
                .then(|| TargetAddress::Tcp(([127, 0, 0, 1], 20_000 + serial as u16).into())),
            restarts: u64::from(!running) * 4,
            memory_bytes: running.then_some((38 << 20) + serial * 700_000),
            cpu_millis: running.then_some(37 + serial as u32 % 9 * 8),
            requests_per_second: (running && web).then_some(21.4),
        }
    }

    pub fn running(&self, age: f64) -> InstanceState {
        InstanceState::Running {
            pid: 5150,
            since: self.ago(age),
        }
    }

    pub fn app(&self) -> App {
        App {
            name: name("shop"),
            created: self.ago(900_000.0),
            branch: "main".to_owned(),
            stopped: false,
            release: self.releases().into_iter().next(),
            formation: BTreeMap::from([(process("web"), 2), (process("worker"), 1)]),
            urls: vec![
                "http://shop.localhost:8080/".to_owned(),
                "https://shop.example.org/".to_owned(),
            ],
            domains: vec![
                "shop.example.org".to_owned(),
                "*.shop.example.org".to_owned(),
            ],
            instances: vec![
                self.instance("shop", "web", 31, self.running(188.0), Some(true)),
                self.instance("shop", "web", 32, self.running(187.0), Some(true)),
                self.instance("shop", "worker", 33, self.running(187.0), None),
            ],
            traffic: Some(Traffic {
                requests_per_second: 42.8,
                error_ratio: 0.0012,
                mean_ms: 18.4,
                in_flight: 3,
            }),
        }
    }

    pub fn apps(&self) -> Vec<App> {
        let shop = self.app();
        let mut api = self.app();
        api.name = name("billing-api");
        api.urls = vec!["http://billing-api.localhost:8080/".to_owned()];
        api.formation = BTreeMap::from([(process("web"), 2)]);
        api.instances = vec![
            self.instance("billing-api", "web", 40, self.running(9_000.0), Some(true)),
            self.instance(
                "billing-api",
                "web",
                41,
                InstanceState::Backoff {
                    exit: Exit::Code(1),
                    until: self.ago(-4.0),
                },
                Some(false),
            ),
        ];
        api.traffic = Some(Traffic {
            requests_per_second: 3.1,
            error_ratio: 0.08,
            mean_ms: 240.0,
            in_flight: 1,
        });
        let mut docs = self.app();
        docs.name = name("docs");
        docs.urls = vec!["http://docs.localhost:8080/".to_owned()];
        docs.formation = BTreeMap::new();
        docs.instances = Vec::new();
        docs.traffic = Some(Traffic::default());
        let mut old = self.app();
        old.name = name("newsletter");
        old.urls = vec!["http://newsletter.localhost:8080/".to_owned()];
        old.stopped = true;
        old.instances = Vec::new();
        old.traffic = None;
        let mut fresh = self.app();
        fresh.name = name("prototype");
        fresh.release = None;
        fresh.formation = BTreeMap::new();
        fresh.urls = Vec::new();
        fresh.domains = Vec::new();
        fresh.instances = Vec::new();
        fresh.traffic = None;
        vec![api, docs, old, fresh, shop]
    }

    pub fn traffic(&self, scale: f64) -> Vec<Sample> {
        (0..120_u32)
            .map(|i| {
                let x = f64::from(i) / 9.0;
                let wave = 1.0 + 0.4 * x.sin() + 0.22 * (x * 3.7).cos() + 0.1 * (x * 11.0).sin();
                Sample {
                    requests_per_second: scale * wave,
                    error_ratio: if (60..66).contains(&i) { 0.04 } else { 0.001 },
                    mean_ms: 18.0 + 4.0 * (x * 1.7).sin(),
                    memory_bytes: (110 << 20) + u64::from(i) * 90_000,
                }
            })
            .collect()
    }

    pub fn failure(&self) -> Problem {
        Problem::failed("no instance of release v10 became healthy within 60 s")
            .cause("GET /health answered 500 Internal Server Error, wanted 200 to 399")
            .cause("instance shop.web.v10.29 exited with code 3 after 1.4 s")
            .hint("Look at the last lines below; `launchway logs -p web` shows all of them.")
            .output(
                [
                    "[2026-11-20 10:41:07 +0000] [812] [INFO] Starting gunicorn 23.0.0",
                    "[2026-11-20 10:41:07 +0000] [812] [INFO] Listening at: http://127.0.0.1:20029 (812)",
                    "\u{1b}[31mTraceback (most recent call last):\u{1b}[0m",
                    "  File \"/app/shop/pay.py\", line 14, in <module>",
                    "    client = stripe.Client(os.environ[\"STRIPE_KEY\"])",
                    "KeyError: 'STRIPE_KEY'",
                    "[2026-11-20 10:41:08 +0000] [812] [ERROR] Worker failed to boot.",
                ]
                .map(str::to_owned)
                .to_vec(),
            )
    }

    fn phase(&self, phase: DeployPhase, age: f64, millis: Option<u64>) -> PhaseRecord {
        PhaseRecord {
            phase,
            since: self.ago(age),
            millis,
            limit_ms: None,
        }
    }

    pub fn deploys(&self) -> Vec<Deploy> {
        let deploy = |id, release, age, state, phases| Deploy {
            id: DeployId(id),
            app: name("shop"),
            release: ReleaseNumber(release),
            created: self.ago(age),
            state,
            phases,
        };
        vec![
            deploy(
                17,
                12,
                190.0,
                DeployState::Succeeded,
                vec![
                    self.phase(DeployPhase::Queued, 190.0, Some(2)),
                    self.phase(DeployPhase::Validate, 190.0, Some(4)),
                    self.phase(DeployPhase::Release, 189.9, Some(812)),
                    self.phase(DeployPhase::Start, 189.1, Some(61)),
                    self.phase(DeployPhase::Ready, 189.0, Some(1_240)),
                    self.phase(DeployPhase::Switch, 187.8, Some(6)),
                    self.phase(DeployPhase::Drain, 187.8, Some(2_015)),
                ],
            ),
            deploy(
                16,
                10,
                12_000.0,
                DeployState::Failed {
                    phase: DeployPhase::Ready,
                    problem: self.failure(),
                },
                vec![
                    self.phase(DeployPhase::Queued, 12_000.0, Some(1)),
                    self.phase(DeployPhase::Validate, 12_000.0, Some(3)),
                    self.phase(DeployPhase::Release, 11_999.9, Some(790)),
                    self.phase(DeployPhase::Start, 11_999.1, Some(58)),
                    self.phase(DeployPhase::Ready, 11_999.0, Some(60_000)),
                ],
            ),
            deploy(
                15,
                11,
                9_000.0,
                DeployState::Succeeded,
                vec![self.phase(DeployPhase::Drain, 8_998.0, Some(900))],
            ),
            deploy(14, 9, 90_000.0, DeployState::Superseded, Vec::new()),
        ]
    }

    pub fn deploy_under_way(&self) -> Deploy {
        Deploy {
            id: DeployId(18),
            app: name("shop"),
            release: ReleaseNumber(12),
            created: self.ago(2.4),
            state: DeployState::Running {
                phase: DeployPhase::Ready,
            },
            phases: vec![
                self.phase(DeployPhase::Queued, 2.4, Some(2)),
                self.phase(DeployPhase::Validate, 2.4, Some(4)),
                self.phase(DeployPhase::Release, 2.3, Some(812)),
                self.phase(DeployPhase::Start, 1.5, Some(61)),
                self.phase(DeployPhase::Ready, 1.4, None),
            ],
        }
    }

    fn stage(&self, id: u32, parent: Option<u32>, name: &str, status: StageState) -> Stage {
        Stage {
            info: StageInfo {
                id: StageId(id),
                parent: parent.map(StageId),
                name: name.to_owned(),
                parallel: false,
            },
            status,
        }
    }

    fn done(&self, from: f64, to: f64, result: BuildResult) -> StageState {
        StageState::Finished {
            result,
            since: self.ago(from),
            at: self.ago(to),
        }
    }

    pub fn build(&self, id: u64, state: BuildState) -> Build {
        Build {
            id: BuildId(id),
            request: BuildRequest {
                parameters: Default::default(),
                app: name("shop"),
                commit: commit(id + 100),
                branch: Some("main".to_owned()),
                subject: "Cart: keep items over a login".to_owned(),
                author: "Ada Lovelace".to_owned(),
                cause: "push".to_owned(),
                deploy: true,
                origin: Default::default(),
            },
            created: self.ago(210.0),
            state,
            stages: vec![
                self.stage(
                    0,
                    None,
                    "Dependencies",
                    self.done(208.0, 204.0, BuildResult::Success),
                ),
                self.stage(
                    1,
                    None,
                    "Checks",
                    self.done(204.0, 192.0, BuildResult::Success),
                ),
                self.stage(
                    2,
                    Some(1),
                    "Unit tests",
                    self.done(204.0, 192.0, BuildResult::Success),
                ),
                self.stage(
                    3,
                    Some(1),
                    "Types",
                    self.done(204.0, 199.0, BuildResult::Success),
                ),
                self.stage(
                    4,
                    None,
                    "Translations",
                    self.done(192.0, 190.6, BuildResult::Success),
                ),
            ],
            agent: None,
            tests: Some(TestCounts {
                passed: 214,
                failed: 0,
                skipped: 3,
            }),
        }
    }

    pub fn green(&self) -> Build {
        self.build(
            42,
            BuildState::Finished {
                result: BuildResult::Success,
                since: self.ago(208.2),
                at: self.ago(190.4),
                problem: None,
            },
        )
    }

    pub fn red(&self) -> Build {
        let mut build = self.build(
            41,
            BuildState::Finished {
                result: BuildResult::Failure,
                since: self.ago(208.2),
                at: self.ago(190.4),
                problem: Some(
                    Problem::failed("stage `Unit tests` failed: `pytest -q` exited with code 1")
                        .cause("2 of 217 tests failed")
                        .hint("Run `pytest -q tests/test_cart.py` where the repository is checked out.")
                        .at(Place {
                            file: "launchway.toml".to_owned(),
                            line: 7,
                            column: 8,
                            text: Some("run = \"pytest -q --junitxml=report.xml\"".to_owned()),
                        }),
                ),
            },
        );
        build.stages[1].status = self.done(204.0, 192.0, BuildResult::Failure);
        build.stages[2].status = self.done(204.0, 192.0, BuildResult::Failure);
        build.stages[4].status = self.done(192.0, 192.0, BuildResult::NotBuilt);
        build.request.subject = "Cart: forget everything <b>at once</b>".to_owned();
        build.tests = Some(TestCounts {
            passed: 212,
            failed: 2,
            skipped: 3,
        });
        build
    }

    pub fn running_build(&self) -> Build {
        let mut build = self.build(
            43,
            BuildState::Running {
                since: self.ago(14.2),
            },
        );
        build.created = self.ago(15.0);
        build.tests = None;
        build.stages[0].status = self.done(14.0, 10.1, BuildResult::Success);
        build.stages[1].status = StageState::Running {
            since: self.ago(10.0),
        };
        build.stages[2].status = StageState::Running {
            since: self.ago(10.0),
        };
        build.stages[3].status = self.done(10.0, 4.0, BuildResult::Success);
        build.stages[4].status = StageState::Waiting;
        build.request.subject = "Search: a page for no results".to_owned();
        build
    }

    pub fn queued_build(&self) -> Build {
        let mut build = self.build(
            44,
            BuildState::Queued {
                reason: "build #43 of this app runs".to_owned(),
            },
        );
        build.created = self.ago(3.0);
        build.stages = Vec::new();
        build.tests = None;
        build
    }

    pub fn builds(&self) -> Vec<Build> {
        let mut other = self.green();
        other.id = BuildId(40);
        other.request.app = name("billing-api");
        other.request.branch = Some("feature/invoices".to_owned());
        other.request.subject = "Invoices as PDF".to_owned();
        other.created = self.ago(7_000.0);
        other.tests = None;
        vec![
            self.queued_build(),
            self.running_build(),
            self.green(),
            self.red(),
            other,
        ]
    }

    pub fn logs(&self, build: &Build) -> Vec<(Html, bool)> {
        build
            .stages
            .iter()
            .map(|stage| {
                let begin = match &stage.status {
                    StageState::Waiting => return (Html::default(), false),
                    StageState::Running { since } | StageState::Finished { since, .. } => {
                        since.as_millisecond()
                    }
                };
                let lines = [
                    (0, 'l', "$ pytest -q --junitxml=report.xml"),
                    (420, 'o', "\u{1b}[1m============================= test session starts ==============================\u{1b}[0m"),
                    (430, 'o', "platform linux -- Python 3.12.4, pytest-8.3.3, pluggy-1.5.0"),
                    (1_300, 'o', "tests/test_cart.py \u{1b}[32m.\u{1b}[0m\u{1b}[32m.\u{1b}[0m\u{1b}[32m.\u{1b}[0m\u{1b}[31mF\u{1b}[0m\u{1b}[31mF\u{1b}[0m\u{1b}[33ms\u{1b}[0m                                   \u{1b}[32m[ 12%]\u{1b}[0m"),
                    (1_900, 'e', "warning: the setting <script>alert(1)</script> is deprecated"),
                    (2_400, 'o', "\u{1b}[31mE       AssertionError: assert 0 == 3\u{1b}[0m"),
                    (11_900, 'o', "\u{1b}[31m\u{1b}[1m2 failed\u{1b}[0m, \u{1b}[32m212 passed\u{1b}[0m, \u{1b}[33m3 skipped\u{1b}[0m in 11.48s"),
                    (11_950, 'l', "exit code 1 after 12.0 s"),
                ];
                let text: String = lines
                    .iter()
                    .map(|(millis, letter, text)| format!("{} {letter} {text}\n", begin + millis))
                    .collect();
                (LogView::since(Some(begin)).render(&text), false)
            })
            .collect()
    }

    pub fn tests(&self) -> Vec<TestCase> {
        let case = |suite: &str, name: &str, outcome, seconds, detail: Option<&str>| TestCase {
            suite: suite.to_owned(),
            name: name.to_owned(),
            outcome,
            seconds,
            detail: detail.map(str::to_owned),
        };
        vec![
            case(
                "tests.test_cart",
                "test_items_survive_a_login",
                TestOutcome::Failed,
                0.31,
                Some(
                    "def test_items_survive_a_login(client):\n        client.post(\"/cart\", data={\"item\": 3})\n        client.post(\"/login\", data=ADA)\n>       assert client.get(\"/cart\").json[\"count\"] == 3\nE       AssertionError: assert 0 == 3\n\ntests/test_cart.py:41: AssertionError",
                ),
            ),
            case(
                "tests.test_cart",
                "test_cart_is_private",
                TestOutcome::Failed,
                0.12,
                Some("AssertionError: <Response 200 OK> is not a redirect"),
            ),
            case(
                "tests.test_cart",
                "test_empty_cart",
                TestOutcome::Passed,
                0.04,
                None,
            ),
            case(
                "tests.test_search",
                "test_trigrams",
                TestOutcome::Passed,
                1.3,
                None,
            ),
            case(
                "tests.test_search",
                "test_on_windows",
                TestOutcome::Skipped,
                0.0,
                None,
            ),
        ]
    }

    pub fn log_lines(&self) -> Vec<AppLogLine> {
        (0..60)
            .map(|i: u64| {
                let serial = 31 + i % 3;
                let kind = if serial == 33 { "worker" } else { "web" };
                AppLogLine {
                    instance: InstanceId::new(
                        name("shop"),
                        process(kind),
                        ReleaseNumber(12),
                        serial,
                    ),
                    millis: self.ago(60.0 - i as f64).as_millisecond(),
                    source: if i.is_multiple_of(17) {
                        LogSource::Launchway
                    } else if i % 11 == 3 {
                        LogSource::Err
                    } else {
                        LogSource::Out
                    },
                    text: match (i % 17, kind) {
                        (0, _) => "healthy after 1.2 s".to_owned(),
                        (_, "worker") => format!(
                            "\u{1b}[36mINFO\u{1b}[0m sent receipt {} to customer {}",
                            9_000 + i,
                            i * 37
                        ),
                        _ => format!(
                            "127.0.0.1 - - \"GET /items/{} HTTP/1.1\" {} {}",
                            i * 13 % 97,
                            if i % 11 == 3 { 500 } else { 200 },
                            800 + i * 31
                        ),
                    },
                }
            })
            .collect()
    }

    pub fn config(&self) -> Config {
        Config {
            version: 3,
            vars: BTreeMap::from([
                ("DATABASE_URL".to_owned(), "postgres://secret".to_owned()),
                ("SECRET_KEY".to_owned(), "top-secret".to_owned()),
            ]),
        }
    }

    pub fn description(&self) -> Description {
        Description {
            toml: "[process.web]\nrun = \"gunicorn shop:app\"\n".to_owned(),
        }
    }

    pub fn tokens(&self) -> Vec<Token> {
        ["ci", "laptop", "<b>odd</b>"]
            .into_iter()
            .zip(1..)
            .map(|(name, id)| Token {
                id,
                name: name.to_owned(),
                created: self.ago(id as f64 * 100_000.0),
            })
            .collect()
    }
}
