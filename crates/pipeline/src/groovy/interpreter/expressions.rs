//! Expressions: names, properties, calls, closures.

use std::sync::Arc;

use super::super::ast::{Arg, Expr, ExprKind, StringPart};
use super::super::error::Span;
use super::super::value::{Closure, Exception, locked};
use super::{Args, Done, Interpreter, Scope, Thrown, Value};

impl Interpreter<'_> {
    pub(super) fn expr(&self, expr: &Expr, scope: &Scope) -> Done<Value> {
        self.nested(expr.span, || self.expr_kind(expr, scope))
    }

    fn expr_kind(&self, expr: &Expr, scope: &Scope) -> Done<Value> {
        match &expr.kind {
            ExprKind::Null => Ok(Value::Null),
            ExprKind::Bool(value) => Ok(Value::Bool(*value)),
            ExprKind::Int(value) => Ok(Value::Int(*value)),
            ExprKind::Decimal(value) => Ok(Value::Decimal(*value)),
            ExprKind::Text(text) => Ok(Value::text(text.as_str())),
            ExprKind::Interpolated(parts) => self.interpolate(parts, scope, expr.span),
            ExprKind::List(items) => {
                let items = items
                    .iter()
                    .map(|item| self.expr(item, scope))
                    .collect::<Done<Vec<_>>>()?;
                Ok(Value::list(items))
            }
            ExprKind::Map(entries) => {
                let entries = entries
                    .iter()
                    .map(|(key, value)| Ok((self.expr(key, scope)?, self.expr(value, scope)?)))
                    .collect::<Done<Vec<_>>>()?;
                Ok(Value::map(entries))
            }
            ExprKind::Range {
                from,
                to,
                inclusive,
            } => {
                let (from, to) = (self.expr(from, scope)?, self.expr(to, scope)?);
                self.range(&from, &to, *inclusive, expr.span)
            }
            ExprKind::Name(name) => self.name(name, scope, expr.span),
            ExprKind::Property {
                object,
                name,
                safe,
                spread,
            } => {
                let object = self.expr(object, scope)?;
                if *safe && matches!(object, Value::Null) {
                    return Ok(Value::Null);
                }
                let name = self.expr(name, scope)?.to_text();
                if *spread {
                    let items = self.items(&object, expr.span)?;
                    let taken: Done<Vec<_>> = items
                        .iter()
                        .map(|item| self.property(item, &name, expr.span))
                        .collect();
                    return Ok(Value::list(taken?));
                }
                self.property(&object, &name, expr.span)
            }
            ExprKind::Index { object, index } => {
                let object = self.expr(object, scope)?;
                let index = self.expr(index, scope)?;
                self.index(&object, &index, expr.span)
            }
            ExprKind::Call {
                object,
                name,
                name_span,
                args,
                safe,
                spread,
            } => self.call_expr(
                object.as_deref(),
                name,
                *name_span,
                args,
                (*safe, *spread),
                scope,
            ),
            ExprKind::Invoke { callee, args } => {
                let callee = self.expr(callee, scope)?;
                let args = self.args(args, scope)?;
                self.invoke(&callee, args, expr.span)
            }
            ExprKind::New { class, args } => {
                let args = self.args(args, scope)?;
                self.construct(class, args, expr.span)
            }
            ExprKind::Not(value) => Ok(Value::Bool(!self.expr(value, scope)?.is_true())),
            ExprKind::Negate(value) => match self.expr(value, scope)? {
                Value::Int(value) => Ok(Value::Int(value.wrapping_neg())),
                Value::Decimal(value) => Ok(Value::Decimal(-value)),
                other => Err(missing_method("negative", &other, expr.span).into()),
            },
            ExprKind::Binary { op, left, right } => {
                self.binary_expr(*op, left, right, scope, expr.span)
            }
            ExprKind::Ternary {
                condition,
                then,
                otherwise,
            } => {
                let taken = if self.expr(condition, scope)?.is_true() {
                    then
                } else {
                    otherwise
                };
                self.expr(taken, scope)
            }
            ExprKind::Elvis { value, otherwise } => {
                let value = self.expr(value, scope)?;
                if value.is_true() {
                    Ok(value)
                } else {
                    self.expr(otherwise, scope)
                }
            }
            ExprKind::Assign { target, op, value } => {
                let mut value = self.expr(value, scope)?;
                if let Some(op) = op {
                    let old = self.expr(target, scope)?;
                    value = self.operate(*op, &old, &value, expr.span)?;
                }
                self.assign(target, value.clone(), scope)?;
                Ok(value)
            }
            ExprKind::Step {
                target,
                by,
                postfix,
            } => {
                let old = self.expr(target, scope)?;
                let new = match &old {
                    Value::Int(number) => Value::Int(number.wrapping_add(*by)),
                    #[expect(clippy::cast_precision_loss, reason = "it is 1 or -1")]
                    Value::Decimal(number) => Value::Decimal(number + *by as f64),
                    other => return Err(missing_method("next", other, expr.span).into()),
                };
                self.assign(target, new.clone(), scope)?;
                Ok(if *postfix { old } else { new })
            }
            ExprKind::Closure(code) => Ok(Value::Closure(Arc::new(Closure {
                code: Arc::clone(code),
                scope: scope.clone(),
            }))),
            ExprKind::Cast { value, class } => {
                let value = self.expr(value, scope)?;
                self.cast(value, class, expr.span)
            }
            ExprKind::InstanceOf { value, class } => {
                let value = self.expr(value, scope)?;
                Ok(Value::Bool(is_instance(&value, class)))
            }
        }
    }

    fn interpolate(&self, parts: &[StringPart], scope: &Scope, span: Span) -> Done<Value> {
        let mut text = String::new();
        for part in parts {
            match part {
                StringPart::Text(part) => text.push_str(part),
                StringPart::Expr(expr) => match self.expr(expr, scope)? {
                    // `"${-> x}"` is computed when the text is made, which is now.
                    Value::Closure(closure) => {
                        text.push_str(&self.closure(&closure, Vec::new(), span)?.to_text())
                    }
                    value => text.push_str(&value.to_text()),
                },
            }
            self.check_length(text.len(), span)?;
        }
        Ok(Value::text(text))
    }

    fn name(&self, name: &str, scope: &Scope, span: Span) -> Done<Value> {
        if let Some(value) = scope.get(name).or_else(|| self.host.name(name)) {
            return Ok(value);
        }
        let mut message = format!("no such property: {name}");
        if let Some(near) = self.nearest(name) {
            message.push_str(&format!(" (did you mean `{near}`?)"));
        }
        Err(Thrown::new("groovy.lang.MissingPropertyException", message, span).into())
    }

    fn nearest(&self, name: &str) -> Option<String> {
        let mut known = self.host.known_names();
        known.extend(locked(&self.shared.functions).keys().cloned());
        known.extend(locked(&self.shared.globals.0.names).keys().cloned());
        launchway_model::suggest::nearest(name, known.iter().map(String::as_str)).map(str::to_owned)
    }

    fn property(&self, object: &Value, name: &str, span: Span) -> Done<Value> {
        match object {
            Value::Map(map) => Ok(locked(map).get_text(name).cloned().unwrap_or_default()),
            Value::Host(host) => match self.host.property(host, name) {
                Some(found) => Ok(found.map_err(|thrown| Thrown { span, ..thrown })?),
                None => Err(missing_property(name, host, span).into()),
            },
            Value::Exception(exception) => Ok(match name {
                "message" | "localizedMessage" => {
                    exception.message.clone().map_or(Value::Null, Value::from)
                }
                "class" => exception.class.clone().into(),
                _ => return Err(missing_property(name, &exception.class, span).into()),
            }),
            // A property of a list is taken of each item, as Groovy does.
            Value::List(items)
                if !matches!(name, "size" | "length" | "empty" | "first" | "last") =>
            {
                let items = locked(items).clone();
                let taken: Done<Vec<_>> = items
                    .iter()
                    .map(|item| self.property(item, name, span))
                    .collect();
                Ok(Value::list(taken?))
            }
            Value::Null => Err(null_pointer(&format!("property '{name}'"), span).into()),
            object => {
                // `text.bytes`, `list.size`: a getter's name without its `get`.
                let getter = match name {
                    "empty" => "isEmpty",
                    other => other,
                };
                match super::super::methods::call(self, object, getter, &Args::default(), span) {
                    Some(value) => value.map_err(Into::into),
                    None => Err(missing_property(name, object.class(), span).into()),
                }
            }
        }
    }

    fn call_expr(
        &self,
        object: Option<&Expr>,
        name: &str,
        span: Span,
        args: &[Arg],
        (safe, spread): (bool, bool),
        scope: &Scope,
    ) -> Done<Value> {
        let Some(object) = object else {
            let args = self.args(args, scope)?;
            return self.free_call(name, args, scope, span);
        };
        let object = self.expr(object, scope)?;
        if safe && matches!(object, Value::Null) {
            return Ok(Value::Null);
        }
        let args = self.args(args, scope)?;
        if spread {
            let items = self.items(&object, span)?;
            let called: Done<Vec<_>> = items
                .iter()
                .map(|item| self.method(item, name, args.clone(), span))
                .collect();
            return Ok(Value::list(called?));
        }
        self.method(&object, name, args, span)
    }

    fn free_call(&self, name: &str, args: Args, scope: &Scope, span: Span) -> Done<Value> {
        if let Some(Value::Closure(closure)) = scope.get(name) {
            return self.closure(&closure, args.positional, span);
        }
        let function = locked(&self.shared.functions).get(name).cloned();
        if let Some(function) = function {
            return self.function(&function, args, span);
        }
        let deeper = self.deeper(span)?;
        if let Some(done) = self.host.call(&deeper, name, args, span) {
            return Ok(done?);
        }
        let mut message = format!("no such step or function: {name}");
        if let Some(near) = self.nearest(name) {
            message.push_str(&format!(" (did you mean `{near}`?)"));
        }
        Err(Thrown::new("java.lang.NoSuchMethodError", message, span).into())
    }

    /// Calls a method of a value.
    fn method(&self, object: &Value, name: &str, args: Args, span: Span) -> Done<Value> {
        match object {
            Value::Null => return Err(null_pointer(&format!("method '{name}'"), span).into()),
            Value::Host(host) => {
                let deeper = self.deeper(span)?;
                let done = self.host.method(&deeper, host, name, args, span);
                return Ok(done.ok_or_else(|| missing_method(name, object, span))??);
            }
            Value::Closure(closure) if matches!(name, "call" | "doCall") => {
                return self.closure(closure, args.positional, span);
            }
            Value::Map(map) => {
                // `map.key()` calls the closure that lies there.
                let value = locked(map).get_text(name).cloned();
                if let Some(Value::Closure(closure)) = value {
                    return self.closure(&closure, args.positional, span);
                }
            }
            _ => {}
        }
        match super::super::methods::call(self, object, name, &args, span) {
            Some(value) => value.map_err(Into::into),
            None => Err(missing_method(name, object, span).into()),
        }
    }

    fn invoke(&self, callee: &Value, args: Args, span: Span) -> Done<Value> {
        match callee {
            Value::Closure(closure) => self.closure(closure, args.positional, span),
            other => Err(missing_method("call", other, span).into()),
        }
    }

    /// `new Class(…)`: exceptions, and the few classes that hold plain data.
    fn construct(&self, class: &str, args: Args, span: Span) -> Done<Value> {
        let simple = class.rsplit('.').next().unwrap_or(class);
        if simple.ends_with("Exception") || simple.ends_with("Error") {
            let class = match simple {
                "AbortException" => "hudson.AbortException".to_owned(),
                "Exception"
                | "RuntimeException"
                | "IllegalStateException"
                | "IllegalArgumentException"
                | "Error" => {
                    format!("java.lang.{simple}")
                }
                _ => class.to_owned(),
            };
            let message = args.positional.first().map(Value::to_text);
            return Ok(Value::Exception(Arc::new(Exception { class, message })));
        }
        match (simple, args.positional.as_slice()) {
            ("ArrayList" | "LinkedList" | "HashSet" | "LinkedHashSet" | "TreeSet", []) => {
                Ok(Value::list([]))
            }
            (
                "ArrayList" | "LinkedList" | "HashSet" | "LinkedHashSet" | "TreeSet",
                [Value::List(items)],
            ) => Ok(Value::list(locked(items).clone())),
            ("HashMap" | "LinkedHashMap" | "TreeMap", []) => Ok(Value::map([])),
            ("String" | "StringBuilder" | "StringBuffer", []) => Ok("".into()),
            ("String" | "StringBuilder" | "StringBuffer" | "File", [value]) if simple != "File" => {
                Ok(value.to_text().into())
            }
            ("Integer" | "Long", [value]) => self.cast(value.clone(), "Integer", span),
            _ => {
                let message = format!(
                    "`new {class}` is not allowed in a pipeline here: it reaches what lies outside the script; use a step instead"
                );
                Err(Thrown::new(
                    "org.jenkinsci.plugins.scriptsecurity.sandbox.RejectedAccessException",
                    message,
                    span,
                )
                .into())
            }
        }
    }

    fn assign(&self, target: &Expr, value: Value, scope: &Scope) -> Done<()> {
        match &target.kind {
            ExprKind::Name(name) => {
                if !scope.set(name, value.clone()) {
                    self.shared.globals.define(name, value);
                }
                Ok(())
            }
            ExprKind::Property {
                object, name, safe, ..
            } => {
                let object = self.expr(object, scope)?;
                let name = self.expr(name, scope)?.to_text();
                match object {
                    Value::Map(map) => {
                        locked(&map).insert(name.into(), value);
                        Ok(())
                    }
                    Value::Host(host) => {
                        self.host
                            .set_property(&host, &name, value)
                            .map_err(|thrown| Thrown {
                                span: target.span,
                                ..thrown
                            })?;
                        Ok(())
                    }
                    Value::Null if *safe => Ok(()),
                    Value::Null => {
                        Err(null_pointer(&format!("property '{name}'"), target.span).into())
                    }
                    other => Err(missing_property(&name, other.class(), target.span).into()),
                }
            }
            ExprKind::Index { object, index } => {
                let object = self.expr(object, scope)?;
                let index = self.expr(index, scope)?;
                self.set_index(&object, index, value, target.span)
            }
            // `(a, b) = list` reads as a list on the left.
            ExprKind::List(targets) => {
                let items = self.items(&value, target.span)?;
                let mut items = items.into_iter();
                for target in targets {
                    self.assign(target, items.next().unwrap_or_default(), scope)?;
                }
                Ok(())
            }
            _ => Err(Thrown::fatal("nothing can be assigned to this", target.span).into()),
        }
    }
}

