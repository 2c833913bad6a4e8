//! Why a deploy failed, for the person who is to mend it: the phase's command and exit, the probe's answer, the app's last
//! lines, and what most likely helps.

use std::path::Path;
use std::time::Duration;

use launchway_model::deploy::Release;
use launchway_model::instance::{Exit, InstanceState};
use launchway_model::{InstanceId, Problem};
use launchway_supervisor::observe;
use tokio::time::Instant;

use crate::probe::Finding;
use crate::reconcile::{Observed, Seen};
use crate::{Control, logs};

/// How many of the app's last lines a person gets to see.
const LINES: usize = 20;
/// How long a definite wrong answer may stand before the deploy is given up, though its time is not over: an app that
/// answers 500 or listens elsewhere for that long will not come round.
const HOPELESS: Duration = Duration::from_secs(10);

/// Where the candidates of a deploy stand.
pub(super) enum Verdict {
    /// All are ready.
    Ready,
    /// One of them will not become it.
    Failed {
        /// Which.
        id: InstanceId,
        /// Why.
        why: Why,
    },
    /// It is not decided, and to be looked at again when something changes, at the latest then.
    Wait {
        /// When.
        until: Instant,
    },
}

/// Why a candidate will not become ready.
pub(super) enum Why {
    /// It is not known any more, or its shim is gone.
    Lost(Option<Box<Problem>>),
    /// Its command ended.
    Exited(Option<Exit>),
    /// Its time is over, or its answer is hopeless.
    NotHealthy {
        finding: Option<Finding>,
        after: Duration,
    },
}

/// Judges the candidates by what is observed now.
pub(super) fn judge(observed: &Observed, started: &[InstanceId], deadline: Instant) -> Verdict {
    let now = Instant::now();
    let mut until = deadline;
    let mut waiting = false;
    for id in started {
        let failed = |why| Verdict::Failed {
            id: id.clone(),
            why,
        };
        let Some(seen) = observed.instances.get(id) else {
            return failed(Why::Lost(None));
        };
        if let Some(problem) = &seen.lost {
            return failed(Why::Lost(Some(Box::new(problem.clone()))));
        }
        if let Some(exit) = exited(seen) {
            return failed(Why::Exited(exit));
        }
        if seen.ready {
            continue;
        }
        waiting = true;
        let finding = seen
            .report
            .as_ref()
            .and_then(|report| report.finding.clone());
        if now >= deadline {
            return failed(Why::NotHealthy {
                finding,
                after: seen.since.elapsed(),
            });
        }
        if let Some(report) = &seen.report
            && is_definite(report.finding.as_ref())
        {
            let hopeless = report.since + HOPELESS;
            if now >= hopeless {
                return failed(Why::NotHealthy {
                    finding,
                    after: seen.since.elapsed(),
                });
            }
            until = until.min(hopeless);
        }
    }
    if waiting {
        Verdict::Wait { until }
    } else {
        Verdict::Ready
    }
}

/// How the command ended, if it did since it was first started.
fn exited(seen: &Seen) -> Option<Option<Exit>> {
    match &seen.status {
        InstanceState::Backoff { exit, .. } => Some(Some(*exit)),
        InstanceState::Stopped { exit } => Some(exit.or(seen.last_exit)),
        _ if seen.restarts > 0 => Some(seen.last_exit),
        _ => None,
    }
}

/// Whether waiting will most likely not help. A 503 is what an app says that is still warming up.
fn is_definite(finding: Option<&Finding>) -> bool {
    match finding {
        Some(Finding::Status(status)) => *status != http::StatusCode::SERVICE_UNAVAILABLE,
        Some(Finding::Body | Finding::Broken(_) | Finding::Foreign) => true,
        // What a command says can change with what it waits for.
        Some(Finding::Command(_)) => false,
        Some(Finding::Healthy | Finding::Refused | Finding::TimedOut) | None => false,
    }
}

/// Explains why a candidate will not become ready.
pub(super) async fn explain(
    control: &Control,
    release: &Release,
    id: &InstanceId,
    why: &Why,
) -> Problem {
    let command = release
        .spec
        .processes
        .get(id.process())
        .map_or("", |process| process.command.as_str());
    let (port, shim) = {
        let observed = control.observed.borrow();
        let seen = observed.instances.get(id);
        (
            seen.and_then(|seen| seen.port),
            seen.and_then(|seen| seen.shim),
        )
    };
    let output = logs::last_words(&control.settings().home.instance_log(id), LINES).await;
    let fixed_port = private_network(control);
    let problem = match why {
        Why::Lost(Some(problem)) => {
            let mut lost = Problem::failed(format!(
                "the {} process could not be kept running",
                id.process()
            ));
            lost.causes.push(problem.message.clone());
            lost.causes.extend(problem.causes.clone());
            lost
        }
        Why::Lost(None) => Problem::failed(format!("the {} process is gone", id.process())),
        Why::Exited(exit) => explain_exit(fixed_port, id, *exit, port, &output),
        Why::NotHealthy { finding, after } => {
            let elsewhere = listens_on(shim).await;
            explain_health(
                fixed_port,
                release,
                id,
                finding.as_ref(),
                *after,
                port,
                &elsewhere,
            )
        }
    };
    problem
        .cause(format!("the command is `{command}`"))
        .output(output)
}

