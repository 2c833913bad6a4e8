//! Where commits come from: a path, a URL, or what was pushed.
//!
//! Every app has a bare repository of its own under `repos/`. A deploy fetches into it, so that a build needs nothing
//! but this machine, and a commit that was built can be built again. Nothing of the repository is run here.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use launchway_model::api::{DeployAccepted, DeployRequest};
use launchway_model::build::{BuildNow, BuildRequest};
use launchway_model::suggest::did_you_mean;
use launchway_model::{AppName, BuildId, Problem};

use crate::git::{self, GitError};
use crate::{Control, problem};

/// The branch that an empty repository starts with.
const DEFAULT_BRANCH: &str = "main";
/// Where the fetched HEAD of a source without a branch is kept.
const DETACHED: &str = "refs/launchway/detached";
/// Where a commit that no branch leads to is kept.
const FETCHED: &str = "refs/launchway/fetched";
/// Where the branches of a path or URL are kept: apart from `refs/heads`, which only a push moves, so that a commit that was
/// deployed and then taken back stands in no push's way.
const SOURCES: &str = "refs/launchway/sources";

/// Mirrors a commit and queues its build; the app is made where it does not exist. `cause` says who or what asked:
/// "deploy", "api", "webhook".
///
/// # Errors
/// The path, repository, branch or commit does not exist, the repository cannot be fetched, or the store fails.
pub async fn deploy(
    control: &Control,
    app: Option<AppName>,
    request: DeployRequest,
    cause: &str,
) -> Result<DeployAccepted, Problem> {
    for given in [&request.branch, &request.commit].into_iter().flatten() {
        if given.is_empty()
            || given.starts_with('-')
            || given.contains([':', ' ', '\0', '^', '~', '*', '?', '[', '\\'])
        {
            return Err(Problem::invalid(format!(
                "`{given}` is not a name of a branch or commit"
            )));
        }
    }
    let source = match &request.source {
        Some(source) => Some(Source::parse(source).await?),
        None => None,
    };
    let app = match (app, &source) {
        (Some(app), _) => app,
        (None, Some(source)) => source.name(),
        (None, None) => {
            return Err(Problem::invalid("neither an app nor a source is named")
                .hint("Name a folder, a git URL, or an app with --app."));
        }
    };
    let known = control.store.app(&app).await.map_err(problem::store)?;
    if known.is_none() && source.is_none() {
        return Err(problem::no_app(&app));
    }
    let wanted = request.branch.clone();
    // The commit is found before the app is made: a mistyped path leaves nothing behind.
    let folder = ensure_repository(control, &app).await?;
    let fetched = match &source {
        Some(source) => {
            fetch(
                &folder,
                source,
                wanted.as_deref(),
                request.commit.as_deref(),
            )
            .await
        }
        None => {
            let branch = wanted.or(known.as_ref().and_then(|known| known.branch.clone()));
            pushed_commit(&folder, branch, request.commit.as_deref()).await
        }
    };
    let (branch, details) = match fetched {
        Ok(fetched) => fetched,
        Err(problem) => {
            if known.is_none() {
                forget_repository(&folder);
            }
            return Err(problem);
        }
    };
    queue(control, app, branch, details, cause, true, BTreeMap::new()).await
}

/// Queues a build of a commit that the app's repository has: the newest of its branch where none is named. Where the app
/// does not know its repository's content otherwise, that is what was pushed or deployed last.
///
/// # Errors
/// The app, branch or commit does not exist, or the store fails.
pub async fn build(
    control: &Control,
    app: &AppName,
    request: BuildNow,
    cause: &str,
) -> Result<DeployAccepted, Problem> {
    let known = control.app(app).await?;
    let branch = request.branch.or(known.branch.clone());
    let folder = ensure_repository(control, app).await?;
    let (branch, details) = pushed_commit(&folder, branch, request.commit.as_deref()).await?;
    let deploy = request
        .deploy
        .unwrap_or(branch.is_some() && branch == known.branch);
    queue(
        control,
        app.clone(),
        branch,
        details,
        cause,
        deploy,
        request.parameters,
    )
    .await
}