fn missing_property(name: &str, class: &str, span: Span) -> Thrown {
    Thrown::new(
        "groovy.lang.MissingPropertyException",
        format!("no such property: {name} for class: {class}"),
        span,
    )
}

pub(super) fn missing_method(name: &str, object: &Value, span: Span) -> Thrown {
    let message = format!(
        "a value of class {} has no method `{name}` that a pipeline may call",
        object.class()
    );
    Thrown::new("groovy.lang.MissingMethodException", message, span)
}

fn null_pointer(what: &str, span: Span) -> Thrown {
    Thrown::new(
        "java.lang.NullPointerException",
        format!("cannot get {what} on null object"),
        span,
    )
}

fn is_instance(value: &Value, class: &str) -> bool {
    let simple = class.rsplit('.').next().unwrap_or(class);
    match value {
        Value::Null => false,
        Value::Bool(_) => matches!(simple, "Boolean" | "Object"),
        Value::Int(_) => matches!(simple, "Integer" | "Long" | "Number" | "Object"),
        Value::Decimal(_) => matches!(simple, "BigDecimal" | "Double" | "Number" | "Object"),
        Value::Text(_) => matches!(simple, "String" | "GString" | "CharSequence" | "Object"),
        Value::List(_) => matches!(
            simple,
            "List" | "ArrayList" | "Collection" | "Iterable" | "Set" | "Object"
        ),
        Value::Map(_) => matches!(simple, "Map" | "HashMap" | "LinkedHashMap" | "Object"),
        Value::Closure(_) => matches!(simple, "Closure" | "Object"),
        Value::Exception(exception) => {
            let thrown = exception.class.rsplit('.').next().unwrap_or_default();
            matches!(simple, "Object" | "Throwable")
                || simple == thrown
                || (simple == "Exception" && !thrown.ends_with("Error"))
        }
        Value::Matcher(_) => matches!(simple, "Matcher" | "Object"),
        Value::Host(_) => simple == "Object",
    }
}
