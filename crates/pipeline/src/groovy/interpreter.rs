//! Runs a script's statements and expressions against a host.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use super::ast::{Arg, ClosureExpr, Function, Script, Stmt};
use super::error::Span;
use super::value::{Closure, Exception, Value, locked};

mod expressions;
mod operators;
mod statements;

pub(super) use operators::{compare, entry, groups, regex};

/// What a script can touch beside its own values.
///
/// Implemented by the engine (steps really run) and by the check (nothing runs, but names are known).
pub trait Host {
    /// A step or another call of a free name: `sh 'make'`, `retry(3) { … }`. `None` where the host knows no such name.
    fn call(
        &self,
        interpreter: &Interpreter<'_>,
        name: &str,
        args: Args,
        span: Span,
    ) -> Option<Result<Value, Thrown>>;

    /// A free name that is no variable of the script: `env`, `params`, or a variable of the environment.
    fn name(&self, name: &str) -> Option<Value>;

    /// `object.name`, of an object that the host gave. `None` where it has no such property.
    fn property(&self, object: &str, name: &str) -> Option<Result<Value, Thrown>>;

    /// `object.name = value`, of an object that the host gave.
    fn set_property(&self, object: &str, name: &str, value: Value) -> Result<(), Thrown>;

    /// `object.method(…)`, of an object that the host gave. `None` where it has no such method.
    fn method(
        &self,
        interpreter: &Interpreter<'_>,
        object: &str,
        method: &str,
        args: Args,
        span: Span,
    ) -> Option<Result<Value, Thrown>>;

    /// Names that could have been meant, for an error's hint.
    fn known_names(&self) -> Vec<String>;
}

/// The arguments of a call.
#[derive(Debug, Clone, Default)]
pub struct Args {
    /// In order, closures too.
    pub positional: Vec<Value>,
    /// By name, in order.
    pub named: Vec<(String, Value)>,
}

impl Args {
    /// The value of a named argument.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.named
            .iter()
            .find(|(found, _)| found == name)
            .map(|(_, value)| value)
    }

    /// Takes the closure behind the call off.
    pub fn take_closure(&mut self) -> Option<Arc<Closure>> {
        match self.positional.last() {
            Some(Value::Closure(closure)) => {
                let closure = Arc::clone(closure);
                self.positional.pop();
                Some(closure)
            }
            _ => None,
        }
    }

    /// A named argument, or else the first of those in order, as Jenkins' steps take their main parameter.
    pub fn main(&self, name: &str) -> Option<&Value> {
        self.get(name).or_else(|| self.positional.first())
    }
}

/// An exception on its way, with the place where it was thrown.
#[derive(Debug, Clone)]
pub struct Thrown {
    /// What.
    pub exception: Arc<Exception>,
    /// Where.
    pub span: Span,
    /// Whether no `catch` may stop it: the budget is used up, the build is cancelled.
    pub fatal: bool,
}

impl Thrown {
    /// An exception of a Java class.
    pub fn new(class: &str, message: impl Into<String>, span: Span) -> Self {
        let exception = Arc::new(Exception {
            class: class.to_owned(),
            message: Some(message.into()),
        });
        Self {
            exception,
            span,
            fatal: false,
        }
    }

    /// What `error 'message'` and a failing step throw.
    pub fn abort(message: impl Into<String>, span: Span) -> Self {
        Self::new("hudson.AbortException", message, span)
    }

    /// What no handler stops.
    pub fn fatal(message: impl Into<String>, span: Span) -> Self {
        Self {
            fatal: true,
            ..Self::new("java.lang.Error", message, span)
        }
    }

    /// The message for people.
    pub fn message(&self) -> &str {
        self.exception
            .message
            .as_deref()
            .unwrap_or(&self.exception.class)
    }
}

