//! Whole builds: order, results, conditions, retries, tests, artifacts.

use std::fs;

use launchway_model::ProblemKind;
use launchway_model::build::{BuildResult, TestCase};
use launchway_model::runner::RunnerEventKind;

use crate::site::Site;

fn named<'a>(results: &'a [(&'a str, BuildResult)]) -> Vec<(String, BuildResult)> {
    results
        .iter()
        .map(|(name, result)| ((*name).to_owned(), *result))
        .collect()
}

#[test]
fn a_build_checks_out_runs_and_tells() {
    let mut site = Site::new(&[
        ("Procfile", "web: true\n"),
        ("a/b.txt", "content"),
        (
            "launchway.toml",
            "[env]\nFROM_SPEC = \"spec\"\nBOTH = \"spec\"\n[[stage]]\nname = \"Env\"\nenv = { OWN = \"$BOTH-own\" }\nrun = '''\ncat a/b.txt; echo\necho \"$FROM_SPEC $BOTH $OWN $CI $GIT_BRANCH $BUILD_NUMBER $JOB_NAME $STAGE_NAME\"\necho \"$HOME|$TMPDIR|$GIT_COMMIT|$PATH\"\necho err >&2\ntest -z \"$SSH_AUTH_SOCK\"\n'''\n",
        ),
    ]);
    site.env.insert("BOTH".to_owned(), "config".to_owned());
    let built = site.build().succeeded();
    let log = built.log(0);
    assert!(log[0].starts_with("Checked out "), "{log:?}");
    assert!(log.contains(&"content".to_owned()), "{log:?}");
    assert!(
        log.contains(&"spec config config-own true main 1 shop Env".to_owned()),
        "{log:?}"
    );
    let paths = log
        .iter()
        .find(|line| line.contains('|') && !line.starts_with('$'))
        .unwrap();
    assert!(paths.starts_with(&format!(
        "{}|{}/tmp|",
        built.job.home.display(),
        built.job.folder.display()
    )));
    assert!(paths.contains(&format!("{}/.venv/bin:", built.job.tree.display())));
    assert_eq!(log.last().unwrap(), "err");
    assert!(!built.tree(".git").exists());
    assert!(!built.job.folder.join("tmp").exists());
    assert!(matches!(
        built.events[0].kind,
        RunnerEventKind::Started { .. }
    ));
    assert!(matches!(
        built.events[1].kind,
        RunnerEventKind::Planned { .. }
    ));
}

#[test]
fn a_failure_ends_the_build_and_says_why() {
    let mut site = Site::toml(
        "[[stage]]\nname = \"A\"\nrun = \"echo one; echo two; exit 3\"\nafter = { always = \"echo always\", failure = \"echo failure\", success = \"echo success\" }\n\
         [[stage]]\nname = \"B\"\nrun = \"echo never\"\n",
    );
    let built = site.build();
    assert_eq!(
        built.results(),
        named(&[("A", BuildResult::Failure), ("B", BuildResult::NotBuilt)])
    );
    let problem = built.problem();
    assert_eq!(problem.kind, ProblemKind::Failed);
    assert_eq!(
        problem.message,
        "stage `A`: `echo one; echo two; exit 3` exited with 3"
    );
    assert_eq!(problem.output, ["one", "two"]);
    let log = built.log(0);
    assert!(log.contains(&"always".to_owned()) && log.contains(&"failure".to_owned()));
    assert!(!log.contains(&"success".to_owned()));
}

#[test]
fn a_missing_command_is_named() {
    let built = Site::toml("[[stage]]\nname = \"A\"\nrun = \"python9.9 -m pytest\"\n").build();
    let problem = built.problem();
    assert!(
        problem.causes[0].starts_with("python9.9: not found"),
        "{problem:?}"
    );
    assert!(problem.hint.is_some());
}

#[test]
fn a_description_that_is_wrong_is_the_builds_problem_with_its_place() {
    let built = Site::toml("[[stage]]\nname = \"A\"\nrnu = \"x\"\n").build();
    assert_eq!(built.result(), BuildResult::Failure);
    let problem = built.problem();
    let place = problem.place.unwrap();
    assert_eq!(
        (place.file.as_str(), place.line, place.column),
        ("launchway.toml", 4, 1)
    );
    assert_eq!(problem.hint.unwrap(), "Did you mean `run`?");
}

#[test]
fn a_commit_that_is_not_there_and_a_repository_that_is_not_there() {
    let mut site = Site::toml("");
    let mut job = site.job();
    job.commit = "0123456789012345678901234567890123456789".to_owned();
    let problem = site.start_job(job).finish().problem();
    assert_eq!(problem.kind, ProblemKind::NotFound);
    assert!(
        problem
            .message
            .contains("012345678901 is not in the repository"),
        "{problem:?}"
    );
    let mut job = site.job();
    job.commit = "--help".to_owned();
    assert_eq!(
        site.start_job(job).finish().problem().kind,
        ProblemKind::Invalid
    );
    let mut job = site.job();
    job.repository = site.path("nowhere.git");
    assert!(
        site.start_job(job)
            .finish()
            .problem()
            .message
            .contains("nowhere.git")
    );
}

#[test]
fn stages_side_by_side_run_at_the_same_time() {
    // Each waits for a file that the other makes: one after the other they would never end.
    let mut site = Site::toml(
        "[[stage]]\nname = \"Both\"\nparallel = true\n\
         [[stage.stage]]\nname = \"A\"\nrun = \"touch a; while ! test -e b; do sleep 0.01; done\"\n\
         [[stage.stage]]\nname = \"B\"\nrun = \"touch b; while ! test -e a; do sleep 0.01; done\"\n\
         [[stage]]\nname = \"Matrix\"\nrun = \"echo $X$Y\"\nmatrix = { X = [\"1\", \"2\"], Y = [\"a\"] }\n",
    );
    let built = site.build().succeeded();
    let names: Vec<String> = built.stages().into_iter().map(|stage| stage.name).collect();
    assert_eq!(
        names,
        ["Both", "A", "B", "Matrix", "Matrix (1, a)", "Matrix (2, a)"]
    );
    assert!(built.log(5).contains(&"2a".to_owned()));
}

#[test]
fn one_place_runs_one_stage_at_a_time() {
    let mut site = Site::toml(
        "[[stage]]\nname = \"Many\"\nrun = \"mkdir lock && sleep 0.05 && rmdir lock\"\nmatrix = { X = [\"1\", \"2\", \"3\", \"4\"] }\n",
    );
    site.parallel = 1;
    site.build().succeeded();
}

#[test]
fn fail_fast_stops_the_neighbours() {
    let mut site = Site::toml(
        "[[stage]]\nname = \"Both\"\nparallel = true\nfail_fast = true\n\
         [[stage.stage]]\nname = \"A\"\nrun = \"while ! test -e b; do sleep 0.01; done; exit 1\"\n\
         [[stage.stage]]\nname = \"B\"\nrun = \"touch b; sleep 1000\"\n",
    );
    let built = site.build();
    assert_eq!(
        built.results(),
        named(&[
            ("Both", BuildResult::Failure),
            ("A", BuildResult::Failure),
            ("B", BuildResult::Aborted)
        ])
    );
    assert!(built.problem().message.contains("stage `A`"));
}

#[test]
fn conditions_are_asked() {
    let mut site = Site::new(&[("Procfile", "web: x\n"), ("docs/a.md", "")]);
    site.commit(&[(
        "launchway.toml",
        "[[stage]]\nname = \"main\"\nrun = \"true\"\nwhen = { branch = \"m*\" }\n\
         [[stage]]\nname = \"other\"\nrun = \"false\"\nwhen = { branch = \"release/*\" }\n\
         [[stage]]\nname = \"docs\"\nrun = \"false\"\nwhen = { changed = \"docs/**\" }\n\
         [[stage]]\nname = \"toml\"\nrun = \"true\"\nwhen = { changed = \"*.toml\", exists = \"docs/a.md\", env = { CI = \"true\" } }\n\
         [[stage]]\nname = \"not\"\nrun = \"false\"\nwhen = { not = { command = \"test -e Procfile\" } }\n\
         [[stage]]\nname = \"any\"\nrun = \"true\"\nwhen = { any = [{ tag = true }, { command = \"true\" }] }\n",
    )]);
    let (yes, no) = (BuildResult::Success, BuildResult::NotBuilt);
    assert_eq!(
        site.build().succeeded().results(),
        named(&[
            ("main", yes),
            ("other", no),
            ("docs", no),
            ("toml", yes),
            ("not", no),
            ("any", yes)
        ])
    );
}

#[test]
fn a_stage_is_tried_again() {
    let mut site = Site::toml(
        "[[stage]]\nname = \"Flaky\"\nretry = 2\nrun = \"echo x >> tries; test $(wc -l < tries) -ge 3\"\n",
    );
    let built = site.build().succeeded();
    assert_eq!(
        fs::read_to_string(built.tree("tries"))
            .unwrap()
            .lines()
            .count(),
        3
    );
    let built =
        Site::toml("[[stage]]\nname = \"A\"\nrun = \"false\"\nallow_failure = true\n").build();
    assert_eq!(built.result(), BuildResult::Success);
    assert_eq!(built.results(), named(&[("A", BuildResult::Unstable)]));
}

const REPORT: &str = "<testsuite><testcase classname='a' name='one'/><testcase classname='a' name='two'><failure message='no hunter2hunter2'/></testcase></testsuite>";

#[test]
fn reports_are_counted_and_failed_tests_make_it_unstable() {
    let mut site = Site::new(&[
        ("Procfile", "web: x\n"),
        ("source.xml", REPORT),
        (
            "launchway.toml",
            "[[stage]]\nname = \"Test\"\nrun = \"cp source.xml report.xml; echo z > log.txt\"\ntests = \"report.xml\"\nartifacts = [\"*.txt\"]\n[[stage]]\nname = \"Next\"\nrun = \"true\"\n",
        ),
    ]);
    site.env
        .insert("MY_SECRET".to_owned(), "hunter2hunter2".to_owned());
    let built = site.build();
    assert_eq!(
        built.results(),
        named(&[
            ("Test", BuildResult::Unstable),
            ("Next", BuildResult::Success)
        ])
    );
    assert_eq!(built.problem().message, "1 test failed");
    assert_eq!(built.problem().output, ["a › two"]);
    let cases: Vec<TestCase> =
        serde_json::from_slice(&fs::read(built.job.folder.join("tests.json")).unwrap()).unwrap();
    assert_eq!(cases.len(), 2);
    assert_eq!(cases[1].detail.as_deref(), Some("no ****"));
    let artifact = built.events.iter().find_map(|event| match &event.kind {
        RunnerEventKind::Artifact { path, size, sha256 } => {
            Some((path.clone(), *size, sha256.clone()))
        }
        _ => None,
    });
    // The hash is coreutils' sha256sum of "z" and a newline.
    let hash = "ae3d4b21c45da5ccb5abcb9ed3a1e24c5a70b8c9ec1ad2de34f9ab3b4cf28bc1";
    let (path, size, sha256) = artifact.unwrap();
    assert_eq!(
        (path.as_str(), size, sha256.len()),
        ("log.txt", 2, hash.len())
    );
    assert_eq!(
        fs::read_to_string(built.job.folder.join("artifacts/log.txt")).unwrap(),
        "z\n"
    );
}

#[test]
fn reports_are_found_where_they_usually_are_unless_they_are_old() {
    let mut site = Site::new(&[
        ("Procfile", "web: x\n"),
        ("junit-old.xml", REPORT),
        (
            "launchway.toml",
            "[[stage]]\nname = \"Test\"\nrun = \"sleep 0.02; mkdir out; cp junit-old.xml out/junit.xml; echo '<coverage/>' > report.xml\"\n",
        ),
    ]);
    let built = site.build();
    assert_eq!(built.result(), BuildResult::Unstable);
    let counts = built.events.iter().find_map(|event| match &event.kind {
        RunnerEventKind::Tests { counts } => Some(*counts),
        _ => None,
    });
    assert_eq!(counts.unwrap().total(), 2);
}

#[test]
fn a_stage_that_promised_a_report_must_leave_one() {
    let built = Site::toml("[[stage]]\nname = \"T\"\nrun = \"true\"\ntests = \"r.xml\"\n").build();
    assert_eq!(built.result(), BuildResult::Failure);
    assert!(built.problem().message.contains("left no test report"));
    let built =
        Site::toml("[[stage]]\nname = \"T\"\nrun = \"exit 4\"\ntests = \"r.xml\"\n").build();
    assert!(built.problem().message.contains("exited with 4"));
}

#[test]
fn secrets_are_hidden_everywhere() {
    let mut site = Site::toml(
        "[[stage]]\nname = \"A\"\nrun = \"\"\"\necho got $API_TOKEN\nprintf %s $API_TOKEN | base64\nprintf 'x%.0s' 1 2; printf '%s' \\\"$(echo $API_TOKEN | cut -c1-5)\\\"; sleep 0.05; echo $API_TOKEN | cut -c6-\necho plain $PLAIN\nfalse $API_TOKEN\n\"\"\"\n",
    );
    let secret = "s3cr3t-T0ken/with+stuff";
    site.env.insert("API_TOKEN".to_owned(), secret.to_owned());
    site.env.insert("PLAIN".to_owned(), "production".to_owned());
    let built = site.build();
    assert_eq!(built.result(), BuildResult::Failure);
    assert!(built.log(0).contains(&"plain production".to_owned()));
    for file in ["events.jsonl", "log/0.log"] {
        let text = fs::read_to_string(built.job.folder.join(file)).unwrap();
        assert!(!text.contains(secret), "{file}: {text}");
        assert!(!text.contains("czNjcjN0LVQwa2"), "{file}: {text}");
    }
    assert!(
        fs::read_to_string(built.job.folder.join("log/0.log"))
            .unwrap()
            .contains("xx****")
    );
}

#[test]
fn the_outside_description_wins_and_persistent_files_are_noted() {
    let mut site = Site::new(&[
        ("Procfile", "web: x\n"),
        ("app.db", "seed"),
        (
            "launchway.toml",
            "[[stage]]\nname = \"Repo\"\nrun = \"false\"\n",
        ),
    ]);
    site.description = Some(
        "persist = [\"app.db\"]\n[[stage]]\nname = \"Outside\"\nrun = \"echo changed > app.db\"\n"
            .to_owned(),
    );
    let built = site.build().succeeded();
    assert_eq!(built.results()[0].0, "Outside");
    assert!(
        built
            .log(0)
            .iter()
            .any(|line| line.starts_with("app.db is kept across releases"))
    );
    assert!(!site.path("persist").exists());
    // What the build wrote is gone: it must not become the first content of the live file.
    assert_eq!(fs::read_to_string(built.tree("app.db")).unwrap(), "seed");
}

#[test]
fn a_second_runner_of_the_same_build_is_refused_and_a_bad_job_is_told() {
    let mut site = Site::toml("");
    let built = site.build().succeeded();
    let events = fs::read(built.job.folder.join("events.jsonl")).unwrap();
    let mut again = site.start_job(built.job.clone());
    again.child.wait().unwrap();
    assert_eq!(
        fs::read(built.job.folder.join("events.jsonl")).unwrap(),
        events
    );

    let mut job = site.job();
    job.protocol = 99;
    let built = site.start_job(job).finish();
    assert_eq!(built.problem().kind, ProblemKind::Internal);
    assert!(built.problem().message.contains("99"));
}

#[test]
fn commands_can_ask_git_and_the_release_has_no_repository() {
    let mut site = Site::toml("");
    crate::site::git(&site.path("work"), &["tag", "v1.2"]);
    site.commit(&[(
        "launchway.toml",
        "process.web = \"true\"\n[[stage]]\nname = \"A\"\nrun = \"\"\"\ngit rev-parse HEAD\ngit describe --tags | cut -d- -f1\ngit log --oneline | wc -l | tr -d ' '\ngit status --porcelain | wc -l | tr -d ' '\n\"\"\"\n",
    )]);
    let built = site.build().succeeded();
    let log = built.log(0);
    for line in [built.job.commit.as_str(), "v1.2", "2", "0"] {
        assert!(log.iter().any(|found| found == line), "{line} in {log:?}");
    }
    assert!(!built.tree(".git").exists());
}

#[test]
fn what_follows_knows_the_last_build() {
    let toml = |run: &str| {
        format!(
            "process.web = \"true\"\n[[stage]]\nname = \"A\"\nrun = \"{run}\"\nafter = {{ fixed = \"echo was fixed\", regression = \"echo got worse\", changed = \"echo has changed\" }}\n"
        )
    };
    let mut site = Site::new(&[("launchway.toml", &toml("true"))]);
    let said = |site: &mut Site| -> Vec<String> {
        let log = site.build().log(0);
        log.into_iter()
            .filter(|line| ["was fixed", "got worse", "has changed"].contains(&line.as_str()))
            .collect()
    };
    assert_eq!(said(&mut site), ["has changed"]);
    assert!(said(&mut site).is_empty());
    site.commit(&[("launchway.toml", &toml("false"))]);
    assert_eq!(said(&mut site), ["has changed", "got worse"]);
    site.commit(&[("launchway.toml", &toml("true"))]);
    assert_eq!(said(&mut site), ["has changed", "was fixed"]);
}

#[test]
fn the_apps_own_units_and_aliases_stand_in() {
    let mut site = Site::new(&[
        ("Procfile", "web: x\n"),
        (
            "Jenkinsfile",
            "pipeline { agent any\n stages { stage('Deploy') { steps {\n sh 'sudo systemctl restart gunicorn.service && sudo systemctl daemon-reload'\n sh 'systemctl is-active gunicorn'\n sh 'python9.9 -c \"$X\"'\n sh 'journalctl -u gunicorn -n 5'\n script { if (sh(script: 'systemctl --no-pager status launchway-no-such-unit', returnStatus: true) == 0) { error 'found it' } }\n } } } }",
        ),
    ]);
    assert_eq!(site.build().result(), BuildResult::Failure);
    site.description =
        Some("units = [\"gunicorn\"]\naliases = { \"python9.9\" = \"echo\" }\n".to_owned());
    let (built, _) = crate::asking::answering(site.start(), |_| {
        Some(launchway_model::request::Answer::done(Vec::new()).value("release", 1))
    });
    let built = built.succeeded();
    let log = built.log(0);
    assert!(
        log.iter()
            .any(|line| line.contains("gunicorn is this app: this build is deployed")),
        "{log:?}"
    );
    assert!(log.contains(&"active".to_owned()), "{log:?}");
    assert!(log.contains(&"-c ".to_owned()), "{log:?}");
}

#[test]
fn a_working_copy_is_built_as_it_stands() {
    let mut site =
        Site::toml("[[stage]]\nname = \"A\"\nrun = \"cat new; git status --porcelain\"\n");
    let work = site.path("work");
    fs::write(work.join("new"), "not committed\n").unwrap();
    fs::create_dir(work.join("sub")).unwrap();
    let before = crate::site::git(&work, &["status", "--porcelain"]);
    let job = launchway_pipeline::local::job(
        &work.join("sub"),
        &site.path("scratch"),
        &site.path("cache"),
        None,
    )
    .unwrap();
    assert_eq!(job.app.as_str(), "work");
    let built = site.start_job(job).finish().succeeded();
    assert_eq!(built.log(0).last().unwrap(), "not committed");
    assert_eq!(crate::site::git(&work, &["status", "--porcelain"]), before);

    let nowhere = launchway_pipeline::local::job(
        site.root.path(),
        &site.path("scratch2"),
        &site.path("cache"),
        None,
    );
    assert!(nowhere.unwrap_err().hint.unwrap().contains("git init"));
}

#[test]
fn a_service_runs_beside_its_stage_and_ends_with_it() {
    let server = "import http.server, os; s = http.server.HTTPServer(('127.0.0.1', int(os.environ['PORT'])), http.server.SimpleHTTPRequestHandler); open('pid', 'w').write(str(os.getpid())); s.serve_forever()";
    let mut site = Site::toml(&format!(
        "[[stage]]\nname = \"A\"\nrun = \"curl -sf http://$FILES_HOST:$FILES_PORT/launchway.toml >/dev/null && echo served && echo $ADDRESS\"\n[stage.services.files]\nrun = \"\"\"exec python3 -c \"{server}\" 2>/dev/null\"\"\"\nenv = {{ ADDRESS = \"at $PORT\" }}\n",
    ));
    let built = site.build().succeeded();
    let log = built.log(0).join("\n");
    assert!(
        log.contains("\nserved\nat ") && log.contains("files is ready"),
        "{log}"
    );
    let pid = fs::read_to_string(built.tree("pid")).unwrap();
    assert!(!crate::site::lives(&pid), "the service outlived its stage");

    let mut broken = Site::toml(
        "[[stage]]\nname = \"A\"\nrun = \"echo never\"\nservices.bad = \"echo no good; exit 3\"\n",
    );
    let built = broken.build();
    let log = built.log(0).join("\n");
    assert!(
        log.contains("no good") && log.contains("it exited with 3") && !log.contains("\nnever"),
        "{log}"
    );
    assert!(
        built
            .problem()
            .message
            .contains("`bad` ended before it was ready"),
        "{:?}",
        built.problem()
    );
}

#[test]
fn a_stage_of_launchway_toml_asks_too() {
    let mut site =
        Site::toml("[[stage]]\nname = \"A\"\ninput = \"Really?\"\nrun = \"echo went on\"\n");
    let (built, asked) = crate::asking::answering(site.start(), |_| {
        Some(launchway_model::request::Answer::done(Vec::new()))
    });
    assert_eq!(asked.len(), 1);
    assert!(built.succeeded().log(0).contains(&"went on".to_owned()));
}
