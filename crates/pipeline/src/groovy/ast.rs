//! The syntax tree. Every node keeps its place, since each error and each log line names one.

use std::sync::Arc;

use super::error::Span;

/// A whole file.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Script {
    /// The statements, in order; functions too.
    pub statements: Vec<Stmt>,
    /// Annotations that stand alone or before a statement: the name (`Library`) and the arguments.
    pub annotations: Vec<(String, Vec<Arg>, Span)>,
}

/// A statement.
#[derive(Debug, Clone, PartialEq)]
pub struct Stmt {
    /// What it is.
    pub kind: StmtKind,
    /// Where it stands.
    pub span: Span,
}

/// What a statement is.
#[derive(Debug, Clone, PartialEq)]
pub enum StmtKind {
    /// An expression for its effect, or as the value of a closure's end.
    Expr(Expr),
    /// `def a = 1`, `String a`, `def (a, b) = list`.
    Define {
        /// The names.
        names: Vec<String>,
        /// Whether they are taken from a list.
        unpack: bool,
        /// The value.
        value: Option<Expr>,
    },
    /// `def name(a, b = 1) { … }`
    Function(Arc<Function>),
    /// `if (…) … else …`
    If {
        /// The condition.
        condition: Expr,
        /// Taken when it is true.
        then: Vec<Stmt>,
        /// Taken when it is false.
        otherwise: Vec<Stmt>,
    },
    /// `while (…) …`
    While {
        /// The condition.
        condition: Expr,
        /// The body.
        body: Vec<Stmt>,
    },
    /// `for (a in list) …`, `for (String a : list) …`
    ForIn {
        /// The loop's name.
        name: String,
        /// What is gone through.
        items: Expr,
        /// The body.
        body: Vec<Stmt>,
    },
    /// `for (int i = 0; i < n; i++) …`
    For {
        /// Run once.
        init: Option<Box<Stmt>>,
        /// Tested before each turn; absent is true.
        condition: Option<Expr>,
        /// Run after each turn.
        step: Option<Expr>,
        /// The body.
        body: Vec<Stmt>,
    },
    /// `switch (…) { case …: … default: … }`
    Switch {
        /// What is compared.
        subject: Expr,
        /// The cases in order; `None` is `default`.
        cases: Vec<(Option<Expr>, Vec<Stmt>)>,
    },
    /// `try … catch (…) … finally …`
    Try {
        /// The body.
        body: Vec<Stmt>,
        /// The handlers, in order.
        catches: Vec<Catch>,
        /// Run in any case.
        finally: Vec<Stmt>,
    },
    /// `throw …`
    Throw(Expr),
    /// `return …`
    Return(Option<Expr>),
    /// `break`
    Break,
    /// `continue`
    Continue,
    /// `assert condition : message`
    Assert {
        /// What must hold.
        condition: Expr,
        /// What is said where it doesn't.
        message: Option<Expr>,
    },
}

/// A handler of exceptions.
#[derive(Debug, Clone, PartialEq)]
pub struct Catch {
    /// The classes caught; empty is all.
    pub classes: Vec<String>,
    /// The exception's name in the body.
    pub name: String,
    /// The body.
    pub body: Vec<Stmt>,
}

/// A function of the script.
#[derive(Debug, Clone, PartialEq)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// Its parameters.
    pub parameters: Vec<Parameter>,
    /// Its body.
    pub body: Vec<Stmt>,
    /// Where it stands.
    pub span: Span,
}

/// A parameter of a function or closure.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// Its value where none is given.
    pub default: Option<Expr>,
}

/// An expression.
#[derive(Debug, Clone, PartialEq)]
pub struct Expr {
    /// What it is.
    pub kind: ExprKind,
    /// Where it stands.
    pub span: Span,
}

