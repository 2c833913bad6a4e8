//! What scripts of the kind found in Jenkinsfiles compute, and that no text makes the parser or interpreter panic or hang.

use std::cell::RefCell;
use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// A host that records steps and has one environment.
#[derive(Default)]
struct Recorder {
    calls: RefCell<Vec<String>>,
    env: RefCell<BTreeMap<String, String>>,
}

impl Host for Recorder {
    fn call(
        &self,
        interpreter: &Interpreter<'_>,
        name: &str,
        mut args: Args,
        span: Span,
    ) -> Option<Result<Value, Thrown>> {
        let closure = args.take_closure();
        let named = args
            .named
            .iter()
            .map(|(name, value)| format!("{name}={}", value.to_text()));
        let all: Vec<_> = args
            .positional
            .iter()
            .map(Value::to_text)
            .chain(named)
            .collect();
        if !matches!(name, "echo" | "sh" | "error" | "retry" | "junit" | "stage") {
            return None;
        }
        self.calls
            .borrow_mut()
            .push(format!("{name}({})", all.join(", ")));
        if name == "error" {
            return Some(Err(Thrown::abort(all.join(""), span)));
        }
        match closure {
            Some(closure) => Some(interpreter.call_closure(&closure, Vec::new())),
            None if name == "sh" => Some(Ok("output\n".into())),
            None => Some(Ok(Value::Null)),
        }
    }

    fn name(&self, name: &str) -> Option<Value> {
        match name {
            "env" | "params" => Some(Value::Host(name.into())),
            other => self
                .env
                .borrow()
                .get(other)
                .map(|value| value.as_str().into()),
        }
    }

    fn property(&self, object: &str, name: &str) -> Option<Result<Value, Thrown>> {
        let value = self
            .env
            .borrow()
            .get(name)
            .map_or(Value::Null, |value| value.as_str().into());
        (object == "env").then_some(Ok(value))
    }

    fn set_property(&self, object: &str, name: &str, value: Value) -> Result<(), Thrown> {
        if object != "env" {
            return Err(Thrown::abort("read-only", Span::default()));
        }
        self.env
            .borrow_mut()
            .insert(name.to_owned(), value.to_text());
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
        ["echo", "sh", "error", "retry", "env", "params"]
            .map(str::to_owned)
            .to_vec()
    }
}

fn run_with(host: &Recorder, text: &str) -> Result<Value, Thrown> {
    let script = parse(text)
        .unwrap_or_else(|error| panic!("{error} at {:?} in {text}", error.span.line_column(text)));
    let interpreter = Interpreter::new(
        host,
        Budget {
            steps: 100_000,
            ..Budget::default()
        },
    );
    interpreter.run(&script.statements)
}

fn value(text: &str) -> String {
    run_with(&Recorder::default(), text)
        .unwrap_or_else(|thrown| panic!("{} in {text}", thrown.message()))
        .to_text()
}

fn thrown(text: &str) -> String {
    run_with(&Recorder::default(), text)
        .unwrap_err()
        .message()
        .to_owned()
}

fn calls(text: &str) -> Vec<String> {
    let host = Recorder::default();
    run_with(&host, text).unwrap_or_else(|thrown| panic!("{}", thrown.message()));
    host.calls.take()
}

