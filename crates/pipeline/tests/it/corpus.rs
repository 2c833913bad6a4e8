//! A corpus of our own: one Jenkinsfile for each directive, option, condition and step that teams' files use, each run to its
//! end by a real runner; and those that no machine of ours can honour, refused before anything runs.

use launchway_model::build::BuildResult::{self, Aborted, Failure, NotBuilt, Success, Unstable};
use launchway_model::request::{Answer, Ask};

use crate::asking::answering;
use crate::site::Site;

struct Case {
    name: &'static str,
    /// What stands in `pipeline { agent any … stages { … } … }`, or the whole file where it begins with `pipeline` or `def`.
    text: &'static str,
    result: BuildResult,
    /// What the logs of all stages together hold; a line that begins with `!` is one that they do not.
    says: &'static [&'static str],
}

const fn case(
    name: &'static str,
    text: &'static str,
    result: BuildResult,
    says: &'static [&'static str],
) -> Case {
    Case {
        name,
        text,
        result,
        says,
    }
}

/// Steps of one stage.
macro_rules! steps {
    ($steps:literal) => {
        concat!("stages { stage('A') { steps {\n", $steps, "\n} } }")
    };
}

const DIRECTIVES: &[Case] = &[
    case(
        "agent none",
        "pipeline { agent none\n stages { stage('A') { agent any\n steps { sh 'echo here' } } } }",
        Success,
        &["here"],
    ),
    case(
        "agent label",
        "pipeline { agent { label 'linux && !arm' }\n stages { stage('A') { steps { sh 'echo here' } } } }",
        Success,
        &["here"],
    ),
    case(
        "agent node",
        "pipeline { agent { node { label ''\n customWorkspace '/w' } }\n stages { stage('A') { steps { sh 'echo here' } } } }",
        Success,
        &["here"],
    ),
    case(
        "post success",
        "stages { stage('A') { steps { echo 'x' }\n post { always { echo 'P1' }\n success { echo 'P2' }\n failure { echo 'P3' }\n cleanup { echo 'P4' } } } }",
        Success,
        &["P1", "P2", "!P3", "P4"],
    ),
    case(
        "post failure",
        "stages { stage('A') { steps { sh 'false' } } }\n post { failure { echo 'P3' }\n unsuccessful { echo 'P5' }\n success { echo 'P2' }\n changed { echo 'P6' } }",
        Failure,
        &["P3", "P5", "!P2", "P6"],
    ),
    case(
        "post unstable",
        "stages { stage('A') { steps { unstable 'shaky' } } }\n post { unstable { echo 'P7' }\n fixed { echo 'P8' }\n regression { echo 'P9' } }",
        Unstable,
        &["shaky", "P7", "!P8", "!P9"],
    ),
    case(
        "post aborted",
        "options { timeout(time: 1, unit: 'SECONDS') }\n stages { stage('A') { steps { sleep 60 } } }\n post { aborted { echo 'P10' } }",
        Aborted,
        &["P10"],
    ),
    case(
        "environment",
        "environment { A = 'one'; B = \"${A}-${env.BUILD_NUMBER}\" }\n stages { stage('A') { environment { A = 'two' }\n steps { sh 'echo $A $B' } } }",
        Success,
        &["two one-1"],
    ),
    case(
        "options that hold anyway",
        "options { buildDiscarder(logRotator(numToKeepStr: '5', daysToKeepStr: '1')); disableConcurrentBuilds(); timestamps(); skipDefaultCheckout(true); quietPeriod(0); ansiColor('xterm'); disableResume(); preserveStashes() }\n stages { stage('A') { steps { echo 'x' } } }",
        Success,
        &[],
    ),
    case(
        "option retry",
        "stages { stage('A') { options { retry(3) }\n steps { sh 'echo try >> tries; test $(wc -l < tries) = 3' } } }",
        Success,
        &["Trying again (3 of 3)"],
    ),
    case(
        "option skipStagesAfterUnstable",
        "options { skipStagesAfterUnstable() }\n stages { stage('A') { steps { unstable 'x' } }\n stage('B') { steps { echo 'never' } } }",
        Unstable,
        &["!never"],
    ),
    case(
        "option parallelsAlwaysFailFast",
        "options { parallelsAlwaysFailFast() }\n stages { stage('P') { parallel { stage('A') { steps { sh 'false' } }\n stage('B') { steps { sh 'sleep 60' } } } } }",
        Failure,
        &["was stopped, since `A` beside it failed"],
    ),
    case(
        "parallel",
        "stages { stage('P') { parallel { stage('A') { steps { echo 'a' } }\n stage('B') { steps { echo 'b' } } } } }",
        Success,
        &["a", "b"],
    ),
    case(
        "failFast",
        "stages { stage('P') { failFast true\n parallel { stage('A') { steps { sh 'false' } }\n stage('B') { steps { sh 'sleep 60' } } } } }",
        Failure,
        &[],
    ),
    case(
        "nested stages",
        "stages { stage('O') { stages { stage('A') { steps { echo 'a' } }\n stage('B') { steps { sh 'false' } }\n stage('C') { steps { echo 'never' } } } } }",
        Failure,
        &["a", "!never"],
    ),
    case(
        "matrix",
        "stages { stage('M') { matrix { axes { axis { name 'OS'; values 'x', 'y' }\n axis { name 'V'; values '1', '2' } }\n excludes { exclude { axis { name 'OS'; values 'y' }\n axis { name 'V'; notValues '1' } } }\n stages { stage('T') { steps { sh 'echo on $OS $V' } } } } } }",
        Success,
        &["on x 1", "on x 2", "on y 1", "!on y 2"],
    ),
    case(
        "parameters",
        "parameters { string(name: 'S', defaultValue: 's1'); booleanParam(name: 'B', defaultValue: true); choice(name: 'C', choices: ['c1', 'c2']); text(name: 'T', defaultValue: 't1'); password(name: 'P', defaultValue: 'hidden-word') }\n stages { stage('A') { steps { echo \"${params.S} ${params.B} ${params.C} ${params.T}\"\n sh 'echo pass $P' } } }",
        Success,
        &["s1 true c1 t1"],
    ),
    case(
        "triggers",
        "triggers { cron('H H(0-5) * * 1-5'); pollSCM('H/15 * * * *'); upstream(upstreamProjects: 'a,b', threshold: hudson.model.Result.SUCCESS) }\n stages { stage('A') { steps { echo 'x' } } }",
        Success,
        &[],
    ),
    case(
        "tools that are there",
        "tools { git 'Default' }\n stages { stage('A') { steps { sh 'git --version' } } }",
        Success,
        &["git version"],
    ),
];