fn explain_exit(
    fixed_port: &str,
    id: &InstanceId,
    exit: Option<Exit>,
    port: Option<u16>,
    output: &[String],
) -> Problem {
    let how = exit.map_or_else(
        || "in an unknown way".to_owned(),
        |exit| format!("with {exit}"),
    );
    let place = match port {
        Some(port) => format!("before it was ready on port {port}"),
        None => "right after its start".to_owned(),
    };
    let problem = Problem::failed(format!("the {} process ended {how} {place}", id.process()));
    let said = |words: &str| output.iter().any(|line| line.contains(words));
    let hint = match exit {
        _ if said("Address already in use") || said("EADDRINUSE") => {
            let words =
                "Listen on the port in the variable PORT: the app tries one that is in use.";
            return problem.hint(format!("{words} {fixed_port}"));
        }
        Some(Exit::Code(0)) => {
            "The command must stay in the foreground: take off what sends it to the background, such as `--daemon` or `&`."
        }
        Some(Exit::Code(127)) => {
            "The command was not found: check its spelling, and that what brings it is among the app's dependencies."
        }
        Some(Exit::Code(126)) => {
            "The command's file is not executable: `git update-index --chmod=+x FILE`."
        }
        Some(Exit::Signal(9)) => {
            "Something killed it, most often for want of memory: see `dmesg`, and its memory limit."
        }
        _ if said("ModuleNotFoundError") || said("Cannot find module") => {
            "A module is missing: add it to the app's dependencies and commit that."
        }
        _ if said("KeyError") || said("must be set") || said("is required") => {
            "A variable may be missing: `launchway config set NAME=VALUE`."
        }
        _ => "The app's last lines, below, say why.",
    };
    problem.hint(hint)
}

/// What helps an app that cannot be told its port.
fn private_network(control: &Control) -> &'static str {
    if control.networks.able() {
        "One whose port is fixed can have it in a network of its own: `network = \"private\"` below [process.web] in launchway.toml."
    } else {
        "One whose port is fixed needs a network of its own, which only a Launchway that runs as root can give."
    }
}

