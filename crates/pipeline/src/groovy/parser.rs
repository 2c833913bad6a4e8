//! From tokens to the syntax tree: recursive descent, one function a level of precedence.
//!
//! Statements end at a line end, so each function that could go on asks whether the next token stands on the same line; inside
//! parentheses and brackets it does not matter.

use std::sync::Arc;

use super::ast::{
    Arg, BinaryOp, Catch, ClosureExpr, Expr, ExprKind, Function, Parameter, Script, Stmt, StmtKind,
    StringPart,
};
use super::error::{Span, SyntaxError};
use super::lexer::{Piece, Token, TokenKind, tokens};

type Parsed<T> = Result<T, SyntaxError>;

/// Expressions and statements nested deeper than this are refused, so that no text can exhaust the stack.
const MAX_DEPTH: usize = 120;

/// Words that begin a statement or stand in an expression, and so are no names.
const KEYWORDS: [&str; 27] = [
    "if",
    "else",
    "for",
    "while",
    "switch",
    "case",
    "default",
    "try",
    "catch",
    "finally",
    "throw",
    "return",
    "break",
    "continue",
    "assert",
    "def",
    "new",
    "in",
    "instanceof",
    "as",
    "null",
    "true",
    "false",
    "import",
    "class",
    "interface",
    "enum",
];

/// Modifiers and types that may stand where `def` stands.
const MODIFIERS: [&str; 7] = [
    "final",
    "static",
    "private",
    "public",
    "protected",
    "def",
    "void",
];

/// Parses a whole script.
pub fn parse(text: &str) -> Parsed<Script> {
    let tokens = tokens(text)?;
    let mut parser = Parser {
        tokens: &tokens,
        at: 0,
        depth: 0,
        grouped: 0,
    };
    parser.script()
}

struct Parser<'t> {
    tokens: &'t [Token],
    at: usize,
    depth: usize,
    /// Inside parentheses or brackets, where line ends don't matter.
    grouped: usize,
}

impl<'t> Parser<'t> {
    // ---- tokens -------------------------------------------------------------------------------------------------