const CONDITIONS: &[Case] = &[
    case(
        "when branch",
        "stages { stage('A') { when { branch 'main' }\n steps { echo 'yes' } }\n stage('B') { when { branch pattern: 'rel-*', comparator: 'GLOB' }\n steps { echo 'no' } } }",
        Success,
        &["yes", "!no"],
    ),
    case(
        "when expression",
        "stages { stage('A') { when { expression { return env.BRANCH_NAME == 'main' } }\n steps { echo 'yes' } }\n stage('B') { when { expression { 1 > 2 } }\n steps { echo 'no' } } }",
        Success,
        &["yes", "!no"],
    ),
    case(
        "when anyOf allOf not",
        "stages { stage('A') { when { anyOf { branch 'x'; allOf { branch 'main'; not { branch 'x' } } } }\n steps { echo 'yes' } } }",
        Success,
        &["yes"],
    ),
    case(
        "when buildingTag tag",
        "stages { stage('A') { when { buildingTag() }\n steps { echo 'no' } }\n stage('B') { when { tag 'v*' }\n steps { echo 'no' } } }",
        Success,
        &["!no"],
    ),
    case(
        "when changeRequest",
        "stages { stage('A') { when { changeRequest() }\n steps { echo 'no' } }\n stage('B') { when { not { changeRequest() } }\n steps { echo 'yes' } } }",
        Success,
        &["yes", "!no"],
    ),
    case(
        "when changeset",
        "stages { stage('A') { when { changeset '**/*file' }\n steps { echo 'yes' } }\n stage('B') { when { changeset 'nothing/**' }\n steps { echo 'no' } } }",
        Success,
        &["yes", "!no"],
    ),
    case(
        "when triggeredBy",
        "stages { stage('A') { when { triggeredBy 'TimerTrigger' }\n steps { echo 'no' } } }",
        Success,
        &["!no"],
    ),
    case(
        "when environment equals",
        "environment { A = '1' }\n stages { stage('A') { when { environment name: 'A', value: '1' }\n steps { echo 'yes' } }\n stage('B') { when { equals expected: '2', actual: env.A }\n steps { echo 'no' } } }",
        Success,
        &["yes", "!no"],
    ),
    case(
        "when beforeAgent",
        "stages { stage('A') { agent { label 'nowhere-at-all' }\n when { beforeAgent true; branch 'x' }\n steps { echo 'no' } } }",
        Success,
        &["!no"],
    ),
];

