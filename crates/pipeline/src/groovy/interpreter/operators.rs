//! Operators, indexes, casts: what does not need a name.

use std::cmp::Ordering;
use std::sync::{Arc, Mutex};

use super::super::ast::{BinaryOp, Expr};
use super::super::error::Span;
use super::super::value::{Matcher, locked};
use super::expressions::missing_method;
use super::{Done, Interpreter, Scope, Thrown, Value};

impl Interpreter<'_> {
    pub(super) fn binary_expr(
        &self,
        op: BinaryOp,
        left: &Expr,
        right: &Expr,
        scope: &Scope,
        span: Span,
    ) -> Done<Value> {
        let left = self.expr(left, scope)?;
        // The right side of `&&` and `||` is evaluated only where it decides.
        match op {
            BinaryOp::And if !left.is_true() => return Ok(Value::Bool(false)),
            BinaryOp::Or if left.is_true() => return Ok(Value::Bool(true)),
            BinaryOp::And | BinaryOp::Or => {
                return Ok(Value::Bool(self.expr(right, scope)?.is_true()));
            }
            _ => {}
        }
        let right = self.expr(right, scope)?;
        self.operate(op, &left, &right, span)
    }

    pub(super) fn operate(
        &self,
        op: BinaryOp,
        left: &Value,
        right: &Value,
        span: Span,
    ) -> Done<Value> {
        Ok(match op {
            BinaryOp::Add => self.add(left, right, span)?,
            BinaryOp::Subtract => self.subtract(left, right, span)?,
            BinaryOp::Multiply => self.multiply(left, right, span)?,
            BinaryOp::Divide | BinaryOp::Modulo | BinaryOp::Power => {
                arithmetic(op, left, right, span)?
            }
            BinaryOp::ShiftLeft => match left {
                Value::List(items) => {
                    let mut items = locked(items);
                    items.push(right.clone());
                    self.check_length(items.len(), span)?;
                    drop(items);
                    left.clone()
                }
                Value::Text(_) => self.add(left, right, span)?,
                Value::Int(_) => arithmetic(op, left, right, span)?,
                _ => return Err(missing_method("leftShift", left, span).into()),
            },
            BinaryOp::BitAnd | BinaryOp::BitOr | BinaryOp::BitXor => match (left, right) {
                (Value::Int(a), Value::Int(b)) => Value::Int(match op {
                    BinaryOp::BitAnd => a & b,
                    BinaryOp::BitOr => a | b,
                    _ => a ^ b,
                }),
                (Value::Bool(a), Value::Bool(b)) => Value::Bool(match op {
                    BinaryOp::BitAnd => a & b,
                    BinaryOp::BitOr => a | b,
                    _ => a ^ b,
                }),
                _ => return Err(missing_method("and", left, span).into()),
            },
            BinaryOp::Equal => Value::Bool(left.equals(right)),
            BinaryOp::NotEqual => Value::Bool(!left.equals(right)),
            BinaryOp::Less => Value::Bool(compare(left, right, span)? == Ordering::Less),
            BinaryOp::LessEqual => Value::Bool(compare(left, right, span)? != Ordering::Greater),
            BinaryOp::Greater => Value::Bool(compare(left, right, span)? == Ordering::Greater),
            BinaryOp::GreaterEqual => Value::Bool(compare(left, right, span)? != Ordering::Less),
            BinaryOp::Compare => Value::Int(match compare(left, right, span)? {
                Ordering::Less => -1,
                Ordering::Equal => 0,
                Ordering::Greater => 1,
            }),
            BinaryOp::Find => find(left, right, span)?,
            BinaryOp::Match => {
                let pattern = regex(&format!("^(?:{})$", right.to_text()), span)?;
                Value::Bool(pattern.is_match(&left.to_text()))
            }
            BinaryOp::In => Value::Bool(self.contains(right, left, span)?),
            BinaryOp::NotIn => Value::Bool(!self.contains(right, left, span)?),
            BinaryOp::And | BinaryOp::Or => Value::Bool(left.is_true()),
        })
    }

    fn add(&self, left: &Value, right: &Value, span: Span) -> Done<Value> {
        Ok(match (left, right) {
            (Value::List(a), _) => {
                let mut items = locked(a).clone();
                match right {
                    Value::List(b) => items.extend(locked(b).iter().cloned()),
                    other => items.push(other.clone()),
                }
                self.check_length(items.len(), span)?;
                Value::list(items)
            }
            (Value::Map(a), Value::Map(b)) => {
                let mut map = locked(a).clone();
                for (key, value) in locked(b).clone().iter() {
                    map.insert(key.clone(), value.clone());
                }
                Value::Map(Arc::new(Mutex::new(map)))
            }
            (Value::Text(_), _) | (_, Value::Text(_)) => {
                let text = left.to_text() + &right.to_text();
                self.check_length(text.len(), span)?;
                text.into()
            }
            _ => arithmetic(BinaryOp::Add, left, right, span)?,
        })
    }

    fn subtract(&self, left: &Value, right: &Value, span: Span) -> Done<Value> {
        Ok(match (left, right) {
            // Text minus text removes the first occurrence.
            (Value::Text(text), _) => text.replacen(&right.to_text(), "", 1).into(),
            (Value::List(items), _) => {
                let gone = match right {
                    Value::List(gone) => locked(gone).clone(),
                    other => vec![other.clone()],
                };
                let items = locked(items).clone();
                Value::list(
                    items
                        .into_iter()
                        .filter(|item| !gone.iter().any(|gone| gone.equals(item))),
                )
            }
            _ => arithmetic(BinaryOp::Subtract, left, right, span)?,
        })
    }

    fn multiply(&self, left: &Value, right: &Value, span: Span) -> Done<Value> {
        match (left, right) {
            (Value::Text(text), Value::Int(times)) => {
                let times = usize::try_from(*times).unwrap_or(0);
                self.check_length(text.len().saturating_mul(times), span)?;
                Ok(text.repeat(times).into())
            }
            _ => Ok(arithmetic(BinaryOp::Multiply, left, right, span)?),
        }
    }

    pub(super) fn contains(&self, items: &Value, item: &Value, span: Span) -> Done<bool> {
        Ok(match items {
            Value::Null => false,
            Value::Map(map) => locked(map).get(item).is_some(),
            Value::Text(text) => text.contains(&item.to_text()),
            other => self
                .items(other, span)?
                .iter()
                .any(|found| found.equals(item)),
        })
    }

    /// What a loop goes through.
    pub(in super::super) fn items(&self, value: &Value, span: Span) -> Result<Vec<Value>, Thrown> {
        Ok(match value {
            Value::Null => Vec::new(),
            Value::List(items) => locked(items).clone(),
            Value::Map(map) => locked(map)
                .iter()
                .map(|(key, value)| entry(key, value))
                .collect(),
            Value::Text(text) => text.chars().map(|c| Value::from(c.to_string())).collect(),
            Value::Matcher(matcher) => (0..matcher.found.len())
                .map(|at| groups(matcher, at))
                .collect(),
            other => return Err(missing_method("iterator", other, span)),
        })
    }

    pub(super) fn range(
        &self,
        from: &Value,
        to: &Value,
        inclusive: bool,
        span: Span,
    ) -> Done<Value> {
        let (Value::Int(from), Value::Int(to)) = (from, to) else {
            let (from, to) = (from.to_text(), to.to_text());
            let (mut a, mut b) = (from.chars(), to.chars());
            if let (Some(first), Some(last), None, None) = (a.next(), b.next(), a.next(), b.next())
            {
                return Ok(Value::list(
                    (first..=last).map(|c| Value::from(c.to_string())),
                ));
            }
            return Err(Thrown::new(
                "java.lang.IllegalArgumentException",
                "a range needs whole numbers",
                span,
            )
            .into());
        };
        let length = usize::try_from(from.abs_diff(*to)).unwrap_or(usize::MAX);
        self.check_length(length.saturating_mul(16), span)?;
        let mut items: Vec<_> = if from <= to {
            (*from..=*to).collect()
        } else {
            (*to..=*from).rev().collect()
        };
        if !inclusive {
            items.pop();
        }
        Ok(Value::list(items.into_iter().map(Value::Int)))
    }

    pub(super) fn index(&self, object: &Value, index: &Value, span: Span) -> Done<Value> {
        let out_of_range = |what: &str, length: usize| {
            let message = format!("{what} {} is outside 0..{length}", index.to_text());
            Thrown::new("java.lang.IndexOutOfBoundsException", message, span)
        };
        if let (Value::List(_) | Value::Text(_), Value::List(wanted)) = (object, index) {
            let wanted = locked(wanted).clone();
            let taken: Done<Vec<_>> = wanted
                .iter()
                .map(|index| self.index(object, index, span))
                .collect();
            let taken = taken?;
            return Ok(match object {
                Value::Text(_) => taken.iter().map(Value::to_text).collect::<String>().into(),
                _ => Value::list(taken),
            });
        }
        Ok(match (object, index) {
            (Value::Map(map), key) => locked(map).get(key).cloned().unwrap_or_default(),
            // Past the end a list gives null; before its start it throws.
            (Value::List(items), Value::Int(at)) => {
                let items = locked(items);
                let length = items.len();
                match place(*at, length) {
                    Some(at) => items.get(at).cloned().unwrap_or_default(),
                    None => return Err(out_of_range("the index", length).into()),
                }
            }
            (Value::Text(text), Value::Int(at)) => {
                let length = text.chars().count();
                let found = place(*at, length).and_then(|at| text.chars().nth(at));
                found
                    .ok_or_else(|| out_of_range("the index", length))?
                    .to_string()
                    .into()
            }
            (Value::Matcher(matcher), Value::Int(at)) => match place(*at, matcher.found.len()) {
                Some(at) if at < matcher.found.len() => groups(matcher, at),
                _ => return Err(out_of_range("the match", matcher.found.len()).into()),
            },
            (Value::Host(host), key) => match self.host.property(host, &key.to_text()) {
                Some(found) => found?,
                None => Value::Null,
            },
            (Value::Null, _) => {
                let message = "cannot index a null object";
                return Err(Thrown::new("java.lang.NullPointerException", message, span).into());
            }
            (other, _) => return Err(missing_method("getAt", other, span).into()),
        })
    }

    pub(super) fn set_index(
        &self,
        object: &Value,
        index: Value,
        value: Value,
        span: Span,
    ) -> Done<()> {
        match (object, index) {
            (Value::Map(map), key) => {
                locked(map).insert(key, value);
                Ok(())
            }
            (Value::List(items), Value::Int(at)) => {
                let mut items = locked(items);
                let Some(at) = place(at, items.len()) else {
                    let message = format!("the index {at} is outside the list");
                    return Err(
                        Thrown::new("java.lang.IndexOutOfBoundsException", message, span).into(),
                    );
                };
                self.check_length(at, span)?;
                if at >= items.len() {
                    items.resize(at + 1, Value::Null);
                }
                items[at] = value;
                Ok(())
            }
            (Value::Host(host), key) => Ok(self.host.set_property(host, &key.to_text(), value)?),
            (other, _) => Err(missing_method("putAt", other, span).into()),
        }
    }

    pub(super) fn cast(&self, value: Value, class: &str, span: Span) -> Done<Value> {
        let simple = class.rsplit('.').next().unwrap_or(class);
        let wrong = |value: &Value| {
            let message = format!(
                "cannot cast `{}` of class {} to {class}",
                value.to_text(),
                value.class()
            );
            Thrown::new(
                "org.codehaus.groovy.runtime.typehandling.GroovyCastException",
                message,
                span,
            )
        };
        Ok(match simple {
            "String" | "GString" => match value {
                Value::Null => Value::Null,
                other => other.to_text().into(),
            },
            "int" | "Integer" | "long" | "Long" | "short" | "byte" => match &value {
                Value::Int(_) => value,
                #[expect(
                    clippy::cast_possible_truncation,
                    reason = "a cast to int cuts, as in Java"
                )]
                Value::Decimal(number) => Value::Int(*number as i64),
                Value::Text(text) => Value::Int(text.trim().parse().map_err(|_| wrong(&value))?),
                other => return Err(wrong(other).into()),
            },
            "double" | "Double" | "float" | "Float" | "BigDecimal" => match &value {
                Value::Text(text) => {
                    Value::Decimal(text.trim().parse().map_err(|_| wrong(&value))?)
                }
                other => Value::Decimal(other.as_decimal().ok_or_else(|| wrong(other))?),
            },
            "boolean" | "Boolean" => Value::Bool(value.is_true()),
            "List" | "ArrayList" | "Collection" | "Set" | "HashSet" => {
                Value::list(self.items(&value, span)?)
            }
            _ => value,
        })
    }
}

