//! `[http]` and `[[route]]` in launchway.toml: which requests go where, and what is asked of them.

use std::ops::Range;

use launchway_model::ProcessType;
use launchway_model::app::{FilesSpec, RouteSpec, RouteTo, Www};
use launchway_model::route::{FieldRule, Rate, Rules, User};
use toml::de::DeValue;

use super::draft::Draft;
use super::launchway_toml::{domain, folder};
use super::toml_reader::{self, Table};
use crate::error::DescribeError;

/// The keys of rules, in `[http]` and in each route.
const RULES: [&str; 15] = [
    "https_only",
    "hsts",
    "redirect_host",
    "allow",
    "deny",
    "users",
    "request_headers",
    "response_headers",
    "max_body",
    "rate",
    "burst",
    "connections",
    "sticky",
    "timeout",
    "compress",
];
const ROUTE: [&str; 6] = [
    "path",
    "host",
    "process",
    "static",
    "fallback",
    "strip_prefix",
];
/// The cookie of `sticky = true`.
const COOKIE: &str = "launchway_instance";

/// Reads both into a draft.
pub(super) fn read(table: &Table<'_>, draft: &mut Draft) -> Result<(), DescribeError> {
    if let Some(http) = table.table("http")? {
        let mut known = RULES.to_vec();
        known.push("www");
        http.only(&known)?;
        draft.www = www(&http)?;
        draft.rules = Some(rules(&http, Rules::default())?);
    }
    if table.has("route") {
        let base = draft.rules.clone().unwrap_or_default();
        let routes = table
            .tables("route")?
            .iter()
            .map(|route| one(route, &base, draft))
            .collect::<Result<Vec<_>, _>>()?;
        draft.routes = Some(routes);
    }
    Ok(())
}

/// `[static] path`: the folder below a path, beside a process that answers the others.
pub(super) fn files_below(path: String, files: FilesSpec) -> RouteSpec {
    RouteSpec {
        hosts: Vec::new(),
        path,
        // The folder's own paths begin where the prefix ends.
        strip_prefix: true,
        to: RouteTo::Files(files),
        rules: None,
    }
}

fn one(table: &Table<'_>, base: &Rules, draft: &mut Draft) -> Result<RouteSpec, DescribeError> {
    let known: Vec<&str> = ROUTE.iter().chain(&RULES).copied().collect();
    table.only(&known)?;
    let hosts = table
        .texts("host")?
        .unwrap_or_default()
        .into_iter()
        .map(|(host, span)| domain(table, &host, span))
        .collect::<Result<Vec<_>, _>>()?;
    let path = path(table)?.unwrap_or_else(|| "/".to_owned());
    let twin = draft.routes_so_far.iter().any(|(other_hosts, other_path)| {
        *other_path == path
            && (hosts.is_empty() && other_hosts.is_empty()
                || hosts.iter().any(|host| other_hosts.contains(host)))
    });
    if twin {
        return Err(table.error(
            table.span.clone(),
            format!("another [[route]] has the path `{path}` already"),
            "a path and host of its own",
        ));
    }
    draft.routes_so_far.push((hosts.clone(), path.clone()));
    let to = match (table.word("process")?, folder(table, "static")?) {
        (Some((name, span)), None) => {
            let process = process(table, &name, span.clone())?;
            draft.expect_process(table, &process, span, "this [[route]] leads to it");
            RouteTo::Process { process }
        }
        (None, Some(root)) => RouteTo::Files(FilesSpec {
            folder: root,
            fallback: folder(table, "fallback")?,
        }),
        (Some(_), Some(_)) => {
            return Err(table.error(
                table.span_of("static"),
                "a [[route]] leads to a process and to a folder",
                "one of the two",
            ));
        }
        (None, None) => {
            return Err(table.error_hint(
                table.span.clone(),
                "this [[route]] leads nowhere",
                "expected `process` or `static`",
                "Name a process type, `process = \"web\"`, or a folder, `static = \"public\"`.",
            ));
        }
    };
    let rules = RULES
        .iter()
        .any(|key| table.has(key))
        .then(|| rules(table, base.clone()))
        .transpose()?;
    let strip_prefix = table.flag("strip_prefix")?;
    Ok(RouteSpec {
        hosts,
        strip_prefix: strip_prefix.unwrap_or(matches!(to, RouteTo::Files(_)) && path != "/"),
        path,
        to,
        rules,
    })
}

