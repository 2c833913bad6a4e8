//! From tokens to the syntax tree: recursive descent, one function a level of precedence.
//!
//! Statements end at a line end, so each function that could go on asks whether the next token stands on the same line; inside
//! parentheses and brackets it does not matter.

use std::sync::Arc;

use super::ast::{Arg, BinaryOp, Catch, ClosureExpr, Expr, ExprKind, Function, Parameter, Script, Stmt, StmtKind, StringPart};
use super::error::{Span, SyntaxError};
use super::lexer::{Piece, Token, TokenKind, tokens};

type Parsed<T> = Result<T, SyntaxError>;

/// Expressions and statements nested deeper than this are refused, so that no text can exhaust the stack.
const MAX_DEPTH: usize = 120;

/// Words that begin a statement or stand in an expression, and so are no names.
const KEYWORDS: [&str; 27] = [
    "if", "else", "for", "while", "switch", "case", "default", "try", "catch", "finally", "throw", "return", "break",
    "continue", "assert", "def", "new", "in", "instanceof", "as", "null", "true", "false", "import", "class", "interface", "enum",
];

/// Modifiers and types that may stand where `def` stands.
const MODIFIERS: [&str; 7] = ["final", "static", "private", "public", "protected", "def", "void"];

/// Parses a whole script.
pub fn parse(text: &str) -> Parsed<Script> {
    let tokens = tokens(text)?;
    let mut parser = Parser { tokens: &tokens, at: 0, depth: 0, grouped: 0 };
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
        SyntaxError::new(token.span, format!("found {}, expected {expected}", describe(token)))
    }

    fn span_from(&self, start: Span) -> Span {
        let last = if self.at == 0 { start } else { self.tokens[self.at - 1].span };
        start.to(last)
    }

    fn deeper<T>(&mut self, parse: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(SyntaxError::new(self.peek().span, "the script is nested too deeply"));
        }
        let parsed = parse(self);
        self.depth -= 1;
        parsed
    }

    fn grouping<T>(&mut self, parse: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        self.grouped += 1;
        let parsed = parse(self);
        self.grouped -= 1;
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
        let args = if self.is("(") && !self.peek().space_before { self.parenthesised_args()? } else { Vec::new() };
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
        if self.take(";") || self.is("}") || self.peek().kind == TokenKind::End || self.peek().newline_before {
            return Ok(());
        }
        let error = self.unexpected(&format!("the end of the statement in {inside}"));
        Err(error.hint("Put each statement on a line of its own, or a `;` between two."))
    }

    /// A block in braces, or a single statement.
    fn body(&mut self) -> Parsed<Vec<Stmt>> {
        if self.is("{") { self.block() } else { Ok(vec![self.statement()?]) }
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
                return Err(SyntaxError::new(open, "this `{` is never closed: expected `}` before the end of the file"));
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
            Ok(Stmt { kind, span: parser.span_from(start) })
        })
    }

    fn statement_kind(&mut self) -> Parsed<StmtKind> {
        while self.is("@") {
            self.annotation()?;
        }
        let TokenKind::Word(word) = &self.peek().kind else {
            if self.is("{") {
                let error = self.unexpected("a statement");
                return Err(error.hint("A `{` belongs on the same line as the step or directive before it."));
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
                Ok(StmtKind::While { condition, body: self.body()? })
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
                let ends = self.is(";") || self.is("}") || self.peek().kind == TokenKind::End || !self.same_line();
                Ok(StmtKind::Return(if ends { None } else { Some(self.command_expression()?) }))
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
                let message = if self.take(":") || self.take(",") { Some(self.expression()?) } else { None };
                Ok(StmtKind::Assert { condition, message })
            }
            "class" | "interface" | "enum" if matches!(self.ahead(1).kind, TokenKind::Word(_)) => {
                let error = SyntaxError::new(self.peek().span, format!("found `{word}`: classes are not supported"));
                Err(error.hint("Write functions (`def name(args) { … }`) and maps instead."))
            }
            _ => self.definition_or_expression(),
        }
    }

    fn if_statement(&mut self) -> Parsed<StmtKind> {
        self.next();
        let condition = self.condition()?;
        let then = self.body()?;
        // `if (a) b; else c` is one statement.
        if self.is(";") && matches!(&self.ahead(1).kind, TokenKind::Word(word) if word == "else") {
            self.next();
        }
        let otherwise = if self.take_word("else") { self.body()? } else { Vec::new() };
        Ok(StmtKind::If { condition, then, otherwise })
    }

    fn condition(&mut self) -> Parsed<Expr> {
        self.expect("(", "before the condition")?;
        let condition = self.grouping(Self::expression)?;
        self.expect(")", "after the condition")?;
        Ok(condition)
    }

    fn for_statement(&mut self) -> Parsed<StmtKind> {
        self.next();
        self.expect("(", "after `for`")?;
        let head = self.grouping(|parser| {
            // `for (x in …)`, `for (def x in …)`, `for (String x : …)`
            let mut at = 0;
            while matches!(&parser.ahead(at).kind, TokenKind::Word(word) if word != "in") || parser.is_ahead(at, ".") {
                at += 1;
            }
            let each = matches!(&parser.ahead(at).kind, TokenKind::Word(word) if word == "in") || parser.is_ahead(at, ":");
            if at > 0 && each {
                let TokenKind::Word(name) = parser.ahead(at - 1).kind.clone() else {
                    return Err(parser.unexpected("a name"));
                };
                parser.at += at + 1;
                let items = parser.expression()?;
                return Ok(StmtKind::ForIn { name, items, body: Vec::new() });
            }
            let init = if parser.is(";") { None } else { Some(Box::new(parser.statement()?)) };
            parser.expect(";", "after the loop's start")?;
            let condition = if parser.is(";") { None } else { Some(parser.expression()?) };
            parser.expect(";", "after the loop's condition")?;
            let step = if parser.is(")") { None } else { Some(parser.expression()?) };
            Ok(StmtKind::For { init, condition, step, body: Vec::new() })
        })?;
        self.expect(")", "after the loop's head")?;
        let new_body = self.body()?;
        Ok(match head {
            StmtKind::ForIn { name, items, .. } => StmtKind::ForIn { name, items, body: new_body },
            StmtKind::For { init, condition, step, .. } => StmtKind::For { init, condition, step, body: new_body },
            other => other,
        })
    }

    fn switch_statement(&mut self) -> Parsed<StmtKind> {
        self.next();
        let subject = self.condition()?;
        let open = self.expect("{", "to begin the cases")?;
        let grouped = std::mem::take(&mut self.grouped);
        let mut cases: Vec<(Option<Expr>, Vec<Stmt>)> = Vec::new();
        loop {
            while self.take(";") {}
            if self.take("}") {
                break;
            }
            if self.take_word("case") {
                let value = self.expression()?;
                self.expect(":", "after the case")?;
                cases.push((Some(value), Vec::new()));
            } else if self.is_word("default") && self.is_ahead(1, ":") {
                self.at += 2;
                cases.push((None, Vec::new()));
            } else if self.peek().kind == TokenKind::End {
                return Err(SyntaxError::new(open, "this `{` is never closed: expected `}` before the end of the file"));
            } else if cases.is_empty() {
                return Err(self.unexpected("`case` or `default`"));
            } else {
                let statement = self.statement()?;
                self.statement_end("the case")?;
                if let Some((_, body)) = cases.last_mut() {
                    body.push(statement);
                }
            }
        }
        self.grouped = grouped;
        Ok(StmtKind::Switch { subject, cases })
    }

    fn try_statement(&mut self) -> Parsed<StmtKind> {
        let start = self.next().span;
        let body = self.block()?;
        let mut catches = Vec::new();
        while self.take_word("catch") {
            self.expect("(", "after `catch`")?;
            let mut classes = vec![self.qualified_name()?];
            while self.take("|") {
                classes.push(self.qualified_name()?);
            }
            let name = match &self.peek().kind {
                TokenKind::Word(name) => {
                    self.next();
                    name.clone()
                }
                // `catch (e)` catches every exception.
                _ => classes.pop().unwrap_or_default(),
            };
            self.expect(")", "after the exception's name")?;
            catches.push(Catch { classes, name, body: self.block()? });
        }
        let mut finally = Vec::new();
        let ends = self.take_word("finally");
        if ends {
            finally = self.block()?;
        }
        if catches.is_empty() && !ends {
            return Err(SyntaxError::new(start, "`try` needs a `catch` or a `finally`"));
        }
        Ok(StmtKind::Try { body, catches, finally })
    }

    /// `def x = …`, `String x`, `def f(a) { … }`, `void f() { … }`, or an expression.
    fn definition_or_expression(&mut self) -> Parsed<StmtKind> {
        let mut at = self.at;
        let mut modified = false;
        while let TokenKind::Word(word) = &self.tokens[at.min(self.tokens.len() - 1)].kind {
            if !MODIFIERS.contains(&word.as_str()) {
                break;
            }
            modified = true;
            at += 1;
        }
        let begin = self.at;
        self.at = at;
        if modified && self.is("(") {
            return self.unpacking();
        }
        // A type before the name: `String x`, `List<String> x`, `Map[] x`, `java.util.List x`.
        let typed = self.skip_type();
        if (modified || typed) && let TokenKind::Word(name) = &self.peek().kind {
            let followed = self.ahead(1);
            let function = matches!(followed.kind, TokenKind::Symbol("("));
            let defines = matches!(followed.kind, TokenKind::Symbol("=" | ";" | "}" | "," | "in" | ":") | TokenKind::End)
                || followed.newline_before;
            if function && !followed.space_before && (modified || self.is_function_ahead()) {
                return self.function(name.clone());
            }
            if function && self.is_function_ahead() {
                return self.function(name.clone());
            }
            if defines {
                return self.variables();
            }
            if modified {
                self.next();
                return Err(self.unexpected(&format!("`=` or the end of the statement after `{name}`")));
            }
        }
        if modified {
            return Err(self.unexpected("a name"));
        }
        self.at = begin;
        self.expression_statement()
    }

    /// Whether `name ( … ) {` stands here.
    fn is_function_ahead(&self) -> bool {
        let mut depth = 0_usize;
        for by in 1.. {
            match &self.ahead(by).kind {
                TokenKind::Symbol("(") => depth += 1,
                TokenKind::Symbol(")") => {
                    depth -= 1;
                    if depth == 0 {
                        return self.is_ahead(by + 1, "{");
                    }
                }
                TokenKind::End => return false,
                _ => {}
            }
        }
        false
    }

    /// Skips a type where one stands before a name on the same line; else stays.
    fn skip_type(&mut self) -> bool {
        let begin = self.at;
        let typed = (|| {
            let TokenKind::Word(word) = &self.peek().kind else { return false };
            if KEYWORDS.contains(&word.as_str()) {
                return false;
            }
            let primitive = matches!(word.as_str(), "int" | "long" | "boolean" | "double" | "float" | "char" | "byte" | "short");
            if self.qualified_name().is_err() {
                return false;
            }
            let last = &self.tokens[self.at - 1];
            let capital = matches!(&last.kind, TokenKind::Word(word) if word.starts_with(char::is_uppercase));
            if !(capital || primitive) {
                return false;
            }
            if self.is("<") && !self.skip_type_arguments() {
                return false;
            }
            while self.is("[") && self.is_ahead(1, "]") {
                self.at += 2;
            }
            matches!(&self.peek().kind, TokenKind::Word(word) if !KEYWORDS.contains(&word.as_str())) && self.same_line()
        })();
        if !typed {
            self.at = begin;
        }
        typed
    }

    fn skip_type_arguments(&mut self) -> bool {
        let mut depth = 0_usize;
        loop {
            match &self.peek().kind {
                TokenKind::Symbol("<") => depth += 1,
                TokenKind::Symbol(">") => depth -= 1,
                TokenKind::Symbol(">>") => depth = depth.saturating_sub(2),
                TokenKind::Symbol("," | "." | "?" | "[" | "]") | TokenKind::Word(_) => {}
                _ => return false,
            }
            self.next();
            if depth == 0 {
                return true;
            }
        }
    }

    fn unpacking(&mut self) -> Parsed<StmtKind> {
        self.expect("(", "before the names")?;
        let mut names = Vec::new();
        loop {
            self.skip_type();
            names.push(self.word("a name")?.0);
            if !self.take(",") {
                break;
            }
        }
        self.expect(")", "after the names")?;
        self.expect("=", "after the names")?;
        Ok(StmtKind::Define { names, unpack: true, value: Some(self.command_expression()?) })
    }

    fn variables(&mut self) -> Parsed<StmtKind> {
        let (name, _) = self.word("a name")?;
        let mut names = vec![name];
        let value = if self.take("=") { Some(self.command_expression()?) } else { None };
        while value.is_none() && self.take(",") {
            names.push(self.word("a name")?.0);
        }
        Ok(StmtKind::Define { names, unpack: false, value })
    }

    fn function(&mut self, name: String) -> Parsed<StmtKind> {
        let start = self.next().span;
        self.expect("(", "after the function's name")?;
        let parameters = self.grouping(|parser| parser.parameters(")"))?;
        self.expect(")", "after the parameters")?;
        if self.take_word("throws") {
            self.qualified_name()?;
        }
        let body = self.block()?;
        let span = self.span_from(start);
        Ok(StmtKind::Function(Arc::new(Function { name, parameters, body, span })))
    }

    fn parameters(&mut self, end: &str) -> Parsed<Vec<Parameter>> {
        let mut parameters = Vec::new();
        while !self.is(end) {
            while self.take_word("def") || self.take_word("final") {}
            self.skip_type();
            let (name, _) = self.word("a parameter's name")?;
            let default = if self.take("=") { Some(self.expression()?) } else { None };
            parameters.push(Parameter { name, default });
            if !self.take(",") {
                break;
            }
        }
        Ok(parameters)
    }

    fn expression_statement(&mut self) -> Parsed<StmtKind> {
        Ok(StmtKind::Expr(self.command_expression()?))
    }
}

mod expressions;

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
