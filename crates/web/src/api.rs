//! The API: which operations there are; the modules below hold their handlers, each one call of control.

mod access;
mod agents;
mod alerts;
mod apps;
mod builds;
mod credentials;
mod cron;
mod deploys;
mod disk;
mod notices;
mod requests;
mod results;
mod running;
mod scans;
mod triggers;

use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use launchway_model::agent::{Agent, CreateAgent, NewAgent, SwitchAgent};
use launchway_model::alert::Alert;
use launchway_model::api::{
    App, AppLogLine, ChangeAccepted, Config, ConfigChange, CreateApp, CreateToken, DeployAccepted,
    DeployRequest, Description, Domain, LoginLink, MaintenanceState, NewToken, Progress,
    RollbackRequest, RunOutput, RunRequest, ScaleRequest, SettleOnce, Status, Token,
};
use launchway_model::build::{Build, BuildNow, TestCase};
use launchway_model::credential::{Credential, KeyRotated, RemoveCredential, SetCredential};
use launchway_model::cron::{CronJob, CronRun};
use launchway_model::deploy::{Deploy, DeployReport, OnceRecord, Release};
use launchway_model::disk::DiskUsage;
use launchway_model::instance::Instance;
use launchway_model::request::{BuildRequestRecord, InputAnswer, InputParameter};
use launchway_model::results::{Artifact, Fingerprint, TestHistory, TestReport};
use launchway_model::runner::Report;
use launchway_model::scan::{ScanBrief, ScanReport};
use launchway_model::trigger::{
    Branch, Delivery, HookSecret, LookReport, TriggerSettings, Triggers,
};
use launchway_model::{Problem, suggest};
use utoipa::openapi::schema::Type;

use crate::openapi::{Endpoints, about};
use crate::problem::ApiProblem;
use crate::stream::JSON_LINES;

const EVENTS: &str = "text/event-stream";