#[test]
fn numbers_and_texts() {
    for (text, expected) in [
        ("1 + 2 * 3", "7"),
        ("(1 + 2) * 3", "9"),
        ("7 / 2", "3.5"),
        ("6 / 2", "3"),
        ("7 % 3", "1"),
        ("2 ** 10", "1024"),
        ("(-3).abs()", "3"),
        ("1_000 + 0x10", "1016"),
        ("'a' + 1 + 2", "a12"),
        ("1 + 2 + 'a'", "3a"),
        ("'ab' * 3", "ababab"),
        ("'v1.2.3' - 'v'", "1.2.3"),
        ("\"${1 + 1} and ${'x'.toUpperCase()}\"", "2 and X"),
        ("def a = [b: [c: 'd']]; \"$a.b.c!\"", "d!"),
        ("'it\\'s'.length()", "4"),
        ("'a\\tb\\u0041'", "a\tbA"),
        ("/a\\d+\\/b/", "a\\d+/b"),
        ("'''line\none'''", "line\none"),
        ("\"costs \\$5\"", "costs $5"),
        ("' a b '.trim().split(' ').join('-')", "a-b"),
        ("'a,b,,c,,'.split(',').size()", "4"),
        ("'a,b,,c'.tokenize(',').size()", "3"),
        ("'abc'[1]", "b"),
        ("'abc'[-1]", "c"),
        ("'abcdef'[1..3]", "bcd"),
        ("'abc'.substring(1)", "bc"),
        ("'release/1.2'.replaceAll('/', '-')", "release-1.2"),
        ("'a1b22'.replaceAll(/(\\d+)/, '<$1>')", "a<1>b<22>"),
        ("'feature'.take(4)", "feat"),
        ("'7'.padLeft(3, '0')", "007"),
        ("'12'.toInteger() + 1", "13"),
        ("'12' as Integer", "12"),
        ("(int) 3.9", "3"),
        ("'x'.isEmpty() ? 'e' : 'f'", "f"),
        ("null ?: 'default'", "default"),
        ("def x = null; x?.length()", "null"),
        ("'main' ==~ /ma.n/", "true"),
        ("'mainx' ==~ /ma.n/", "false"),
        ("('v1.20' =~ /v(\\d+)\\.(\\d+)/)[0][2]", "20"),
        ("'a' in ['a', 'b']", "true"),
        ("'a' !in ['a', 'b']", "false"),
        ("5 <=> 3", "1"),
        ("!'' && 'x' || false", "true"),
        ("'x' instanceof String", "true"),
        ("10.0 == 10", "true"),
        ("3.0 + 1", "4.0"),
    ] {
        assert_eq!(value(text), expected, "{text}");
    }
}

#[test]
fn lists_maps_and_closures() {
    for (text, expected) in [
        ("[1, 2, 3].collect { it * 2 }", "[2, 4, 6]"),
        ("[3, 1, 2].sort()", "[1, 2, 3]"),
        ("['bb', 'a'].sort { it.length() }", "[a, bb]"),
        ("[3, 1, 2].sort { a, b -> b <=> a }", "[3, 2, 1]"),
        ("(1..4).findAll { it % 2 == 0 }", "[2, 4]"),
        ("(1..<4).sum()", "6"),
        ("[1, [2, [3]]].flatten()", "[1, 2, 3]"),
        ("[1, 1, 2].unique()", "[1, 2]"),
        ("[1, 2] + [3] - [1]", "[2, 3]"),
        ("def l = []; l << 1; l << 2; l", "[1, 2]"),
        ("def l = [1]; l[2] = 3; l", "[1, null, 3]"),
        ("[1, 2, 3].inject(0) { a, b -> a + b }", "6"),
        ("[a: 1, 'b c': 2]", "[a:1, b c:2]"),
        ("[:]", "[:]"),
        (
            "def m = [a: 1]; m.b = 2; m['c'] = 3; m.keySet()",
            "[a, b, c]",
        ),
        ("def m = [a: 1]; m.each { k, v -> m2 = k + v }; m2", "a1"),
        (
            "[a: 1, b: 2].collect { k, v -> \"$k=$v\" }.join(',')",
            "a=1,b=2",
        ),
        ("[a: 1, b: 2].find { k, v -> v == 2 }.key", "b"),
        (
            "[a: 1].collectEntries { k, v -> [(k.toUpperCase()): v + 1] }",
            "[A:2]",
        ),
        ("['x', 'y'].collectEntries { [it, 1] }", "[x:1, y:1]"),
        ("[b: 1, a: 2].sort()", "[a:2, b:1]"),
        ("['a', 'b']*.toUpperCase()", "[A, B]"),
        ("[[n: 1], [n: 2]].n", "[1, 2]"),
        ("def (a, b) = [1, 2]; a + b", "3"),
        ("def add = { x, y = 10 -> x + y }; add(1) + add(1, 2)", "14"),
        ("def counter = 0; 3.times { counter += it }; counter", "3"),
        ("def make = { n -> { -> n * 2 } }; make(21)()", "42"),
        (
            "def f(x) { if (x > 1) { return x * f(x - 1) }; 1 }; f(5)",
            "120",
        ),
        (
            "String name(Map args) { args.a + args.b }; name(a: 'x', b: 'y')",
            "xy",
        ),
        (
            "def x = 5; def r = ''; while (x > 0) { x--; if (x == 3) continue; if (x == 1) break; r += x }; r",
            "42",
        ),
        (
            "def r = ''; for (int i = 0; i < 3; i++) { r += i }; r",
            "012",
        ),
        ("def r = ''; for (s in ['a', 'b']) { r += s }; r", "ab"),
        (
            "def r = ''; for (String s : ['a', 'b']) { r += s }; r",
            "ab",
        ),
        (
            "switch ('b') { case 'a': return 1; case ['b', 'c']: return 2; default: return 3 }",
            "2",
        ),
        ("switch (9) { case 1: return 1\ndefault: return 3 }", "3"),
        (
            "[1, 2, 3].any { it > 2 } && [1, 2].every { it > 0 }",
            "true",
        ),
        ("[1, 2, 3]\n  .collect { it + 1 }\n  .join(' ')", "2 3 4"),
        ("['x': { -> 'called' }].x()", "called"),
        (
            "[1, 2, 3].withIndex().collect { v, i -> v * i }",
            "[0, 2, 6]",
        ),
        ("['a', 'b', 'a'].groupBy { it }.a.size()", "2"),
    ] {
        assert_eq!(value(text), expected, "{text}");
    }
}