/// What an expression is.
#[derive(Debug, Clone, PartialEq)]
pub enum ExprKind {
    /// `null`
    Null,
    /// `true`, `false`
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A decimal number.
    Decimal(f64),
    /// A text without interpolation.
    Text(String),
    /// A text with interpolation.
    Interpolated(Vec<StringPart>),
    /// `[a, b]`
    List(Vec<Expr>),
    /// `[a: 1, (key): 2]`, `[:]`
    Map(Vec<(Expr, Expr)>),
    /// `a..b`, `a..<b`
    Range {
        /// The first.
        from: Box<Expr>,
        /// The last, or the one after it.
        to: Box<Expr>,
        /// Whether `to` belongs to it.
        inclusive: bool,
    },
    /// A name.
    Name(String),
    /// `object.name`, `object?.name`, `object*.name`
    Property {
        /// The object.
        object: Box<Expr>,
        /// The name; an expression where it is quoted.
        name: Box<Expr>,
        /// Whether null gives null.
        safe: bool,
        /// Whether it is taken of each item.
        spread: bool,
    },
    /// `object[index]`
    Index {
        /// The object.
        object: Box<Expr>,
        /// The index or key.
        index: Box<Expr>,
    },
    /// `name(…)`, `object.name(…)`, with or without parentheses, with or without a closure behind.
    Call {
        /// The object; absent for functions and steps.
        object: Option<Box<Expr>>,
        /// The name.
        name: String,
        /// The name's place.
        name_span: Span,
        /// The arguments; a closure behind the parentheses is the last.
        args: Vec<Arg>,
        /// Whether null gives null.
        safe: bool,
        /// Whether it is called on each item.
        spread: bool,
    },
    /// `closure(…)` where the callee is any expression.
    Invoke {
        /// What is called.
        callee: Box<Expr>,
        /// The arguments.
        args: Vec<Arg>,
    },
    /// `new Class(…)`
    New {
        /// The class, with its package where one is written.
        class: String,
        /// The arguments.
        args: Vec<Arg>,
    },
    /// `!a`
    Not(Box<Expr>),
    /// `-a`
    Negate(Box<Expr>),
    /// `a + b` and its like.
    Binary {
        /// Which.
        op: BinaryOp,
        /// The left side.
        left: Box<Expr>,
        /// The right side.
        right: Box<Expr>,
    },
    /// `a ? b : c`
    Ternary {
        /// The condition.
        condition: Box<Expr>,
        /// Its value when true.
        then: Box<Expr>,
        /// Its value when false.
        otherwise: Box<Expr>,
    },
    /// `a ?: b`
    Elvis {
        /// Taken when true.
        value: Box<Expr>,
        /// Taken otherwise.
        otherwise: Box<Expr>,
    },
    /// `a = b`, `a += b`
    Assign {
        /// A name, property or index.
        target: Box<Expr>,
        /// The operator before `=`.
        op: Option<BinaryOp>,
        /// The value.
        value: Box<Expr>,
    },
    /// `a++`, `--a`
    Step {
        /// A name, property or index.
        target: Box<Expr>,
        /// 1 or -1.
        by: i64,
        /// Whether the old value is the expression's.
        postfix: bool,
    },
    /// `{ a, b -> … }`
    Closure(Arc<ClosureExpr>),
    /// `a as Type`, `(Type) a`
    Cast {
        /// The value.
        value: Box<Expr>,
        /// The type's name.
        class: String,
    },
    /// `a instanceof Type`
    InstanceOf {
        /// The value.
        value: Box<Expr>,
        /// The type's name.
        class: String,
    },
}

/// A closure as it is written.
#[derive(Debug, Clone, PartialEq)]
pub struct ClosureExpr {
    /// Its parameters; `None` where no arrow is written, so that `it` is the one.
    pub parameters: Option<Vec<Parameter>>,
    /// Its body.
    pub body: Vec<Stmt>,
    /// Where it stands, braces included.
    pub span: Span,
}

/// An argument of a call.
#[derive(Debug, Clone, PartialEq)]
pub struct Arg {
    /// Its name, for `name: value`.
    pub name: Option<(String, Span)>,
    /// Its value.
    pub value: Expr,
    /// `*list`
    pub spread: bool,
}

/// A part of an interpolated text.
#[derive(Debug, Clone, PartialEq)]
pub enum StringPart {
    /// As it stands.
    Text(String),
    /// `${…}` or `$name.name`
    Expr(Expr),
}

/// An operator between two expressions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is the operator of its name")]
pub enum BinaryOp {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    Power,
    ShiftLeft,
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    Compare,
    And,
    Or,
    BitAnd,
    BitOr,
    BitXor,
    Find,
    Match,
    In,
    NotIn,
}

impl Expr {
    /// The text, where it is one without interpolation.
    pub fn as_text(&self) -> Option<&str> {
        match &self.kind {
            ExprKind::Text(text) => Some(text),
            _ => None,
        }
    }
}