/// All operations of the API.
pub(crate) fn endpoints() -> Endpoints {
    notices::endpoints(Endpoints::new())
        .get(
            "/status",
            access::status,
            about("status", "How the installation is").answers::<Status>(),
        )
        .get(
            "/disk",
            disk::usage,
            about("disk", "What takes the disk, by kind and app").answers::<DiskUsage>(),
        )
        .get(
            "/alerts",
            alerts::list,
            about("alerts", "What a person should look at, open ones first")
                .query(
                    "which",
                    "`open` for those that last, `all` for those that are over as well; `open` where absent.",
                    Type::String,
                )
                .query("app", "Only those of this app.", Type::String)
                .limited()
                .lists::<Alert>(),
        )
        // Apps.
        .get(
            "/apps",
            apps::list,
            about("apps", "All apps").lists::<App>(),
        )
        .post(
            "/apps",
            apps::create,
            about("apps", "Make an app")
                .takes::<CreateApp>()
                .creates::<App>(),
        )
        .get(
            "/apps/{app}",
            apps::get,
            about("apps", "One app").answers::<App>(),
        )
        .delete(
            "/apps/{app}",
            apps::delete,
            about("apps", "Stop an app and remove all that it has"),
        )
        .get(
            "/apps/{app}/description",
            apps::description,
            about("apps", "The description kept outside the repository").answers::<Description>(),
        )
        .put(
            "/apps/{app}/description",
            apps::describe,
            about("apps", "Describe an app outside its repository")
                .takes::<Description>()
                .answers::<Description>(),
        )
        .get(
            "/apps/{app}/domains",
            apps::domains,
            about("apps", "Host names of an app").lists::<Domain>(),
        )
        .post(
            "/apps/{app}/domains",
            apps::add_domain,
            about("apps", "Route a host name to an app")
                .takes::<Domain>()
                .creates::<Domain>(),
        )
        .delete(
            "/apps/{app}/domains/{domain}",
            apps::remove_domain,
            about("apps", "Take a host name away"),
        )
        .get(
            "/apps/{app}/config",
            apps::config,
            about("apps", "Variables with their values").answers::<Config>(),
        )
        .patch(
            "/apps/{app}/config",
            apps::change_config,
            about(
                "apps",
                "Set and unset variables; the header `launchway-deploy` names the deploy that takes them into service",
            )
            .takes::<ConfigChange>()
            .answers::<Config>(),
        )
        // From a commit to a release.
        .post(
            "/deploys",
            deploys::deploy_unnamed,
            about(
                "deploys",
                "Deploy a commit to the app that is named like its source",
            )
            .takes::<DeployRequest>()
            .begins::<DeployAccepted>(),
        )
        .post(
            "/apps/{app}/deploys",
            deploys::deploy,
            about(
                "deploys",
                "Deploy a commit; the app is made where it does not exist",
            )
            .takes::<DeployRequest>()
            .begins::<DeployAccepted>(),
        )
        .get(
            "/apps/{app}/deploys",
            deploys::list,
            about("deploys", "Deploys of an app, newest first")
                .limited()
                .lists::<Deploy>(),
        )
        .get(
            "/deploys/{deploy}",
            deploys::get,
            about("deploys", "One deploy").answers::<Deploy>(),
        )
        .post(
            "/deploys/{deploy}/cancel",
            deploys::cancel,
            about("deploys", "Cancel a deploy that has not switched yet"),
        )
        .get(
            "/deploys/{deploy}/report",
            deploys::report,
            about("deploys", "One deploy with the log of its phases").answers::<DeployReport>(),
        )
        .post(
            "/deploys/{deploy}/promote",
            deploys::promote,
            about("deploys", "Promote a canary"),
        )
        .get(
            "/apps/{app}/once",
            deploys::once,
            about("deploys", "The command that runs once in the app's life").answers::<OnceRecord>(),
        )
        .put(
            "/apps/{app}/once",
            deploys::settle_once,
            about("deploys", "Say that its work is done, or that it is to be run").takes::<SettleOnce>(),
        )
        .get(
            "/apps/{app}/maintenance",
            apps::maintenance,
            about("apps", "The maintenance that an app is in").answers::<MaintenanceState>(),
        )
        .put(
            "/apps/{app}/maintenance",
            apps::set_maintenance,
            about("apps", "Put an app into maintenance, or out of it")
                .takes::<MaintenanceState>()
                .answers::<MaintenanceState>(),
        )
        .get(
            "/apps/{app}/cron",
            cron::list,
            about("cron", "Jobs of an app, with when they run next").lists::<CronJob>(),
        )
        .get(
            "/apps/{app}/cron/runs",
            cron::history,
            about("cron", "Runs of jobs, newest first")
                .query("job", "Only this job.", Type::String)
                .limited()
                .lists::<CronRun>(),
        )
        .post(
            "/apps/{app}/cron/{job}/run",
            cron::run,
            about("cron", "Run a job now").begins::<CronRun>(),
        )
        .get(
            "/deploys/{deploy}/progress",
            deploys::progress,
            about("deploys", "All that happens until the release serves")
                .streams::<Progress>(&[EVENTS]),
        )
        .get(
            "/builds",
            builds::list_all,
            about("builds", "Builds of all apps, newest first")
                .limited()
                .lists::<Build>(),
        )
        .get(
            "/apps/{app}/builds",
            builds::list,
            about("builds", "Builds of an app, newest first")
                .limited()
                .lists::<Build>(),
        )
        .get(
            "/builds/{build}",
            builds::get,
            about("builds", "One build").answers::<Build>(),
        )
        .post(
            "/builds/{build}/cancel",
            builds::cancel,
            about("builds", "Cancel a build that waits or runs"),
        )
        .get(
            "/builds/{build}/progress",
            builds::progress,
            about(
                "builds",
                "All that happens from the commit to the served release",
            )
            .streams::<Progress>(&[EVENTS]),
        )
        .get(
            "/builds/{build}/scan",
            scans::of_build,
            about("builds", "What is known of the vulnerabilities of a build's dependencies")
                .answers::<ScanReport>(),
        )
        .get(
            "/apps/{app}/scans",
            scans::list,
            about("releases", "Scans of the builds that became releases, newest first, in short")
                .limited()
                .lists::<ScanBrief>(),
        )
        .get(
            "/apps/{app}/releases/{release}/scan",
            scans::of_release,
            about("releases", "What is known of the vulnerabilities of a release's dependencies now")
                .answers::<ScanReport>(),
        )
        .get(
            "/builds/{build}/tests",
            builds::tests,
            about("builds", "The test cases of a build").lists::<TestCase>(),
        )
        .post(
            "/apps/{app}/builds",
            requests::build_now,
            about("builds", "Build a commit of a branch now, with parameters")
                .takes::<BuildNow>()
                .begins::<DeployAccepted>(),
        )
        .get(
            "/builds/{build}/requests",
            requests::list,
            about("builds", "What a build asks, such as a person's word, and the answers")
                .lists::<BuildRequestRecord>(),
        )
        .post(
            "/builds/{build}/requests/{request}",
            requests::answer,
            about("builds", "Answer an input of a build").takes::<InputAnswer>(),
        )
        .get(
            "/apps/{app}/parameters",
            results::parameters,
            about("builds", "The parameters that a build of a branch takes; `?branch=`")
                .lists::<InputParameter>(),
        )
        .get(
            "/apps/{app}/tests",
            results::history,
            about("builds", "Tests over the builds of a branch; `?branch=`").answers::<TestHistory>(),
        )
        .get(
            "/builds/{build}/test-report",
            results::report,
            about("builds", "The tests of a build: newly failing, still failing, flaky, fixed")
                .answers::<TestReport>(),
        )
        .get(
            "/builds/{build}/artifacts",
            results::artifacts,
            about("builds", "The files that a build kept").lists::<Artifact>(),
        )
        .get(
            "/builds/{build}/artifact",
            results::artifact,
            about("builds", "A file that a build kept; `?path=`").text(),
        )
        .get(
            "/builds/{build}/reports",
            results::reports,
            about("builds", "The reports for people that a build kept").lists::<Report>(),
        )
        .get(
            "/fingerprints/{sha256}",
            results::fingerprint,
            about("builds", "The builds that kept a file of this SHA-256").lists::<Fingerprint>(),
        )
        .get(
            "/builds/{build}/stages/{stage}/log",
            builds::log,
            about(
                "builds",
                "A stage's log, a line each: Unix milliseconds, source letter, text; takes `Range`",
            )
            .text(),
        )
        .get(
            "/apps/{app}/releases",
            deploys::releases,
            about("releases", "Releases of an app, newest first")
                .limited()
                .lists::<Release>(),
        )
        .get(
            "/apps/{app}/releases/{release}",
            deploys::release,
            about("releases", "One release").answers::<Release>(),
        )
        .post(
            "/apps/{app}/rollback",
            deploys::rollback,
            about("releases", "Bring an earlier release back into service")
                .takes::<RollbackRequest>()
                .begins::<ChangeAccepted>(),
        )
        // What runs.
        .get(
            "/apps/{app}/instances",
            running::instances,
            about("instances", "Instances of an app").lists::<Instance>(),
        )
        .put(
            "/apps/{app}/formation",
            running::scale,
            about("instances", "Change how many instances run")
                .takes::<ScaleRequest>()
                .begins::<ChangeAccepted>(),
        )
        .post(
            "/apps/{app}/restart",
            running::restart,
            about(
                "instances",
                "Replace instances by fresh ones, with no request lost",
            )
            .query("process", "Only this process type.", Type::String)
            .begins::<ChangeAccepted>(),
        )
        .post(
            "/apps/{app}/stop",
            running::stop,
            about("instances", "Stop an app").begins::<ChangeAccepted>(),
        )
        .post(
            "/apps/{app}/start",
            running::start,
            about("instances", "Start a stopped app").begins::<ChangeAccepted>(),
        )
        .get(
            "/apps/{app}/logs",
            running::logs,
            about("instances", "Lines that instances wrote, oldest first")
                .query("process", "Only this process type.", Type::String)
                .query("instance", "Only this instance.", Type::String)
                .query(
                    "lines",
                    "How many of the last lines; 100 where absent.",
                    Type::Integer,
                )
                .query(
                    "follow",
                    "Whether the stream goes on with new lines.",
                    Type::Boolean,
                )
                .streams::<AppLogLine>(&[JSON_LINES, EVENTS]),
        )
        .get(
            "/apps/{app}/terminal",
            running::terminal,
            about(
                "instances",
                "A one-off command on a terminal; needs `Upgrade: launchway-terminal`",
            )
            .query("request", "A `RunRequest` as JSON.", Type::String),
        )
        .post(
            "/apps/{app}/run",
            running::run,
            about(
                "instances",
                "Run a command in the serving release; it ends with the request",
            )
            .takes::<RunRequest>()
            .streams::<RunOutput>(&[JSON_LINES]),
        )
        // What starts builds.
        .get(
            "/apps/{app}/triggers",
            triggers::get,
            about("triggers", "What makes an app's builds start by themselves").answers::<Triggers>(),
        )
        .put(
            "/apps/{app}/triggers",
            triggers::set,
            about("triggers", "Replace an app's trigger settings")
                .takes::<TriggerSettings>()
                .answers::<Triggers>(),
        )
        .post(
            "/apps/{app}/triggers/secret",
            triggers::secret,
            about(
                "triggers",
                "Make a new secret for an app's webhooks, which is shown this once",
            )
            .creates::<HookSecret>(),
        )
        .post(
            "/apps/{app}/triggers/poll",
            triggers::look,
            about("triggers", "Look at an app's remote repository now").answers::<LookReport>(),
        )
        .get(
            "/apps/{app}/branches",
            triggers::branches,
            about("triggers", "Branches, tags and pull requests with their last builds")
                .lists::<Branch>(),
        )
        .get(
            "/apps/{app}/deliveries",
            triggers::deliveries,
            about("triggers", "Webhooks that came, newest first")
                .limited()
                .lists::<Delivery>(),
        )
        // Secrets for builds.
        .get(
            "/credentials",
            credentials::list,
            about("credentials", "Credentials, without their secrets")
                .query("app", "Only those that this app may use.", Type::String)
                .lists::<Credential>(),
        )
        .put(
            "/credentials",
            credentials::set,
            about(
                "credentials",
        "Store a credential in place of the one of the same id, app and branches",
            )
            .takes::<SetCredential>()
            .answers::<Credential>(),
        )
        .post(
            "/credentials/remove",
            credentials::remove,
            about("credentials", "Remove a credential").takes::<RemoveCredential>(),
        )
        .post(
            "/credentials/rotate-key",
            credentials::rotate_key,
            about("credentials", "Encrypt everything that is secret with a new key")
                .answers::<KeyRotated>(),
        )
        .get(
            "/agents",
            agents::list,
            about("agents", "All agents").lists::<Agent>(),
        )
        .post(
            "/agents",
            agents::create,
            about("agents", "Make an agent and its token, which is shown this once")
                .takes::<CreateAgent>()
                .creates::<NewAgent>(),
        )
        .put(
            "/agents/{agent}/state",
            agents::switch,
            about("agents", "Let an agent take builds, or not").takes::<SwitchAgent>(),
        )
        .delete(
            "/agents/{agent}",
            agents::revoke,
            about("agents", "Revoke an agent's token: it is cut off at once"),
        )
        // Who may use all this.
        .get(
            "/tokens",
            access::tokens,
            about("access", "All tokens, without their secrets").lists::<Token>(),
        )
        .post(
            "/tokens",
            access::create_token,
            about("access", "Make a token, which is shown this once")
                .takes::<CreateToken>()
                .creates::<NewToken>(),
        )
        .delete(
            "/tokens/{token}",
            access::revoke_token,
            about("access", "Make a token invalid"),
        )
        .post(
            "/login-links",
            access::create_login_link,
            about(
                "access",
                "Make a link that logs a browser in, once, within ten minutes",
            )
            .creates::<LoginLink>(),
        )
}

