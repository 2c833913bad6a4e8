//! Files changed at random, the same on every run: each is read or refused with a place, in time and without a panic.

use std::time::{Duration, Instant};

use launchway_pipeline::describe;
use launchway_pipeline::groovy::{
    Args, Budget, Host, Interpreter, Span, Thrown, Value, parse, with_stack,
};

const JENKINSFILE: &str = r#"
def greet(name, other = 'x') { return "hello ${name} and ${other.toUpperCase()}" }
pipeline {
    agent { label 'linux && !arm' }
    environment { A = 'one'; B = "${A}-two"; C = credentials('id') }
    options { timeout(time: 10, unit: 'MINUTES'); buildDiscarder(logRotator(numToKeepStr: '5')) }
    parameters { string(name: 'WHO', defaultValue: 'world'); choice(name: 'X', choices: ['a', 'b']) }
    triggers { cron('H 4 * * *') }
    stages {
        stage('Build') {
            when { anyOf { branch 'main'; expression { params.WHO =~ /w.*/ } } }
            steps {
                sh '''make all'''
                script {
                    def m = [a: 1, 'b': [2, 3]]
                    m.b.each { v -> echo "v ${v * 2}" }
                    for (i in 1..3) { if (i % 2 == 0) { continue } else { m.a += i } }
                    try { error 'no' } catch (Exception e) { echo e.message } finally { echo 'f' }
                    env.X = m.a > 2 ? 'big' : 'small'
                }
            }
            post { always { junit '**/*.xml' } }
        }
        stage('Both') {
            failFast true
            parallel {
                stage('P') { steps { echo greet('p') } }
                stage('Q') { steps { retry(2) { sh "echo ${B}" } } }
            }
        }
    }
    post { failure { mail to: 'x@example.org', subject: "no: ${currentBuild.result}", body: '' } }
}
"#;

const SCRIPT: &str = r#"
def f(n) { n < 2 ? 1 : f(n - 1) + f(n - 2) }
def list = [3, 1, 2].collect { it * 2 }.findAll { it > 2 }.sort()
def map = [k: 'v', n: [1, [a: null]]]
def text = "a ${list.join(',')} ${map.n[1]?.a ?: 'none'} ${f(8)}"
while (list.size() < 6) { list << text.length() }
switch (text) { case 'b': println 'm'; break; default: println "d" }
assert text.split(' ').length >= 1 : 'no'
(1..3).each { x -> map["k${x}"] = x }
println text.replaceAll(/[aeiou]/) { it.toUpperCase() }
text.tokenize(',')*.trim()
"#;

const PROCFILE: &str =
    "# it\nweb: gunicorn app:app --bind 0.0.0.0:$PORT\nrelease: migrate\nworker: python w.py\n";
const APP_JSON: &str = r#"{"name": "x", "env": {"A": {"required": true, "value": "1"}}, "formation": {"web": {"quantity": 2}}, "healthchecks": {"web": [{"type": "startup", "path": "/up", "attempts": 3}]}, "scripts": {"test": "t"}}"#;

/// Numbers that look random and are the same on every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound.max(1) as u64).unwrap()
    }
}

fn changed(seed: &str, numbers: &mut Numbers) -> String {
    const SCRAPS: [&str; 24] = [
        "{",
        "}",
        "(",
        ")",
        "[",
        "]",
        "\"",
        "'",
        "'''",
        "${",
        "$",
        "\\",
        "/",
        "//",
        "/*",
        "\n",
        ":",
        "?:",
        "..",
        "é",
        "\0",
        "9999999999999999999",
        "->",
        "stage('",
    ];
    let mut text: Vec<char> = seed.chars().collect();
    for _ in 0..=numbers.below(4) {
        let at = numbers.below(text.len());
        let end = (at + numbers.below(50)).min(text.len());
        match numbers.below(5) {
            0 if at < text.len() => drop(text.remove(at)),
            1 => drop(text.splice(at..at, SCRAPS[numbers.below(SCRAPS.len())].chars())),
            2 => drop(text.drain(at..end)),
            3 => {
                let piece: Vec<char> = text[at..end].to_vec();
                let to = numbers.below(text.len());
                drop(text.splice(to..to, piece));
            }
            _ => text.truncate(at.max(1)),
        }
    }
    text.into_iter().collect()
}

