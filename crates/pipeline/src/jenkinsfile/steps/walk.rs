//! Goes through the code of a Jenkinsfile and tells of each call and each name that it defines; it judges nothing.

use super::super::{Read, Reader};
use crate::groovy::{Arg, Expr, ExprKind, Span, Stmt, StmtKind, StringPart};

/// What a walk meets.
pub(super) enum Found<'s> {
    Call {
        name: &'s str,
        span: Span,
        args: &'s [Arg],
    },
    Defines(&'s str),
}

/// Goes through code in the order in which it is written.
pub(super) struct Walk<'w> {
    pub(super) each: &'w mut dyn FnMut(Found<'_>) -> Read<()>,
}

impl Walk<'_> {
    /// Directives are no calls of steps; what stands in their blocks of steps is.
    pub(super) fn directive(&mut self, reader: &Reader<'_>, statement: &Stmt) -> Read<()> {
        let Ok(directive) = reader.directive(statement) else {
            return Ok(());
        };
        let Some(block) = directive.block else {
            return Ok(());
        };
        match directive.name {
            "steps" | "script" | "expression" => self.statements(&block.body),
            "post" => {
                for condition in &block.body {
                    if let Ok(condition) = reader.directive(condition)
                        && let Some(block) = condition.block
                    {
                        self.statements(&block.body)?;
                    }
                }
                Ok(())
            }
            "stages" | "stage" | "parallel" | "matrix" | "when" | "anyOf" | "allOf" | "not" => {
                block
                    .body
                    .iter()
                    .try_for_each(|statement| self.directive(reader, statement))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn statements(&mut self, statements: &[Stmt]) -> Read<()> {
        statements
            .iter()
            .try_for_each(|statement| self.statement(statement))
    }

    pub(super) fn statement(&mut self, statement: &Stmt) -> Read<()> {
        match &statement.kind {
            StmtKind::Expr(expr) | StmtKind::Throw(expr) => self.expr(expr),
            StmtKind::Define { names, value, .. } => {
                for name in names {
                    (self.each)(Found::Defines(name))?;
                }
                value.iter().try_for_each(|value| self.expr(value))
            }
            StmtKind::Function(function) => {
                (self.each)(Found::Defines(&function.name))?;
                for parameter in &function.parameters {
                    (self.each)(Found::Defines(&parameter.name))?;
                }
                self.statements(&function.body)
            }
            StmtKind::If {
                condition,
                then,
                otherwise,
            } => {
                self.expr(condition)?;
                self.statements(then)?;
                self.statements(otherwise)
            }
            StmtKind::While { condition, body } => {
                self.expr(condition)?;
                self.statements(body)
            }
            StmtKind::ForIn { name, items, body } => {
                (self.each)(Found::Defines(name))?;
                self.expr(items)?;
                self.statements(body)
            }
            StmtKind::For {
                init,
                condition,
                step,
                body,
            } => {
                init.iter().try_for_each(|init| self.statement(init))?;
                condition
                    .iter()
                    .chain(step)
                    .try_for_each(|expr| self.expr(expr))?;
                self.statements(body)
            }
            StmtKind::Switch { subject, cases } => {
                self.expr(subject)?;
                for (case, body) in cases {
                    case.iter().try_for_each(|case| self.expr(case))?;
                    self.statements(body)?;
                }
                Ok(())
            }
            StmtKind::Try {
                body,
                catches,
                finally,
            } => {
                self.statements(body)?;
                for catch in catches {
                    (self.each)(Found::Defines(&catch.name))?;
                    self.statements(&catch.body)?;
                }
                self.statements(finally)
            }
            StmtKind::Return(value) => value.iter().try_for_each(|value| self.expr(value)),
            StmtKind::Assert { condition, message } => {
                self.expr(condition)?;
                message.iter().try_for_each(|message| self.expr(message))
            }
            StmtKind::Break | StmtKind::Continue => Ok(()),
        }
    }

    fn args(&mut self, args: &[Arg]) -> Read<()> {
        args.iter().try_for_each(|arg| self.expr(&arg.value))
    }

    fn expr(&mut self, expr: &Expr) -> Read<()> {
        match &expr.kind {
            ExprKind::Null
            | ExprKind::Bool(_)
            | ExprKind::Int(_)
            | ExprKind::Decimal(_)
            | ExprKind::Text(_)
            | ExprKind::Name(_) => Ok(()),
            ExprKind::Interpolated(parts) => parts.iter().try_for_each(|part| match part {
                StringPart::Text(_) => Ok(()),
                StringPart::Expr(expr) => self.expr(expr),
            }),
            ExprKind::List(items) => items.iter().try_for_each(|item| self.expr(item)),
            ExprKind::Map(entries) => entries.iter().try_for_each(|(key, value)| {
                self.expr(key)?;
                self.expr(value)
            }),
            ExprKind::Range { from, to, .. } => {
                self.expr(from)?;
                self.expr(to)
            }
            ExprKind::Property { object, name, .. } => {
                self.expr(object)?;
                self.expr(name)
            }
            ExprKind::Index { object, index } => {
                self.expr(object)?;
                self.expr(index)
            }
            ExprKind::Call {
                object,
                name,
                name_span,
                args,
                ..
            } => {
                match object {
                    Some(object) => self.expr(object)?,
                    None => (self.each)(Found::Call {
                        name,
                        span: *name_span,
                        args,
                    })?,
                }
                self.args(args)
            }
            ExprKind::Invoke { callee, args } => {
                self.expr(callee)?;
                self.args(args)
            }
            ExprKind::New { args, .. } => self.args(args),
            ExprKind::Not(value) | ExprKind::Negate(value) => self.expr(value),
            ExprKind::Cast { value, .. } | ExprKind::InstanceOf { value, .. } => self.expr(value),
            ExprKind::Step { target, .. } => self.expr(target),
            ExprKind::Binary { left, right, .. } => {
                self.expr(left)?;
                self.expr(right)
            }
            ExprKind::Ternary {
                condition,
                then,
                otherwise,
            } => {
                self.expr(condition)?;
                self.expr(then)?;
                self.expr(otherwise)
            }
            ExprKind::Elvis { value, otherwise } => {
                self.expr(value)?;
                self.expr(otherwise)
            }
            ExprKind::Assign { target, value, .. } => {
                if let ExprKind::Name(name) = &target.kind {
                    (self.each)(Found::Defines(name))?;
                }
                self.expr(target)?;
                self.expr(value)
            }
            ExprKind::Closure(closure) => {
                for parameter in closure.parameters.iter().flatten() {
                    (self.each)(Found::Defines(&parameter.name))?;
                }
                self.statements(&closure.body)
            }
        }
    }
}
