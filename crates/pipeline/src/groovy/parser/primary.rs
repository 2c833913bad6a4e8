//! What expressions are made of: literals, names, lists, maps, closures, interpolations.

use super::expressions::expr;
use super::*;

impl Parser<'_> {
    pub(super) fn primary(&mut self) -> Parsed<Expr> {
        let token = self.peek();
        let span = token.span;
        match &token.kind {
            TokenKind::Int(number) => {
                self.next();
                Ok(expr(ExprKind::Int(*number), span))
            }
            TokenKind::Decimal(number) => {
                self.next();
                Ok(expr(ExprKind::Decimal(*number), span))
            }
            TokenKind::Text(text) => {
                self.next();
                Ok(expr(ExprKind::Text(text.clone()), span))
            }
            TokenKind::Interpolated(pieces) => {
                self.next();
                Ok(expr(ExprKind::Interpolated(self.parts(pieces)?), span))
            }
            TokenKind::Word(word) => self.word_expression(word, span),
            TokenKind::Symbol("(") => {
                self.next();
                let value = self.grouping(Self::command_expression)?;
                self.expect(")", "after the expression")?;
                Ok(expr(value.kind, self.span_from(span)))
            }
            TokenKind::Symbol("[") => self.list_or_map(),
            TokenKind::Symbol("{") => self.closure(),
            _ => Err(self.unexpected("an expression")),
        }
    }

    pub(super) fn word_expression(&mut self, word: &str, span: Span) -> Parsed<Expr> {
        let kind = match word {
            "null" => ExprKind::Null,
            "true" => ExprKind::Bool(true),
            "false" => ExprKind::Bool(false),
            "new" => {
                self.next();
                let class = self.qualified_name()?;
                if self.is("<") && !self.skip_type_arguments() {
                    return Err(self.unexpected("the constructor's arguments"));
                }
                let args = if self.is("(") {
                    self.parenthesised_args()?
                } else {
                    Vec::new()
                };
                return Ok(expr(ExprKind::New { class, args }, self.span_from(span)));
            }
            _ if KEYWORDS.contains(&word) && !matches!(word, "default" | "in" | "as" | "case") => {
                return Err(self.unexpected("an expression"));
            }
            _ => ExprKind::Name(word.to_owned()),
        };
        self.next();
        Ok(expr(kind, span))
    }

    pub(super) fn list_or_map(&mut self) -> Parsed<Expr> {
        let open = self.next().span;
        self.grouping(|parser| {
            if parser.take(":") {
                parser.expect("]", "to end the empty map")?;
                return Ok(expr(ExprKind::Map(Vec::new()), parser.span_from(open)));
            }
            let mut items = Vec::new();
            let mut entries = Vec::new();
            while !parser.is("]") && parser.peek().kind != TokenKind::End {
                let item = parser.map_key_or_item()?;
                if parser.take(":") {
                    entries.push((item, parser.command_expression()?));
                } else {
                    items.push(item);
                }
                if !parser.take(",") {
                    break;
                }
            }
            if parser.peek().kind == TokenKind::End {
                return Err(SyntaxError::new(
                    open,
                    "this `[` is never closed: expected `]`",
                ));
            }
            if !items.is_empty() && !entries.is_empty() {
                return Err(SyntaxError::new(
                    items[0].span,
                    "a value stands among a map's entries: expected `key: value`",
                ));
            }
            parser.expect("]", "or `,` after the item")?;
            let span = parser.span_from(open);
            Ok(if entries.is_empty() {
                expr(ExprKind::List(items), span)
            } else {
                expr(ExprKind::Map(entries), span)
            })
        })
    }

    pub(super) fn map_key_or_item(&mut self) -> Parsed<Expr> {
        // A bare word before a colon is a key, not a name; any keyword may be one.
        if self.is_ahead(1, ":")
            && let TokenKind::Word(word) = &self.peek().kind
        {
            let span = self.next().span;
            return Ok(expr(ExprKind::Text(word.clone()), span));
        }
        self.expression()
    }

    pub(super) fn closure(&mut self) -> Parsed<Expr> {
        self.deeper(|parser| {
            let open = parser.expect("{", "to begin the closure")?;
            let parameters = if parser.arrow_ahead(0) {
                let parameters = parser.grouping(|parser| parser.parameters("->"))?;
                parser.expect("->", "after the closure's parameters")?;
                Some(parameters)
            } else {
                None
            };
            let body = parser.statements_until_brace(open)?;
            let span = parser.span_from(open);
            Ok(expr(
                ExprKind::Closure(Arc::new(ClosureExpr {
                    parameters,
                    body,
                    span,
                })),
                span,
            ))
        })
    }

    /// Whether the parameters of a closure stand here, behind so many tokens: only names, types, defaults and commas up
    /// to an arrow.
    pub(super) fn arrow_ahead(&self, behind: usize) -> bool {
        for by in behind..behind + 64 {
            match &self.ahead(by).kind {
                TokenKind::Symbol("->") => return true,
                TokenKind::Word(_) | TokenKind::Int(_) | TokenKind::Text(_) => {}
                TokenKind::Symbol("," | "=" | "." | "<" | ">" | "[" | "]") => {}
                _ => return false,
            }
        }
        false
    }

    pub(super) fn parts(&mut self, pieces: &[Piece]) -> Parsed<Vec<StringPart>> {
        let mut parts = Vec::new();
        for piece in pieces {
            parts.push(match piece {
                Piece::Text(text) => StringPart::Text(text.clone()),
                Piece::Tokens(tokens) => {
                    let mut inner = Parser {
                        tokens,
                        at: 0,
                        depth: self.depth + 1,
                        grouped: 1,
                    };
                    if inner.peek().kind == TokenKind::End {
                        StringPart::Text(String::new())
                    } else {
                        let value = inner.expression()?;
                        if inner.peek().kind != TokenKind::End {
                            return Err(inner.unexpected("`}` to end the interpolation"));
                        }
                        StringPart::Expr(value)
                    }
                }
            });
        }
        Ok(parts)
    }
}
