//! Writes what is known of an app as a launchway.toml that says the same, for `launchway init`.
//!
//! Stages from a detection or a Procfile's app can always be written; what only a Jenkinsfile can say becomes a comment.

use std::fmt::Write;

use launchway_model::app::{AppSpec, HealthSpec};

use super::convert;
use super::draft::Draft;
use super::quantity::{show_bytes, show_ms};
use crate::plan::{Agent, Body, Condition, Plan, PostWhen, Stage, Step, Text, Variable};

/// The text.
pub(crate) fn write(draft: &Draft, spec: &AppSpec, plan: &Plan) -> String {
    let mut toml = String::new();
    toml.push_str("# What Launchway builds and runs. Every line can be left out: what is missing is detected.\n");
    for source in &spec.sources {
        line(&mut toml, &format!("# From {source}."));
    }
    toml.push('\n');
    if let Some(name) = &draft.name {
        line(&mut toml, &format!("name = {}", text(name.as_str())));
    }
    if let Some(branch) = &draft.branch {
        line(&mut toml, &format!("branch = {}", text(branch)));
    }
    if let Some(timeout) = plan.options.timeout_ms {
        line(&mut toml, &format!("timeout = {}", text(&show_ms(timeout))));
    }
    if let Some(release) = &spec.release {
        line(&mut toml, "# Runs once before the new instances start.");
        if release.timeout_ms == 600_000 {
            line(&mut toml, &format!("release = {}", text(&release.command)));
        } else {
            let limit = text(&show_ms(release.timeout_ms));
            line(
                &mut toml,
                &format!(
                    "release = {{ run = {}, timeout = {limit} }}",
                    text(&release.command)
                ),
            );
        }
    }
    if !plan.stages.is_empty() {
        line(
            &mut toml,
            "install = false   # the stages below are all: none is detected",
        );
    }
    health(&spec.health, &mut toml);
    if !spec.persist.is_empty() {
        line(&mut toml, &format!("persist = {}", list(&spec.persist)));
    } else {
        line(
            &mut toml,
            "# persist = [\"app.db\", \"uploads/\"]   # files that outlive releases",
        );
    }
    if !spec.domains.is_empty() {
        line(&mut toml, &format!("domains = {}", list(&spec.domains)));
    }
    if !plan.units.is_empty() {
        line(&mut toml, &format!("units = {}", list(&plan.units)));
    }
    if !plan.aliases.is_empty() {
        let aliases: Vec<String> = plan
            .aliases
            .iter()
            .map(|(name, command)| format!("{} = {}", text(name), text(command)))
            .collect();
        line(
            &mut toml,
            &format!("aliases = {{ {} }}", aliases.join(", ")),
        );
    }
    processes(spec, &mut toml);
    if let Some(files) = &spec.files {
        line(&mut toml, "\n[static]");
        line(&mut toml, &format!("folder = {}", text(&files.folder)));
        if let Some(fallback) = &files.fallback {
            line(&mut toml, &format!("fallback = {}", text(fallback)));
        }
    }
    let mut env = spec.env.clone();
    env.extend(plain(&plan.env));
    table(&mut toml, "env", env.iter());
    table(&mut toml, "required_env", spec.required_env.iter());
    for stage in &plan.stages {
        write_stage(stage, "stage", &mut toml);
    }
    let mut whole = convert::Converted::default();
    let after = convert::posts(&plan.post, &mut whole);
    write_after(&after, "\n[after]", &mut toml);
    left_out(&whole.left_out, &mut toml);
    if plan
        .stages
        .iter()
        .all(|stage| !stage.name.eq_ignore_ascii_case("test"))
    {
        toml.push_str("\n# [[stage]]\n# name = \"Test\"\n# run = \"the command that runs your tests\"\n# tests = \"report.xml\"   # JUnit XML\n");
    }
    toml
}

fn health(health: &HealthSpec, toml: &mut String) {
    let default = HealthSpec::default();
    if *health == default {
        line(
            toml,
            "# health = \"/healthz\"   # without a path, a connection is enough",
        );
        return;
    }
    let mut keys = Vec::new();
    if let Some(path) = &health.path {
        let only_path = HealthSpec {
            path: health.path.clone(),
            ..default.clone()
        };
        if *health == only_path {
            line(toml, &format!("health = {}", text(path)));
            return;
        }
        keys.push(format!("path = {}", text(path)));
    }
    if health.statuses != default.statuses {
        keys.push(format!("status = \"{}\"", health.statuses));
    }
    if let Some(body) = &health.body {
        keys.push(format!("body = {}", text(body)));
    }
    for (key, value, usual) in [
        ("interval", health.interval_ms, default.interval_ms),
        ("timeout", health.timeout_ms, default.timeout_ms),
        ("start", health.start_ms, default.start_ms),
    ] {
        if value != usual {
            keys.push(format!("{key} = {}", text(&show_ms(value))));
        }
    }
    for (key, value, usual) in [
        ("rise", health.rise, default.rise),
        ("fall", health.fall, default.fall),
    ] {
        if value != usual {
            keys.push(format!("{key} = {value}"));
        }
    }
    line(toml, &format!("health = {{ {} }}", keys.join(", ")));
}

