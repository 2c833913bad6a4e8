//! The configuration of apps: variables, encrypted at rest, in versions.

use std::collections::BTreeMap;

use jiff::Timestamp;
use launchway_model::api::{ChangeAccepted, Config, ConfigChange};
use launchway_model::{AppName, Problem};
use launchway_store::apps::ConfigChanged;
use launchway_store::{NewRelease, StoredApp};

use crate::{Control, problem};

/// Names that Launchway sets itself for each instance.
const RESERVED: [&str; 5] = [
    "PORT",
    "LAUNCHWAY_APP",
    "LAUNCHWAY_RELEASE",
    "LAUNCHWAY_INSTANCE",
    "LAUNCHWAY_PROCESS",
];
/// The longest value, in bytes: what Linux allows for one variable, with some room.
const LONGEST: usize = 120 << 10;

/// The variables that are in force.
///
/// # Errors
/// The app does not exist, or its variables cannot be read.
pub async fn get(control: &Control, app: &AppName) -> Result<Config, Problem> {
    let stored = control.app(app).await?;
    let vars = vars(control, app, stored.config_version).await?;
    Ok(Config {
        version: stored.config_version,
        vars,
    })
}

/// Sets and unsets variables; where the app runs, a new release takes them into service.
///
/// # Errors
/// A name or value is not allowed, the app does not exist, or the store fails.
pub async fn change(
    control: &Control,
    app: &AppName,
    change: ConfigChange,
) -> Result<(Config, ChangeAccepted), Problem> {
    for (name, value) in &change.set {
        check(name, value)?;
    }
    loop {
        let stored = control.app(app).await?;
        let before = vars(control, app, stored.config_version).await?;
        let mut after = before.clone();
        after.extend(change.set.clone());
        for name in &change.unset {
            after.remove(name);
        }
        if after == before {
            let accepted = ChangeAccepted {
                deploy: None,
                release: stored.serving,
            };
            return Ok((
                Config {
                    version: stored.config_version,
                    vars: after,
                },
                accepted,
            ));
        }
        let release = release_with(control, &stored, &change).await?;
        let _storing = control.vault.storing.read().await;
        let sealed = control.vault.seal(app, stored.config_version + 1, &after)?;
        let changed = control
            .store
            .change_config(
                app,
                stored.config_version,
                &sealed,
                release,
                Timestamp::now(),
            )
            .await
            .map_err(problem::store)?;
        match changed {
            // Somebody else's change came first: this one is applied on top of it.
            ConfigChanged::Raced => {}
            ConfigChanged::Changed { version, deploy } => {
                control.wake.deploys.notify_one();
                control.wake.changed();
                let accepted = ChangeAccepted {
                    deploy: deploy.map(|(_, deploy)| deploy),
                    release: deploy.map(|(release, _)| release).or(stored.serving),
                };
                return Ok((
                    Config {
                        version,
                        vars: after,
                    },
                    accepted,
                ));
            }
        }
    }
}

/// The variables of one version.
pub(crate) async fn vars(
    control: &Control,
    app: &AppName,
    version: u64,
) -> Result<BTreeMap<String, String>, Problem> {
    match control
        .store
        .config(app, version)
        .await
        .map_err(problem::store)?
    {
        Some(sealed) => control.vault.unseal(app, version, &sealed),
        None => Ok(BTreeMap::new()),
    }
}

/// The release that takes a changed configuration into service: what comes or serves, with the next version.
async fn release_with(
    control: &Control,
    stored: &StoredApp,
    change: &ConfigChange,
) -> Result<Option<NewRelease>, Problem> {
    let coming = control
        .store
        .coming_release(&stored.name)
        .await
        .map_err(problem::store)?;
    let base = match (coming, stored.serving) {
        (Some(coming), _) => coming,
        (None, Some(number)) => match control
            .store
            .release(&stored.name, number)
            .await
            .map_err(problem::store)?
        {
            Some(serving) => serving,
            None => return Ok(None),
        },
        (None, None) => return Ok(None),
    };
    Ok(Some(NewRelease {
        app: base.app,
        build: base.build,
        commit: base.commit,
        subject: base.subject,
        spec: base.spec,
        config_version: Some(stored.config_version + 1),
        cause: cause(change),
    }))
}

/// Names the change without a value, which may be a secret.
fn cause(change: &ConfigChange) -> String {
    let set: Vec<&str> = change.set.keys().map(String::as_str).collect();
    let unset: Vec<&str> = change.unset.iter().map(String::as_str).collect();
    let mut words = Vec::new();
    if !set.is_empty() {
        words.push(format!("config set {}", set.join(" ")));
    }
    if !unset.is_empty() {
        words.push(format!("config unset {}", unset.join(" ")));
    }
    words.join(", ")
}

fn check(name: &str, value: &str) -> Result<(), Problem> {
    let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if !starts_well
        || !name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    {
        return Err(
            Problem::invalid(format!("`{name}` is not a name of a variable")).hint(
                "Names have letters, digits and underscores and start with none of the digits.",
            ),
        );
    }
    if RESERVED.contains(&name) {
        return Err(Problem::invalid(format!(
            "`{name}` is set by Launchway for each instance"
        )));
    }
    if value.contains('\0') {
        return Err(Problem::invalid(format!(
            "the value of `{name}` holds a zero byte"
        )));
    }
    if value.len() > LONGEST {
        return Err(Problem::invalid(format!(
            "the value of `{name}` is longer than {} KiB",
            LONGEST >> 10
        )));
    }
    Ok(())
}