/// The bare repository that pushes to an app go to; it and the app are made where absent.
///
/// # Errors
/// It cannot be made, or the store fails.
pub async fn repository(control: &Control, app: &AppName) -> Result<PathBuf, Problem> {
    let folder = ensure_repository(control, app).await?;
    control
        .store
        .ensure_app(app, Timestamp::now())
        .await
        .map_err(problem::store)?;
    Ok(folder)
}

/// A push brought a commit into the repository: queues its build, to be deployed where the branch is the app's (which
/// the first push decides).
///
/// # Errors
/// The app or the commit does not exist, or the store fails.
pub async fn pushed(
    control: &Control,
    app: &AppName,
    branch: &str,
    commit: &str,
) -> Result<DeployAccepted, Problem> {
    if control
        .store
        .app(app)
        .await
        .map_err(problem::store)?
        .is_none()
    {
        return Err(problem::no_app(app));
    }
    let adopted = control
        .store
        .adopt_branch(app, branch)
        .await
        .map_err(problem::store)?;
    let folder = control.settings().home.repository(app);
    let details = details_of(&folder, commit)
        .await
        .map_err(|error| error.problem(format!("the pushed commit `{commit}` cannot be read")))?;
    queue(
        control,
        app.clone(),
        Some(branch.to_owned()),
        details,
        "push",
        adopted == branch,
        BTreeMap::new(),
    )
    .await
}

/// What is known of a commit.
pub(crate) struct Details {
    pub(crate) commit: String,
    pub(crate) subject: String,
    pub(crate) author: String,
}

async fn queue(
    control: &Control,
    app: AppName,
    branch: Option<String>,
    details: Details,
    cause: &str,
    deploy: bool,
    parameters: BTreeMap<String, String>,
) -> Result<DeployAccepted, Problem> {
    let now = Timestamp::now();
    control
        .store
        .ensure_app(&app, now)
        .await
        .map_err(problem::store)?;
    if let Some(branch) = &branch {
        control
            .store
            .adopt_branch(&app, branch)
            .await
            .map_err(problem::store)?;
    }
    let request = BuildRequest {
        app: app.clone(),
        commit: details.commit.clone(),
        branch,
        subject: details.subject.clone(),
        author: details.author,
        cause: cause.to_owned(),
        deploy,
        origin: Default::default(),
        parameters,
    };
    let build = queue_request(control, &request).await?;
    Ok(DeployAccepted {
        app,
        build,
        commit: details.commit,
        subject: details.subject,
    })
}

/// Queues a build whose commit is in the app's repository.
pub(crate) async fn queue_request(
    control: &Control,
    request: &BuildRequest,
) -> Result<BuildId, Problem> {
    let build = control
        .store
        .queue_build(request, "a runner is started", Timestamp::now())
        .await
        .map_err(problem::store)?;
    control.wake.builds.notify_one();
    control.wake.changed();
    let (app, commit, cause) = (&request.app, &request.commit, &request.cause);
    tracing::info!(%app, %build, commit, cause, "build queued");
    Ok(build)
}

/// A place to fetch from.
enum Source {
    /// A repository's folder on this machine.
    Path { folder: PathBuf },
    /// Anything that git reaches over a network.
    Url { url: String },
}