fn processes(spec: &AppSpec, toml: &mut String) {
    if spec
        .processes
        .values()
        .any(|process| process.network.reaches_host)
    {
        line(toml, "\n[network]");
        line(
            toml,
            "mode = \"host\"   # each process that has a private one says so",
        );
        line(toml, "host = true");
    }
    for (name, process) in &spec.processes {
        line(toml, &format!("\n[process.{name}]"));
        line(toml, &format!("run = {}", text(&process.command)));
        if process.instances != 1 {
            line(toml, &format!("instances = {}", process.instances));
        }
        if let Some(folder) = &process.folder {
            line(toml, &format!("folder = {}", text(folder)));
        }
        if process.grace_ms != 10_000 {
            line(
                toml,
                &format!("grace = {}", text(&show_ms(process.grace_ms))),
            );
        }
        let limits = &process.limits;
        if let Some(memory) = limits.memory_bytes {
            line(toml, &format!("memory = {}", text(&show_bytes(memory))));
        }
        if let Some(cpu) = limits.cpu_millis {
            line(toml, &format!("cpu = {}.{:03}", cpu / 1000, cpu % 1000));
        }
        if let Some(pids) = limits.pids {
            line(toml, &format!("pids = {pids}"));
        }
        if let Some(files) = limits.open_files {
            line(toml, &format!("open_files = {files}"));
        }
        let network = &process.network;
        if network.private {
            line(toml, "network = \"private\"");
        }
        if !network.allow.is_empty() {
            line(toml, &format!("allow = {}", list(&network.allow)));
        }
        if let Some(port) = network.port {
            line(toml, &format!("port = {port}"));
        }
    }
}

fn write_stage(stage: &Stage, path: &str, toml: &mut String) {
    line(toml, &format!("\n[[{path}]]"));
    line(toml, &format!("name = {}", text(&stage.name)));
    if let Some(timeout) = stage.options.timeout_ms {
        line(toml, &format!("timeout = {}", text(&show_ms(timeout))));
    }
    if let Some(attempts) = stage.options.attempts.filter(|attempts| *attempts > 1) {
        line(toml, &format!("retry = {}", attempts - 1));
    }
    let env: Vec<String> = plain(&stage.env)
        .map(|(name, value)| format!("{name} = {}", text(&value)))
        .collect();
    if !env.is_empty() {
        line(toml, &format!("env = {{ {} }}", env.join(", ")));
    }
    if let Some(Agent::Label(label)) = &stage.agent {
        line(toml, &format!("agent = {}", text(label)));
    }
    if let Some(condition) = &stage.when {
        match when(condition) {
            Some(keys) => line(toml, &format!("when = {{ {keys} }}")),
            None => line(toml, "# Its condition was not converted: it is always run."),
        }
    }
    let (made, after) = convert::stage(stage);
    for (key, patterns) in [("tests", &made.tests), ("artifacts", &made.artifacts)] {
        if !patterns.is_empty() {
            line(toml, &format!("{key} = {}", list(patterns)));
        }
    }
    write_after(&after, "", toml);
    match &stage.body {
        Body::Steps(steps) => write_steps(steps, &made, toml),
        Body::Parallel { stages, fail_fast } => {
            line(toml, "parallel = true");
            if *fail_fast {
                line(toml, "fail_fast = true");
            }
            for inner in stages {
                write_stage(inner, &format!("{path}.stage"), toml);
            }
        }
        Body::Stages(stages) => {
            for inner in stages {
                write_stage(inner, &format!("{path}.stage"), toml);
            }
        }
    }
}

fn write_steps(steps: &[Step], made: &convert::Converted, toml: &mut String) {
    if let [Step::Make(make)] = steps {
        write_steps(&make.steps, &convert::steps(&make.steps), toml);
        line(
            toml,
            "# While `from` is unchanged, `makes` is taken from an earlier build.",
        );
        line(toml, &format!("makes = {}", list(&make.makes)));
        line(toml, &format!("from = {}", list(&make.from)));
        if !make.tools.is_empty() {
            line(toml, &format!("tools = {}", list(&make.tools)));
        }
        return;
    }
    if let [
        Step::InFolder {
            folder: Text::Plain(folder),
            steps,
        },
    ] = steps
    {
        line(toml, &format!("folder = {}", text(folder)));
        write_steps(steps, &convert::steps(steps), toml);
        return;
    }
    if let [Step::CatchError { steps, .. }] = steps {
        line(toml, "allow_failure = true");
        write_steps(steps, &convert::steps(steps), toml);
        return;
    }
    if let Some(attempts) = made.attempts.filter(|attempts| *attempts > 1) {
        line(toml, &format!("retry = {}", attempts - 1));
    }
    match made.run.as_slice() {
        [] if made.tests.is_empty() && made.artifacts.is_empty() => line(toml, "run = \"true\""),
        [] => {}
        [script] => line(toml, &format!("run = {}", text(script))),
        scripts => line(toml, &format!("run = {}", list(scripts))),
    }
    left_out(&made.left_out, toml);
}

