//! `[deploy]` and `once` in launchway.toml: how a release comes into service.

use launchway_model::app::{
    CanarySpec, CommandSpec, HeaderMatch, RolloutSpec, Strategy, VerifySpec,
};
use launchway_model::route::is_token;
use toml::de::DeValue;

use super::toml_reader::Table;
use crate::error::DescribeError;

const KEYS: [&str; 9] = [
    "strategy",
    "max_extra",
    "max_missing",
    "steps",
    "weight",
    "interval",
    "header",
    "promote",
    "verify",
];
const VERIFY: [&str; 7] = [
    "run",
    "timeout",
    "hold",
    "watch",
    "max_errors",
    "max_slower",
    "min_requests",
];
const STRATEGIES: [&str; 3] = ["blue-green", "rolling", "canary"];

/// Reads `[deploy]`.
pub(super) fn read(table: &Table<'_>) -> Result<Option<RolloutSpec>, DescribeError> {
    let Some(value) = table.get("deploy") else {
        return Ok(None);
    };
    if let DeValue::String(_) = value.get_ref() {
        let strategy = table.word("deploy")?;
        let (word, span) = strategy.unwrap_or_default();
        return Ok(Some(RolloutSpec {
            strategy: named(table, &word, span)?,
            ..RolloutSpec::default()
        }));
    }
    let Some(inner) = table.table("deploy")? else {
        return Ok(None);
    };
    inner.only(&KEYS)?;
    let strategy = match inner.word("strategy")? {
        Some((word, span)) => named(&inner, &word, span)?,
        None => Strategy::default(),
    };
    let strategy = match strategy {
        Strategy::BlueGreen => {
            belongs_to(&inner, &["max_extra", "max_missing"], "rolling")?;
            belongs_to(&inner, &CANARY_KEYS, "canary")?;
            Strategy::BlueGreen
        }
        Strategy::Rolling { .. } => {
            belongs_to(&inner, &CANARY_KEYS, "canary")?;
            rolling(&inner)?
        }
        Strategy::Canary(_) => {
            belongs_to(&inner, &["max_extra", "max_missing"], "rolling")?;
            canary(&inner)?
        }
    };
    Ok(Some(RolloutSpec {
        strategy,
        verify: verify(&inner)?,
    }))
}

/// Reads a command with its limit: a text, or a table of `run` and `timeout`.
pub(super) fn command(
    table: &Table<'_>,
    key: &str,
    default_ms: u64,
) -> Result<Option<CommandSpec>, DescribeError> {
    let Some(value) = table.get(key) else {
        return Ok(None);
    };
    if let DeValue::String(_) = value.get_ref() {
        return Ok(table.word(key)?.map(|(command, _)| CommandSpec {
            command: command.trim().to_owned(),
            timeout_ms: default_ms,
        }));
    }
    let Some(inner) = table.table(key)? else {
        return Ok(None);
    };
    inner.only(&["run", "timeout"])?;
    let (run, _) = inner.word("run")?.ok_or_else(|| {
        inner.error(
            inner.span.clone(),
            format!("[{key}] has no `run`"),
            "expected run = \"COMMAND\"",
        )
    })?;
    Ok(Some(CommandSpec {
        command: run.trim().to_owned(),
        timeout_ms: inner.duration("timeout")?.unwrap_or(default_ms),
    }))
}

const CANARY_KEYS: [&str; 5] = ["steps", "weight", "interval", "header", "promote"];

fn named(
    table: &Table<'_>,
    word: &str,
    span: std::ops::Range<usize>,
) -> Result<Strategy, DescribeError> {
    match word {
        "blue-green" => Ok(Strategy::BlueGreen),
        "rolling" => Ok(Strategy::Rolling {
            max_extra: 1,
            max_missing: 0,
        }),
        "canary" => Ok(Strategy::Canary(usual_canary())),
        _ => Err(table.error_hint(
            span,
            format!("there is no strategy `{word}`"),
            "expected blue-green, rolling or canary",
            launchway_model::suggest::did_you_mean(word, STRATEGIES)
                .unwrap_or_else(|| "The strategies are blue-green, rolling and canary.".to_owned()),
        )),
    }
}

fn usual_canary() -> CanarySpec {
    CanarySpec {
        steps: vec![10, 50],
        interval_ms: 60_000,
        header: None,
        promote: true,
    }
}

fn belongs_to(table: &Table<'_>, keys: &[&str], strategy: &str) -> Result<(), DescribeError> {
    let Some(key) = keys.iter().find(|key| table.has(key)) else {
        return Ok(());
    };
    Err(table.error_hint(
        table.span_of(key),
        format!("`{key}` is for the strategy `{strategy}`"),
        "a key of another strategy",
        format!("Write `strategy = \"{strategy}\"`, or leave `{key}` out."),
    ))
}

fn rolling(table: &Table<'_>) -> Result<Strategy, DescribeError> {
    let max_extra = table.count("max_extra", 0..=500)?;
    let max_missing = table.count("max_missing", 0..=500)?.unwrap_or(0);
    let max_extra = max_extra.unwrap_or(u32::from(max_missing == 0));
    if max_extra == 0 && max_missing == 0 {
        return Err(table.error(
            table.span_of("max_extra"),
            "`max_extra` and `max_missing` are both 0: nothing could ever be replaced",
            "at least 1 in one of the two",
        ));
    }
    Ok(Strategy::Rolling {
        max_extra,
        max_missing,
    })
}