impl Source {
    /// Reads what a person wrote, and checks a path.
    async fn parse(text: &str) -> Result<Self, Problem> {
        let text = text.trim();
        if text.is_empty() || text.starts_with('-') {
            return Err(Problem::invalid(format!(
                "`{text}` is neither a folder nor a git URL"
            )));
        }
        let path = match text.split_once("://") {
            Some(("file", path)) => path,
            Some(("http" | "https" | "ssh" | "git", rest)) if !rest.is_empty() => {
                return Ok(Self::Url {
                    url: text.to_owned(),
                });
            }
            Some((scheme, _)) => {
                return Err(Problem::invalid(format!(
                    "a repository cannot be fetched by `{scheme}://`"
                ))
                .hint("Name a folder, or a URL that starts with https://, ssh:// or http://."));
            }
            None if is_scp_like(text) => {
                return Ok(Self::Url {
                    url: text.to_owned(),
                });
            }
            None => text,
        };
        let path = Path::new(path);
        if !path.is_absolute() {
            return Err(
                Problem::invalid(format!("the path `{}` is not absolute", path.display())).hint(
                    "The command line makes paths absolute; through the API they must be already.",
                ),
            );
        }
        if !path.exists() {
            return Err(
                Problem::not_found(format!("there is no folder `{}`", path.display()))
                    .hint("The path is looked for on the machine that Launchway runs on."),
            );
        }
        match git::run(
            path,
            [
                "rev-parse",
                "--path-format=absolute",
                "--show-toplevel",
                "--git-dir",
            ],
            git::QUICK,
        )
        .await
        {
            Ok(found) => {
                let folder = found.lines().next().unwrap_or_default();
                Ok(Self::Path {
                    folder: PathBuf::from(folder),
                })
            }
            // A bare repository has no top level, but is as good a source.
            Err(GitError::Failed { words }) if words.contains("work tree") => Ok(Self::Path {
                folder: path.to_owned(),
            }),
            Err(GitError::Failed { words }) => Err(Problem::invalid(format!(
                "`{}` is not a git repository",
                path.display()
            ))
            .cause(words)
            .hint("Run `git init && git add -A && git commit -m start` in it.")),
            Err(error) => Err(error.problem(format!("`{}` cannot be read", path.display()))),
        }
    }

    /// The app's name where a person gave none.
    fn name(&self) -> AppName {
        let last = match self {
            Self::Path { folder } => folder.file_name().unwrap_or_default().to_string_lossy(),
            Self::Url { url } => url
                .trim_end_matches('/')
                .rsplit(['/', ':'])
                .next()
                .unwrap_or_default()
                .into(),
        };
        AppName::from_any(&last)
    }

    fn address(&self) -> &str {
        match self {
            // A path that is not UTF-8 cannot be named in a request, which is JSON.
            Self::Path { folder } => folder.to_str().unwrap_or_default(),
            Self::Url { url } => url,
        }
    }

    /// The address for people: without the password that a URL may hold.
    fn shown(&self) -> String {
        let address = self.address();
        match address.split_once("://") {
            Some((scheme, rest)) => match rest.split_once('@') {
                Some((_, host)) => format!("{scheme}://{host}"),
                None => address.to_owned(),
            },
            None => address.to_owned(),
        }
    }
}

/// `user@host:path`, as git and scp write it.
fn is_scp_like(text: &str) -> bool {
    match text.split_once(':') {
        Some((host, path)) => {
            !host.is_empty() && !host.contains('/') && !path.is_empty() && host.contains('@')
        }
        None => false,
    }
}

/// Brings a commit of a source into the mirror.
async fn fetch(
    folder: &Path,
    source: &Source,
    branch: Option<&str>,
    commit: Option<&str>,
) -> Result<(Option<String>, Details), Problem> {
    let branch = match branch {
        Some(branch) => Some(branch.to_owned()),
        None => head_branch(source).await?,
    };
    let tip = match &branch {
        Some(branch) => format!("+refs/heads/{branch}:{}", source_ref(branch)),
        None => format!("+HEAD:{DETACHED}"),
    };
    let fetched = fetch_ref(folder, source, &tip).await;
    if let Err(error) = fetched {
        return Err(explain_fetch(source, branch.as_deref(), error).await);
    }
    let tip = branch
        .as_ref()
        .map_or_else(|| DETACHED.to_owned(), |branch| source_ref(branch));
    let Some(commit) = commit else {
        let details = details_of(folder, &tip).await;
        return Ok((
            branch,
            details.map_err(|error| error.problem("the fetched commit cannot be read"))?,
        ));
    };
    // Most often the commit is on the branch. A path's own git also knows abbreviations, tags and other branches.
    if let Ok(details) = details_of(folder, commit).await {
        return Ok((branch, details));
    }
    let full = match source {
        Source::Path { folder } => {
            let revision = format!("{commit}^{{commit}}");
            git::run(
                folder,
                [
                    "rev-parse",
                    "--verify",
                    "--quiet",
                    "--end-of-options",
                    &revision,
                ],
                git::QUICK,
            )
            .await
            .ok()
        }
        Source::Url { .. } => None,
    };
    let wanted = full.unwrap_or_else(|| commit.to_owned());
    if fetch_ref(folder, source, &format!("+{wanted}:{FETCHED}"))
        .await
        .is_ok()
        && let Ok(details) = details_of(folder, FETCHED).await
    {
        return Ok((branch, details));
    }
    Err(no_commit(commit, &source.shown(), branch.as_deref()))
}

