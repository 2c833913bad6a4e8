//! Credentials: stored encrypted, scoped to an app and to patterns of branches, given to builds alone.
//!
//! A build gets those that are for its app (or for all apps) and whose patterns match its branch; of several of one id the
//! nearest: an app's own before one for all apps, one for some branches before one for all. A tag `v1` counts as the branch
//! `tags/v1`, a pull request as `PR-12`, so that neither can take a branch's place by its name. **A pull request of a fork
//! gets none**, and no configuration either.
//!
//! Nothing here gives a secret back to a person: what was set can be replaced and removed, not read.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use launchway_model::build::BuildRequest;
use launchway_model::credential::{
    BoundCredential, Credential, CredentialId, KeyRotated, LARGEST, RemoveCredential, SHORTEST,
    SHORTEST_HIDDEN, Secret, SetCredential,
};
use launchway_model::{AppName, Problem};
use launchway_pipeline::glob::Pattern;
use launchway_store::credentials::{Sealed, StoredCredential};

use crate::{Control, problem, secrets};

/// The most patterns of one credential.
const MOST_BRANCHES: usize = 50;

/// All credentials, or those that an app may use, without their secrets.
///
/// # Errors
/// The store fails.
pub async fn list(control: &Control, app: Option<&AppName>) -> Result<Vec<Credential>, Problem> {
    let stored = control.store.credentials(app).await;
    Ok(stored
        .map_err(problem::store)?
        .into_iter()
        .map(|stored| stored.credential)
        .collect())
}

/// Stores a credential in place of the one of the same id, app and branches.
///
/// # Errors
/// It is too short, too long, or no key or base64 where it should be; its app does not exist; the store fails.
pub async fn set(control: &Control, request: SetCredential) -> Result<Credential, Problem> {
    check(&request)?;
    if let Some(app) = &request.app {
        control.app(app).await?;
    }
    let now = Timestamp::now();
    let mut branches = request.branches.clone();
    branches.sort();
    branches.dedup();
    let credential = Credential {
        id: request.id,
        kind: request.secret.kind(),
        app: request.app,
        branches,
        description: request.description,
        public: request.secret.public().map(str::to_owned),
        created: now,
        changed: now,
    };
    let text = serde_json::to_vec(&request.secret)
        .map_err(|error| Problem::internal("cannot encode a secret").cause(error))?;
    let _storing = control.vault.storing.read().await;
    let stored = StoredCredential {
        ciphertext: control.vault.seal_bytes(&context(&credential), &text)?,
        credential,
    };
    control
        .store
        .set_credential(&stored)
        .await
        .map_err(problem::store)?;
    tracing::info!(id = %stored.credential.id, app = ?stored.credential.app, "credential set");
    Ok(stored.credential)
}

/// Removes a credential.
///
/// # Errors
/// There is none of that id, app and branches, or the store fails.
pub async fn remove(control: &Control, request: &RemoveCredential) -> Result<(), Problem> {
    let mut branches = request.branches.clone();
    branches.sort();
    branches.dedup();
    let removed = control
        .store
        .remove_credential(request.app.as_ref(), &request.id, &branches)
        .await
        .map_err(problem::store)?;
    if removed {
        return Ok(());
    }
    let all = list(control, None).await?;
    let same: Vec<&Credential> = all.iter().filter(|known| known.id == request.id).collect();
    let problem = Problem::not_found(match &request.app {
        Some(app) => format!(
            "there is no credential `{}` of `{app}` for these branches",
            request.id
        ),
        None => format!(
            "there is no credential `{}` for all apps and these branches",
            request.id
        ),
    });
    Err(match same.first() {
        Some(one) => {
            let of = one
                .app
                .as_ref()
                .map_or_else(|| "all apps".to_owned(), |app| format!("`{app}`"));
            let branches = if one.branches.is_empty() {
                "all branches".to_owned()
            } else {
                one.branches.join(", ")
            };
            problem.hint(format!("There is one for {of} and {branches}."))
        }
        None => match launchway_model::suggest::did_you_mean(
            request.id.as_str(),
            all.iter().map(|known| known.id.as_str()),
        ) {
            Some(hint) => problem.hint(hint),
            None => problem.hint("`launchway credentials list` shows what there is."),
        },
    })
}

