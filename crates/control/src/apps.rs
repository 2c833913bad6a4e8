//! Apps: their names, domains and descriptions.

use jiff::Timestamp;
use launchway_model::api;
use launchway_model::deploy::Release;
use launchway_model::route::{Maintenance, Rules};
use launchway_model::{AppName, Problem};
use launchway_store::StoredApp;
use tokio::sync::oneshot;

use crate::reconcile::{Event, Routing};
use crate::{Control, problem, reconcile, samples};

/// The branch that is shown until one was deployed.
const DEFAULT_BRANCH: &str = "main";

/// All apps, by name.
///
/// # Errors
/// The store fails.
pub async fn list(control: &Control) -> Result<Vec<api::App>, Problem> {
    let apps = control.store.apps().await.map_err(problem::store)?;
    let mut releases = control
        .store
        .serving_releases()
        .await
        .map_err(problem::store)?
        .into_iter()
        .peekable();
    Ok(apps
        .into_iter()
        .map(|app| {
            // Both are in the order of names.
            let release = releases.next_if(|release| release.app == app.name);
            shown(control, app, release)
        })
        .collect())
}

/// One app.
///
/// # Errors
/// The app does not exist, or the store fails.
pub async fn get(control: &Control, app: &AppName) -> Result<api::App, Problem> {
    let stored = control.app(app).await?;
    let release = match stored.serving {
        Some(number) => control
            .store
            .release(app, number)
            .await
            .map_err(problem::store)?,
        None => None,
    };
    Ok(shown(control, stored, release))
}

/// Makes an app.
///
/// # Errors
/// It exists already, or the store fails.
pub async fn create(control: &Control, app: AppName) -> Result<api::App, Problem> {
    if !control
        .store
        .ensure_app(&app, Timestamp::now())
        .await
        .map_err(problem::store)?
    {
        return Err(Problem::conflict(format!("the app `{app}` exists already")));
    }
    get(control, &app).await
}

/// Stops an app and removes all that it has: routes, instances, releases, configuration, files.
///
/// # Errors
/// The app does not exist, a build of it runs, or the store fails.
pub async fn delete(control: &Control, app: &AppName) -> Result<(), Problem> {
    control.app(app).await?;
    let busy = control
        .store
        .active_builds()
        .await
        .map_err(problem::store)?
        .into_iter()
        .find(|stored| stored.build.request.app == *app);
    if let Some(stored) = busy {
        return Err(
            Problem::conflict(format!("build {} of {app} has not ended", stored.build.id)).hint(
                format!("`launchway builds cancel {}` ends it.", stored.build.id),
            ),
        );
    }
    for deploy in control
        .store
        .active_deploys()
        .await
        .map_err(problem::store)?
    {
        if deploy.deploy.app == *app {
            return Err(Problem::conflict(format!(
                "deploy {} of {app} has not ended",
                deploy.deploy.id
            )));
        }
    }
    // The folders of builds are named by number alone.
    let builds = control
        .store
        .builds(Some(app), u32::MAX)
        .await
        .map_err(problem::store)?;
    control
        .store
        .delete_app(app)
        .await
        .map_err(problem::store)?;
    control.tell(Event::Forget { app: app.clone() }).await;
    gone(control, app).await;
    let home = &control.settings().home;
    let mut folders = vec![
        home.repository(app),
        home.trees(app),
        home.app(app),
        home.app_logs(app),
    ];
    folders.extend(builds.into_iter().map(|build| home.build(build.id)));
    let removed = tokio::task::spawn_blocking(move || {
        for folder in folders {
            match std::fs::remove_dir_all(&folder) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    tracing::warn!(%error, folder = %folder.display(), "a deleted app's folder cannot be removed");
                }
                _ => {}
            }
        }
    });
    removed
        .await
        .map_err(|error| Problem::internal("removing the app's files ended badly").cause(error))
}