/// The answer to a path that is none of ours.
pub(crate) async fn unknown(uri: Uri) -> ApiProblem {
    let path = uri.path().trim_start_matches(crate::openapi::BASE);
    let words = [
        "alerts",
        "apps",
        "builds",
        "deploys",
        "status",
        "tokens",
        "login-links",
        "credentials",
        "triggers",
        "branches",
        "deliveries",
        "openapi.json",
        "description",
        "domains",
        "config",
        "releases",
        "rollback",
        "scan",
        "scans",
        "instances",
        "formation",
        "restart",
        "stop",
        "start",
        "logs",
        "run",
        "progress",
        "cancel",
        "tests",
    ];
    let near = path
        .split('/')
        .filter(|part| !part.is_empty() && !words.contains(part))
        .find_map(|part| suggest::did_you_mean(part, words));
    Problem::not_found(format!("the API has no `{path}`"))
        .hint(near.unwrap_or_else(|| "`GET /api/v1/openapi.json` lists all operations.".to_owned()))
        .into()
}

/// The answer to a known path with a method that it does not have.
pub(crate) async fn wrong_method(method: Method, uri: Uri) -> Response {
    let problem = Problem::invalid(format!("`{}` does not take {method}", uri.path()))
        .hint("`GET /api/v1/openapi.json` lists all operations.");
    let mut response = ApiProblem(problem).into_response();
    *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
    response
}

/// `?limit=N`
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Limit {
    #[serde(default = "fifty")]
    limit: u32,
}

fn fifty() -> u32 {
    50
}

impl Limit {
    /// The limit, kept within what one answer should hold.
    fn get(&self) -> u32 {
        self.limit.clamp(1, 1000)
    }
}

/// `?process=TYPE`
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OnlyProcess {
    process: Option<launchway_model::ProcessType>,
}

#[cfg(test)]
mod tests;