/// A map's entry as loops see it.
pub(in super::super) fn entry(key: &Value, value: &Value) -> Value {
    Value::map([("key".into(), key.clone()), ("value".into(), value.clone())])
}

/// One match: the text where the pattern has no groups, else the list of whole match and groups.
pub(in super::super) fn groups(matcher: &Matcher, at: usize) -> Value {
    let text = |group: &Option<Arc<str>>| group.clone().map_or(Value::Null, Value::Text);
    match matcher.found[at].as_slice() {
        [whole] => text(whole),
        all => Value::list(all.iter().map(text)),
    }
}

/// An index counted from the end where it is negative.
fn place(at: i64, length: usize) -> Option<usize> {
    match usize::try_from(at) {
        Ok(at) => Some(at),
        Err(_) => length.checked_sub(usize::try_from(at.unsigned_abs()).ok()?),
    }
}

/// A pattern as Java's regular expressions have it, as far as they need no backtracking.
pub(in super::super) fn regex(pattern: &str, span: Span) -> Result<regex::Regex, Thrown> {
    regex::RegexBuilder::new(pattern).size_limit(1 << 20).build().map_err(|error| {
        let message = format!("the pattern cannot be used (look-around and back-references are not supported): {error}");
        Thrown::new("java.util.regex.PatternSyntaxException", message, span)
    })
}

