//! What a deploy changes: worked out and checked before anything of it runs.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use launchway_model::app::RouteTo;
use launchway_model::deploy::Release;
use launchway_model::suggest::did_you_mean;
use launchway_model::{InstanceId, Problem, ProcessType};
use launchway_store::{DeployWork, StoredDeploy};

use crate::recipe::Recipe;
use crate::reconcile::{Role, Wanted};
use crate::{Control, problem, recipe, users};

/// What is to be changed, worked out from the deploy's work.
pub(super) struct Change {
    pub(super) release: Arc<Release>,
    pub(super) wanted: Wanted,
    /// What to start, one instance each.
    pub(super) start: Vec<Arc<Recipe>>,
    /// The serving instances that end.
    pub(super) retire: Vec<InstanceId>,
    /// The tree and environment for commands that run once.
    pub(super) bare: Recipe,
    /// What serves until the switch.
    pub(super) before: Option<Wanted>,
}

/// Checks what can be checked without running anything, and works out what is to change; nothing where the work was
/// done already, by a control that ended before it could say so.
pub(super) async fn validate(
    control: &Control,
    job: &StoredDeploy,
) -> Result<Option<Change>, Problem> {
    let app = control.app(&job.deploy.app).await?;
    let number = match job.work {
        // Whatever release was in service when it was asked, it is about the one that serves now.
        DeployWork::Release => job.deploy.release,
        _ => app.serving.unwrap_or(job.deploy.release),
    };
    let Some(release) = control
        .store
        .release(&app.name, number)
        .await
        .map_err(problem::store)?
    else {
        return Err(Problem::not_found(format!(
            "{} has no release {number}",
            app.name
        )));
    };
    let done = match &job.work {
        DeployWork::Release => app.serving == Some(number),
        DeployWork::Scale { formation } => formation
            .iter()
            .all(|(process, count)| app.formation.get(process) == Some(count)),
        DeployWork::Stop => app.stopped,
        DeployWork::Start => !app.stopped,
        DeployWork::Restart { .. } => false,
    };
    if done {
        return Ok(None);
    }
    let tree = control.settings().home.tree(&app.name, release.build);
    if !tree.is_dir() {
        return Err(
            Problem::failed(format!("the files of {number} are not there")).cause(tree.display()),
        );
    }
    let mut wanted = Wanted::of(control, &app, release).await?;
    if job.work == DeployWork::Release {
        check_release(control, &wanted).await?;
    }
    match &job.work {
        DeployWork::Scale { formation } => {
            for (process, count) in formation {
                if let Some(wanted) = wanted.formation.get_mut(process) {
                    *wanted = *count;
                }
            }
        }
        DeployWork::Stop => wanted.stopped = true,
        DeployWork::Start => wanted.stopped = false,
        DeployWork::Release | DeployWork::Restart { .. } => {}
    }
    let bare = recipe::of_release(control, &wanted.release).await?.bare;
    let before = match app.serving {
        Some(serving) => {
            let release = control
                .store
                .release(&app.name, serving)
                .await
                .map_err(problem::store)?;
            match release {
                Some(release) => Some(Wanted::of(control, &app, release).await?),
                None => None,
            }
        }
        None => None,
    };
    let (start, retire) = difference(control, &job.work, &wanted);
    Ok(Some(Change {
        release: wanted.release.clone(),
        wanted,
        start,
        retire,
        bare,
        before,
    }))
}

/// What a release must have before anything of it is run.
async fn check_release(control: &Control, wanted: &Wanted) -> Result<(), Problem> {
    let (release, tree) = (wanted.release.as_ref(), wanted.tree.as_path());
    let spec = &release.spec;
    let routes = spec.all_routes();
    let mut folders = routes.iter().filter_map(|route| match &route.to {
        RouteTo::Files(files) => Some((route, files)),
        RouteTo::Process { .. } => None,
    });
    if let Some((_, files)) = folders.clone().find(|(route, _)| route.path == "/") {
        check_files(tree, &files.folder)?;
    }
    if let Some((route, files)) = folders.find(|(_, files)| !tree.join(&files.folder).is_dir()) {
        return Err(Problem::failed(format!(
            "the folder `{}` is not there, which the route {} leads to",
            files.folder, route.path
        ))
        .hint("Check that the build makes it, and that launchway.toml names the folder with the built files."));
    }
    if spec.processes.is_empty() && routes.is_empty() {
        return Err(Problem::invalid("nothing says what to run")
            .hint("Write a Procfile with a line such as `web: python app.py`."));
    }
    check_variables(wanted)?;
    let persist = control.settings().home.app_persist(&release.app);
    let kept =
        launchway_pipeline::persist::link(tree, &persist, &spec.persist).map_err(|error| {
            Problem::failed("the persistent paths cannot be put in place").caused_by(&error)
        })?;
    if let Some(user) = users::of_app(control, &release.app).await? {
        users::give_persistent(tree, &persist, &spec.persist, user)
            .map_err(|error| problem::file("hand over", &persist, &error))?;
    }
    if !kept.is_empty() {
        tracing::info!(app = %release.app, release = %release.number, ?kept, "the live persistent files are kept");
    }
    Ok(())
}