/// The name of a process type.
pub(super) fn process(
    table: &Table<'_>,
    name: &str,
    span: Range<usize>,
) -> Result<ProcessType, DescribeError> {
    name.parse()
        .map_err(|error: launchway_model::names::NameError| {
            table.error(span, error.to_string(), "a process type's name")
        })
}

/// A path prefix of whole segments, as the proxy takes it.
pub(super) fn path(table: &Table<'_>) -> Result<Option<String>, DescribeError> {
    let Some((path, span)) = table.word("path")? else {
        return Ok(None);
    };
    let wrong = |rule: &str, hint: &str| {
        table.error_hint(
            span.clone(),
            format!("`{path}` is no path prefix: {rule}"),
            "a path such as \"/api\"",
            hint,
        )
    };
    if !path.starts_with('/') {
        let rest = path.rsplit("://").next().unwrap_or(&path);
        let hint = if path.contains("://") {
            "Write the path alone, and the host as `host`.".to_owned()
        } else {
            format!("Write \"/{rest}\".")
        };
        return Err(wrong("it does not start with `/`", &hint));
    }
    if path.contains('*') {
        return Err(wrong(
            "it has a `*`",
            "A prefix stands for every path below it: leave `*` out.",
        ));
    }
    let fine = path
        .bytes()
        .all(|byte| (0x21..0x7f).contains(&byte) && !matches!(byte, b'?' | b'#'))
        && (path == "/"
            || path.trim_end_matches('/')[1..]
                .split('/')
                .all(|segment| !matches!(segment, "" | "." | "..")));
    if !fine {
        return Err(wrong(
            "it has an empty segment, a dot segment or forbidden characters",
            "Write whole segments, such as \"/api/v1\".",
        ));
    }
    if path.starts_with("/~") {
        return Err(wrong(
            "paths that begin with `/~` are Launchway's own",
            "Choose another path.",
        ));
    }
    let trimmed = path.trim_end_matches('/');
    Ok(Some(
        if trimmed.is_empty() { "/" } else { trimmed }.to_owned(),
    ))
}

fn www(table: &Table<'_>) -> Result<Option<Www>, DescribeError> {
    match table.word("www")? {
        None => Ok(None),
        Some((word, _)) if word == "remove" => Ok(Some(Www::Remove)),
        Some((word, _)) if word == "add" => Ok(Some(Www::Add)),
        Some((word, span)) => Err(table.error(
            span,
            format!("`www` cannot be `{word}`"),
            "expected \"remove\" (www.example.org is sent to example.org) or \"add\"",
        )),
    }
}

