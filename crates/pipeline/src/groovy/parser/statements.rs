//! Statements with a word of their own, and definitions.

use super::*;

impl Parser<'_> {
    pub(super) fn if_statement(&mut self) -> Parsed<StmtKind> {
        self.next();
        let condition = self.condition()?;
        let then = self.body()?;
        // `if (a) b; else c` is one statement.
        if self.is(";") && matches!(&self.ahead(1).kind, TokenKind::Word(word) if word == "else") {
            self.next();
        }
        let otherwise = if self.take_word("else") {
            self.body()?
        } else {
            Vec::new()
        };
        Ok(StmtKind::If {
            condition,
            then,
            otherwise,
        })
    }

    pub(super) fn condition(&mut self) -> Parsed<Expr> {
        self.expect("(", "before the condition")?;
        let condition = self.grouping(Self::expression)?;
        self.expect(")", "after the condition")?;
        Ok(condition)
    }

    pub(super) fn for_statement(&mut self) -> Parsed<StmtKind> {
        self.next();
        self.expect("(", "after `for`")?;
        let head = self.grouping(|parser| {
            // `for (x in …)`, `for (def x in …)`, `for (String x : …)`
            let mut at = 0;
            while matches!(&parser.ahead(at).kind, TokenKind::Word(word) if word != "in")
                || parser.is_ahead(at, ".")
            {
                at += 1;
            }
            let each = matches!(&parser.ahead(at).kind, TokenKind::Word(word) if word == "in")
                || parser.is_ahead(at, ":");
            if at > 0 && each {
                let TokenKind::Word(name) = parser.ahead(at - 1).kind.clone() else {
                    return Err(parser.unexpected("a name"));
                };
                parser.at += at + 1;
                let items = parser.expression()?;
                return Ok(StmtKind::ForIn {
                    name,
                    items,
                    body: Vec::new(),
                });
            }
            let init = if parser.is(";") {
                None
            } else {
                Some(Box::new(parser.statement()?))
            };
            parser.expect(";", "after the loop's start")?;
            let condition = if parser.is(";") {
                None
            } else {
                Some(parser.expression()?)
            };
            parser.expect(";", "after the loop's condition")?;
            let step = if parser.is(")") {
                None
            } else {
                Some(parser.expression()?)
            };
            Ok(StmtKind::For {
                init,
                condition,
                step,
                body: Vec::new(),
            })
        })?;
        self.expect(")", "after the loop's head")?;
        let new_body = self.body()?;
        Ok(match head {
            StmtKind::ForIn { name, items, .. } => StmtKind::ForIn {
                name,
                items,
                body: new_body,
            },
            StmtKind::For {
                init,
                condition,
                step,
                ..
            } => StmtKind::For {
                init,
                condition,
                step,
                body: new_body,
            },
            other => other,
        })
    }

    pub(super) fn switch_statement(&mut self) -> Parsed<StmtKind> {
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
                return Err(SyntaxError::new(
                    open,
                    "this `{` is never closed: expected `}` before the end of the file",
                ));
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

    pub(super) fn try_statement(&mut self) -> Parsed<StmtKind> {
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
            catches.push(Catch {
                classes,
                name,
                body: self.block()?,
            });
        }
        let mut finally = Vec::new();
        let ends = self.take_word("finally");
        if ends {
            finally = self.block()?;
        }
        if catches.is_empty() && !ends {
            return Err(SyntaxError::new(
                start,
                "`try` needs a `catch` or a `finally`",
            ));
        }
        Ok(StmtKind::Try {
            body,
            catches,
            finally,
        })
    }

    /// `def x = …`, `String x`, `def f(a) { … }`, `void f() { … }`, or an expression.
    pub(super) fn definition_or_expression(&mut self) -> Parsed<StmtKind> {
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
        if (modified || typed)
            && let TokenKind::Word(name) = &self.peek().kind
        {
            let followed = self.ahead(1);
            let function = matches!(followed.kind, TokenKind::Symbol("("));
            let defines = matches!(
                followed.kind,
                TokenKind::Symbol("=" | ";" | "}" | "," | "in" | ":") | TokenKind::End
            ) || followed.newline_before;
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
                return Err(
                    self.unexpected(&format!("`=` or the end of the statement after `{name}`"))
                );
            }
        }
        if modified {
            return Err(self.unexpected("a name"));
        }
        self.at = begin;
        self.expression_statement()
    }

    /// Whether `name ( … ) {` stands here.
    pub(super) fn is_function_ahead(&self) -> bool {
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
    pub(super) fn skip_type(&mut self) -> bool {
        let begin = self.at;
        let typed = (|| {
            let TokenKind::Word(word) = &self.peek().kind else {
                return false;
            };
            if KEYWORDS.contains(&word.as_str()) {
                return false;
            }
            let primitive = matches!(
                word.as_str(),
                "int" | "long" | "boolean" | "double" | "float" | "char" | "byte" | "short"
            );
            if self.qualified_name().is_err() {
                return false;
            }
            let last = &self.tokens[self.at - 1];
            let capital =
                matches!(&last.kind, TokenKind::Word(word) if word.starts_with(char::is_uppercase));
            if !(capital || primitive) {
                return false;
            }
            if self.is("<") && !self.skip_type_arguments() {
                return false;
            }
            while self.is("[") && self.is_ahead(1, "]") {
                self.at += 2;
            }
            matches!(&self.peek().kind, TokenKind::Word(word) if !KEYWORDS.contains(&word.as_str()))
                && self.same_line()
        })();
        if !typed {
            self.at = begin;
        }
        typed
    }

    pub(super) fn skip_type_arguments(&mut self) -> bool {
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

    pub(super) fn unpacking(&mut self) -> Parsed<StmtKind> {
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
        Ok(StmtKind::Define {
            names,
            unpack: true,
            value: Some(self.command_expression()?),
        })
    }

    pub(super) fn variables(&mut self) -> Parsed<StmtKind> {
        let (name, _) = self.word("a name")?;
        let mut names = vec![name];
        let value = if self.take("=") {
            Some(self.command_expression()?)
        } else {
            None
        };
        while value.is_none() && self.take(",") {
            names.push(self.word("a name")?.0);
        }
        Ok(StmtKind::Define {
            names,
            unpack: false,
            value,
        })
    }

    pub(super) fn function(&mut self, name: String) -> Parsed<StmtKind> {
        let start = self.next().span;
        self.expect("(", "after the function's name")?;
        let parameters = self.grouping(|parser| parser.parameters(")"))?;
        self.expect(")", "after the parameters")?;
        if self.take_word("throws") {
            self.qualified_name()?;
        }
        let body = self.block()?;
        let span = self.span_from(start);
        Ok(StmtKind::Function(Arc::new(Function {
            name,
            parameters,
            body,
            span,
        })))
    }

    pub(super) fn parameters(&mut self, end: &str) -> Parsed<Vec<Parameter>> {
        let mut parameters = Vec::new();
        while !self.is(end) {
            while self.take_word("def") || self.take_word("final") {}
            self.skip_type();
            let (name, _) = self.word("a parameter's name")?;
            let default = if self.take("=") {
                Some(self.expression()?)
            } else {
                None
            };
            parameters.push(Parameter { name, default });
            if !self.take(",") {
                break;
            }
        }
        Ok(parameters)
    }
}