/// How much a script may compute. Steps' own time is not counted.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    /// Expressions and statements evaluated, over all branches.
    pub steps: u64,
    /// Calls within calls.
    pub depth: usize,
    /// Expressions and statements within each other, over all calls; [`with_stack`] has room for the default.
    pub nesting: u32,
    /// Bytes of one text, and items of one list.
    pub length: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            steps: 10_000_000,
            depth: 256,
            nesting: 4_000,
            length: 16 << 20,
        }
    }
}

/// The names that a piece of code sees.
#[derive(Debug, Clone)]
pub(super) struct Scope(Arc<Level>);

#[derive(Debug)]
struct Level {
    names: Mutex<HashMap<String, Value>>,
    parent: Option<Scope>,
}

impl Scope {
    fn new(parent: Option<Self>) -> Self {
        Self(Arc::new(Level {
            names: Mutex::default(),
            parent,
        }))
    }

    fn define(&self, name: &str, value: Value) {
        locked(&self.0.names).insert(name.to_owned(), value);
    }

    fn get(&self, name: &str) -> Option<Value> {
        let mut level = Some(self);
        while let Some(scope) = level {
            if let Some(value) = locked(&scope.0.names).get(name) {
                return Some(value.clone());
            }
            level = scope.0.parent.as_ref();
        }
        None
    }

    /// Sets a name where it is defined; false where it is nowhere.
    fn set(&self, name: &str, value: Value) -> bool {
        let mut level = Some(self);
        while let Some(scope) = level {
            if let Some(found) = locked(&scope.0.names).get_mut(name) {
                *found = value;
                return true;
            }
            level = scope.0.parent.as_ref();
        }
        false
    }
}

/// What all branches of one script share.
#[derive(Debug)]
struct Shared {
    /// Names assigned without `def`, and the script's own.
    globals: Scope,
    functions: Mutex<HashMap<String, Arc<Function>>>,
    spent: AtomicU64,
    budget: Budget,
}

/// Runs code against a host. Clone it for a branch that runs beside: names and budget are shared.
pub struct Interpreter<'h> {
    host: &'h dyn Host,
    shared: Arc<Shared>,
    depth: usize,
    nesting: Cell<u32>,
}

/// The names, functions and budget of one script, for interpreters in several threads.
#[derive(Debug, Clone)]
pub struct Session(Arc<Shared>);

impl Session {
    /// A session without any names.
    pub fn new(budget: Budget) -> Self {
        Self(Arc::new(Shared {
            globals: Scope::new(None),
            functions: Mutex::default(),
            spent: AtomicU64::new(0),
            budget,
        }))
    }

    /// An interpreter in this session, for one thread.
    pub fn interpreter<'h>(&self, host: &'h dyn Host) -> Interpreter<'h> {
        Interpreter {
            host,
            shared: Arc::clone(&self.0),
            depth: 0,
            nesting: Cell::new(0),
        }
    }
}

/// The stack that a thread needs for the parser's and the interpreter's limits, in bytes.
pub const STACK: usize = STACK_BYTES;

