//! Lexer, parser and interpreter: scripts end within their budget, whatever they say.
#![no_main]

use launchway_pipeline::groovy::{Args, Budget, Host, Interpreter, Span, Thrown, Value, parse, with_stack};
use libfuzzer_sys::fuzz_target;

/// A host that knows nothing.
struct Nothing;

impl Host for Nothing {
    fn call(&self, _: &Interpreter<'_>, _: &str, _: Args, _: Span) -> Option<Result<Value, Thrown>> {
        None
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
    fn method(&self, _: &Interpreter<'_>, _: &str, _: &str, _: Args, _: Span) -> Option<Result<Value, Thrown>> {
        None
    }
    fn known_names(&self) -> Vec<String> {
        Vec::new()
    }
}

fuzz_target!(|text: &str| {
    with_stack(|| {
        if let Ok(script) = parse(text) {
            let budget = Budget { steps: 20_000, length: 1 << 16, ..Budget::default() };
            let _ = Interpreter::new(&Nothing, budget).load(&script);
        }
    });
});