/// Describes an app outside its repository by the text of a launchway.toml; an empty text removes the description. The
/// next build heeds it. The app is made where it does not exist.
///
/// # Errors
/// The text is wrong, with its place, or the store fails.
pub async fn describe(control: &Control, app: &AppName, toml: &str) -> Result<(), Problem> {
    let text = Some(toml).filter(|text| !text.trim().is_empty());
    if let Some(text) = text {
        launchway_pipeline::describe::check("description", text)
            .map_err(|error| error.to_problem())?;
    }
    control
        .store
        .ensure_app(app, Timestamp::now())
        .await
        .map_err(problem::store)?;
    control
        .store
        .set_description(app, text)
        .await
        .map_err(problem::store)
}

/// The description kept outside the repository, empty where there is none.
///
/// # Errors
/// The app does not exist, or the store fails.
pub async fn description(control: &Control, app: &AppName) -> Result<api::Description, Problem> {
    let toml = control.app(app).await?.description.unwrap_or_default();
    Ok(api::Description { toml })
}

/// The host names added to an app.
///
/// # Errors
/// The app does not exist, or the store fails.
pub async fn domains(control: &Control, app: &AppName) -> Result<Vec<api::Domain>, Problem> {
    let domains = control.app(app).await?.domains;
    Ok(domains
        .into_iter()
        .map(|domain| api::Domain { domain })
        .collect())
}

/// Routes a host name (exact or `*.example.org`) to an app, at once.
///
/// # Errors
/// It is no host name, another app has it, the app does not exist, or the store fails.
pub async fn add_domain(control: &Control, app: &AppName, domain: &str) -> Result<(), Problem> {
    control.app(app).await?;
    let domain = check_domain(domain)?;
    let own_host = domain
        .strip_suffix(".localhost")
        .and_then(|label| label.parse::<AppName>().ok());
    if let Some(other) = own_host
        && other != *app
        && control
            .store
            .app(&other)
            .await
            .map_err(problem::store)?
            .is_some()
    {
        return Err(Problem::conflict(format!(
            "`{domain}` is the address of the app `{other}`"
        )));
    }
    let owner = control
        .store
        .add_domain(app, &domain)
        .await
        .map_err(problem::store)?;
    if owner != *app {
        return Err(Problem::conflict(format!(
            "the domain `{domain}` belongs to the app `{owner}`"
        ))
        .hint(format!(
            "`launchway domains remove {domain} --app {owner}` frees it."
        )));
    }
    tell_routing(control, app).await
}

/// Takes a host name away, at once.
///
/// # Errors
/// The app does not have it or does not exist, or the store fails.
pub async fn remove_domain(control: &Control, app: &AppName, domain: &str) -> Result<(), Problem> {
    control.app(app).await?;
    let domain = domain.trim().to_ascii_lowercase();
    if !control
        .store
        .remove_domain(app, &domain)
        .await
        .map_err(problem::store)?
    {
        return Err(Problem::not_found(format!(
            "{app} has no domain `{domain}`"
        )));
    }
    tell_routing(control, app).await
}

/// Puts an app into maintenance (its routes answer 503 with a page, but to addresses that are allowed) or out of it, at
/// once. It outlives deploys.
///
/// # Errors
/// An address range is none, the app does not exist, or the store fails.
pub async fn set_maintenance(
    control: &Control,
    app: &AppName,
    maintenance: Option<Maintenance>,
) -> Result<(), Problem> {
    control.app(app).await?;
    let rules = Rules {
        maintenance: maintenance.clone(),
        ..Rules::default()
    };
    rules.check().map_err(|why| {
        Problem::invalid(why)
            .hint("Write an address or a range, such as 203.0.113.7 or 10.0.0.0/8.")
    })?;
    control
        .store
        .set_maintenance(app, maintenance.as_ref())
        .await
        .map_err(problem::store)?;
    tell_routing(control, app).await
}