fn find(text: &Value, pattern: &Value, span: Span) -> Result<Value, Thrown> {
    let text = text.to_text();
    let regex = regex(&pattern.to_text(), span)?;
    let found: Vec<_> = regex
        .captures_iter(&text)
        .take(100_000)
        .map(|captures| {
            captures
                .iter()
                .map(|group| group.map(|group| Arc::from(group.as_str())))
                .collect()
        })
        .collect();
    let whole = regex
        .find(&text)
        .is_some_and(|found| found.start() == 0 && found.end() == text.len());
    Ok(Value::Matcher(Arc::new(Matcher {
        found,
        whole,
        at: Mutex::new(0),
    })))
}

/// The order of two values; of different classes there is none.
pub(in super::super) fn compare(
    left: &Value,
    right: &Value,
    span: Span,
) -> Result<Ordering, Thrown> {
    match (left, right) {
        (Value::Int(a), Value::Int(b)) => Ok(a.cmp(b)),
        (Value::Text(a), Value::Text(b)) => Ok(a.cmp(b)),
        (Value::Bool(a), Value::Bool(b)) => Ok(a.cmp(b)),
        (Value::Null, Value::Null) => Ok(Ordering::Equal),
        (Value::Null, _) => Ok(Ordering::Less),
        (_, Value::Null) => Ok(Ordering::Greater),
        _ => left
            .as_decimal()
            .zip(right.as_decimal())
            .and_then(|(a, b)| a.partial_cmp(&b))
            .ok_or_else(|| {
                let message = format!("cannot compare a {} with a {}", left.class(), right.class());
                Thrown::new("java.lang.IllegalArgumentException", message, span)
            }),
    }
}