    fn peek(&self) -> &'t Token {
        &self.tokens[self.at.min(self.tokens.len() - 1)]
    }

    fn ahead(&self, by: usize) -> &'t Token {
        &self.tokens[(self.at + by).min(self.tokens.len() - 1)]
    }

    fn next(&mut self) -> &'t Token {
        let token = self.peek();
        self.at = (self.at + 1).min(self.tokens.len() - 1);
        token
    }

    fn is(&self, symbol: &str) -> bool {
        matches!(self.peek().kind, TokenKind::Symbol(found) if found == symbol)
    }

    fn is_ahead(&self, by: usize, symbol: &str) -> bool {
        matches!(self.ahead(by).kind, TokenKind::Symbol(found) if found == symbol)
    }

    fn is_word(&self, word: &str) -> bool {
        matches!(&self.peek().kind, TokenKind::Word(found) if found == word)
    }

    fn take(&mut self, symbol: &str) -> bool {
        let found = self.is(symbol);
        if found {
            self.next();
        }
        found
    }

    fn take_word(&mut self, word: &str) -> bool {
        let found = self.is_word(word);
        if found {
            self.next();
        }
        found
    }

    /// Whether the next token goes on with what stands before it.
    fn same_line(&self) -> bool {
        self.grouped > 0 || !self.peek().newline_before
    }

    fn expect(&mut self, symbol: &str, place: &str) -> Parsed<Span> {
        if self.is(symbol) {
            return Ok(self.next().span);
        }
        Err(self.unexpected(&format!("`{symbol}` {place}")))
    }

    fn unexpected(&self, expected: &str) -> SyntaxError {
        let token = self.peek();
        SyntaxError::new(
            token.span,
            format!("found {}, expected {expected}", describe(token)),
        )
    }

    fn span_from(&self, start: Span) -> Span {
        let last = if self.at == 0 {
            start
        } else {
            self.tokens[self.at - 1].span
        };
        start.to(last)
    }

    fn deeper<T>(&mut self, parse: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(SyntaxError::new(
                self.peek().span,
                "the script is nested too deeply",
            ));
        }
        let parsed = parse(self);
        self.depth -= 1;
        parsed
    }

    fn grouping<T>(&mut self, parse: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        let grouped = self.grouped;
        self.grouped += 1;
        let parsed = parse(self);
        self.grouped = grouped;
        parsed
    }

    // ---- statements ---------------------------------------------------------------------------------------------

    fn script(&mut self) -> Parsed<Script> {
        let mut script = Script::default();
        loop {
            while self.take(";") {}
            if self.peek().kind == TokenKind::End {
                return Ok(script);
            }
            if self.is("@") {
                let annotation = self.annotation()?;
                script.annotations.push(annotation);
                // `@Library('x') _` needs something to stand on; the underscore is that.
                self.take_word("_");
                continue;
            }
            if self.take_word("import") {
                self.import()?;
                continue;
            }
            if self.is_word("package") && matches!(self.ahead(1).kind, TokenKind::Word(_)) {
                self.next();
                self.import()?;
                continue;
            }
            let statement = self.statement()?;
            script.statements.push(statement);
            self.statement_end("the script")?;
        }
    }

    fn annotation(&mut self) -> Parsed<(String, Vec<Arg>, Span)> {
        let start = self.next().span;
        let name = self.qualified_name()?;
        let args = if self.is("(") && !self.peek().space_before {
            self.parenthesised_args()?
        } else {
            Vec::new()
        };
        Ok((name, args, self.span_from(start)))
    }

    /// An import changes nothing: which classes are known does not depend on it.
    fn import(&mut self) -> Parsed<()> {
        self.take_word("static");
        self.qualified_name()?;
        if self.take(".") {
            self.expect("*", "after the package")?;
        }
        if self.take_word("as") {
            self.word("a name")?;
        }
        Ok(())
    }

    fn qualified_name(&mut self) -> Parsed<String> {
        let (mut name, _) = self.word("a name")?;
        while self.is(".") && matches!(self.ahead(1).kind, TokenKind::Word(_)) {
            self.next();
            name.push('.');
            name.push_str(&self.word("a name")?.0);
        }
        Ok(name)
    }

    fn word(&mut self, expected: &str) -> Parsed<(String, Span)> {
        match &self.peek().kind {
            TokenKind::Word(word) => {
                let span = self.next().span;
                Ok((word.clone(), span))
            }
            _ => Err(self.unexpected(expected)),
        }
    }

    fn statement_end(&mut self, inside: &str) -> Parsed<()> {
        if self.take(";")
            || self.is("}")
            || self.peek().kind == TokenKind::End
            || self.peek().newline_before
        {
            return Ok(());
        }
        let error = self.unexpected(&format!("the end of the statement in {inside}"));
        Err(error.hint("Put each statement on a line of its own, or a `;` between two."))
    }

    /// A block in braces, or a single statement.
    fn body(&mut self) -> Parsed<Vec<Stmt>> {
        if self.is("{") {
            self.block()
        } else {
            Ok(vec![self.statement()?])
        }
    }

    fn block(&mut self) -> Parsed<Vec<Stmt>> {
        let open = self.expect("{", "to begin the block")?;
        self.statements_until_brace(open)
    }

    fn statements_until_brace(&mut self, open: Span) -> Parsed<Vec<Stmt>> {
        let grouped = std::mem::take(&mut self.grouped);
        let mut statements = Vec::new();
        loop {
            while self.take(";") {}
            if self.take("}") {
                break;
            }
            if self.peek().kind == TokenKind::End {
                return Err(SyntaxError::new(
                    open,
                    "this `{` is never closed: expected `}` before the end of the file",
                ));
            }
            statements.push(self.statement()?);
            self.statement_end("the block")?;
        }
        self.grouped = grouped;
        Ok(statements)
    }

    fn statement(&mut self) -> Parsed<Stmt> {
        self.deeper(|parser| {
            let start = parser.peek().span;
            let kind = parser.statement_kind()?;
            Ok(Stmt {
                kind,
                span: parser.span_from(start),
            })
        })
    }

    fn statement_kind(&mut self) -> Parsed<StmtKind> {
        while self.is("@") {
            self.annotation()?;
        }
        let TokenKind::Word(word) = &self.peek().kind else {
            if self.is("{") && !self.arrow_ahead(1) {
                let error = self.unexpected("a statement");
                return Err(error
                    .hint("A `{` belongs on the same line as the step or directive before it."));
            }
            return self.expression_statement();
        };
        // `label: value` and `if: 1` in a closure are no keywords.
        if self.is_ahead(1, ":") {
            return self.expression_statement();
        }
        match word.as_str() {
            "if" => self.if_statement(),
            "while" => {
                self.next();
                let condition = self.condition()?;
                Ok(StmtKind::While {
                    condition,
                    body: self.body()?,
                })
            }
            "for" => self.for_statement(),
            "switch" => self.switch_statement(),
            "try" => self.try_statement(),
            "throw" => {
                self.next();
                Ok(StmtKind::Throw(self.expression()?))
            }
            "return" => {
                self.next();
                let ends = self.is(";")
                    || self.is("}")
                    || self.peek().kind == TokenKind::End
                    || !self.same_line();
                Ok(StmtKind::Return(if ends {
                    None
                } else {
                    Some(self.command_expression()?)
                }))
            }
            "break" => {
                self.next();
                Ok(StmtKind::Break)
            }
            "continue" => {
                self.next();
                Ok(StmtKind::Continue)
            }
            "assert" => {
                self.next();
                let condition = self.expression()?;
                let message = if self.take(":") || self.take(",") {
                    Some(self.expression()?)
                } else {
                    None
                };
                Ok(StmtKind::Assert { condition, message })
            }
            "class" | "interface" | "enum" if matches!(self.ahead(1).kind, TokenKind::Word(_)) => {
                let error = SyntaxError::new(
                    self.peek().span,
                    format!("found `{word}`: classes are not supported"),
                );
                Err(error.hint("Write functions (`def name(args) { … }`) and maps instead."))
            }
            _ => self.definition_or_expression(),
        }
    }

    fn expression_statement(&mut self) -> Parsed<StmtKind> {
        Ok(StmtKind::Expr(self.command_expression()?))
    }
}

mod expressions;
mod primary;
mod statements;

/// A token for a person.
fn describe(token: &Token) -> String {
    match &token.kind {
        TokenKind::Word(word) => format!("`{word}`"),
        TokenKind::Int(number) => format!("`{number}`"),
        TokenKind::Decimal(number) => format!("`{number}`"),
        TokenKind::Text(text) if text.chars().count() <= 30 => format!("the string '{text}'"),
        TokenKind::Text(_) | TokenKind::Interpolated(_) => "a string".to_owned(),
        TokenKind::Symbol(symbol) => format!("`{symbol}`"),
        TokenKind::End => "the end of the file".to_owned(),
    }
}