/// The rules of a table, laid over others.
fn rules(table: &Table<'_>, mut rules: Rules) -> Result<Rules, DescribeError> {
    if let Some(flag) = table.flag("https_only")? {
        rules.https_only = flag;
    }
    if let Some(ms) = table.duration("hsts")? {
        rules.hsts_seconds = Some((ms / 1000).max(1));
    }
    if let Some((host, span)) = table.word("redirect_host")? {
        rules.redirect_host = Some(host);
        checked(table, &rules, span)?;
    }
    for (key, ranges) in [("allow", &mut rules.allow), ("deny", &mut rules.deny)] {
        if let Some(texts) = table.texts(key)? {
            *ranges = Vec::new();
            for (range, span) in texts {
                let only = Rules {
                    allow: vec![range.clone()],
                    ..Rules::default()
                };
                checked(table, &only, span)?;
                ranges.push(range);
            }
        }
    }
    if table.has("users") {
        rules.users = users(table)?;
    }
    for (key, answers) in [("request_headers", false), ("response_headers", true)] {
        if let Some(fields) = fields(table, key)? {
            if answers {
                rules.answer_fields = fields;
            } else {
                rules.request_fields = fields;
            }
        }
    }
    if let Some(bytes) = table.size("max_body")? {
        rules.body_bytes = Some(bytes);
    }
    if let Some(per_second) = table.count("rate", 1..=1_000_000)? {
        let burst = table.count("burst", 0..=1_000_000)?;
        rules.rate = Some(Rate {
            per_second,
            burst: burst.unwrap_or(per_second),
        });
    } else if table.has("burst") {
        return Err(table.error(
            table.span_of("burst"),
            "`burst` stands without `rate`",
            "expected `rate` beside it",
        ));
    }
    if let Some(most) = table.count("connections", 1..=1_000_000)? {
        rules.in_flight = Some(most);
    }
    match table.get("sticky").map(toml::Spanned::get_ref) {
        None => {}
        Some(DeValue::String(_)) => {
            if let Some((cookie, span)) = table.word("sticky")? {
                rules.sticky_cookie = Some(cookie);
                checked(table, &rules, span)?;
            }
        }
        Some(_) => {
            let sticky = table.flag("sticky")?.unwrap_or(false);
            rules.sticky_cookie = sticky.then(|| COOKIE.to_owned());
        }
    }
    if let Some(ms) = table.duration("timeout")? {
        rules.answer_timeout_ms = Some(ms);
    }
    if let Some(compress) = table.flag("compress")? {
        rules.uncompressed = !compress;
    }
    Ok(rules)
}

fn checked(table: &Table<'_>, rules: &Rules, span: Range<usize>) -> Result<(), DescribeError> {
    rules
        .check()
        .map_err(|why| table.error(span, why, "what the proxy takes"))
}

/// `users = ["ada:SHA256"]` or a table of names and hashes.
fn users(table: &Table<'_>) -> Result<Vec<User>, DescribeError> {
    let mut pairs = Vec::new();
    match table.get("users").map(toml::Spanned::get_ref) {
        Some(DeValue::Table(_)) => {
            let Some(inner) = table.table("users")? else {
                return Ok(Vec::new());
            };
            for (name, _, _) in inner.entries() {
                let (hash, span) = inner.word(name)?.unwrap_or_default();
                pairs.push((name.to_owned(), hash, span));
            }
        }
        _ => {
            for (text, span) in table.texts("users")?.unwrap_or_default() {
                let (name, hash) = text.split_once(':').unwrap_or((&text, ""));
                pairs.push((name.to_owned(), hash.to_owned(), span));
            }
        }
    }
    pairs
        .into_iter()
        .map(|(name, hash, span)| {
            let sha256 = hash.trim_start_matches("sha256:").to_ascii_lowercase();
            let rules = Rules {
                users: vec![User {
                    name: name.clone(),
                    sha256: sha256.clone(),
                }],
                ..Rules::default()
            };
            rules.check().map_err(|why| {
                table.error_hint(
                    span,
                    why,
                    "expected \"NAME:HASH\"",
                    format!("`launchway hash-password {name}` asks for the password and prints the line."),
                )
            })?;
            Ok(User { name, sha256 })
        })
        .collect()
}

/// A table of fields: a text sets one, `false` takes it off.
fn fields(table: &Table<'_>, key: &str) -> Result<Option<Vec<FieldRule>>, DescribeError> {
    let Some(inner) = table.table(key)? else {
        return Ok(None);
    };
    let mut fields = Vec::new();
    for (name, span, value) in inner.entries() {
        let value = match value.get_ref() {
            DeValue::String(text) => Some(text.clone().into_owned()),
            DeValue::Boolean(false) => None,
            other => {
                return Err(inner.error(
                    value.span(),
                    format!(
                        "the field `{name}` is set to a text or taken off with false, not {}",
                        toml_reader::found(other)
                    ),
                    "a text or false",
                ));
            }
        };
        let field = FieldRule {
            name: name.to_owned(),
            value,
        };
        let only = Rules {
            answer_fields: vec![field.clone()],
            ..Rules::default()
        };
        checked(&inner, &only, span)?;
        fields.push(field);
    }
    Ok(Some(fields))
}

#[cfg(test)]
pub(super) mod tests;