fn arithmetic(op: BinaryOp, left: &Value, right: &Value, span: Span) -> Result<Value, Thrown> {
    let by_zero = || Thrown::new("java.lang.ArithmeticException", "division by zero", span);
    if let (Value::Int(a), Value::Int(b)) = (left, right) {
        let (a, b) = (*a, *b);
        match op {
            BinaryOp::Add => return Ok(Value::Int(a.wrapping_add(b))),
            BinaryOp::Subtract => return Ok(Value::Int(a.wrapping_sub(b))),
            BinaryOp::Multiply => return Ok(Value::Int(a.wrapping_mul(b))),
            BinaryOp::Modulo => return a.checked_rem(b).map(Value::Int).ok_or_else(by_zero),
            BinaryOp::ShiftLeft => {
                return Ok(Value::Int(a.wrapping_shl(u32::try_from(b).unwrap_or(0))));
            }
            BinaryOp::Divide if b == 0 => return Err(by_zero()),
            // Whole numbers that divide evenly stay whole.
            BinaryOp::Divide if a.checked_rem(b) == Some(0) => {
                return Ok(Value::Int(a.wrapping_div(b)));
            }
            BinaryOp::Power => {
                if let Some(power) = u32::try_from(b).ok().and_then(|b| a.checked_pow(b)) {
                    return Ok(Value::Int(power));
                }
            }
            _ => {}
        }
    }
    let (Some(a), Some(b)) = (left.as_decimal(), right.as_decimal()) else {
        let name = match op {
            BinaryOp::Add => "plus",
            BinaryOp::Subtract => "minus",
            BinaryOp::Multiply => "multiply",
            BinaryOp::Divide => "div",
            BinaryOp::Modulo => "mod",
            _ => "power",
        };
        let message = format!("cannot compute {} {name} {}", left.class(), right.class());
        return Err(Thrown::new(
            "groovy.lang.MissingMethodException",
            message,
            span,
        ));
    };
    match op {
        BinaryOp::Add => Ok(Value::Decimal(a + b)),
        BinaryOp::Subtract => Ok(Value::Decimal(a - b)),
        BinaryOp::Multiply => Ok(Value::Decimal(a * b)),
        BinaryOp::Divide | BinaryOp::Modulo if b == 0.0 => Err(by_zero()),
        BinaryOp::Divide => Ok(Value::Decimal(a / b)),
        BinaryOp::Modulo => Ok(Value::Decimal(a % b)),
        _ => Ok(Value::Decimal(a.powf(b))),
    }
}