/// A commit that is in the mirror already.
async fn pushed_commit(
    folder: &Path,
    branch: Option<String>,
    commit: Option<&str>,
) -> Result<(Option<String>, Details), Problem> {
    if let Some(commit) = commit {
        let details = details_of(folder, commit).await;
        return match details {
            Ok(details) => Ok((branch, details)),
            Err(_) => Err(no_commit(commit, "what was pushed", branch.as_deref())),
        };
    }
    let branch = branch.unwrap_or_else(|| DEFAULT_BRANCH.to_owned());
    match details_of(folder, &newest(folder, &branch).await).await {
        Ok(details) => Ok((Some(branch), details)),
        Err(_) => {
            let heads = git::run(
                folder,
                ["for-each-ref", "--format=%(refname)", "refs/heads", SOURCES],
                git::QUICK,
            )
            .await
            .unwrap_or_default()
            .replace("%2f", "/");
            let heads: Vec<&str> = heads
                .lines()
                .filter_map(|line| {
                    line.strip_prefix("refs/heads/")
                        .or_else(|| line.strip_prefix(SOURCES)?.strip_prefix('/'))
                })
                .collect();
            Err(no_branch(&branch, "what was pushed", &heads))
        }
    }
}

/// Where a branch of a path or URL is kept. One flat name a branch: `feature` and, later, `feature/cart` can both be there.
pub(crate) fn source_ref(branch: &str) -> String {
    format!("{SOURCES}/{}", branch.replace('/', "%2f"))
}

/// The reference of a branch's newest commit, whether it was pushed or fetched.
pub(crate) async fn newest(folder: &Path, branch: &str) -> String {
    let pushed = format!("refs/heads/{branch}");
    let fetched = source_ref(branch);
    let found = git::run(
        folder,
        [
            "for-each-ref",
            "--sort=-committerdate",
            "--format=%(refname)",
            &pushed,
            &fetched,
        ],
        git::QUICK,
    )
    .await
    .unwrap_or_default();
    // git takes `refs/heads/feature` for a folder too, and lists what lies in it.
    let found = found
        .lines()
        .find(|line| *line == pushed || *line == fetched);
    found.map_or(pushed.clone(), str::to_owned)
}

async fn fetch_ref(folder: &Path, source: &Source, refspec: &str) -> Result<(), GitError> {
    let mut arguments = vec![
        "fetch",
        "--quiet",
        "--force",
        "--no-tags",
        "--no-write-fetch-head",
        "--no-auto-maintenance",
    ];
    let limit = match source {
        Source::Path { .. } => {
            arguments.extend(["--upload-pack", git::LOCAL_UPLOAD_PACK]);
            git::QUICK
        }
        Source::Url { .. } => git::LONG,
    };
    arguments.extend(["--end-of-options", source.address(), refspec]);
    git::run(folder, arguments, limit).await.map(drop)
}

/// The branch that a source's HEAD is on; none where it is on a commit alone.
async fn head_branch(source: &Source) -> Result<Option<String>, Problem> {
    match source {
        Source::Path { folder } => Ok(git::run(
            folder,
            ["symbolic-ref", "--quiet", "--short", "HEAD"],
            git::QUICK,
        )
        .await
        .ok()),
        Source::Url { url } => {
            let found = git::run(
                Path::new("/"),
                ["ls-remote", "--symref", "--end-of-options", url, "HEAD"],
                git::LONG,
            )
            .await
            .map_err(|error| unreachable_source(source, error))?;
            Ok(found
                .lines()
                .find_map(|line| {
                    line.strip_prefix("ref: refs/heads/")?
                        .split_whitespace()
                        .next()
                })
                .map(str::to_owned))
        }
    }
}

