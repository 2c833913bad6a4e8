//! Expressions, from assignment down to literals.

use super::*;

/// The level of `in`, `instanceof`, `as` and the comparisons.
const RELATIONAL: u8 = 6;
/// The level of `<<` and of ranges.
const SHIFT: u8 = 7;

/// A binary operator and its level, from 0, the loosest; each is left-associative.
fn operator(symbol: &str) -> Option<(u8, BinaryOp)> {
    Some(match symbol {
        "||" => (0, BinaryOp::Or),
        "&&" => (1, BinaryOp::And),
        "|" => (2, BinaryOp::BitOr),
        "^" => (3, BinaryOp::BitXor),
        "&" => (4, BinaryOp::BitAnd),
        "==" | "===" => (5, BinaryOp::Equal),
        "!=" | "!==" => (5, BinaryOp::NotEqual),
        "<=>" => (5, BinaryOp::Compare),
        "=~" => (5, BinaryOp::Find),
        "==~" => (5, BinaryOp::Match),
        "<" => (RELATIONAL, BinaryOp::Less),
        "<=" => (RELATIONAL, BinaryOp::LessEqual),
        ">" => (RELATIONAL, BinaryOp::Greater),
        ">=" => (RELATIONAL, BinaryOp::GreaterEqual),
        "!in" => (RELATIONAL, BinaryOp::NotIn),
        "<<" => (SHIFT, BinaryOp::ShiftLeft),
        "+" => (8, BinaryOp::Add),
        "-" => (8, BinaryOp::Subtract),
        "*" => (9, BinaryOp::Multiply),
        "/" => (9, BinaryOp::Divide),
        "%" => (9, BinaryOp::Modulo),
        _ => return None,
    })
}

pub(super) fn expr(kind: ExprKind, span: Span) -> Expr {
    Expr { kind, span }
}

