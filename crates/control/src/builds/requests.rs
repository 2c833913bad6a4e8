//! What running builds ask, and the answers: a person's word, another app's build, a deploy of the build itself.
//!
//! A request is known from the build's spool and kept in the store; what is begun for it is begun once, however often
//! control is restarted and reads the spool again. The answer is written to the store and then to the build's folder, where
//! its runner (or the link of the agent that runs it) finds it.

use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use launchway_model::app::AppSpec;
use launchway_model::build::{BuildNow, BuildResult, BuildState};
use launchway_model::deploy::DeployState;
use launchway_model::request::{
    Answer, AnswerOutcome, Ask, BuildRequestRecord, InputAnswer, InputQuestion, answer_path,
};
use launchway_model::{AppName, BuildId, DeployId, Problem};
use launchway_store::{NewRelease, StoredBuild, StoredRequest};

use super::notices;
use crate::logs::LogQuery;
use crate::{Control, builds, deploys, formation, logs, problem, scans, source};

/// What a spool says of requests.
#[derive(Debug)]
pub(crate) enum News {
    /// The build asks.
    Asked {
        number: u32,
        ask: Box<Ask>,
        at: Timestamp,
    },
    /// The build waits no more.
    Settled(u32),
}

/// All requests of a build, oldest first.
///
/// # Errors
/// The build does not exist, or the store fails.
pub async fn requests(control: &Control, id: BuildId) -> Result<Vec<BuildRequestRecord>, Problem> {
    builds::get(control, id).await?;
    let stored = control.store.requests(id).await.map_err(problem::store)?;
    Ok(stored
        .into_iter()
        .map(|request| shown(request.record))
        .collect())
}

/// A person's answer to an input; `by` is who gave it. Without a number it is for the input that waits, which must be one.
///
/// # Errors
/// The build does not exist or waits for no such input, a field's value is none that it takes, or the store fails.
pub async fn answer(
    control: &Control,
    id: BuildId,
    number: Option<u32>,
    given: InputAnswer,
    by: &str,
) -> Result<(), Problem> {
    builds::get(control, id).await?;
    let waiting: Vec<(u32, InputQuestion)> = control
        .store
        .requests(id)
        .await
        .map_err(problem::store)?
        .into_iter()
        .filter(|request| !request.record.settled && request.record.answer.is_none())
        .filter_map(|request| match request.record.ask {
            Ask::Input(question) => Some((request.record.number, question)),
            _ => None,
        })
        .collect();
    let (number, question) = match (number, waiting.as_slice()) {
        (None, []) => {
            return Err(Problem::conflict(format!(
                "build {id} waits for nobody's word"
            )));
        }
        (None, [one]) => one,
        (None, several) => {
            let list = several
                .iter()
                .map(|(number, question)| format!("{number} ({})", question.message))
                .collect::<Vec<_>>();
            return Err(
                Problem::conflict(format!("build {id} waits for several answers"))
                    .hint(format!("Name one with --request: {}.", list.join(", "))),
            );
        }
        (Some(number), waiting) => waiting
            .iter()
            .find(|(other, _)| *other == number)
            .ok_or_else(|| {
                Problem::conflict(format!(
                    "build {id} does not wait for an answer to request {number}"
                ))
            })?,
    };
    let mut values = std::collections::BTreeMap::new();
    for field in &question.parameters {
        let value = given.parameters.get(&field.name);
        let value = value.cloned().unwrap_or_else(|| field.default_value());
        field.check(&value)?;
        values.insert(field.name.clone(), value);
    }
    if let Some(unknown) = given
        .parameters
        .keys()
        .find(|name| !values.contains_key(*name))
    {
        let known = question.parameters.iter().map(|field| field.name.as_str());
        let mut problem = Problem::invalid(format!("the input has no field `{unknown}`"));
        problem.hint = launchway_model::suggest::did_you_mean(unknown, known);
        return Err(problem);
    }
    let answer = Answer {
        outcome: if given.approve {
            AnswerOutcome::Done
        } else {
            AnswerOutcome::Aborted
        },
        by: Some(by.to_owned()),
        values,
        lines: Vec::new(),
        problem: None,
    };
    if deliver(control, id, *number, answer).await? {
        tracing::info!(build = %id, request = number, approve = given.approve, by, "an input was answered");
        Ok(())
    } else {
        Err(Problem::conflict(
            "somebody else answered in the same moment",
        ))
    }
}

