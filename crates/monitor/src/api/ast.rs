//! The tree of an expression as `parse_query` shows it, and the walk over its selectors.

use promql_parser::label::{MatchOp, Matchers};
use promql_parser::parser::value::ValueType;
use promql_parser::parser::{
    AtModifier, BinaryExpr, Expr, LabelModifier, Offset, VectorMatchCardinality, VectorSelector,
    token,
};
use serde_json::{Value as Json, json};
use std::time::{Duration, SystemTime};

/// Calls `found` with every selector of an expression.
pub(super) fn each_selector<'e>(expression: &'e Expr, found: &mut dyn FnMut(&'e VectorSelector)) {
    match expression {
        Expr::VectorSelector(selector) => found(selector),
        Expr::MatrixSelector(matrix) => found(&matrix.vs),
        Expr::Aggregate(aggregate) => {
            if let Some(param) = &aggregate.param {
                each_selector(param, found);
            }
            each_selector(&aggregate.expr, found);
        }
        Expr::Unary(unary) => each_selector(&unary.expr, found),
        Expr::Binary(binary) => {
            each_selector(&binary.lhs, found);
            each_selector(&binary.rhs, found);
        }
        Expr::Paren(paren) => each_selector(&paren.expr, found),
        Expr::Subquery(subquery) => each_selector(&subquery.expr, found),
        Expr::Call(call) => call
            .args
            .args
            .iter()
            .for_each(|argument| each_selector(argument, found)),
        Expr::NumberLiteral(_) | Expr::StringLiteral(_) | Expr::Extension(_) => {}
    }
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn offset(offset: Option<&Offset>) -> i64 {
    match offset {
        None => 0,
        Some(Offset::Pos(duration)) => milliseconds(*duration),
        Some(Offset::Neg(duration)) => -milliseconds(*duration),
    }
}

fn at(at: Option<&AtModifier>) -> (Json, Json) {
    match at {
        None => (Json::Null, Json::Null),
        Some(AtModifier::Start) => (Json::Null, "start".into()),
        Some(AtModifier::End) => (Json::Null, "end".into()),
        Some(AtModifier::At(time)) => {
            let milliseconds = match time.duration_since(SystemTime::UNIX_EPOCH) {
                Ok(after) => milliseconds(after),
                Err(before) => -milliseconds(before.duration()),
            };
            (milliseconds.into(), Json::Null)
        }
    }
}

fn matchers(selector: &VectorSelector) -> Json {
    let one = |name: &str, op: &str, value: &str| json!({"name": name, "type": op, "value": value});
    let Matchers { matchers, .. } = &selector.matchers;
    let mut all: Vec<Json> = matchers
        .iter()
        .map(|matcher| {
            let op = match matcher.op {
                MatchOp::Equal => "=",
                MatchOp::NotEqual => "!=",
                MatchOp::Re(_) => "=~",
                MatchOp::NotRe(_) => "!~",
            };
            one(&matcher.name, op, &matcher.value)
        })
        .collect();
    if let Some(name) = &selector.name {
        all.push(one(crate::labels::METRIC_NAME, "=", name));
    }
    Json::Array(all)
}

fn selector(kind: &str, selector: &VectorSelector) -> Json {
    let (timestamp, start_or_end) = at(selector.at.as_ref());
    json!({
        "type": kind,
        "name": selector.name.as_deref().unwrap_or(""),
        "matchers": matchers(selector),
        "offset": offset(selector.offset.as_ref()),
        "timestamp": timestamp,
        "startOrEnd": start_or_end,
    })
}

fn type_name(kind: ValueType) -> &'static str {
    match kind {
        ValueType::Vector => "vector",
        ValueType::Scalar => "scalar",
        ValueType::Matrix => "matrix",
        ValueType::String => "string",
    }
}