#[test]
fn changed_descriptions_are_read_or_refused_with_a_place() {
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    for (file, seed) in [
        ("Jenkinsfile", JENKINSFILE),
        ("Procfile", PROCFILE),
        ("app.json", APP_JSON),
    ] {
        describe::check(file, seed).unwrap();
        for _ in 0..400 {
            let text = changed(seed, &mut numbers);
            let began = Instant::now();
            if let Err(error) = describe::check(file, &text) {
                let place = error
                    .to_problem()
                    .place
                    .unwrap_or_else(|| panic!("{file} without a place: {text}"));
                assert!(place.line >= 1 && place.column >= 1);
            }
            assert!(
                began.elapsed() < Duration::from_secs(20),
                "{file} took too long: {text}"
            );
        }
    }
}

/// A host that knows nothing.
struct Nothing;

impl Host for Nothing {
    fn call(
        &self,
        _: &Interpreter<'_>,
        name: &str,
        _: Args,
        _: Span,
    ) -> Option<Result<Value, Thrown>> {
        (name == "println").then_some(Ok(Value::Null))
    }

    fn name(&self, _: &str) -> Option<Value> {
        None
    }

    fn property(&self, _: &str, _: &str) -> Option<Result<Value, Thrown>> {
        None
    }

    fn set_property(&self, _: &str, _: &str, _: Value) -> Result<(), Thrown> {
        Ok(())
    }

    fn method(
        &self,
        _: &Interpreter<'_>,
        _: &str,
        _: &str,
        _: Args,
        _: Span,
    ) -> Option<Result<Value, Thrown>> {
        None
    }

    fn known_names(&self) -> Vec<String> {
        Vec::new()
    }
}

fn run(text: &str) -> Result<(), String> {
    let budget = Budget {
        steps: 50_000,
        length: 1 << 16,
        ..Budget::default()
    };
    with_stack(|| {
        let script = parse(text).map_err(|error| error.message)?;
        Interpreter::new(&Nothing, budget)
            .load(&script)
            .map_err(|thrown| thrown.message().to_owned())
    })
}

#[test]
fn changed_scripts_end_within_their_budget() {
    run(SCRIPT).unwrap();
    let mut numbers = Numbers(0x0123_4567_89ab_cdef);
    for _ in 0..400 {
        let text = changed(SCRIPT, &mut numbers);
        let began = Instant::now();
        let _ = run(&text);
        assert!(
            began.elapsed() < Duration::from_secs(20),
            "took too long: {text}"
        );
    }
}

#[test]
fn scripts_made_to_hurt_are_stopped() {
    let nested = format!("def x = {}1{}", "(".repeat(50_000), ")".repeat(50_000));
    let blocks = format!("{}{}", "if (true) { ".repeat(20_000), "}".repeat(20_000));
    for text in [
        "while (true) { }",
        "def f() { f() }\nf()",
        "def s = 'x'\nwhile (true) { s = s + s }",
        "def l = []\nwhile (true) { l << l }",
        "def l = [1]\nl << l\nprintln l.toString()",
        "('a' * 1000000) * 1000000",
        "(1..9999999999).collect { it }",
        "def c\nc = { c() }\nc()",
        "'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!' ==~ /(a+)+$/",
        &nested,
        &blocks,
        &"[".repeat(100_000),
        &"\"${".repeat(20_000),
        &"!".repeat(100_000),
        &"-".repeat(100_000),
        &"a.".repeat(50_000),
        &"x = ".repeat(50_000),
    ] {
        let began = Instant::now();
        let _ = run(text);
        let shown: String = text.chars().take(40).collect();
        assert!(began.elapsed() < Duration::from_secs(30), "{shown}");
    }
}