#[test]
fn exceptions() {
    for (text, expected) in [
        ("try { error 'no' } catch (e) { e.message }", "no"),
        (
            "try { error 'no' } catch (Exception e) { return e.getMessage() } finally { 1 }",
            "no",
        ),
        (
            "try { error 'no' } catch (hudson.AbortException e) { \"$e\" }",
            "hudson.AbortException: no",
        ),
        (
            "try { throw new RuntimeException('x') } catch (IllegalStateException | RuntimeException e) { e.message }",
            "x",
        ),
        (
            "def r = ''; try { r += 'a'; try { error 'x' } finally { r += 'b' } } catch (e) { r += 'c' }; r",
            "abc",
        ),
        (
            "try { null.foo() } catch (NullPointerException e) { 'npe' }",
            "npe",
        ),
        (
            "try { 1 / 0 } catch (ArithmeticException e) { 'zero' }",
            "zero",
        ),
        (
            "def f() { try { return 1 } finally { x = 2 } }; f() + x",
            "3",
        ),
    ] {
        assert_eq!(value(text), expected, "{text}");
    }
    assert_eq!(
        thrown("try { error 'no' } catch (IllegalStateException e) { 1 }"),
        "no"
    );
    assert_eq!(
        thrown("ech 'x'"),
        "no such step or function: ech (did you mean `echo`?)"
    );
    assert_eq!(
        thrown("parms.x"),
        "no such property: parms (did you mean `params`?)"
    );
}

#[test]
fn steps_are_called_as_people_write_them() {
    assert_eq!(
        calls(
            "echo 'a'\necho('b')\nsh script: 'make', returnStdout: true\nsh(label: 'x', script: \"\"\"\n  a\n\"\"\".trim())\n\
             retry(3) {\n  sh 'c'\n}\njunit testResults: '*.xml', allowEmptyResults: true\nif (true) echo 'd' else echo 'e'\n\
             def out = sh(script: 'ls', returnStdout: true).trim()\necho out\necho \"${env.X ?: 'none'}\"\n\
             env.X = 'y'\necho env.X"
        ),
        [
            "echo(a)",
            "echo(b)",
            "sh(script=make, returnStdout=true)",
            "sh(label=x, script=a)",
            "retry(3)",
            "sh(c)",
            "junit(testResults=*.xml, allowEmptyResults=true)",
            "echo(d)",
            "sh(script=ls, returnStdout=true)",
            "echo(output)",
            "echo(none)",
            "echo(y)"
        ]
    );
}

#[test]
fn a_declarative_pipeline_is_a_call_with_closures() {
    let text = "@Library('shared') _\n// comment\npipeline {\n  agent any\n  options { timeout(time: 5, unit: 'MINUTES') }\n  \
                stages {\n    stage('Build') {\n      when { branch 'main' }\n      steps {\n        sh '''\n          make\n        '''\n      }\n    }\n  }\n  \
                post {\n    always { cleanWs() }\n  }\n}\n";
    let script = parse(text).unwrap();
    assert_eq!(script.annotations[0].0, "Library");
    let [
        Stmt {
            kind:
                StmtKind::Expr(Expr {
                    kind: ExprKind::Call { name, args, .. },
                    ..
                }),
            ..
        },
    ] = script.statements.as_slice()
    else {
        panic!("{script:?}");
    };
    assert_eq!((name.as_str(), args.len()), ("pipeline", 1));
}

