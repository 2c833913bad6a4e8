//! Monitors in a few words: `p95 latency > 500ms for 5m` becomes an alerting rule.
//!
//! ```text
//! QUANTITY OP VALUE [for TIME] [, warning OP VALUE] [, recovery OP VALUE]     threshold
//! QUANTITY rises|drops by PERCENT in TIME [for TIME]                          change
//! QUANTITY anomaly [for TIME]                                                 against the same hour of earlier weeks
//! QUANTITY OP VALUE within TIME                                               forecast
//! QUANTITY no data [for TIME]                                                 absence
//! ```
//! A quantity is a name of [`QUANTITIES`], or any PromQL in backquotes. There is nothing here that a rule file could not
//! say; the rules are plain Prometheus rules.

use crate::api::parse_duration;
use crate::labels::quoted;
use crate::promql;

#[cfg(test)]
mod tests;

/// A quantity that has a name: the words, the expression (`{}` stands for the matchers of an app), its unit, whether it
/// is of an app or of the host.
struct Quantity {
    words: &'static str,
    expression: &'static str,
    unit: Unit,
    of_app: bool,
}

/// What a number of a quantity may be followed by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    /// `500ms`, `2s`
    Seconds,
    /// `5%`, or a share such as 0.05
    Share,
    /// `300MB`
    Bytes,
    /// A plain number.
    Plain,
}

const fn quantity(
    words: &'static str,
    expression: &'static str,
    unit: Unit,
    of_app: bool,
) -> Quantity {
    Quantity {
        words,
        expression,
        unit,
        of_app,
    }
}

/// What can be named. The longer names come first where one begins with another.
static QUANTITIES: [Quantity; 19] = [
    quantity(
        "p50 latency",
        "histogram_quantile(0.5, sum by (app, le) (rate(launchway_request_duration_seconds_bucket{}[1m])))",
        Unit::Seconds,
        true,
    ),
    quantity(
        "p90 latency",
        "histogram_quantile(0.9, sum by (app, le) (rate(launchway_request_duration_seconds_bucket{}[1m])))",
        Unit::Seconds,
        true,
    ),
    quantity(
        "p95 latency",
        "histogram_quantile(0.95, sum by (app, le) (rate(launchway_request_duration_seconds_bucket{}[1m])))",
        Unit::Seconds,
        true,
    ),
    quantity(
        "p99 latency",
        "histogram_quantile(0.99, sum by (app, le) (rate(launchway_request_duration_seconds_bucket{}[1m])))",
        Unit::Seconds,
        true,
    ),
    quantity(
        "latency",
        "sum by (app) (rate(launchway_request_duration_seconds_sum{}[1m])) / sum by (app) (rate(launchway_request_duration_seconds_count{}[1m]))",
        Unit::Seconds,
        true,
    ),
    quantity(
        "error rate",
        "sum by (app) (rate(launchway_requests_total{code=\"5xx\"}[1m])) / (sum by (app) (rate(launchway_requests_total{}[1m])) > 0)",
        Unit::Share,
        true,
    ),
    quantity(
        "errors",
        "sum by (app) (rate(launchway_requests_total{code=\"5xx\"}[1m]))",
        Unit::Plain,
        true,
    ),
    quantity(
        "requests",
        "sum by (app) (rate(launchway_requests_total{}[1m]))",
        Unit::Plain,
        true,
    ),
    quantity(
        "memory used",
        "1 - node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes",
        Unit::Share,
        false,
    ),
    quantity(
        "memory",
        "sum by (app) (launchway_instance_memory_bytes{})",
        Unit::Bytes,
        true,
    ),
    quantity(
        "cpu used",
        "1 - avg by (instance) (rate(node_cpu_seconds_total{mode=\"idle\"}[1m]))",
        Unit::Share,
        false,
    ),
    quantity(
        "cpu",
        "sum by (app) (rate(launchway_instance_cpu_seconds_total{}[1m]))",
        Unit::Share,
        true,
    ),
    quantity(
        "restarts",
        "sum by (app) (increase(launchway_instance_starts_total{}[10m]))",
        Unit::Plain,
        true,
    ),
    quantity(
        "instances",
        "count by (app) (launchway_instance_ready{} == 1)",
        Unit::Plain,
        true,
    ),
    quantity(
        "open files",
        "sum by (app) (launchway_instance_open_files{})",
        Unit::Plain,
        true,
    ),
    quantity(
        "threads",
        "sum by (app) (launchway_instance_threads{})",
        Unit::Plain,
        true,
    ),
    quantity(
        "disk used",
        "1 - node_filesystem_avail_bytes{fstype!=\"tmpfs\"} / node_filesystem_size_bytes{fstype!=\"tmpfs\"}",
        Unit::Share,
        false,
    ),
    quantity("load", "node_load1", Unit::Plain, false),
    quantity(
        "swap used",
        "1 - node_memory_SwapFree_bytes / (node_memory_SwapTotal_bytes > 0)",
        Unit::Share,
        false,
    ),
];