/// The credentials that a build may use.
pub(crate) async fn of_build(
    control: &Control,
    request: &BuildRequest,
) -> Result<Vec<BoundCredential>, Problem> {
    if request.origin.is_foreign() {
        return Ok(Vec::new());
    }
    let app = request.origin.preview_of.as_ref().unwrap_or(&request.app);
    let branch = match &request.origin.tag {
        Some(tag) => format!("tags/{tag}"),
        None => request.branch.clone().unwrap_or_default(),
    };
    let stored = control
        .store
        .credentials(Some(app))
        .await
        .map_err(problem::store)?;
    let mut bound: Vec<(u8, BoundCredential)> = Vec::new();
    for stored in stored {
        let credential = &stored.credential;
        if !matches(&credential.branches, &branch) {
            continue;
        }
        let nearness =
            2 * u8::from(credential.app.is_some()) + u8::from(!credential.branches.is_empty());
        let known = bound.iter().position(|(_, one)| one.id == credential.id);
        if known.is_some_and(|at| bound[at].0 >= nearness) {
            continue;
        }
        let one = (
            nearness,
            BoundCredential {
                id: credential.id.clone(),
                secret: unseal(control, &stored)?,
            },
        );
        match known {
            Some(at) => bound[at] = one,
            None => bound.push(one),
        }
    }
    Ok(bound.into_iter().map(|(_, one)| one).collect())
}

/// A credential of an app for control's own use: to fetch, to tell a forge of a build.
pub(crate) async fn of_app(
    control: &Control,
    app: &AppName,
    id: &CredentialId,
) -> Result<Secret, Problem> {
    let stored = control
        .store
        .credentials(Some(app))
        .await
        .map_err(problem::store)?;
    let found = stored
        .iter()
        .filter(|stored| stored.credential.id == *id)
        .max_by_key(|stored| {
            (
                stored.credential.app.is_some(),
                stored.credential.branches.is_empty(),
            )
        });
    match found {
        Some(found) => unseal(control, found),
        None => Err(
            Problem::not_found(format!("`{app}` has no credential `{id}`")).hint(format!(
                "Store it with `launchway credentials set {id} --app {app}`."
            )),
        ),
    }
}

/// Encrypts everything with a new key, and forgets the old one. A crash in between leaves all readable, and the next start
/// ends the work.
///
/// # Errors
/// Something stored cannot be read, or files or the store fail; then nothing is lost, and it can be tried again.
pub async fn rotate_key(control: &Control) -> Result<KeyRotated, Problem> {
    let _storing = control.vault.storing.write().await;
    control.vault.begin_rotation()?;
    let secrets = reseal(control).await?;
    control.vault.end_rotation()?;
    tracing::info!(secrets, "the key was changed");
    Ok(KeyRotated { secrets })
}

/// Ends a change of the key that a crash interrupted.
pub(crate) async fn finish_rotation(control: &Control) -> Result<(), Problem> {
    if control.vault.is_rotating() {
        reseal(control).await?;
        control.vault.end_rotation()?;
    }
    Ok(())
}

async fn reseal(control: &Control) -> Result<u64, Problem> {
    let mut anew = Vec::new();
    for (which, stored) in control.store.sealed().await.map_err(problem::store)? {
        let context = match &which {
            Sealed::Config { app, version } => secrets::context(app, *version),
            Sealed::Credential { app, id, branches } => {
                context_of(app.as_ref(), id.as_str(), branches)
            }
            Sealed::Receiver { name } => crate::notices::context(name),
            Sealed::Hook { app } => crate::triggers::secret_context(app),
        };
        let text = control
            .vault
            .unseal_bytes(&context, &stored)
            .ok_or_else(|| secrets::unreadable(format!("`{context}` cannot be decrypted")))?;
        anew.push((which, control.vault.seal_bytes(&context, &text)?));
    }
    control.store.reseal(&anew).await.map_err(problem::store)?;
    Ok(anew.len() as u64)
}

/// Whether one of the patterns matches, or there is none.
fn matches(patterns: &[String], branch: &str) -> bool {
    patterns.is_empty()
        || patterns
            .iter()
            .any(|pattern| Pattern::new(pattern).matches(branch))
}