#[test]
fn wrong_text_is_refused_at_its_place() {
    for (text, place, message) in [
        (
            "pipeline {\n  agent any\n",
            (1, 10),
            "this `{` is never closed: expected `}` before the end of the file",
        ),
        ("sh 'a", (1, 4), "the string is never closed: expected `'`"),
        ("sh \"${a", (1, 5), "`${` is never closed: expected `}`"),
        (
            "def x = ",
            (1, 9),
            "found the end of the file, expected an expression",
        ),
        (
            "a b c\n",
            (1, 5),
            "found `c`, expected the end of the statement in the script",
        ),
        ("foo(1, 2", (1, 4), "this `(` is never closed: expected `)`"),
        (
            "stage('x')\n{\n}",
            (2, 1),
            "found `{`, expected a statement",
        ),
        (
            "if (a { }",
            (1, 10),
            "found the end of the file, expected `)` after the condition",
        ),
        (
            "class A {}",
            (1, 1),
            "found `class`: classes are not supported",
        ),
        (
            "'\\d'",
            (1, 2),
            "found `\\d`, which is no escape in a Groovy string",
        ),
        (
            "1 = 2",
            (1, 1),
            "nothing can be assigned to this: expected a name, a property or an index",
        ),
        (
            "[a: 1, 2]",
            (1, 8),
            "a value stands among a map's entries: expected `key: value`",
        ),
        ("try { }", (1, 1), "`try` needs a `catch` or a `finally`"),
    ] {
        let error = parse(text).unwrap_err();
        assert_eq!(
            (error.span.line_column(text), error.message.as_str()),
            (place, message),
            "{text}"
        );
    }
}

#[test]
fn nothing_of_the_host_can_be_reached() {
    for text in [
        "new File('/etc/passwd').text",
        "'rm -rf /'.execute()",
        "''.getClass().forName('java.lang.Runtime')",
        "''.class",
        "new URL('http://x').text",
        "System.exit(1)",
        "new ProcessBuilder('x')",
        "Jenkins.instance",
    ] {
        assert!(run_with(&Recorder::default(), text).is_err(), "{text}");
    }
}

#[test]
fn a_script_cannot_eat_the_machine() {
    with_stack(eat_the_machine);
}

fn eat_the_machine() {
    for text in [
        "while (true) { }",
        "def f() { f() }; f()",
        "def f = null; f = { -> f() }; f()",
        "def s = 'x'; while (true) { s += s }",
        "'x' * 1000000000000",
        "'xxxxxxxxxx'.multiply(100000000000)",
        "(1..1000000000).sum()",
        "def l = [1]; while (true) { l += l }",
        "def l = [1]; while (true) { l.addAll(l) }",
        "try { while (true) { } } catch (Throwable e) { while (true) { } }",
        "10000000000.times { }",
    ] {
        assert!(run_with(&Recorder::default(), text).is_err(), "{text}");
    }
    // A list within itself prints and compares.
    assert!(value("def l = []; l << l; \"$l\"").contains('…'));
    let deep = "[".repeat(10_000) + &"]".repeat(10_000);
    assert!(parse(&deep).unwrap_err().message.contains("too deeply"));
    let deep = "\"${".repeat(10_000);
    assert!(parse(&deep).is_err());
    let deep = "if (a) ".repeat(10_000);
    assert!(parse(&deep).is_err());
    let deep = "!".repeat(100_000) + "a";
    assert!(parse(&deep).is_err());
    let deep = "a ? b : ".repeat(10_000) + "c";
    assert!(parse(&deep).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_text_panics(text in ".{0,200}") {
        drop(parse(&text));
    }

    #[test]
    fn no_mixture_of_tokens_panics(parts in proptest::collection::vec(proptest::sample::select(vec![
        "{", "}", "(", ")", "[", "]", "a", "b", "def", "if", "else", "for", "in", "try", "catch", "'x'", "\"$a\"", "\"${", "1",
        ".", ",", ";", ":", "?", "->", "=", "==", "+", "-", "*", "/", "!", "\n", " ", "switch", "case", "new", "as", "<", ">",
        "..", "?.", "*.", "@", "return", "while", "String", "it", "sh", "each", "++", "0", "null", "true",
    ]), 0..60)) {
        let text = parts.concat();
        if let Ok(script) = parse(&text) {
            let host = Recorder::default();
            let interpreter = Interpreter::new(&host, Budget { steps: 5_000, depth: 16, nesting: 100, length: 1 << 16 });
            drop(interpreter.run(&script.statements));
        }
    }
}