fn canary(table: &Table<'_>) -> Result<Strategy, DescribeError> {
    let mut canary = usual_canary();
    canary.header = header(table)?;
    if canary.header.is_some() {
        canary.steps = Vec::new();
        canary.promote = false;
    }
    if let Some(percent) = table.count("weight", 1..=99)? {
        canary.steps = vec![u8::try_from(percent).unwrap_or(99)];
    }
    if let Some(value) = table.get("steps") {
        canary.steps = steps(table, value)?;
    }
    if let Some(ms) = table.duration("interval")? {
        canary.interval_ms = ms;
    }
    match table.get("promote").map(toml::Spanned::get_ref) {
        None => {}
        Some(DeValue::Boolean(_)) => {
            canary.promote = table.flag("promote")?.unwrap_or(true);
        }
        Some(_) => {
            let (word, span) = table.word("promote")?.unwrap_or_default();
            canary.promote = match word.as_str() {
                "auto" => true,
                "manual" => false,
                _ => {
                    return Err(table.error(
                        span,
                        format!("`promote` cannot be `{word}`"),
                        "expected \"auto\" or \"manual\"",
                    ));
                }
            };
        }
    }
    Ok(Strategy::Canary(canary))
}

fn steps(table: &Table<'_>, value: &toml::Spanned<DeValue<'_>>) -> Result<Vec<u8>, DescribeError> {
    let wrong = || {
        table.error_hint(
            value.span(),
            "`steps` are not growing percentages",
            "expected such as [5, 25, 50]",
            "Each step is a share of the requests from 1 to 99; after the last one the release takes all.",
        )
    };
    let DeValue::Array(items) = value.get_ref() else {
        return Err(wrong());
    };
    let steps = items
        .iter()
        .map(|item| match item.get_ref() {
            DeValue::Integer(number) => number.as_str().parse::<u8>().ok(),
            DeValue::String(text) => text.trim_end_matches('%').trim().parse().ok(),
            _ => None,
        })
        .collect::<Option<Vec<u8>>>()
        .ok_or_else(wrong)?;
    let grows = steps.windows(2).all(|pair| pair[0] < pair[1]);
    let fits = steps.iter().all(|step| (1..=99).contains(step));
    if grows && fits && !steps.is_empty() {
        Ok(steps)
    } else {
        Err(wrong())
    }
}

/// `"X-Canary"` or `"X-Canary: yes"`.
fn header(table: &Table<'_>) -> Result<Option<HeaderMatch>, DescribeError> {
    let Some((text, span)) = table.word("header")? else {
        return Ok(None);
    };
    let (name, value) = match text.split_once(':') {
        Some((name, value)) => (name.trim(), Some(value.trim().to_owned())),
        None => (text.trim(), None),
    };
    if !is_token(name) {
        return Err(table.error(
            span,
            format!("`{name}` is not the name of a header field"),
            "such as \"X-Canary: yes\"",
        ));
    }
    Ok(Some(HeaderMatch {
        name: name.to_owned(),
        value: value.filter(|value| !value.is_empty()),
    }))
}

fn verify(table: &Table<'_>) -> Result<VerifySpec, DescribeError> {
    let mut verify = VerifySpec::default();
    if let Some(value) = table.get("verify")
        && let DeValue::String(_) = value.get_ref()
    {
        verify.command = command(table, "verify", 60_000)?;
        return Ok(verify);
    }
    let Some(inner) = table.table("verify")? else {
        return Ok(verify);
    };
    inner.only(&VERIFY)?;
    if let Some((run, _)) = inner.word("run")? {
        verify.command = Some(CommandSpec {
            command: run.trim().to_owned(),
            timeout_ms: inner.duration("timeout")?.unwrap_or(60_000),
        });
    } else if inner.has("timeout") {
        return Err(inner.error(
            inner.span_of("timeout"),
            "`timeout` is the limit of `run`, which is missing",
            "expected `run` beside it",
        ));
    }
    verify.hold_ms = inner.duration("hold")?.unwrap_or(0);
    verify.watch_ms = inner.duration("watch")?;
    if let Some(value) = inner.get("max_errors") {
        let percent = match value.get_ref() {
            DeValue::Integer(number) => number.as_str().parse().ok(),
            DeValue::String(text) => text.trim_end_matches('%').trim().parse().ok(),
            _ => None,
        };
        verify.max_errors = percent
            .filter(|percent| (1..=100).contains(percent))
            .ok_or_else(|| {
                inner.error(
                    value.span(),
                    "`max_errors` is not a percentage",
                    "expected such as \"5%\": so many points more than the release before",
                )
            })?;
    }
    if let Some(times) = inner.thousandths("max_slower")? {
        if times < 1000 {
            return Err(inner.error(
                inner.span_of("max_slower"),
                "`max_slower` is less than 1",
                "expected such as 2.5: so many times as slow as the release before",
            ));
        }
        verify.max_slower = times;
    }
    if let Some(least) = inner.count("min_requests", 1..=1_000_000)? {
        verify.min_requests = least;
    }
    Ok(verify)
}