fn explain_health(
    fixed_port: &str,
    release: &Release,
    id: &InstanceId,
    finding: Option<&Finding>,
    after: Duration,
    port: Option<u16>,
    elsewhere: &[u16],
) -> Problem {
    let process = id.process();
    let seconds = after.as_secs_f64();
    let own = release
        .spec
        .processes
        .get(process)
        .and_then(|spec| spec.health.as_ref());
    let health = own.unwrap_or(&release.spec.health);
    let asked = match (&health.path, &health.command) {
        (None, None) => "a connection".to_owned(),
        _ => health.in_words(),
    };
    if let Some(Finding::Command(said)) = finding {
        return Problem::failed(format!(
            "the health check of the {process} process failed: {said}"
        ))
        .cause(format!(
            "the command is `{}`",
            health.command.as_deref().unwrap_or_default()
        ))
        .cause(format!("it was tried for {seconds:.0} s"))
        .hint("Run it by hand to see why: `launchway run APP -- COMMAND`. It must exit with 0.");
    }
    let Some(port) = port else {
        return Problem::failed(format!(
            "the {process} process did not settle within {seconds:.0} s"
        ));
    };
    let others: Vec<String> = elsewhere
        .iter()
        .filter(|found| **found != port)
        .map(ToString::to_string)
        .collect();
    match finding {
        Some(Finding::Refused) | None if !others.is_empty() => {
            let others = others.join(", ");
            Problem::failed(format!("the app listens on port {others}, not on $PORT ({port})"))
                .cause(format!("nothing listened on port {port} for {seconds:.0} s"))
                .hint(format!(
                    "Let the app listen on the port that the variable PORT holds, such as `--bind 0.0.0.0:$PORT`. {}",
                    fixed_port
                ))
        }
        Some(Finding::Refused) | None => {
            Problem::failed(format!("the app did not listen on $PORT ({port}) within {seconds:.0} s"))
                .cause("its processes listen on no port")
                .hint("Let the app listen on the port that the variable PORT holds; raise `[health] start` if it needs longer.")
        }
        Some(Finding::Foreign) => {
            Problem::failed(format!("something else listens on $PORT ({port})"))
                .cause("the health check was answered by a process that is not the app's")
                .hint("The app must not leave its own session; end what listens there with `ss -ltnp`.")
        }
        Some(Finding::Status(status)) => {
            let problem = Problem::failed(format!("the app answered {asked} with {status}"))
                .cause(format!("it did so for {seconds:.0} s"));
            match status.as_u16() {
                404 => problem.hint(format!(
                    "Let the app answer {asked}, or name another path in launchway.toml: `[health] path = \"/\"`."
                )),
                400 => problem.hint(format!(
                    "The app may refuse the Host `{}.localhost`: allow it (Django: ALLOWED_HOSTS).",
                    id.app()
                )),
                401 | 403 => problem.hint("Name a path that needs no login: `[health] path` in launchway.toml."),
                _ => problem.hint("The app's last lines, below, say why."),
            }
        }
        Some(Finding::TimedOut) => Problem::failed(format!("the app did not answer {asked} within {} ms", health.timeout_ms))
            .cause(format!("probes went on for {seconds:.0} s"))
            .hint("Let the path answer without slow work, or raise `[health] timeout`."),
        Some(Finding::Body) => {
            let lacks = match (&health.body, &health.body_matches) {
                (Some(text), _) => format!("lacks the text `{text}`"),
                (None, expression) => {
                    format!("does not match `{}`", expression.as_deref().unwrap_or_default())
                }
            };
            Problem::failed(format!("the answer to {asked} {lacks}"))
                .hint("Check `[health] body` in launchway.toml.")
        }
        Some(Finding::Broken(words)) => Problem::failed(format!("the app did not answer {asked} with HTTP"))
            .cause(words)
            .hint("Without HTTP a TCP connection is enough: take `[health] path` out of launchway.toml."),
        Some(Finding::Healthy | Finding::Command(_)) => Problem::failed(format!("the app was not healthy often enough within {seconds:.0} s"))
            .hint("`[health] rise` wants that many healthy answers in a row."),
    }
}

/// The TCP ports on which an instance's processes listen.
async fn listens_on(shim: Option<u32>) -> Vec<u16> {
    let Some(shim) = shim else { return Vec::new() };
    let looked = tokio::task::spawn_blocking(move || {
        let mut ports: Vec<u16> = observe::listening_ports(&observe::tree(shim).pids)
            .into_iter()
            .map(|(_, address)| address.port())
            .collect();
        ports.sort_unstable();
        ports.dedup();
        ports
    });
    looked.await.unwrap_or_default()
}

/// A candidate was ready and then, in the moment of the switch, was not.
pub(super) async fn lost_before_switch(
    control: &Control,
    release: &Release,
    started: &[InstanceId],
    problem: Problem,
) -> Problem {
    let verdict = judge(&control.observed.borrow(), started, Instant::now());
    match verdict {
        Verdict::Failed { id, why } => {
            let mut explained = explain(control, release, &id, &why).await;
            explained.causes.insert(
                0,
                "it had been healthy, and was not any more when the routes were to be switched"
                    .to_owned(),
            );
            explained
        }
        Verdict::Ready | Verdict::Wait { .. } => problem,
    }
}

/// A command of a deploy ended with a failure. `what` names it: "the release command".
pub(super) async fn command(what: &str, command: &str, exit: Option<Exit>, log: &Path) -> Problem {
    let how = exit.map_or_else(
        || "was killed".to_owned(),
        |exit| format!("ended with {exit}"),
    );
    Problem::failed(format!("{what} {how}"))
        .cause(format!("the command is `{command}`"))
        .hint("What served goes on serving. Mend the command, or what it does, and deploy again.")
        .output(logs::last_words(log, LINES).await)
}

/// A command of a deploy did not end.
pub(super) async fn command_hangs(
    what: &str,
    command: &str,
    limit: Duration,
    log: &Path,
) -> Problem {
    Problem::failed(format!("{what} did not end within {} s and was stopped", limit.as_secs()))
        .cause(format!("the command is `{command}`"))
        .hint("It may wait for a lock or for input; raise its `timeout` in launchway.toml if it needs longer.")
        .output(logs::last_words(log, LINES).await)
}

/// The proxy did not take the table.
pub(super) fn no_proxy(limit: Duration) -> Problem {
    Problem::unavailable(format!(
        "the proxy did not take the new routes within {} s",
        limit.as_secs()
    ))
    .hint("Check that `launchway proxy` runs; what serves goes on serving.")
}

#[cfg(test)]
mod tests;
