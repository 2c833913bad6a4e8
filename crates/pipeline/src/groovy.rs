//! The part of Groovy that Jenkinsfiles are written in: lexer, parser with spans, interpreter.
//!
//! A whole Jenkinsfile is Groovy; its declarative `pipeline { … }` is a call with a closure, which the module
//! `jenkinsfile` reads from the syntax tree. What stands inside `script { }`, `when { expression { } }`,
//! `environment { }` and in strings is run by the [`Interpreter`].
//!
//! The interpreter reaches nothing by itself: no file, process, clock or network. All that a script can touch is
//! what its [`Host`] offers (steps, `env`, `params`, `currentBuild`). It runs within a [`Budget`] of evaluation steps, of depth and of
//! text length, so that no script can hang or fill the runner.
//!
//! Left out on purpose: classes, Java's library beyond the methods of text, numbers, lists and maps, and reflection. A
//! script that needs these is told so, with the place.
//!
//! Source of the semantics: the Groovy 2.4 language documentation, which Jenkins runs.

mod ast;
mod error;
mod interpreter;
mod lexer;
mod methods;
mod parser;
mod value;

pub use ast::{
    Arg, BinaryOp, Catch, ClosureExpr, Expr, ExprKind, Function, Parameter, Script, Stmt, StmtKind,
    StringPart,
};
pub use error::{Span, SyntaxError};
pub use interpreter::{Args, Budget, Host, Interpreter, STACK, Session, Thrown, with_stack};
pub use parser::parse;
pub use value::{Closure, Exception, Map, Matcher, Value};

#[cfg(test)]
mod tests;
