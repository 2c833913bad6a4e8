//! Statements.

use std::sync::Arc;

use super::super::ast::{Catch, Expr, Stmt, StmtKind};
use super::super::value::locked;
use super::{Done, Flow, Interpreter, Scope, Thrown, Value};

impl Interpreter<'_> {
    /// Runs statements in the scope given; the value is the last one's.
    pub(super) fn statements(&self, statements: &[Stmt], scope: &Scope) -> Done<Value> {
        let mut last = Value::Null;
        for statement in statements {
            last = self.statement(statement, scope)?;
        }
        Ok(last)
    }

    fn block(&self, statements: &[Stmt], scope: &Scope) -> Done<Value> {
        self.statements(statements, &Scope::new(Some(scope.clone())))
    }

    pub(super) fn statement(&self, statement: &Stmt, scope: &Scope) -> Done<Value> {
        self.nested(statement.span, || self.statement_kind(statement, scope))
    }

    fn statement_kind(&self, statement: &Stmt, scope: &Scope) -> Done<Value> {
        match &statement.kind {
            StmtKind::Expr(expr) => self.expr(expr, scope),
            StmtKind::Define {
                names,
                unpack,
                value,
            } => self.define(names, *unpack, value.as_ref(), scope),
            StmtKind::Function(function) => {
                locked(&self.shared.functions).insert(function.name.clone(), Arc::clone(function));
                Ok(Value::Null)
            }
            StmtKind::If {
                condition,
                then,
                otherwise,
            } => {
                let taken = if self.expr(condition, scope)?.is_true() {
                    then
                } else {
                    otherwise
                };
                self.block(taken, scope)
            }
            StmtKind::While { condition, body } => {
                while self.expr(condition, scope)?.is_true() {
                    if !self.turn(body, scope)? {
                        break;
                    }
                }
                Ok(Value::Null)
            }
            StmtKind::ForIn { name, items, body } => {
                let items = self.expr(items, scope)?;
                for item in self.items(&items, statement.span)? {
                    let inner = Scope::new(Some(scope.clone()));
                    inner.define(name, item);
                    if !self.turn(body, &inner)? {
                        break;
                    }
                }
                Ok(Value::Null)
            }
            StmtKind::For {
                init,
                condition,
                step,
                body,
            } => {
                let scope = Scope::new(Some(scope.clone()));
                if let Some(init) = init {
                    self.statement(init, &scope)?;
                }
                while self.holds(condition.as_ref(), &scope)? {
                    if !self.turn(body, &scope)? {
                        break;
                    }
                    if let Some(step) = step {
                        self.expr(step, &scope)?;
                    }
                }
                Ok(Value::Null)
            }
            StmtKind::Switch { subject, cases } => self.switch(subject, cases, scope),
            StmtKind::Try {
                body,
                catches,
                finally,
            } => self.try_catch(body, catches, finally, scope),
            StmtKind::Throw(expr) => {
                let value = self.expr(expr, scope)?;
                let thrown = match value {
                    Value::Exception(exception) => Thrown {
                        exception,
                        span: statement.span,
                        fatal: false,
                    },
                    other => Thrown::new(
                        "java.lang.RuntimeException",
                        other.to_text(),
                        statement.span,
                    ),
                };
                Err(Flow::Throw(thrown))
            }
            StmtKind::Return(value) => {
                let value = value
                    .as_ref()
                    .map_or(Ok(Value::Null), |value| self.expr(value, scope))?;
                Err(Flow::Return(value))
            }
            StmtKind::Break => Err(Flow::Break),
            StmtKind::Continue => Err(Flow::Continue),
            StmtKind::Assert { condition, message } => {
                if self.expr(condition, scope)?.is_true() {
                    return Ok(Value::Null);
                }
                let message = match message {
                    Some(message) => self.expr(message, scope)?.to_text(),
                    None => "assertion failed".to_owned(),
                };
                Err(Thrown::new("java.lang.AssertionError", message, statement.span).into())
            }
        }
    }

    /// One turn of a loop; false where it was left.
    fn turn(&self, body: &[Stmt], scope: &Scope) -> Done<bool> {
        match self.block(body, scope) {
            Ok(_) | Err(Flow::Continue) => Ok(true),
            Err(Flow::Break) => Ok(false),
            Err(other) => Err(other),
        }
    }

    fn holds(&self, condition: Option<&Expr>, scope: &Scope) -> Done<bool> {
        condition.map_or(Ok(true), |condition| {
            Ok(self.expr(condition, scope)?.is_true())
        })
    }

    fn define(
        &self,
        names: &[String],
        unpack: bool,
        value: Option<&Expr>,
        scope: &Scope,
    ) -> Done<Value> {
        let value = value.map_or(Ok(Value::Null), |value| self.expr(value, scope))?;
        if unpack {
            let items = match &value {
                Value::List(items) => locked(items).clone(),
                _ => Vec::new(),
            };
            let mut items = items.into_iter();
            for name in names {
                scope.define(name, items.next().unwrap_or_default());
            }
        } else {
            for name in names {
                scope.define(name, value.clone());
            }
        }
        Ok(value)
    }

    fn switch(
        &self,
        subject: &Expr,
        cases: &[(Option<Expr>, Vec<Stmt>)],
        scope: &Scope,
    ) -> Done<Value> {
        let value = self.expr(subject, scope)?;
        let mut taken = None;
        for (at, (case, _)) in cases.iter().enumerate() {
            if let Some(case) = case
                && self.case_matches(case, &value, scope)?
            {
                taken = Some(at);
                break;
            }
        }
        let taken = taken.or_else(|| cases.iter().position(|(case, _)| case.is_none()));
        let scope = Scope::new(Some(scope.clone()));
        let mut last = Value::Null;
        // From the case taken on, each next one follows until a `break`.
        for (_, body) in &cases[taken.unwrap_or(cases.len())..] {
            match self.statements(body, &scope) {
                Ok(value) => last = value,
                Err(Flow::Break) => break,
                Err(other) => return Err(other),
            }
        }
        Ok(last)
    }

    fn case_matches(&self, case: &Expr, value: &Value, scope: &Scope) -> Done<bool> {
        // `case String:` asks for the class, `case [1, 2]:` for an item, `case ~/x/:` for a match.
        let wanted = self.expr(case, scope)?;
        Ok(match &wanted {
            Value::List(items) => locked(items).iter().any(|item| item.equals(value)),
            Value::Closure(closure) => self
                .closure(closure, vec![value.clone()], case.span)?
                .is_true(),
            wanted => wanted.equals(value),
        })
    }

    fn try_catch(
        &self,
        body: &[Stmt],
        catches: &[Catch],
        finally: &[Stmt],
        scope: &Scope,
    ) -> Done<Value> {
        let mut done = self.block(body, scope);
        if let Err(Flow::Throw(thrown)) = &done
            && !thrown.fatal
            && let Some(handler) = catches
                .iter()
                .find(|handler| handles(handler, &thrown.exception.class))
        {
            let inner = Scope::new(Some(scope.clone()));
            inner.define(
                &handler.name,
                Value::Exception(Arc::clone(&thrown.exception)),
            );
            done = self.statements(&handler.body, &inner);
        }
        // An end by `finally` itself wins over the body's.
        self.block(finally, scope)?;
        done
    }
}

/// Whether a handler catches an exception of a class. The hierarchy is Java's, as far as pipelines meet it.
fn handles(handler: &Catch, class: &str) -> bool {
    let simple = |name: &str| name.rsplit('.').next().unwrap_or_default().to_owned();
    let thrown = simple(class);
    handler.classes.is_empty()
        || handler.classes.iter().any(|wanted| {
            let wanted = simple(wanted);
            let is_error = thrown.ends_with("Error");
            match wanted.as_str() {
                "Throwable" => true,
                "Exception" => !is_error,
                "Error" => is_error,
                "IOException" => thrown == "AbortException" || thrown.ends_with("IOException"),
                "RuntimeException" => {
                    !is_error
                        && !matches!(
                            thrown.as_str(),
                            "AbortException"
                                | "Exception"
                                | "IOException"
                                | "FlowInterruptedException"
                        )
                }
                _ => wanted == thrown,
            }
        })
}