/// Why a fetch failed: most often the branch is not there.
async fn explain_fetch(source: &Source, branch: Option<&str>, error: GitError) -> Problem {
    let listed = git::run(
        Path::new("/"),
        [
            "ls-remote",
            "--heads",
            "--upload-pack",
            git::LOCAL_UPLOAD_PACK,
            "--end-of-options",
            source.address(),
        ],
        git::LONG,
    );
    let Ok(listed) = listed.await else {
        return unreachable_source(source, error);
    };
    let heads: Vec<&str> = listed
        .lines()
        .filter_map(|line| line.split_once("refs/heads/").map(|(_, head)| head))
        .collect();
    match branch {
        _ if heads.is_empty() => Problem::invalid(format!("{} has no commit yet", source.shown()))
            .hint("Run `git add -A && git commit -m start` in it."),
        Some(branch) if !heads.contains(&branch) => no_branch(branch, &source.shown(), &heads),
        _ => unreachable_source(source, error),
    }
}

fn unreachable_source(source: &Source, error: GitError) -> Problem {
    let problem = error.problem(format!("{} cannot be fetched", source.shown()));
    let words = problem.causes.join(" ");
    let hint = if words.contains("terminal prompts disabled")
        || words.contains("Permission denied")
        || words.contains("Authentication")
    {
        "Give Launchway's user a key or a credential helper for it, or push to Launchway instead."
    } else if words.contains("Could not resolve") {
        "Check the host's name and the machine's network."
    } else {
        "Check the address; `git ls-remote ADDRESS` on Launchway's machine shows the same error."
    };
    problem.hint(hint)
}

fn no_branch(branch: &str, place: &str, heads: &[&str]) -> Problem {
    let problem = Problem::not_found(format!("there is no branch `{branch}` in {place}"));
    match (did_you_mean(branch, heads.iter().copied()), heads) {
        (Some(hint), _) => problem.hint(hint),
        (None, []) => problem.hint("Nothing was pushed yet: `git push launchway main`."),
        (None, heads) => problem.hint(format!("Its branches are {}.", heads.join(", "))),
    }
}

fn no_commit(commit: &str, place: &str, branch: Option<&str>) -> Problem {
    let problem = Problem::not_found(format!("there is no commit `{commit}` in {place}"));
    match branch {
        Some(branch) => problem.hint(format!(
            "`git log {branch}` shows the commits; a remote wants all 40 digits."
        )),
        None => problem.hint("`git log` shows the commits; a remote wants all 40 digits."),
    }
}

/// What git knows of a revision.
pub(crate) async fn details_of(folder: &Path, revision: &str) -> Result<Details, GitError> {
    let format = "--format=%H%x00%s%x00%an <%ae>";
    let arguments = [
        "log",
        "-1",
        "--no-show-signature",
        format,
        "--end-of-options",
        revision,
        "--",
    ];
    let found = git::run(folder, arguments, git::QUICK).await?;
    let mut parts = found.splitn(3, '\0').map(str::to_owned);
    let mut next = || parts.next().unwrap_or_default();
    Ok(Details {
        commit: next(),
        subject: next(),
        author: next(),
    })
}

/// Makes the bare repository of an app, by hand: these few files are what `git init --bare` writes.
async fn ensure_repository(control: &Control, app: &AppName) -> Result<PathBuf, Problem> {
    let folder = control.settings().home.repository(app);
    let make = || -> std::io::Result<()> {
        if folder.join("HEAD").exists() {
            return Ok(());
        }
        for part in [
            "objects/info",
            "objects/pack",
            "refs/heads",
            "refs/tags",
            "info",
        ] {
            std::fs::create_dir_all(folder.join(part))?;
        }
        // Commits that were built must stay, whatever is pushed over them; so nothing is ever collected by itself.
        let config = "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = true\n[gc]\n\tauto = 0\n[receive]\n\tautogc = false\n";
        std::fs::write(folder.join("config"), config)?;
        // HEAD comes last: its presence says that the rest is whole.
        std::fs::write(
            folder.join("HEAD"),
            format!("ref: refs/heads/{DEFAULT_BRANCH}\n"),
        )
    };
    make().map_err(|error| problem::file("make the repository", &folder, &error))?;
    Ok(folder)
}

/// Removes the repository of an app that was not made after all.
fn forget_repository(folder: &Path) {
    if let Err(error) = std::fs::remove_dir_all(folder) {
        tracing::warn!(%error, folder = %folder.display(), "a repository could not be removed");
    }
}

#[cfg(test)]
mod tests;