/// Runs code on a thread with a stack that has room for the parser's and the interpreter's limits. The memory is
/// only taken as far as it is used.
pub fn with_stack<T: Send>(code: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name("groovy".into())
            .stack_size(STACK_BYTES)
            .spawn_scoped(scope, code);
        let joined = thread.expect("a thread can be started").join();
        joined.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// 4,000 nested expressions at up to 8 KiB each in a debug build, with room to spare.
const STACK_BYTES: usize = 64 << 20;

/// Why a statement did not simply end.
pub(super) enum Flow {
    Return(Value),
    Break,
    Continue,
    Throw(Thrown),
}

impl From<Thrown> for Flow {
    fn from(thrown: Thrown) -> Self {
        Self::Throw(thrown)
    }
}

pub(super) type Done<T> = Result<T, Flow>;

impl<'h> Interpreter<'h> {
    /// An interpreter without any names but the host's.
    pub fn new(host: &'h dyn Host, budget: Budget) -> Self {
        Session::new(budget).interpreter(host)
    }

    /// The same names and budget with another host: a step's body sees another environment.
    pub fn with_host<'o>(&self, host: &'o dyn Host) -> Interpreter<'o> {
        Interpreter {
            host,
            shared: Arc::clone(&self.shared),
            depth: self.depth,
            nesting: self.nesting.clone(),
        }
    }

    /// Takes the script's functions, and runs the statements before a declarative `pipeline` (definitions).
    pub fn load(&self, script: &Script) -> Result<(), Thrown> {
        for statement in &script.statements {
            if let super::ast::StmtKind::Function(function) = &statement.kind {
                locked(&self.shared.functions).insert(function.name.clone(), Arc::clone(function));
            }
        }
        for statement in &script.statements {
            let is_pipeline = matches!(
                &statement.kind,
                super::ast::StmtKind::Expr(expr)
                    if matches!(&expr.kind, super::ast::ExprKind::Call { object: None, name, .. } if name == "pipeline")
            );
            if !is_pipeline {
                self.finish(self.statement(statement, &self.shared.globals))?;
            }
        }
        Ok(())
    }

    /// Runs statements in a scope of their own; the value is the last expression's, or what `return` gives.
    pub fn run(&self, statements: &[Stmt]) -> Result<Value, Thrown> {
        let scope = Scope::new(Some(self.shared.globals.clone()));
        self.finish(self.statements(statements, &scope))
    }

    /// The value of one expression.
    pub fn evaluate(&self, expr: &super::ast::Expr) -> Result<Value, Thrown> {
        let scope = Scope::new(Some(self.shared.globals.clone()));
        self.finish(self.expr(expr, &scope))
    }

    /// Calls a closure.
    pub fn call_closure(&self, closure: &Closure, args: Vec<Value>) -> Result<Value, Thrown> {
        self.finish(self.closure(closure, args, closure.code.span))
    }

    fn finish(&self, done: Done<Value>) -> Result<Value, Thrown> {
        match done {
            Ok(value) | Err(Flow::Return(value)) => Ok(value),
            Err(Flow::Break | Flow::Continue) => Ok(Value::Null),
            Err(Flow::Throw(thrown)) => Err(thrown),
        }
    }

    /// Counts one evaluation.
    fn spend(&self, span: Span) -> Result<(), Thrown> {
        let spent = self.shared.spent.fetch_add(1, Ordering::Relaxed);
        if spent >= self.shared.budget.steps {
            let message = format!(
                "the script computed for {spent} steps, which is its limit: an endless loop?"
            );
            return Err(Thrown::fatal(message, span));
        }
        Ok(())
    }

    /// Evaluates something nested.
    fn nested<T>(&self, span: Span, evaluate: impl FnOnce() -> Done<T>) -> Done<T> {
        self.spend(span)?;
        let nesting = self.nesting.get();
        if nesting >= self.shared.budget.nesting {
            let message = format!(
                "expressions are nested {nesting} deep, which is the limit: an endless recursion?"
            );
            return Err(Thrown::fatal(message, span).into());
        }
        self.nesting.set(nesting + 1);
        let done = evaluate();
        self.nesting.set(nesting);
        done
    }

    fn check_length(&self, length: usize, span: Span) -> Result<(), Thrown> {
        let limit = self.shared.budget.length;
        if length > limit {
            return Err(Thrown::fatal(
                format!("a value of {length} bytes or items is over the limit of {limit}"),
                span,
            ));
        }
        Ok(())
    }

    fn deeper(&self, span: Span) -> Result<Self, Thrown> {
        let limit = self.shared.budget.depth;
        if self.depth >= limit {
            let message =
                format!("calls are nested {limit} deep, which is the limit: an endless recursion?");
            return Err(Thrown {
                fatal: true,
                ..Thrown::new("java.lang.StackOverflowError", message, span)
            });
        }
        Ok(Self {
            host: self.host,
            shared: Arc::clone(&self.shared),
            depth: self.depth + 1,
            nesting: self.nesting.clone(),
        })
    }

    fn closure(&self, closure: &Closure, args: Vec<Value>, span: Span) -> Done<Value> {
        // An empty body costs too, or `10000000000.times { }` would be free.
        self.spend(span)?;
        let deeper = self.deeper(span)?;
        let scope = Scope::new(Some(closure.scope.clone()));
        deeper.bind_closure(&closure.code, args, &scope, span)?;
        match deeper.statements(&closure.code.body, &scope) {
            // `return` leaves the closure, not the function around it.
            Err(Flow::Return(value)) => Ok(value),
            Err(Flow::Break | Flow::Continue) => Ok(Value::Null),
            other => other,
        }
    }

    fn bind_closure(
        &self,
        code: &ClosureExpr,
        mut args: Vec<Value>,
        scope: &Scope,
        span: Span,
    ) -> Done<()> {
        let Some(parameters) = &code.parameters else {
            scope.define("it", args.into_iter().next().unwrap_or_default());
            return Ok(());
        };
        // A list given to several parameters is spread over them.
        if parameters.len() > 1
            && let [Value::List(items)] = args.as_slice()
        {
            let items = locked(items).clone();
            args = items;
        }
        self.bind(parameters, args, scope, span, "the closure")
    }

    fn bind(
        &self,
        parameters: &[super::ast::Parameter],
        args: Vec<Value>,
        scope: &Scope,
        span: Span,
        what: &str,
    ) -> Done<()> {
        if args.len() > parameters.len() {
            let message = format!(
                "{what} takes {} arguments, but {} were given",
                parameters.len(),
                args.len()
            );
            return Err(Thrown::new("groovy.lang.MissingMethodException", message, span).into());
        }
        let mut args = args.into_iter();
        for parameter in parameters {
            let value = match (args.next(), &parameter.default) {
                (Some(value), _) => value,
                (None, Some(default)) => self.expr(default, scope)?,
                (None, None) => Value::Null,
            };
            scope.define(&parameter.name, value);
        }
        Ok(())
    }

    fn function(&self, function: &Function, args: Args, span: Span) -> Done<Value> {
        let deeper = self.deeper(span)?;
        let scope = Scope::new(Some(self.shared.globals.clone()));
        let mut positional = Vec::new();
        // Named arguments come as one map, before the others.
        if !args.named.is_empty() {
            positional.push(Value::map(
                args.named
                    .into_iter()
                    .map(|(name, value)| (name.into(), value)),
            ));
        }
        positional.extend(args.positional);
        let required = function
            .parameters
            .iter()
            .filter(|parameter| parameter.default.is_none())
            .count();
        if positional.len() < required {
            let message = format!(
                "`{}` takes {required} arguments, but {} were given",
                function.name,
                positional.len()
            );
            return Err(Thrown::new("groovy.lang.MissingMethodException", message, span).into());
        }
        deeper.bind(
            &function.parameters,
            positional,
            &scope,
            span,
            &format!("`{}`", function.name),
        )?;
        match deeper.statements(&function.body, &scope) {
            Err(Flow::Return(value)) => Ok(value),
            Err(Flow::Break | Flow::Continue) => Ok(Value::Null),
            other => other,
        }
    }

    fn args(&self, args: &[Arg], scope: &Scope) -> Done<Args> {
        let mut values = Args::default();
        for arg in args {
            let value = self.expr(&arg.value, scope)?;
            match (&arg.name, value) {
                (Some((name, _)), value) => values.named.push((name.clone(), value)),
                (None, Value::List(items)) if arg.spread => {
                    values.positional.extend(locked(&items).iter().cloned())
                }
                (None, value) => values.positional.push(value),
            }
        }
        Ok(values)
    }
}