/// Statements that only a Jenkinsfile can say, as comments.
fn left_out(statements: &[String], toml: &mut String) {
    for statement in statements {
        line(toml, "# Not converted:");
        for text in statement.lines() {
            line(toml, format!("#   {text}").trim_end());
        }
    }
}

/// What follows, as a table of its own or as a key of the stage.
fn write_after(after: &[(PostWhen, Vec<String>)], heading: &str, toml: &mut String) {
    let mut keys: Vec<(&str, Vec<String>)> = Vec::new();
    for (when, run) in after {
        let Some((key, _)) = super::stages::AFTER.iter().find(|(_, known)| known == when) else {
            left_out(run, toml);
            continue;
        };
        match keys.iter_mut().find(|(known, _)| known == key) {
            Some((_, all)) => all.extend(run.iter().cloned()),
            None => keys.push((key, run.clone())),
        }
    }
    if keys.is_empty() {
        return;
    }
    let keys: Vec<String> = keys
        .iter()
        .map(|(key, run)| match run.as_slice() {
            [one] => format!("{key} = {}", text(one)),
            run => format!("{key} = {}", list(run)),
        })
        .collect();
    if heading.is_empty() {
        line(toml, &format!("after = {{ {} }}", keys.join(", ")));
    } else {
        line(toml, heading);
        keys.iter().for_each(|key| line(toml, key));
    }
}

/// The variables whose values are known.
fn plain(variables: &[Variable]) -> impl Iterator<Item = (String, String)> {
    variables
        .iter()
        .filter_map(|variable| match &variable.value {
            Text::Plain(value) => Some((variable.name.clone(), value.clone())),
            Text::Script(_) => None,
        })
}

/// A condition as the keys of a `when` table, where it can be said there.
fn when(condition: &Condition) -> Option<String> {
    let one = |condition: &Condition| when(condition).map(|keys| format!("{{ {keys} }}"));
    let all = |conditions: &[Condition]| -> Option<String> {
        let all: Option<Vec<String>> = conditions.iter().map(one).collect();
        Some(all?.join(", "))
    };
    Some(match condition {
        Condition::All(conditions) => format!("all = [{}]", all(conditions)?),
        Condition::Any(conditions) => format!("any = [{}]", all(conditions)?),
        Condition::Not(inner) => format!("not = {}", one(inner)?),
        Condition::Branch(pattern) => format!("branch = {}", text(pattern)),
        Condition::Tag(None) => "tag = true".to_owned(),
        Condition::Tag(Some(pattern)) => format!("tag = {}", text(pattern)),
        Condition::ChangeRequest => "pull_request = true".to_owned(),
        Condition::Environment {
            name,
            value: Text::Plain(value),
        } => format!("env = {{ {name} = {} }}", text(value)),
        Condition::Changed(pattern) => format!("changed = {}", text(pattern)),
        Condition::Exists(path) => format!("exists = {}", text(path)),
        Condition::Command(command) => format!("command = {}", text(command)),
        Condition::Cause(cause) => format!("cause = {}", text(cause)),
        Condition::Environment { .. } | Condition::Equals { .. } | Condition::Script(_) => {
            return None;
        }
    })
}

fn table<'a>(
    toml: &mut String,
    name: &str,
    entries: impl Iterator<Item = (&'a String, &'a String)>,
) {
    for (at, (key, value)) in entries.enumerate() {
        if at == 0 {
            line(toml, &format!("\n[{name}]"));
        }
        line(toml, &format!("{key} = {}", text(value)));
    }
}

fn line(toml: &mut String, text: &str) {
    toml.push_str(text);
    toml.push('\n');
}

fn list(items: &[String]) -> String {
    let items: Vec<String> = items.iter().map(|item| text(item)).collect();
    format!("[{}]", items.join(", "))
}

/// A TOML string: over several lines between three quotes, else on one.
fn text(value: &str) -> String {
    let several = value.trim_end().contains('\n');
    let mut quoted = String::from(if several { "\"\"\"\n" } else { "\"" });
    for c in value.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' if several => quoted.push('\n'),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            c if c.is_control() => {
                // Writing to a String cannot fail.
                let _ = write!(quoted, "\\u{:04X}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push_str(if several { "\"\"\"" } else { "\"" });
    quoted
}