/// Whether a build's own pipeline made a release of it already. A store that cannot say counts as no.
pub(crate) async fn was_released(control: &Control, id: BuildId) -> bool {
    control.store.was_released(id).await.unwrap_or(false)
}

/// Takes note of what a build's spool says; what is asked is done in a task of its own.
pub(crate) async fn heard(
    control: &Control,
    stored: &StoredBuild,
    spec: Option<&AppSpec>,
    news: News,
) -> Result<(), Problem> {
    let id = stored.build.id;
    match news {
        News::Settled(number) => {
            control.parked.unpark(id, number);
            control
                .store
                .settle_request(id, number)
                .await
                .map_err(problem::store)?;
            control.wake.changed();
            control.wake.builds.notify_one();
            Ok(())
        }
        News::Asked { number, ask, at } => {
            let request = control
                .store
                .open_request(id, number, &ask, at)
                .await
                .map_err(problem::store)?;
            control.wake.changed();
            if request.record.settled {
                return Ok(());
            }
            if let Some(answer) = &request.record.answer {
                // It was answered, and control ended before its build could see it.
                return write(control, id, number, answer);
            }
            let waits = matches!(*ask, Ask::Input(_) | Ask::Build { wait: true, .. });
            if waits {
                control.parked.park(id, number);
                control.wake.builds.notify_one();
            }
            if matches!(*ask, Ask::Input(_)) {
                return Ok(());
            }
            let (control, stored, spec) = (control.shared()?, stored.clone(), spec.cloned());
            control.clone().tasks.spawn(async move {
                let work = serve(&control, &stored, spec, &request);
                let answer = tokio::select! {
                    // The next control takes it up from the record.
                    () = control.cancel.cancelled() => return,
                    answer = work => answer.unwrap_or_else(Answer::failed),
                };
                if let Err(problem) = deliver(&control, id, number, answer).await {
                    tracing::error!(%problem, build = %id, "an answer cannot be given");
                }
            });
            Ok(())
        }
    }
}

async fn serve(
    control: &Arc<Control>,
    stored: &StoredBuild,
    spec: Option<AppSpec>,
    request: &StoredRequest,
) -> Result<Answer, Problem> {
    let app = &stored.build.request.app;
    match &request.record.ask {
        // A person answers.
        Ask::Input(_) => std::future::pending().await,
        Ask::Deploy => deploy(control, stored, spec, request.record.number).await,
        Ask::Build {
            job,
            parameters,
            wait,
        } => {
            let begun = match request.begun {
                Some(begun) => BuildId(begun),
                None => {
                    let begun = begin_build(control, stored, job, parameters, *wait).await?;
                    control
                        .store
                        .begin_request(stored.build.id, request.record.number, begun.0)
                        .await
                        .map_err(problem::store)?;
                    begun
                }
            };
            follow_build(control, begun, *wait).await
        }
        Ask::AppStatus => status(control, app).await,
        Ask::AppLog { lines } => log(control, app, *lines).await,
        Ask::Mail(mail) => notices::mail(control, stored, mail).await,
        Ask::Chat(chat) => notices::chat(control, chat).await,
    }
}

/// Deploys a build while it runs, and waits for the deploy's end.
async fn deploy(
    control: &Control,
    stored: &StoredBuild,
    spec: Option<AppSpec>,
    number: u32,
) -> Result<Answer, Problem> {
    let request = &stored.build.request;
    if !request.deploy {
        let branch = request.branch.as_deref().unwrap_or("a commit of no branch");
        return Ok(Answer::done(vec![format!(
            "Nothing is deployed: this is a build of {branch}, whose builds do not serve."
        )]));
    }
    if !control
        .settings()
        .home
        .tree(&request.app, stored.build.id)
        .exists()
    {
        // An agent delivers its tree at the build's end, and the release is made then.
        return Ok(Answer::done(vec![
            "The build runs on an agent, which delivers its tree at the end: it is deployed then, when it is green.".to_owned(),
        ]));
    }
    let spec =
        spec.ok_or_else(|| Problem::internal("a deploy was asked for before the plan was made"))?;
    scans::gate(control, &request.app, stored.build.id, &spec).await?;
    let release = NewRelease {
        app: request.app.clone(),
        build: stored.build.id,
        commit: request.commit.clone(),
        subject: request.subject.clone(),
        spec,
        config_version: None,
        cause: request.cause.clone(),
    };
    let id = control
        .store
        .begin_deploy_for(stored.build.id, number, &release, Timestamp::now())
        .await
        .map_err(problem::store)?;
    control.wake.deploys.notify_one();
    control.wake.changed();
    follow_deploy(control, id).await
}