/// A monitor read.
#[derive(Clone, Debug, PartialEq)]
pub struct Monitor {
    /// The rules, the critical one first.
    rules: Vec<Rule>,
}

#[derive(Clone, Debug, PartialEq)]
struct Rule {
    expression: String,
    severity: &'static str,
    hold: String,
}

/// Why words are no monitor: what was expected, with what there is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct WordsError(String);

fn fail<T>(message: impl Into<String>) -> Result<T, WordsError> {
    Err(WordsError(message.into()))
}

/// Every quantity that can be named, for help texts.
pub fn quantities() -> impl Iterator<Item = &'static str> {
    QUANTITIES.iter().map(|quantity| quantity.words)
}

/// What is compared, from the words at the start.
struct Subject<'a> {
    expression: String,
    unit: Unit,
    rest: &'a str,
}

fn subject<'a>(text: &'a str, app: Option<&str>) -> Result<Subject<'a>, WordsError> {
    if let Some(inner) = text.strip_prefix('`') {
        let Some((expression, rest)) = inner.split_once('`') else {
            return fail("the query has no closing backquote");
        };
        promql::parse(expression)
            .map_err(|error| WordsError(format!("the query cannot be read: {error}")))?;
        return Ok(Subject {
            expression: expression.to_owned(),
            unit: Unit::Plain,
            rest: rest.trim_start(),
        });
    }
    let lower = text.to_ascii_lowercase();
    let found = QUANTITIES.iter().find(|quantity| {
        lower
            .strip_prefix(quantity.words)
            .is_some_and(|rest| rest.is_empty() || !rest.starts_with(|c: char| c.is_alphanumeric()))
    });
    let Some(quantity) = found else {
        let first: String = text.chars().take(30).collect();
        let known: Vec<&str> = quantities().collect();
        return fail(format!(
            "expected a quantity, found {}: there are {}, and any query in backquotes",
            quoted(&first),
            known.join(", ")
        ));
    };
    if !quantity.of_app && app.is_some() {
        return fail(format!("{} is of the host, not of an app", quantity.words));
    }
    let matcher = app
        .filter(|_| quantity.of_app)
        .map(|app| format!("app={}", quoted(app)));
    let mut expression = quantity.expression.to_owned();
    match &matcher {
        Some(matcher) => {
            expression = expression.replace("{}", &format!("{{{matcher}}}"));
            expression = expression.replace("{code=", &format!("{{{matcher},code="));
        }
        None => expression = expression.replace("{}", ""),
    }
    Ok(Subject {
        expression,
        unit: quantity.unit,
        rest: text[quantity.words.len()..].trim_start(),
    })
}

/// A comparison such as `> 500ms`, and what follows it.
fn comparison(text: &str, unit: Unit) -> Result<(&'static str, String, &str), WordsError> {
    let operators = [">=", "<=", "==", "!=", ">", "<"];
    let Some(operator) = operators
        .into_iter()
        .find(|operator| text.starts_with(operator))
    else {
        let first = text.split_whitespace().next().unwrap_or("the end");
        return fail(format!(
            "expected >, <, >=, <=, ==, !=, rises, drops, anomaly or no data, found {first}"
        ));
    };
    let rest = text[operator.len()..].trim_start();
    let end = rest
        .find(|c: char| c.is_whitespace() || c == ',')
        .unwrap_or(rest.len());
    let value = value(&rest[..end], unit)?;
    Ok((operator, value, rest[end..].trim_start()))
}