const STEPS: &[Case] = &[
    case(
        "sh",
        steps!(
            "sh '''\necho one\necho two\n'''\nsh label: 'Named', script: 'echo three'\nscript { echo 'out ' + sh(script: 'echo four', returnStdout: true).trim() + ' ' + sh(script: 'exit 5', returnStatus: true) }"
        ),
        Success,
        &["two", "Named", "three", "out four 5"],
    ),
    case(
        "sh fails",
        steps!("sh 'echo before; exit 7'\necho 'never'"),
        Failure,
        &["before", "exited with 7", "!never"],
    ),
    case("error", steps!("error 'told so'"), Failure, &["told so"]),
    case(
        "junit",
        steps!(
            "writeFile file: 'r.xml', text: '<testsuite><testcase name=\"a\"/><testcase name=\"b\"><failure>bad</failure></testcase></testsuite>'\njunit testResults: 'r.xml', allowEmptyResults: true"
        ),
        Unstable,
        &["1 passed, 1 failed"],
    ),
    case(
        "archive",
        steps!(
            "sh 'mkdir out && echo x > out/a.txt && echo y > out/b.txt'\narchiveArtifacts artifacts: 'out/*', excludes: 'out/b*', fingerprint: true"
        ),
        Success,
        &["Archived out/a.txt"],
    ),
    case(
        "dir and deleteDir",
        steps!(
            "dir('a/b') { writeFile file: 'x', text: 'y'\n sh 'pwd'\n deleteDir() }\nscript { echo \"there ${fileExists('a/b/x')}\" }"
        ),
        Success,
        &["there false"],
    ),
    case("cleanWs", steps!("cleanWs()"), Success, &[]),
    case(
        "stash",
        steps!(
            "writeFile file: 'x', text: 'kept'\nstash name: 's', includes: 'x'\nsh 'rm x'\nunstash 's'\nsh 'cat x'"
        ),
        Success,
        &["kept"],
    ),
    case(
        "files",
        steps!(
            "writeFile file: 'd/x', text: 'text'\nscript { if (fileExists('d/x')) { echo readFile('d/x') }\n writeJSON file: 'j', json: [a: [1, 2]]\n echo \"j ${readJSON(file: 'j').a[1]}\"\n echo findFiles(glob: 'd/*')[0].path }"
        ),
        Success,
        &["text", "j 2", "d/x"],
    ),
    case(
        "withEnv",
        steps!("withEnv(['A=1', 'PATH+X=/opt/x']) { sh 'echo $A; echo $PATH | cut -d: -f1' }"),
        Success,
        &["1", "/opt/x"],
    ),
    case(
        "retry",
        steps!("retry(3) { sh 'echo try >> tries; test $(wc -l < tries) = 2' }"),
        Success,
        &[],
    ),
    case(
        "timeout",
        steps!("timeout(time: 200, unit: 'MILLISECONDS') { sh 'sleep 60' }"),
        Aborted,
        &["met its time limit"],
    ),
    case(
        "sleep and waitUntil",
        steps!(
            "sleep time: 10, unit: 'MILLISECONDS'\nwaitUntil { script { return sh(script: 'echo x >> w; test $(wc -l < w) = 2', returnStatus: true) == 0 } }"
        ),
        Success,
        &[],
    ),
    case(
        "catchError",
        steps!(
            "catchError(buildResult: 'UNSTABLE', stageResult: 'FAILURE', message: 'caught it') { sh 'false' }\necho 'after'"
        ),
        Unstable,
        &["caught it", "after"],
    ),
    case(
        "warnError",
        steps!("warnError('careful') { error 'x' }\necho 'after'"),
        Unstable,
        &["careful", "after"],
    ),
    case(
        "lock",
        steps!("lock('db') { echo 'held' }\nlock(resource: 'db') { echo 'again' }"),
        Success,
        &["held", "again"],
    ),
    case(
        "milestone",
        steps!("milestone 1\nmilestone(ordinal: 2, label: 'two')"),
        Success,
        &["Passed the milestone two"],
    ),
    case(
        "timestamps and ansiColor",
        steps!("timestamps { ansiColor('xterm') { echo 'x' } }"),
        Success,
        &[],
    ),
    case(
        "keepRunning",
        steps!("keepRunning { sh 'echo $JENKINS_NODE_COOKIE' }"),
        Success,
        &["dontKillMe"],
    ),
    case(
        "checkout and git",
        steps!(
            "checkout scm\ngit url: 'https://example.org/x.git', branch: 'main'\ndir('other') { git branch: 'main', url: env.GIT_URL\n sh 'test -f Jenkinsfile && echo cloned' }\ncheckout([$class: 'GitSCM', branches: [[name: '*/main']], extensions: [[$class: 'RelativeTargetDirectory', relativeTargetDir: 'third']], userRemoteConfigs: [[url: env.GIT_URL]]])\nsh 'test -f third/Jenkinsfile && echo too'"
        ),
        Success,
        &["cloned", "too"],
    ),
    case(
        "mail, slack and another build",
        steps!(
            "mail to: 'a@example.org', subject: \"Build ${env.BUILD_NUMBER}\", body: 'x'\nemailext subject: '$PROJECT_NAME', body: 'b', recipientProviders: [developers(), requestor()]\nslackSend color: 'good', message: 'done'\nbuild job: 'other', wait: false"
        ),
        Success,
        &["told"],
    ),
    case(
        "publishHTML",
        steps!(
            "writeFile file: 'html/index.html', text: '<b>x</b>'\npublishHTML(target: [allowMissing: false, alwaysLinkToLastBuild: true, keepAll: true, reportDir: 'html', reportFiles: 'index.html', reportName: 'Coverage Report'])\npublishHTML([reportDir: 'nowhere', reportFiles: 'x.html', reportName: 'None', allowMissing: true])"
        ),
        Success,
        &["Kept the report `Coverage Report`"],
    ),
    case(
        "recordIssues",
        steps!(
            "writeFile file: 'flake8.log', text: 'a.py:1:1: F401 x imported but unused\\n'\nrecordIssues(tools: [flake8(pattern: 'flake8.log')], qualityGates: [[threshold: 1, type: 'TOTAL', unstable: true]])"
        ),
        Unstable,
        &["Flake8: 1 findings", "at or over the limit of 1"],
    ),
    case(
        "recordIssues under its gate",
        steps!(
            "writeFile file: 'x.sarif', text: '{\"version\":\"2.1.0\",\"runs\":[{\"results\":[]}]}'\nrecordIssues tool: sarif(pattern: '*.sarif'), qualityGates: [[threshold: 1, type: 'TOTAL_ERROR', criticality: 'FAILURE']], enabledForFailure: true"
        ),
        Success,
        &["SARIF: 0 findings"],
    ),
];