async fn follow_deploy(control: &Control, id: DeployId) -> Result<Answer, Problem> {
    let mut records = control.wake.records();
    loop {
        records.mark_unchanged();
        let deploy = deploys::get(control, id).await?;
        let release = deploy.release;
        let not_served = |problem: Problem| Answer::failed(problem).value("release", release.0);
        match deploy.state {
            DeployState::Running { .. } => {}
            DeployState::Succeeded => {
                let line = format!("Release {release} of {} serves.", deploy.app);
                return Ok(Answer::done(vec![line]).value("release", release.0));
            }
            DeployState::Failed { problem, .. } => return Ok(not_served(problem)),
            DeployState::Superseded => {
                return Ok(not_served(Problem::conflict(
                    "a newer release took its place before it began",
                )));
            }
            DeployState::Cancelled => {
                return Ok(not_served(Problem::conflict(
                    "the deploy was cancelled; what served goes on serving",
                )));
            }
        }
        changed(&mut records).await?;
    }
}

/// Queues the build that another one asks for. `job` is an app, or an app and a branch: `shop`, `shop/main`, `team/shop/main`.
async fn begin_build(
    control: &Control,
    asker: &StoredBuild,
    job: &str,
    parameters: &std::collections::BTreeMap<String, String>,
    wait: bool,
) -> Result<BuildId, Problem> {
    let apps = control.store.apps().await.map_err(problem::store)?;
    let job = job.trim_matches('/');
    let found = job.split('/').enumerate().find_map(|(index, part)| {
        let app = apps
            .iter()
            .find(|app| app.name.as_str() == part.to_ascii_lowercase())?;
        let branch: Vec<&str> = job.split('/').skip(index + 1).collect();
        Some((app.name.clone(), branch.join("/")))
    });
    let Some((app, branch)) = found else {
        let mut problem = Problem::not_found(format!("there is no app `{job}` to build"));
        problem.hint =
            launchway_model::suggest::did_you_mean(job, apps.iter().map(|app| app.name.as_str()));
        return Err(problem);
    };
    if wait && app == asker.build.request.app {
        return Err(Problem::conflict(format!(
            "a build of {app} cannot wait for another one of {app}, since they run one after the other"
        ))
        .hint("Write `wait: false`, or make what it builds a stage of this pipeline."));
    }
    let request = BuildNow {
        branch: (!branch.is_empty()).then(|| branch.replace("%2F", "/").replace("%2f", "/")),
        parameters: parameters.clone(),
        ..BuildNow::default()
    };
    let cause = format!("build {} of {}", asker.build.id, asker.build.request.app);
    Ok(source::build(control, &app, request, &cause).await?.build)
}

async fn follow_build(control: &Control, id: BuildId, wait: bool) -> Result<Answer, Problem> {
    let mut records = control.wake.records();
    loop {
        records.mark_unchanged();
        let build = builds::get(control, id).await?;
        let app = &build.request.app;
        let answer = |line: String| {
            Answer::done(vec![line])
                .value("number", id.0)
                .value("job", app)
                .value("url", format!("{}/builds/{}", control.settings().url, id.0))
        };
        if !wait {
            return Ok(answer(format!("Build {id} of {app} is queued.")));
        }
        if let BuildState::Finished {
            result, since, at, ..
        } = build.state
        {
            let took = at.duration_since(since).as_millis();
            let line = format!("Build {id} of {app} ended: {}", result_word(result));
            return Ok(answer(line)
                .value("result", result_word(result))
                .value("duration", took));
        }
        changed(&mut records).await?;
    }
}