fn value(text: &str, unit: Unit) -> Result<String, WordsError> {
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.' && c != '-')
        .unwrap_or(text.len());
    let (digits, suffix) = text.split_at(end);
    let Ok(number) = digits.parse::<f64>() else {
        return fail(format!("expected a number, found {}", quoted(text)));
    };
    let kib = 1024.0;
    let factor = match (unit, suffix) {
        (_, "") => 1.0,
        (Unit::Seconds, "ms") => 0.001,
        (Unit::Seconds, "s") => 1.0,
        (Unit::Seconds, "m") => 60.0,
        (Unit::Share | Unit::Plain, "%") => 0.01,
        (Unit::Bytes, "B") => 1.0,
        (Unit::Bytes, "K" | "KB" | "KiB") => kib,
        (Unit::Bytes, "M" | "MB" | "MiB") => kib * kib,
        (Unit::Bytes, "G" | "GB" | "GiB") => kib * kib * kib,
        (Unit::Plain, "/s") => 1.0,
        _ => return fail(format!("{} is no unit of this quantity", quoted(suffix))),
    };
    let value = number * factor;
    // A product such as 0.07 × 100 has digits that nobody wrote.
    Ok(format!("{}", (value * 1e9).round() / 1e9))
}

/// `WORD TIME` at the start, if the word is there.
fn timed<'a>(text: &'a str, word: &str) -> Result<(Option<&'a str>, &'a str), WordsError> {
    let Some(rest) = text
        .strip_prefix(word)
        .filter(|rest| rest.starts_with(char::is_whitespace))
    else {
        return Ok((None, text));
    };
    let rest = rest.trim_start();
    let end = rest
        .find(|c: char| c.is_whitespace() || c == ',')
        .unwrap_or(rest.len());
    let time = &rest[..end];
    let plain = time
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.');
    match parse_duration(time) {
        Some(ms) if ms > 0 && !plain => Ok((Some(time), rest[end..].trim_start())),
        _ => fail(format!(
            "expected a time such as 5m after {word}, found {}",
            quoted(time)
        )),
    }
}

impl Monitor {
    /// Reads a monitor; of an app where it is given.
    ///
    /// # Errors
    /// The words say none; the error says what was expected.
    pub fn parse(text: &str, app: Option<&str>) -> Result<Self, WordsError> {
        let Subject {
            expression,
            unit,
            rest,
        } = subject(text.trim(), app)?;
        let end = |rest: &str| {
            if rest.is_empty() {
                Ok(())
            } else {
                fail(format!("expected the end, found {}", quoted(rest)))
            }
        };
        let one = |expression: String, hold: Option<&str>| Self {
            rules: vec![Rule {
                expression,
                severity: "critical",
                hold: hold.unwrap_or("0s").to_owned(),
            }],
        };
        for (word, sign) in [("rises", ""), ("drops", "-")] {
            let Some(rest) = rest.strip_prefix(word) else {
                continue;
            };
            let rest = rest
                .trim_start()
                .strip_prefix("by")
                .ok_or_else(|| WordsError(format!("expected by after {word}")))?
                .trim_start();
            let cut = rest.find(char::is_whitespace).unwrap_or(rest.len());
            let share = value(&rest[..cut], Unit::Share)?;
            let (window, rest) = timed(rest[cut..].trim_start(), "in")?;
            let Some(window) = window else {
                return fail("expected in and a time, such as in 10m");
            };
            let (hold, rest) = timed(rest, "for")?;
            end(rest)?;
            let change = format!(
                "{sign}(({expression}) / (({expression}) offset {window} > 0) - 1) > {share}",
            );
            return offset_inside(&change, &expression, window, hold)
                .map(|expression| one(expression, hold));
        }
        if let Some(rest) = rest.strip_prefix("anomaly") {
            let (hold, rest) = timed(rest.trim_start(), "for")?;
            end(rest)?;
            return Ok(one(anomaly(&expression)?, hold.or(Some("10m"))));
        }
        if let Some(rest) = rest.strip_prefix("no data") {
            let (hold, rest) = timed(rest.trim_start(), "for")?;
            end(rest)?;
            return Ok(one(format!("absent({expression})"), hold.or(Some("5m"))));
        }
        let (operator, limit, rest) = comparison(rest, unit)?;
        let (ahead, rest) = timed(rest, "within")?;
        if let Some(ahead) = ahead {
            let (hold, rest) = timed(rest, "for")?;
            end(rest)?;
            let seconds = parse_duration(ahead).unwrap_or(0) / 1000;
            let forecast =
                format!("predict_linear(({expression})[1h:1m], {seconds}) {operator} {limit}");
            return Ok(one(forecast, hold.or(Some("5m"))));
        }
        let (hold, mut rest) = timed(rest, "for")?;
        let (mut warning, mut recovery) = (None, None);
        while let Some(more) = rest.strip_prefix(',') {
            let more = more.trim_start();
            let (slot, more) = match (more.strip_prefix("warning"), more.strip_prefix("recovery")) {
                (Some(more), _) => (&mut warning, more),
                (_, Some(more)) => (&mut recovery, more),
                _ => {
                    return fail(format!(
                        "expected warning or recovery after the comma, found {}",
                        quoted(more)
                    ));
                }
            };
            let (operator, limit, after) = comparison(more.trim_start(), unit)?;
            *slot = Some((operator, limit));
            rest = after;
        }
        end(rest)?;
        let hold = hold.unwrap_or("0s").to_owned();
        let mut rules = Vec::new();
        let limits = [Some((operator, limit)), warning]
            .into_iter()
            .zip(["critical", "warning"]);
        for (limit, severity) in limits {
            let Some((operator, limit)) = limit else {
                continue;
            };
            rules.push(Rule {
                expression: threshold(&expression, operator, &limit, recovery.as_ref(), severity),
                severity,
                hold: hold.clone(),
            });
        }
        Ok(Self { rules })
    }