const GROOVY: &[Case] = &[
    case(
        "functions",
        "def shout(text) { return text.toUpperCase() + '!' }\npipeline { agent any\n stages { stage('A') { steps { echo shout('hi') } } } }",
        Success,
        &["HI!"],
    ),
    case(
        "try and catch",
        steps!(
            "script { try { sh 'false' } catch (Exception e) { echo \"caught ${e.message}\" } finally { echo 'finally' } }"
        ),
        Success,
        &["caught script returned exit code 1", "finally"],
    ),
    case(
        "closures, maps and lists",
        steps!(
            "script { def m = [a: 1, b: 2]\n m.each { k, v -> echo \"${k}=${v}\" }\n def l = 'x,y'.split(',').collect { it + it }\n echo l.join('-')\n echo(m.b > 1 ? 'big' : 'small') }"
        ),
        Success,
        &["a=1", "xx-yy", "big"],
    ),
    case(
        "patterns",
        steps!(
            "script { def p = ~/v\\d+/\n if ('v12' ==~ p) { echo 'matches' }\n if ('x' ==~ /y/) { echo 'no' } }"
        ),
        Success,
        &["matches", "!no"],
    ),
    case(
        "currentBuild",
        steps!(
            "script { currentBuild.displayName = 'named'\n currentBuild.description = 'told'\n echo \"now ${currentBuild.currentResult}\"\n currentBuild.result = 'UNSTABLE' }"
        ),
        Unstable,
        &["now SUCCESS"],
    ),
    case(
        "parallel in a script",
        steps!(
            "script { def jobs = [:]\n for (name in ['a', 'b']) { def n = name; jobs[n] = { echo \"in ${n}\" } }\n parallel jobs }"
        ),
        Success,
        &["in a", "in b"],
    ),
];