impl Parser<'_> {
    /// An expression that may be a command: `sh 'x'`, `junit a, b: c`.
    pub(super) fn command_expression(&mut self) -> Parsed<Expr> {
        self.deeper(|parser| {
            let start = parser.peek().span;
            let left = parser.ternary()?;
            parser.assignment_or_command(left, start)
        })
    }

    /// An expression that is no command.
    pub(super) fn expression(&mut self) -> Parsed<Expr> {
        self.deeper(|parser| {
            let start = parser.peek().span;
            let left = parser.ternary()?;
            match parser.assignment(&left)? {
                Some(op) => parser.assign(left, op, start, false),
                None => Ok(left),
            }
        })
    }

    fn assignment_or_command(&mut self, left: Expr, start: Span) -> Parsed<Expr> {
        if let Some(op) = self.assignment(&left)? {
            return self.assign(left, op, start, true);
        }
        if !self.begins_command_argument() {
            return Ok(left);
        }
        let (object, name, name_span, safe) = match left.kind {
            ExprKind::Name(name) => (None, name, left.span, false),
            ExprKind::Property {
                object,
                name,
                safe,
                spread: false,
            } => match name.kind {
                ExprKind::Text(text) => (Some(object), text, name.span, safe),
                _ => return Err(self.unexpected("the end of the statement")),
            },
            _ => return Ok(left),
        };
        let args = self.command_args()?;
        let span = self.span_from(start);
        Ok(expr(
            ExprKind::Call {
                object,
                name,
                name_span,
                args,
                safe,
                spread: false,
            },
            span,
        ))
    }

    fn assignment(&mut self, left: &Expr) -> Parsed<Option<Option<BinaryOp>>> {
        let op = match self.peek().kind {
            TokenKind::Symbol("=") => None,
            TokenKind::Symbol("+=") => Some(BinaryOp::Add),
            TokenKind::Symbol("-=") => Some(BinaryOp::Subtract),
            TokenKind::Symbol("*=") => Some(BinaryOp::Multiply),
            TokenKind::Symbol("/=") => Some(BinaryOp::Divide),
            TokenKind::Symbol("%=") => Some(BinaryOp::Modulo),
            TokenKind::Symbol("<<=") => Some(BinaryOp::ShiftLeft),
            _ => return Ok(None),
        };
        match left.kind {
            ExprKind::Name(_)
            | ExprKind::Property { .. }
            | ExprKind::Index { .. }
            | ExprKind::List(_) => {
                self.next();
                Ok(Some(op))
            }
            _ => Err(SyntaxError::new(
                left.span,
                "nothing can be assigned to this: expected a name, a property or an index",
            )),
        }
    }

    fn assign(
        &mut self,
        target: Expr,
        op: Option<BinaryOp>,
        start: Span,
        command: bool,
    ) -> Parsed<Expr> {
        let value = if command {
            self.command_expression()?
        } else {
            self.expression()?
        };
        let span = self.span_from(start);
        Ok(expr(
            ExprKind::Assign {
                target: Box::new(target),
                op,
                value: Box::new(value),
            },
            span,
        ))
    }

    /// Whether an argument without parentheses begins here: same line, white space before, and no operator.
    fn begins_command_argument(&self) -> bool {
        let token = self.peek();
        if !self.same_line() || !token.space_before {
            return false;
        }
        match &token.kind {
            TokenKind::Word(word) => !matches!(
                word.as_str(),
                "in" | "instanceof" | "as" | "else" | "catch" | "finally" | "while"
            ),
            TokenKind::Int(_)
            | TokenKind::Decimal(_)
            | TokenKind::Text(_)
            | TokenKind::Interpolated(_) => true,
            TokenKind::Symbol("[") => true,
            TokenKind::Symbol("*") => false,
            _ => false,
        }
    }

    fn command_args(&mut self) -> Parsed<Vec<Arg>> {
        let mut args = Vec::new();
        loop {
            args.push(self.argument(true)?);
            if !self.take(",") {
                return Ok(args);
            }
        }
    }

    pub(super) fn parenthesised_args(&mut self) -> Parsed<Vec<Arg>> {
        let open = self.expect("(", "before the arguments")?;
        self.grouping(|parser| {
            let mut args = Vec::new();
            while !parser.is(")") && parser.peek().kind != TokenKind::End {
                args.push(parser.argument(false)?);
                if !parser.take(",") {
                    break;
                }
            }
            if parser.peek().kind == TokenKind::End {
                return Err(SyntaxError::new(
                    open,
                    "this `(` is never closed: expected `)`",
                ));
            }
            parser.expect(")", "or `,` after the argument")?;
            Ok(args)
        })
    }

    fn argument(&mut self, command: bool) -> Parsed<Arg> {
        if self.take("*") {
            return Ok(Arg {
                name: None,
                value: self.expression()?,
                spread: true,
            });
        }
        if self.is_ahead(1, ":") {
            let name = match &self.peek().kind {
                TokenKind::Word(word) => Some(word.clone()),
                TokenKind::Text(text) => Some(text.clone()),
                _ => None,
            };
            if let Some(name) = name {
                let span = self.next().span;
                self.next();
                let value = if command {
                    self.expression()?
                } else {
                    self.command_expression()?
                };
                return Ok(Arg {
                    name: Some((name, span)),
                    value,
                    spread: false,
                });
            }
        }
        // Inside parentheses an argument may itself be a command: `echo(sh 'x')` is refused by Groovy, and so here.
        Ok(Arg {
            name: None,
            value: self.expression()?,
            spread: false,
        })
    }

    fn ternary(&mut self) -> Parsed<Expr> {
        let start = self.peek().span;
        let condition = self.binary(0)?;
        // `?` and `:` may begin a line: a ternary is often written over three.
        if self.take("?:") {
            let otherwise = Box::new(self.deeper(Self::ternary)?);
            let span = self.span_from(start);
            return Ok(expr(
                ExprKind::Elvis {
                    value: Box::new(condition),
                    otherwise,
                },
                span,
            ));
        }
        if !self.take("?") {
            return Ok(condition);
        }
        let then = Box::new(self.expression()?);
        self.expect(":", "between the values of `? :`")?;
        let otherwise = Box::new(self.expression()?);
        let span = self.span_from(start);
        Ok(expr(
            ExprKind::Ternary {
                condition: Box::new(condition),
                then,
                otherwise,
            },
            span,
        ))
    }

    /// Operators of at least the level given, by precedence climbing.
    fn binary(&mut self, least: u8) -> Parsed<Expr> {
        let start = self.peek().span;
        let mut left = self.unary()?;
        loop {
            if least <= RELATIONAL
                && self.same_line()
                && let Some(related) = self.relation(&left, start)?
            {
                left = related;
                continue;
            }
            if least <= SHIFT && self.same_line() && (self.is("..") || self.is("..<")) {
                let inclusive = self.is("..");
                self.next();
                let to = Box::new(self.binary(SHIFT + 1)?);
                let span = self.span_from(start);
                left = expr(
                    ExprKind::Range {
                        from: Box::new(left),
                        to,
                        inclusive,
                    },
                    span,
                );
                continue;
            }
            let found = match self.peek().kind {
                TokenKind::Symbol(symbol) => operator(symbol),
                _ => None,
            };
            // A line that begins with `-`, `+`, `*`, `/` or `<` is a statement of its own; `&&` and `||` go on.
            let goes_on = |level: u8| level >= least && (self.same_line() || level < 2);
            let Some((level, op)) = found.filter(|(level, _)| goes_on(*level)) else {
                return Ok(left);
            };
            self.next();
            let right = Box::new(self.binary(level + 1)?);
            let span = self.span_from(start);
            left = expr(
                ExprKind::Binary {
                    op,
                    left: Box::new(left),
                    right,
                },
                span,
            );
        }
    }

    fn relation(&mut self, left: &Expr, start: Span) -> Parsed<Option<Expr>> {
        let kind = if self.take_word("in") {
            let right = Box::new(self.binary(SHIFT)?);
            ExprKind::Binary {
                op: BinaryOp::In,
                left: Box::new(left.clone()),
                right,
            }
        } else if self.take_word("instanceof") {
            ExprKind::InstanceOf {
                value: Box::new(left.clone()),
                class: self.qualified_name()?,
            }
        } else if self.take_word("as") {
            let class = self.qualified_name()?;
            if self.is("[") && self.is_ahead(1, "]") {
                self.at += 2;
            }
            ExprKind::Cast {
                value: Box::new(left.clone()),
                class,
            }
        } else {
            return Ok(None);
        };
        Ok(Some(expr(kind, self.span_from(start))))
    }

    fn unary(&mut self) -> Parsed<Expr> {
        self.deeper(|parser| {
            let start = parser.peek().span;
            if parser.take("!") {
                let value = Box::new(parser.unary()?);
                return Ok(expr(ExprKind::Not(value), parser.span_from(start)));
            }
            if parser.take("-") {
                let value = parser.unary()?;
                let span = parser.span_from(start);
                return Ok(match value.kind {
                    ExprKind::Int(number) => expr(ExprKind::Int(number.wrapping_neg()), span),
                    ExprKind::Decimal(number) => expr(ExprKind::Decimal(-number), span),
                    _ => expr(ExprKind::Negate(Box::new(value)), span),
                });
            }
            // A pattern, `~/re/`, is its text here: that is what `=~`, `==~` and `replaceAll` take.
            if parser.take("+") || parser.take("~") {
                return parser.unary();
            }
            for (symbol, by) in [("++", 1), ("--", -1)] {
                if parser.take(symbol) {
                    let target = Box::new(parser.unary()?);
                    return Ok(expr(
                        ExprKind::Step {
                            target,
                            by,
                            postfix: false,
                        },
                        parser.span_from(start),
                    ));
                }
            }
            if let Some(class) = parser.cast_ahead() {
                let value = Box::new(parser.unary()?);
                return Ok(expr(
                    ExprKind::Cast { value, class },
                    parser.span_from(start),
                ));
            }
            let mut value = parser.postfix()?;
            if parser.same_line() && parser.is("**") {
                parser.next();
                let right = Box::new(parser.unary()?);
                let span = parser.span_from(start);
                value = expr(
                    ExprKind::Binary {
                        op: BinaryOp::Power,
                        left: Box::new(value),
                        right,
                    },
                    span,
                );
            }
            Ok(value)
        })
    }

    /// `(Type) value`: a capitalised or primitive name alone in parentheses with an operand behind.
    fn cast_ahead(&mut self) -> Option<String> {
        if !self.is("(") {
            return None;
        }
        let TokenKind::Word(class) = &self.ahead(1).kind else {
            return None;
        };
        let typed = class.starts_with(char::is_uppercase)
            || matches!(class.as_str(), "int" | "long" | "boolean" | "double");
        let after = self.ahead(3);
        let operand = match &after.kind {
            TokenKind::Word(word) => !matches!(word.as_str(), "in" | "instanceof" | "as"),
            TokenKind::Int(_)
            | TokenKind::Decimal(_)
            | TokenKind::Text(_)
            | TokenKind::Interpolated(_) => true,
            TokenKind::Symbol(symbol) => matches!(*symbol, "(" | "["),
            TokenKind::End => false,
        };
        if !typed || !self.is_ahead(2, ")") || !operand || after.newline_before {
            return None;
        }
        self.at += 3;
        Some(class.clone())
    }

    fn postfix(&mut self) -> Parsed<Expr> {
        let start = self.peek().span;
        let mut value = self.primary()?;
        loop {
            let token = self.peek();
            let TokenKind::Symbol(symbol) = token.kind else {
                return Ok(value);
            };
            value = match symbol {
                // A method call may go on at the next line, with its dot there.
                "." | "?." | "*." => self.member(value, start)?,
                "(" if !token.newline_before && !token.space_before => self.call(value, start)?,
                // `name (args)` is a call too; `a (b)` after another value is not.
                "(" if !token.newline_before && matches!(value.kind, ExprKind::Name(_)) => {
                    self.call(value, start)?
                }
                "[" if !token.newline_before && !token.space_before => self.index(value, start)?,
                "{" if !token.newline_before && takes_closure(&value) => {
                    self.trailing_closure(value, start)?
                }
                "++" | "--" if !token.newline_before => {
                    self.next();
                    let by = if symbol == "++" { 1 } else { -1 };
                    let span = self.span_from(start);
                    expr(
                        ExprKind::Step {
                            target: Box::new(value),
                            by,
                            postfix: true,
                        },
                        span,
                    )
                }
                _ => return Ok(value),
            };
        }
    }

    fn member(&mut self, object: Expr, start: Span) -> Parsed<Expr> {
        let TokenKind::Symbol(dot) = self.next().kind else {
            return Ok(object);
        };
        let (safe, spread) = (dot == "?.", dot == "*.");
        let token = self.peek();
        let name = match &token.kind {
            TokenKind::Word(word) => expr(ExprKind::Text(word.clone()), token.span),
            TokenKind::Text(text) => expr(ExprKind::Text(text.clone()), token.span),
            TokenKind::Interpolated(pieces) => {
                expr(ExprKind::Interpolated(self.parts(pieces)?), token.span)
            }
            _ => return Err(self.unexpected("a property's name after the dot")),
        };
        self.next();
        let span = self.span_from(start);
        Ok(expr(
            ExprKind::Property {
                object: Box::new(object),
                name: Box::new(name),
                safe,
                spread,
            },
            span,
        ))
    }

    fn call(&mut self, callee: Expr, start: Span) -> Parsed<Expr> {
        let args = self.parenthesised_args()?;
        let span = self.span_from(start);
        Ok(expr(call_kind(callee, args), span))
    }

    /// A closure behind a call is its last argument; behind a name it makes a call.
    fn trailing_closure(&mut self, callee: Expr, start: Span) -> Parsed<Expr> {
        let closure = self.closure()?;
        let arg = Arg {
            name: None,
            value: closure,
            spread: false,
        };
        let span = self.span_from(start);
        let kind = match callee.kind {
            ExprKind::Call {
                object,
                name,
                name_span,
                mut args,
                safe,
                spread,
            } => {
                args.push(arg);
                ExprKind::Call {
                    object,
                    name,
                    name_span,
                    args,
                    safe,
                    spread,
                }
            }
            ExprKind::Invoke { callee, mut args } => {
                args.push(arg);
                ExprKind::Invoke { callee, args }
            }
            kind => call_kind(expr(kind, callee.span), vec![arg]),
        };
        Ok(expr(kind, span))
    }

    fn index(&mut self, object: Expr, start: Span) -> Parsed<Expr> {
        self.expect("[", "before the index")?;
        let index = self.grouping(Self::expression)?;
        self.expect("]", "after the index")?;
        let span = self.span_from(start);
        Ok(expr(
            ExprKind::Index {
                object: Box::new(object),
                index: Box::new(index),
            },
            span,
        ))
    }
}

fn call_kind(callee: Expr, args: Vec<Arg>) -> ExprKind {
    match callee.kind {
        ExprKind::Name(name) => ExprKind::Call {
            object: None,
            name,
            name_span: callee.span,
            args,
            safe: false,
            spread: false,
        },
        ExprKind::Property {
            object,
            name,
            safe,
            spread,
        } => match name.kind {
            ExprKind::Text(text) => ExprKind::Call {
                object: Some(object),
                name: text,
                name_span: name.span,
                args,
                safe,
                spread,
            },
            kind => {
                let name = Box::new(expr(kind, name.span));
                let callee = expr(
                    ExprKind::Property {
                        object,
                        name,
                        safe,
                        spread,
                    },
                    callee.span,
                );
                ExprKind::Invoke {
                    callee: Box::new(callee),
                    args,
                }
            }
        },
        kind => ExprKind::Invoke {
            callee: Box::new(expr(kind, callee.span)),
            args,
        },
    }
}

fn takes_closure(value: &Expr) -> bool {
    matches!(
        value.kind,
        ExprKind::Name(_)
            | ExprKind::Property { spread: false, .. }
            | ExprKind::Call { .. }
            | ExprKind::Invoke { .. }
    )
}