/// The name that Jenkins has for a result.
fn result_word(result: BuildResult) -> &'static str {
    match result {
        BuildResult::Success => "SUCCESS",
        BuildResult::Unstable => "UNSTABLE",
        BuildResult::Failure => "FAILURE",
        BuildResult::NotBuilt => "NOT_BUILT",
        BuildResult::Aborted => "ABORTED",
    }
}

async fn status(control: &Control, app: &AppName) -> Result<Answer, Problem> {
    let stored = control.app(app).await?;
    let mut lines = Vec::new();
    for instance in formation::instances(control, app).await? {
        let healthy = match instance.healthy {
            Some(true) => ", healthy",
            Some(false) => ", not healthy",
            None => "",
        };
        let routed = if instance.routed { ", serving" } else { "" };
        lines.push(format!("{}{healthy}{routed}", instance.id));
    }
    let active = stored.serving.is_some() && !stored.stopped;
    lines.insert(
        0,
        match stored.serving {
            Some(release) if active => format!("{app}: active, release {release}"),
            Some(release) => format!("{app}: stopped, release {release}"),
            None => format!("{app}: no release serves yet"),
        },
    );
    Ok(Answer::done(lines).value("active", if active { "active" } else { "inactive" }))
}

async fn log(control: &Control, app: &AppName, lines: u32) -> Result<Answer, Problem> {
    let query = LogQuery {
        lines: lines.min(10_000) as usize,
        ..LogQuery::default()
    };
    let mut receiver = logs::read(control, app, query).await?;
    let mut shown = Vec::new();
    while let Some(line) = receiver.recv().await {
        shown.push(format!("{}: {}", line.instance, line.text));
    }
    Ok(Answer::done(shown))
}

/// Keeps an answer and puts it where the build looks for it; whether it is the one that counts.
async fn deliver(
    control: &Control,
    id: BuildId,
    number: u32,
    answer: Answer,
) -> Result<bool, Problem> {
    let counts = control
        .store
        .answer_request(id, number, &answer)
        .await
        .map_err(problem::store)?;
    if counts {
        write(control, id, number, &answer)?;
        control.wake.changed();
    }
    Ok(counts)
}

fn write(control: &Control, id: BuildId, number: u32, answer: &Answer) -> Result<(), Problem> {
    let path = answer_path(&control.settings().home.build(id), number);
    let text = serde_json::to_vec(answer)
        .map_err(|error| Problem::internal("cannot encode an answer").cause(error))?;
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|error| problem::file("make", folder, &error))?;
    }
    // A field may be a password.
    crate::secrets::write_private(&path, &text)
        .and_then(|()| let_runner_read(&control.settings().home.build(id), &path))
        .map_err(|error| problem::file("write", &path, &error))?;
    control.agents.poke(id);
    Ok(())
}

/// A runner of another user than ours reads the build's record by its group.
fn let_runner_read(folder: &Path, file: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    let group = std::fs::metadata(folder)?.gid();
    if std::fs::metadata(file)?.gid() != group {
        std::os::unix::fs::chown(file, None, Some(group))?;
        std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o640))?;
    }
    Ok(())
}

/// A request without the values of fields that nobody is to see.
fn shown(mut record: BuildRequestRecord) -> BuildRequestRecord {
    use launchway_model::request::InputKind;
    if let (Ask::Input(question), Some(answer)) = (&mut record.ask, &mut record.answer) {
        for field in &question.parameters {
            if matches!(field.kind, InputKind::Password { .. })
                && let Some(value) = answer.values.get_mut(&field.name)
            {
                "****".clone_into(value);
            }
        }
    }
    if let Ask::Input(question) = &mut record.ask {
        for field in &mut question.parameters {
            if let InputKind::Password { default } = &mut field.kind {
                default.clear();
            }
        }
    }
    record
}

async fn changed(records: &mut tokio::sync::watch::Receiver<u64>) -> Result<(), Problem> {
    records
        .changed()
        .await
        .map_err(|_| Problem::unavailable("control is ending"))
}
