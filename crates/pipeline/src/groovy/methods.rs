//! The methods of texts, numbers, lists and maps that pipelines call.

use super::error::Span;
use super::interpreter::{Args, Interpreter, Thrown};
use super::value::{Closure, Value, locked};

mod collections;
mod texts;

type Called = Option<Result<Value, Thrown>>;

/// Calls a method of a value; `None` where the value's class has none of that name.
pub(super) fn call(
    interpreter: &Interpreter<'_>,
    object: &Value,
    name: &str,
    args: &Args,
    span: Span,
) -> Called {
    let call = Call {
        interpreter,
        args,
        span,
    };
    let own = match object {
        Value::Text(text) => texts::text(&call, text, name),
        Value::List(items) => collections::list(&call, items, name),
        Value::Map(map) => collections::map(&call, map, name),
        Value::Int(_) | Value::Decimal(_) => number(&call, object, name),
        Value::Matcher(matcher) => texts::matcher(&call, matcher, name),
        Value::Exception(exception) => match name {
            "getMessage" | "getLocalizedMessage" => Some(Ok(exception
                .message
                .clone()
                .map_or(Value::Null, Value::from))),
            "printStackTrace" | "getCause" | "getStackTrace" => Some(Ok(Value::Null)),
            _ => None,
        },
        _ => None,
    };
    own.or_else(|| any(&call, object, name))
}

/// A call under way.
struct Call<'c, 'h> {
    interpreter: &'c Interpreter<'h>,
    args: &'c Args,
    span: Span,
}

impl Call<'_, '_> {
    fn arg(&self, at: usize) -> Option<&Value> {
        self.args.positional.get(at)
    }

    fn text_arg(&self, at: usize) -> String {
        self.arg(at).map(Value::to_text).unwrap_or_default()
    }

    fn int_arg(&self, at: usize) -> Option<i64> {
        match self.arg(at) {
            Some(Value::Int(number)) => Some(*number),
            _ => None,
        }
    }

    /// An index argument, which must lie in `0..=length`.
    fn place_arg(&self, at: usize, length: usize) -> Result<usize, Thrown> {
        let given = self.int_arg(at).unwrap_or(-1);
        usize::try_from(given)
            .ok()
            .filter(|place| *place <= length)
            .ok_or_else(|| {
                let message = format!("the index {given} is outside 0..{length}");
                Thrown::new(
                    "java.lang.StringIndexOutOfBoundsException",
                    message,
                    self.span,
                )
            })
    }

    fn closure_arg(&self) -> Option<&Closure> {
        match self.args.positional.last() {
            Some(Value::Closure(closure)) => Some(closure),
            _ => None,
        }
    }

    fn run(&self, closure: &Closure, args: Vec<Value>) -> Result<Value, Thrown> {
        self.interpreter.call_closure(closure, args)
    }

    fn test(&self, closure: Option<&Closure>, args: Vec<Value>) -> Result<bool, Thrown> {
        match closure {
            Some(closure) => Ok(self.run(closure, args)?.is_true()),
            None => Ok(args.first().is_some_and(Value::is_true)),
        }
    }
}

/// What every value has.
fn any(call: &Call<'_, '_>, object: &Value, name: &str) -> Called {
    Some(Ok(match name {
        "toString" => object.to_text().into(),
        "equals" => Value::Bool(call.arg(0).is_some_and(|other| object.equals(other))),
        "asBoolean" => Value::Bool(object.is_true()),
        "with" => return Some(call.run(call.closure_arg()?, vec![object.clone()])),
        "each" => {
            let closure = call.closure_arg()?;
            match call.interpreter.items(object, call.span) {
                Ok(items) => {
                    for item in items {
                        if let Err(thrown) = call.run(closure, vec![item]) {
                            return Some(Err(thrown));
                        }
                    }
                }
                Err(thrown) => return Some(Err(thrown)),
            }
            object.clone()
        }
        "getClass" | "metaClass" | "class" | "invokeMethod" | "execute" => {
            let message = format!(
                "`{name}` is not allowed in a pipeline here: it reaches what lies outside the script"
            );
            return Some(Err(Thrown::new(
                "org.jenkinsci.plugins.scriptsecurity.sandbox.RejectedAccessException",
                message,
                call.span,
            )));
        }
        _ => return None,
    }))
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "toInteger cuts, as in Java"
)]
fn number(call: &Call<'_, '_>, object: &Value, name: &str) -> Called {
    let decimal = object.as_decimal()?;
    Some(Ok(match (name, object) {
        ("toInteger" | "intValue" | "toLong" | "longValue", Value::Int(_)) => object.clone(),
        ("toInteger" | "intValue" | "toLong" | "longValue", _) => Value::Int(decimal as i64),
        ("toDouble" | "toFloat" | "toBigDecimal" | "doubleValue", _) => Value::Decimal(decimal),
        ("abs", Value::Int(number)) => Value::Int(number.wrapping_abs()),
        ("abs", _) => Value::Decimal(decimal.abs()),
        ("round", _) => match call.int_arg(0) {
            Some(digits) => {
                let factor = 10_f64.powi(i32::try_from(digits).unwrap_or(0));
                Value::Decimal((decimal * factor).round() / factor)
            }
            None => Value::Int(decimal.round() as i64),
        },
        ("intdiv", Value::Int(number)) => {
            match call.int_arg(0).and_then(|by| number.checked_div(by)) {
                Some(quotient) => Value::Int(quotient),
                None => {
                    return Some(Err(Thrown::new(
                        "java.lang.ArithmeticException",
                        "division by zero",
                        call.span,
                    )));
                }
            }
        }
        ("times", Value::Int(number)) => {
            let closure = call.closure_arg()?;
            for turn in 0..*number {
                if let Err(thrown) = call.run(closure, vec![Value::Int(turn)]) {
                    return Some(Err(thrown));
                }
            }
            Value::Null
        }
        ("upto", Value::Int(number)) => {
            let closure = call.closure_arg()?;
            for turn in *number..=call.int_arg(0)? {
                if let Err(thrown) = call.run(closure, vec![Value::Int(turn)]) {
                    return Some(Err(thrown));
                }
            }
            Value::Null
        }
        _ => return None,
    }))
}

/// Whether two values are the same for `unique` and `contains`.
fn contains(items: &[Value], item: &Value) -> bool {
    items.iter().any(|found| found.equals(item))
}

/// A snapshot of a list, so that no lock is held while closures run.
fn snapshot(items: &std::sync::Mutex<Vec<Value>>) -> Vec<Value> {
    locked(items).clone()
}