/// What is refused, with a word of why and a word of what to write instead.
const REFUSED: &[(&str, &str, &str)] = &[
    (
        "@Library('x') _\npipeline { agent any\n stages { stage('A') { steps { echo 'x' } } } }",
        "shared libraries",
        "Copy",
    ),
    (
        "node { sh 'x' }",
        "not a declarative pipeline",
        "pipeline { agent any",
    ),
    (
        "pipeline { agent { docker 'node:20' }\n stages { stage('A') { steps { echo 'x' } } } }",
        "container engine",
        "agent any",
    ),
    (
        "pipeline { agent { dockerfile true }\n stages { stage('A') { steps { echo 'x' } } } }",
        "container engine",
        "agent any",
    ),
    (
        "pipeline { agent any\n stages { stage('A') { steps { bat 'dir' } } } }",
        "Windows",
        "Write `sh`",
    ),
    (
        "pipeline { agent any\n stages { stage('A') { steps { powershell 'x' } } } }",
        "Windows",
        "Write `sh`",
    ),
    (
        "pipeline { agent any\n stages { stage('A') { steps { load 'x.groovy' } } } }",
        "another file",
        "Copy",
    ),
    (
        "pipeline { agent any\n stages { stage('A') { steps { shh 'x' } } } }",
        "no step or function is called `shh`",
        "sh",
    ),
    (
        "pipeline { agent any\n stages { stage('A') { steps { sh scirpt: 'x' } } } }",
        "no parameter `scirpt`",
        "script",
    ),
    (
        "pipeline { agent any\n stages { stage('A') { steps { recordIssues tool: spotBugs(pattern: 'x') } } } }",
        "`spotBugs`",
        "SARIF",
    ),
    (
        "pipeline { agent any\n options { timeout(time: 1, unit: 'MINUTS') }\n stages { stage('A') { steps { echo 'x' } } } }",
        "no unit of time",
        "MINUTES",
    ),
    (
        "pipeline { agent any\n stages { stage('A') { when { isRestartedRun() }\n steps { echo 'x' } } } }",
        "not supported",
        "expression",
    ),
    (
        "pipeline { agent any\n tools { nodejss 'x' }\n stages { stage('A') { steps { echo 'x' } } } }",
        "`nodejss`",
        "nodejs",
    ),
    (
        "pipeline { agent any\n stages { stage('A') { } } }",
        "0 bodies",
        "",
    ),
    (
        "pipeline { stages { stage('A') { steps { echo 'x' } } } }",
        "no `agent`",
        "",
    ),
    (
        "pipeline { agent any\n stages { stage('A') { steps { input() } } } }\n}",
        "",
        "",
    ),
];