/// A static site has something to show.
fn check_files(tree: &Path, folder: &str) -> Result<(), Problem> {
    let path = tree.join(folder);
    if path.join("index.html").is_file() {
        return Ok(());
    }
    Err(Problem::failed(format!("the folder `{folder}` has no index.html"))
        .cause(if path.is_dir() { "the folder is there" } else { "the folder is not there" })
        .hint("Check that the build makes it, and that `static` in launchway.toml names the folder with the built site."))
}

/// The variables without which the app says that it cannot start.
fn check_variables(wanted: &Wanted) -> Result<(), Problem> {
    let release = &wanted.release;
    let Some(recipe) = wanted.recipes.values().next() else {
        return Ok(());
    };
    let missing: Vec<(&String, &String)> = release
        .spec
        .required_env
        .iter()
        .filter(|(name, _)| !recipe.env.contains_key(*name))
        .collect();
    let names: Vec<&str> = missing.iter().map(|(name, _)| name.as_str()).collect();
    let (message, pronoun) = match names.as_slice() {
        [] => return Ok(()),
        [name] => (format!("the variable `{name}` is not set"), "it"),
        names => (
            format!("the variables {} are not set", names.join(", ")),
            "them",
        ),
    };
    let assignments: Vec<String> = names.iter().map(|name| format!("{name}=VALUE")).collect();
    let mut problem = Problem::failed(message).hint(format!(
        "Set {pronoun}: `launchway config set {} --app {}`, then deploy again.",
        assignments.join(" "),
        release.app
    ));
    for (name, description) in missing {
        if !description.is_empty() {
            problem = problem.cause(format!("{name}: {description}"));
        }
    }
    Err(problem)
}

/// A process type whose name is ours.
pub(crate) fn process_type(name: &'static str) -> Result<ProcessType, Problem> {
    name.parse()
        .map_err(|error| Problem::internal(format!("{error}")))
}

/// What to start and what to end so that what is wanted runs.
fn difference(
    control: &Control,
    work: &DeployWork,
    wanted: &Wanted,
) -> (Vec<Arc<Recipe>>, Vec<InstanceId>) {
    let observed = control.observed.borrow();
    let app = &wanted.release.app;
    let mut serving: BTreeMap<ProcessType, Vec<InstanceId>> = BTreeMap::new();
    let mut ids: Vec<&InstanceId> = observed
        .instances
        .iter()
        .filter(|(id, seen)| id.app() == app && seen.role == Role::Serving)
        .map(|(id, _)| id)
        .collect();
    ids.sort_by_key(|id| id.serial());
    for id in ids {
        serving
            .entry(id.process().clone())
            .or_default()
            .push(id.clone());
    }
    let mut start = Vec::new();
    let mut retire = Vec::new();
    for (process, recipe) in &wanted.recipes {
        let have = serving.remove(process).unwrap_or_default();
        let fresh = match work {
            DeployWork::Release => true,
            DeployWork::Restart { process: None } => true,
            DeployWork::Restart {
                process: Some(only),
            } => only == process,
            DeployWork::Scale { .. } | DeployWork::Stop | DeployWork::Start => false,
        };
        let count = usize::try_from(wanted.count(process)).unwrap_or(usize::MAX);
        let kept = if fresh { 0 } else { have.len().min(count) };
        start.extend(std::iter::repeat_n(
            recipe.clone(),
            count.saturating_sub(kept),
        ));
        retire.extend(have.into_iter().skip(kept));
    }
    // Process types that the release does not have any more.
    retire.extend(serving.into_values().flatten());
    (start, retire)
}

/// Of these instances, those that take requests.
pub(super) fn with_port(control: &Control, ids: &[InstanceId]) -> Vec<InstanceId> {
    let observed = control.observed.borrow();
    ids.iter()
        .filter(|id| {
            observed
                .instances
                .get(*id)
                .is_some_and(|seen| seen.port.is_some())
        })
        .cloned()
        .collect()
}

/// The nearest process type to a mistyped one, as a hint.
pub(crate) fn unknown_process(release: &Release, process: &ProcessType) -> Problem {
    let known: Vec<&str> = release
        .spec
        .processes
        .keys()
        .map(ProcessType::as_str)
        .collect();
    let problem = Problem::not_found(format!("{} has no process type `{process}`", release.app));
    match did_you_mean(process.as_str(), known.iter().copied()) {
        Some(hint) => problem.hint(hint),
        None => problem.hint(format!("Its process types are {}.", known.join(", "))),
    }
}