fn unseal(control: &Control, stored: &StoredCredential) -> Result<Secret, Problem> {
    control
        .vault
        .unseal_bytes(&context(&stored.credential), &stored.ciphertext)
        .and_then(|text| serde_json::from_slice(&text).ok())
        .ok_or_else(|| {
            secrets::unreadable(format!(
                "the credential `{}` cannot be decrypted",
                stored.credential.id
            ))
        })
}

fn context(credential: &Credential) -> String {
    context_of(
        credential.app.as_ref(),
        credential.id.as_str(),
        &credential.branches,
    )
}

/// What a credential is authenticated with: whose it is. Who can write the database cannot widen its scope.
fn context_of(app: Option<&AppName>, id: &str, branches: &[String]) -> String {
    format!(
        "launchway credential {:?} {id:?} {branches:?}",
        app.map_or("", AppName::as_str)
    )
}

fn check(request: &SetCredential) -> Result<(), Problem> {
    if request.branches.len() > MOST_BRANCHES
        || request
            .branches
            .iter()
            .any(|pattern| pattern.is_empty() || pattern.len() > 200)
    {
        return Err(Problem::invalid(format!(
            "a credential has at most {MOST_BRANCHES} patterns of branches, each of 1 to 200 characters"
        )));
    }
    if request.description.len() > 500 {
        return Err(Problem::invalid("the description is longer than 500 bytes"));
    }
    let plain = |what: &str, text: &str| {
        if text.len() > 200 || text.chars().any(char::is_control) {
            Err(Problem::invalid(format!(
                "the {what} must be one line of at most 200 bytes"
            )))
        } else {
            Ok(())
        }
    };
    match &request.secret {
        Secret::UsernamePassword { username, password } => {
            plain("user's name", username)?;
            long_enough("password", password, request.short)
        }
        Secret::String { text } => long_enough("secret", text, request.short),
        Secret::File { name, content } => {
            plain("file's name", name)?;
            if name.is_empty() || name.contains('/') {
                return Err(Problem::invalid(format!("`{name}` is not a file's name")));
            }
            let bytes = STANDARD.decode(content.trim()).map_err(|error| {
                Problem::invalid("the file's content is not base64").cause(error)
            })?;
            sized("file", bytes.len())
        }
        Secret::SshUserPrivateKey {
            username,
            key,
            passphrase,
        } => {
            plain("user's name", username)?;
            if !(key.contains("-----BEGIN ") && key.contains("PRIVATE KEY-----")) {
                return Err(Problem::invalid("this is not a private key").hint(
                    "It begins with `-----BEGIN OPENSSH PRIVATE KEY-----` or the like; `ssh-keygen -t ed25519` makes one.",
                ));
            }
            if let Some(passphrase) = passphrase {
                long_enough("passphrase", passphrase, request.short)?;
            }
            sized("key", key.len())
        }
    }
}

/// What is short cannot be hidden in logs; see the pipeline's mask for the rule.
fn long_enough(what: &str, text: &str, short: bool) -> Result<(), Problem> {
    if text.contains('\0') {
        return Err(Problem::invalid(format!("the {what} holds a zero byte")));
    }
    let length = text.trim().len();
    if length < SHORTEST {
        return Err(Problem::invalid(format!(
            "the {what} has {length} bytes: what is shorter than {SHORTEST} cannot be kept out of logs"
        ))
        .hint("Choose a longer one."));
    }
    if length < SHORTEST_HIDDEN && !short {
        return Err(Problem::invalid(format!(
            "the {what} has only {length} bytes: in logs it is hidden where it stands as a word of its own, not within others"
        ))
        .hint("Choose a longer one, or say that it is meant so (`--short`)."));
    }
    sized(what, text.len())
}

fn sized(what: &str, length: usize) -> Result<(), Problem> {
    match length {
        0 => Err(Problem::invalid(format!("the {what} is empty"))),
        1..=LARGEST => Ok(()),
        _ => Err(Problem::invalid(format!(
            "the {what} has {length} bytes; at most {LARGEST} are stored"
        ))),
    }
}