/// The maintenance that an app is in.
///
/// # Errors
/// The app does not exist, or the store fails.
pub async fn maintenance(control: &Control, app: &AppName) -> Result<Option<Maintenance>, Problem> {
    Ok(control.app(app).await?.maintenance)
}

/// Tells the loop what is stored of an app's routes, and waits until the proxy serves it.
async fn tell_routing(control: &Control, app: &AppName) -> Result<(), Problem> {
    let stored = control.app(app).await?;
    let (reply, answer) = oneshot::channel();
    control
        .tell(Event::Routing {
            app: app.clone(),
            routing: Routing::of(&stored),
            reply,
        })
        .await;
    // Nobody answers before control runs and after its end; the store has it, and the next control takes it from there.
    let Ok(generation) = answer.await else {
        return Ok(());
    };
    if stored.serving.is_none() {
        return Ok(());
    }
    let limit = control.settings().proxy_timeout;
    match tokio::time::timeout(limit, control.proxy.applied(generation)).await {
        Ok(applied) => applied,
        Err(_) => Err(Problem::unavailable(
            "it is stored, but the proxy does not answer; it is served once the proxy is back",
        )
        .hint("`launchway doctor` says whether the proxy runs.")),
    }
}

/// A host name in lower case, with at most a leading `*.`.
pub(crate) fn check_domain(domain: &str) -> Result<String, Problem> {
    let domain = domain.trim().trim_end_matches('.').to_ascii_lowercase();
    let wrong = |rule: &str| {
        Problem::invalid(format!("`{domain}` is not a host name: {rule}"))
            .hint("Write it without a scheme, port or path: `shop.example.org` or `*.example.org`.")
    };
    let plain = domain.strip_prefix("*.").unwrap_or(&domain);
    if plain.is_empty() || domain.len() > 253 {
        return Err(wrong("it is empty or too long"));
    }
    for label in plain.split('.') {
        let fits = !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if !fits {
            return Err(wrong("its parts have letters, digits and hyphens"));
        }
    }
    Ok(domain)
}

/// Waits until no instance of an app is there any more.
async fn gone(control: &Control, app: &AppName) {
    let mut observed = control.observed.clone();
    let gone = observed.wait_for(|observed| !observed.instances.keys().any(|id| id.app() == app));
    // An app that ignores TERM is killed by its shim; longer than that is not waited.
    let _ = tokio::time::timeout(std::time::Duration::from_secs(30), gone).await;
}

fn shown(control: &Control, app: StoredApp, release: Option<Release>) -> api::App {
    let formation = match &release {
        Some(release) => reconcile::formation(&release.spec, &app.formation),
        None => app.formation.clone(),
    };
    api::App {
        urls: urls(control, &app, release.as_ref()),
        instances: samples::instances(control, &app.name),
        traffic: samples::traffic(control, &app.name),
        created: app.created,
        branch: app.branch.unwrap_or_else(|| DEFAULT_BRANCH.to_owned()),
        stopped: app.stopped,
        formation,
        domains: app.domains,
        name: app.name,
        release,
    }
}

/// Where an app is reached, best first: its own domains, then the one that every app has.
pub(crate) fn urls(control: &Control, app: &StoredApp, release: Option<&Release>) -> Vec<String> {
    let port = control
        .proxy
        .state()
        .listen
        .first()
        .map(|address| address.port());
    let hosts = app
        .domains
        .iter()
        .filter(|domain| !domain.starts_with("*."))
        .cloned();
    let named = release
        .into_iter()
        .flat_map(|release| release.spec.domains.clone())
        .filter(|domain| !domain.starts_with("*."));
    let own = format!("{}.localhost", app.name);
    hosts
        .chain(named)
        .chain([own])
        .map(|host| match port {
            Some(80) | None => format!("http://{host}/"),
            Some(port) => format!("http://{host}:{port}/"),
        })
        .collect()
}