    /// The monitor as a rule file with one group, whose alerts have these names.
    #[must_use]
    pub fn rule_file(&self, name: &str, words: &str, app: Option<&str>, interval: &str) -> String {
        let rules: Vec<serde_json::Value> = self
            .rules
            .iter()
            .map(|rule| {
                let mut labels = serde_json::json!({"severity": rule.severity});
                if let Some(app) = app {
                    labels["app"] = app.into();
                }
                serde_json::json!({
                    "alert": name,
                    "expr": rule.expression.replace(NAME, &quoted(name)),
                    "for": rule.hold,
                    "labels": labels,
                    "annotations": {
                        "summary": format!("{words}: now {{{{ $value | humanize }}}}").replace('`', "'"),
                    },
                })
            })
            .collect();
        // JSON is YAML.
        serde_json::json!({"groups": [{"name": name, "interval": interval, "rules": rules}]})
            .to_string()
    }
}

/// Stands for the alert's name, in quotes, until that is known.
const NAME: &str = "%ALERTNAME%";

/// A comparison; with a recovery threshold it holds on while the alert fires and the value has not come back.
fn threshold(
    expression: &str,
    operator: &str,
    limit: &str,
    recovery: Option<&(&'static str, String)>,
    severity: &str,
) -> String {
    let fires = format!("({expression}) {operator} {limit}");
    let Some((back, limit)) = recovery else {
        return fires;
    };
    // Recovered is `back limit`; it goes on firing while that is not so.
    let not_back = match *back {
        "<" => ">=",
        "<=" => ">",
        ">" => "<=",
        ">=" => "<",
        _ => "!=",
    };
    format!(
        "{fires} or (({expression}) {not_back} {limit} and on () ALERTS{{alertname={NAME}, alertstate=\"firing\", severity=\"{severity}\"}})"
    )
}

/// Moves the offset to where PromQL takes it: to each selector of the expression.
fn offset_inside(
    change: &str,
    expression: &str,
    window: &str,
    _hold: Option<&str>,
) -> Result<String, WordsError> {
    let earlier = at_offset(expression, window)?;
    Ok(change.replace(
        &format!("({expression}) offset {window}"),
        &format!("({earlier})"),
    ))
}

/// The expression as it was some time ago: every selector with an offset.
fn at_offset(expression: &str, window: &str) -> Result<String, WordsError> {
    // A subquery of one point takes an offset whatever it is of.
    let shifted = format!("last_over_time(({expression})[1m:1m] offset {window})");
    promql::parse(&shifted)
        .map_err(|error| WordsError(format!("the query cannot be read: {error}")))?;
    Ok(shifted)
}

/// More than three deviations from the mean of the same hour of the last four weeks, and at least a tenth.
fn anomaly(expression: &str) -> Result<String, WordsError> {
    let mut weeks = Vec::new();
    for week in 1..=4 {
        let earlier = at_offset(expression, &format!("{week}w"))?;
        weeks.push(format!(
            "label_replace({earlier}, \"week\", \"{week}\", \"\", \"\")"
        ));
    }
    let all = weeks.join(" or ");
    let mean = format!("avg without (week) ({all})");
    let deviation = format!("stddev without (week) ({all})");
    Ok(format!(
        "abs(({expression}) - ({mean})) > 3 * ({deviation}) and abs(({expression}) - ({mean})) > 0.1 * abs({mean})"
    ))
}
