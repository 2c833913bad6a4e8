//! A plan in words, a line each, for a person who wants to know what will happen before it does.

use launchway_model::app::{AppSpec, RouteTo, Strategy};

use super::quantity::show_ms;
use crate::plan::{Body, Plan, Stage, Step, Text};

/// How deep stages are told.
const MAX_LINES: usize = 200;

/// The lines.
pub(crate) fn of(spec: &AppSpec, plan: &Plan, notes: &[String]) -> Vec<String> {
    let mut lines = Vec::new();
    for source in &spec.sources {
        lines.push(format!("From {source}."));
    }
    for stage in &plan.stages {
        tell_stage(stage, 0, &mut lines);
    }
    if plan.stages.is_empty() {
        lines.push("Nothing to build.".to_owned());
    }
    if let Some(release) = &spec.release {
        lines.push(format!(
            "Before each release: {}",
            one_line(&release.command)
        ));
    }
    for (name, process) in &spec.processes {
        let many = match process.instances {
            1 => String::new(),
            0 => " (none is started)".to_owned(),
            many => format!(" ({many} instances)"),
        };
        lines.push(format!(
            "Process {name}{many}: {}",
            one_line(&process.command)
        ));
    }
    for route in &spec.routes {
        let hosts = if route.hosts.is_empty() {
            String::new()
        } else {
            route.hosts.join(", ")
        };
        let to = match &route.to {
            RouteTo::Process { process } => process.to_string(),
            RouteTo::Files(files) => format!("the folder {}", files.folder),
        };
        lines.push(format!("Route {hosts}{}: {to}", route.path));
    }
    if let Some(once) = &spec.once {
        lines.push(format!("Once ever: {}", one_line(&once.command)));
    }
    for job in &spec.cron {
        lines.push(format!(
            "By the clock, {} ({}): {}",
            job.name,
            job.schedule,
            one_line(&job.command)
        ));
    }
    for rule in &spec.scaling {
        lines.push(format!(
            "By the clock ({}): {} instances of {}",
            rule.schedule, rule.instances, rule.process
        ));
    }
    match &spec.rollout.strategy {
        Strategy::BlueGreen => {}
        Strategy::Rolling {
            max_extra,
            max_missing,
        } => lines.push(format!(
            "Replaced a few at a time: at most {max_extra} more and {max_missing} less than wanted."
        )),
        Strategy::Canary(canary) => {
            let steps: Vec<String> = canary.steps.iter().map(|step| format!("{step}%")).collect();
            let header = canary
                .header
                .as_ref()
                .map(|header| format!("requests with the header {}", header.name));
            let parts: Vec<String> = header.into_iter().chain(steps).collect();
            lines.push(format!(
                "A canary first: {}, {}.",
                parts.join(", "),
                if canary.promote {
                    "then by itself all"
                } else {
                    "then all when a person says so"
                }
            ));
        }
    }
    if let Some(command) = &spec.rollout.verify.command {
        lines.push(format!("Verified by: {}", one_line(&command.command)));
    }
    if let Some(files) = &spec.files {
        let fallback = files
            .fallback
            .as_ref()
            .map(|fallback| format!(", {fallback} for paths that are no file"))
            .unwrap_or_default();
        lines.push(format!(
            "Files: the folder {} is served{fallback}.",
            files.folder
        ));
    }
    if spec
        .processes
        .keys()
        .any(launchway_model::ProcessType::is_web)
    {
        let health = &spec.health;
        lines.push(match (&health.path, &health.command) {
            (_, Some(command)) => format!(
                "Ready when `{command}` exits with 0, within {}.",
                show_ms(health.start_ms)
            ),
            (Some(path), None) => format!(
                "Ready when {} {path} answers {}, within {}.",
                health.method,
                health.statuses,
                show_ms(health.start_ms)
            ),
            (None, None) => format!(
                "Ready when it takes connections on $PORT, within {}.",
                show_ms(spec.health.start_ms)
            ),
        });
    }
    if !spec.persist.is_empty() {
        lines.push(format!(
            "Kept across releases: {}.",
            spec.persist.join(", ")
        ));
    }
    if spec.scan.is_gate() {
        let mut rule = format!(
            "Known vulnerabilities keep a build from becoming a release: {}",
            match spec.scan.fail_on.as_str() {
                "any" => "all".to_owned(),
                level if level.starts_with(|c: char| c.is_ascii_digit()) =>
                    format!("a CVSS score of {level} and more"),
                level => format!("{level} and worse"),
            }
        );
        if spec.scan.fixable_only {
            rule.push_str(", where some version mends them");
        }
        if let Some(days) = spec.scan.grace_days {
            rule.push_str(&format!(", public for {days} days"));
        }
        rule.push('.');
        lines.push(rule);
    }
    if !spec.required_env.is_empty() {
        let names: Vec<&str> = spec.required_env.keys().map(String::as_str).collect();
        lines.push(format!("Must be set: {}.", names.join(", ")));
    }
    lines.extend(notes.iter().cloned());
    lines
}

fn tell_stage(stage: &Stage, depth: usize, lines: &mut Vec<String>) {
    if lines.len() >= MAX_LINES {
        return;
    }
    let indent = "  ".repeat(depth);
    let when = if stage.when.is_some() {
        " (on its condition)"
    } else {
        ""
    };
    match &stage.body {
        Body::Steps(steps) => {
            let told: Vec<String> = steps.iter().filter_map(tell_step).collect();
            lines.push(format!(
                "{indent}Stage {}{when}: {}",
                stage.name,
                told.join("; ")
            ));
        }
        Body::Stages(stages) => {
            lines.push(format!("{indent}Stage {}{when}:", stage.name));
            for stage in stages {
                tell_stage(stage, depth + 1, lines);
            }
        }
        Body::Parallel { stages, .. } => {
            lines.push(format!("{indent}Stage {}{when}, side by side:", stage.name));
            for stage in stages {
                tell_stage(stage, depth + 1, lines);
            }
        }
    }
}

fn tell_step(step: &Step) -> Option<String> {
    let all = |steps: &[Step]| {
        let told: Vec<String> = steps.iter().filter_map(tell_step).collect();
        told.join("; ")
    };
    match step {
        Step::Run {
            script: Text::Plain(script),
            label,
        } => Some(label.clone().unwrap_or_else(|| one_line(script))),
        Step::Run { label, .. } => Some(label.clone().unwrap_or_else(|| "a command".to_owned())),
        Step::Make(make) => Some(format!(
            "{} (makes {}; left out while {} {} unchanged)",
            all(&make.steps),
            make.makes.join(", "),
            make.from.join(", "),
            if make.from.len() == 1 { "is" } else { "are" },
        )),
        Step::InFolder {
            folder: Text::Plain(folder),
            steps,
        } => Some(format!("in {folder}: {}", all(steps))),
        Step::Retry { steps, .. }
        | Step::Timeout { steps, .. }
        | Step::WithEnv { steps, .. }
        | Step::CatchError { steps, .. }
        | Step::InFolder { steps, .. } => Some(all(steps)),
        Step::Script(_) => {
            let made = super::convert::steps(std::slice::from_ref(step));
            let told: Vec<String> = made.run.iter().map(|run| one_line(run)).collect();
            let script = !made.left_out.is_empty();
            Some(
                told.into_iter()
                    .chain(script.then(|| "a script".to_owned()))
                    .collect::<Vec<_>>()
                    .join("; "),
            )
        }
        _ => None,
    }
    .filter(|told| !told.is_empty())
}

/// A command on one line.
fn one_line(command: &str) -> String {
    let lines: Vec<&str> = command
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    lines.join("; ")
}