/// The tree, in the shape that Prometheus 3's own page reads.
pub(super) fn to_json(expression: &Expr) -> Json {
    match expression {
        Expr::VectorSelector(inner) => selector("vectorSelector", inner),
        Expr::MatrixSelector(matrix) => {
            let mut tree = selector("matrixSelector", &matrix.vs);
            tree["range"] = milliseconds(matrix.range).into();
            tree
        }
        Expr::Aggregate(aggregate) => {
            let (without, grouping) = match &aggregate.modifier {
                None => (false, Vec::new()),
                Some(LabelModifier::Include(list)) => (false, list.labels.clone()),
                Some(LabelModifier::Exclude(list)) => (true, list.labels.clone()),
            };
            json!({
                "type": "aggregation",
                "op": aggregate.op.to_string(),
                "expr": to_json(&aggregate.expr),
                "param": aggregate.param.as_deref().map_or(Json::Null, to_json),
                "grouping": grouping,
                "without": without,
            })
        }
        Expr::Unary(unary) => json!({"type": "unaryExpr", "op": "-", "expr": to_json(&unary.expr)}),
        Expr::Binary(binary) => binary_to_json(binary),
        Expr::Paren(paren) => json!({"type": "parenExpr", "expr": to_json(&paren.expr)}),
        Expr::Subquery(subquery) => {
            let (timestamp, start_or_end) = at(subquery.at.as_ref());
            json!({
                "type": "subquery",
                "expr": to_json(&subquery.expr),
                "range": milliseconds(subquery.range),
                "offset": offset(subquery.offset.as_ref()),
                "step": subquery.step.map_or(0, milliseconds),
                "timestamp": timestamp,
                "startOrEnd": start_or_end,
            })
        }
        Expr::NumberLiteral(number) => {
            json!({"type": "numberLiteral", "val": crate::promql::format_value(number.val)})
        }
        Expr::StringLiteral(text) => json!({"type": "stringLiteral", "val": text.val}),
        Expr::Call(call) => json!({
            "type": "call",
            "func": {
                "name": call.func.name,
                "argTypes": call.func.arg_types.iter().map(|kind| type_name(*kind)).collect::<Vec<_>>(),
                "variadic": call.func.variadic,
                "returnType": type_name(call.func.return_type),
            },
            "args": call.args.args.iter().map(|argument| to_json(argument)).collect::<Vec<_>>(),
        }),
        Expr::Extension(_) => Json::Null,
    }
}

fn binary_to_json(binary: &BinaryExpr) -> Json {
    let modifier = binary.modifier.as_ref();
    let vectors = binary.lhs.value_type() == ValueType::Vector
        && binary.rhs.value_type() == ValueType::Vector;
    let matching = vectors.then(|| {
        let (on, labels) = match modifier.and_then(|modifier| modifier.matching.as_ref()) {
            None => (false, Vec::new()),
            Some(LabelModifier::Include(list)) => (true, list.labels.clone()),
            Some(LabelModifier::Exclude(list)) => (false, list.labels.clone()),
        };
        let (card, include) = match modifier.map(|modifier| &modifier.card) {
            Some(VectorMatchCardinality::ManyToOne(list)) => ("many-to-one", list.labels.clone()),
            Some(VectorMatchCardinality::OneToMany(list)) => ("one-to-many", list.labels.clone()),
            Some(VectorMatchCardinality::ManyToMany) => ("many-to-many", Vec::new()),
            Some(VectorMatchCardinality::OneToOne) | None => {
                let set = matches!(
                    binary.op.id(),
                    token::T_LAND | token::T_LOR | token::T_LUNLESS
                );
                (if set { "many-to-many" } else { "one-to-one" }, Vec::new())
            }
        };
        json!({"card": card, "labels": labels, "on": on, "include": include})
    });
    json!({
        "type": "binaryExpr",
        "op": binary.op.to_string(),
        "lhs": to_json(&binary.lhs),
        "rhs": to_json(&binary.rhs),
        "matching": matching,
        "bool": modifier.is_some_and(|modifier| modifier.return_bool),
    })
}