fn run(case: &Case) -> Result<(), String> {
    let text = if case.text.starts_with("pipeline") || case.text.starts_with("def ") {
        case.text.to_owned()
    } else {
        format!("pipeline {{\n agent any\n {}\n}}\n", case.text)
    };
    let mut site = Site::new(&[("Procfile", "web: x\n"), ("Jenkinsfile", &text)]);
    let (built, _) = answering(site.start(), |ask| {
        Some(match ask {
            Ask::Build { .. } => Answer::done(Vec::new())
                .value("number", 1)
                .value("result", "SUCCESS"),
            _ => Answer::done(vec!["told".into()]),
        })
    });
    let log: Vec<String> = if built.events.len() > 2 {
        built
            .stages()
            .iter()
            .flat_map(|stage| built.log(stage.id.0))
            .collect()
    } else {
        Vec::new()
    };
    if built.result() != case.result {
        return Err(format!(
            "{}: {:?}, {:?}\n{log:#?}",
            case.name,
            built.result(),
            built.events.last()
        ));
    }
    for line in case.says {
        let (wanted, text) = match line.strip_prefix('!') {
            Some(text) => (false, text),
            None => (true, *line),
        };
        // What a shell traces, and what was only asked for, is not what was said.
        let holds = log
            .iter()
            .filter(|line| !line.starts_with("+ "))
            .any(|line| {
                if text.len() < 4 {
                    line == text
                } else {
                    line.contains(text)
                }
            });
        if holds != wanted {
            return Err(format!("{}: {line:?} in {log:#?}", case.name));
        }
    }
    Ok(())
}

fn all(cases: &'static [Case]) {
    let problems: Vec<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = cases
            .chunks(cases.len().div_ceil(3))
            .map(|part| {
                scope.spawn(move || {
                    part.iter()
                        .filter_map(|case| run(case).err())
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect()
    });
    assert!(problems.is_empty(), "{}", problems.join("\n\n"));
}

#[test]
fn directives_and_options() {
    all(DIRECTIVES);
}

#[test]
fn conditions() {
    all(CONDITIONS);
}

#[test]
fn steps() {
    all(STEPS);
}

#[test]
fn groovy() {
    all(GROOVY);
}

#[test]
fn what_cannot_be_honoured_is_refused_before_the_build() {
    for (text, why, instead) in REFUSED {
        let error = match launchway_pipeline::jenkinsfile::read("Jenkinsfile", text) {
            Ok(_) if why.is_empty() => continue,
            Ok(_) => panic!("{text} is taken"),
            Err(error) => error.to_problem(),
        };
        let place = error.place.clone().expect("a place");
        assert!(place.line >= 1 && place.text.is_some(), "{error:?}");
        assert!(error.to_string().contains(why), "{text}: {error:?}");
        let all = format!("{error:?}");
        assert!(all.contains(instead), "{text}: {all}");
    }
}

#[test]
fn a_result_that_was_left_out_is_no_failure() {
    let mut site = Site::new(&[
        ("Procfile", "web: x\n"),
        (
            "Jenkinsfile",
            "pipeline { agent any\n stages { stage('A') { when { branch 'x' }\n steps { echo 'x' } } } }",
        ),
    ]);
    let built = site.build().succeeded();
    assert_eq!(built.results()[0].1, NotBuilt);
}
