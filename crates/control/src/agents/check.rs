//! What an agent may say of itself.

use launchway_model::agent::{AGENT_PROTOCOL, Report};
use launchway_model::{Problem, ProblemKind};

/// The longest name of an agent, and the longest label, in bytes.
const MAX_NAME: usize = 100;
/// The most labels of an agent.
const MAX_LABELS: usize = 100;

/// Whether an agent speaks as this server does, with labels that can be asked for.
pub(super) fn check_version(report: &Report) -> Result<(), Problem> {
    let ours = env!("CARGO_PKG_VERSION");
    if report.protocol != AGENT_PROTOCOL || report.version != ours {
        return Err(Problem::new(
            ProblemKind::Invalid,
            format!(
                "this agent is Launchway {}, the server is {ours}",
                report.version
            ),
        )
        .cause(format!(
            "the agent speaks protocol {}, the server {AGENT_PROTOCOL}",
            report.protocol
        ))
        .hint("Put the server's binary on the agent's machine and start the agent again."));
    }
    if report.labels.len() > MAX_LABELS {
        return Err(Problem::invalid(format!(
            "an agent has at most {MAX_LABELS} labels"
        )));
    }
    report
        .labels
        .iter()
        .try_for_each(|label| check_label(label))
}

/// Whether a label can be asked for.
pub(super) fn check_label(label: &str) -> Result<(), Problem> {
    if label.is_empty() || label.len() > MAX_NAME || label.contains(['"', '\n', '\0']) {
        return Err(Problem::invalid(format!("`{label}` is no label"))
            .hint("A label has 1 to 100 characters and no quotes."));
    }
    Ok(())
}

/// Whether a name can be written in commands and pages.
pub(super) fn check_name(what: &str, name: &str) -> Result<(), Problem> {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || name.len() > MAX_NAME || !name.chars().all(good) || name.starts_with('.')
    {
        return Err(Problem::invalid(format!("`{name}` cannot be {what}"))
            .hint("Use letters, digits, `-`, `_` and `.`, such as `build-1`."));
    }
    Ok(())
}
