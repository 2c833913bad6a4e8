//! What an agent and control say to each other, and the expressions over agents' labels.
//!
//! An agent is a process on another machine that takes builds. It connects outwards only and speaks HTTP below [`BASE`]:
//!
//! - `POST sync` says which leases the agent holds and is answered as soon as control has something to say: a new
//!   assignment, a cancel, a lease that is no more. Both sides state what is, never what changed, so that a lost answer
//!   costs nothing but the time of the next one.
//! - `POST leases/N/grow?path=P&offset=O` appends to a file of the build's folder that only grows (the spool, a log), and
//!   is answered with the file's length: what is acknowledged is never sent again, and a link that broke goes on from there.
//! - `POST leases/N/whole?path=P&offset=O&size=S&sha256=H` does the same for a file that appears whole, once its digest is right.
//! - `POST leases/N/source` gives the commit as a git pack, without the objects that the agent has.
//!
//! **Invariant:** an event of the spool is sent after all that it speaks of, so that whoever reads it finds that.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::credential::RunnerSecrets;
use crate::names::BuildId;
use crate::runner::RunnerJob;

pub mod labels;

pub use labels::{LabelError, LabelExpression};

/// Below what the paths of agents lie.
pub const BASE: &str = "/agent/v1";
/// Version of the words of this module. An agent with another one is refused.
pub const AGENT_PROTOCOL: u32 = 1;
/// What the token of an agent starts with. `PREFIX SECRET . FINGERPRINT`, the last part being that of the certificate.
pub const TOKEN_PREFIX: &str = "lwa_";
/// The path, among a lease's whole files, of the tree that the build made.
pub const TREE_FILE: &str = "tree.tar.zst";
/// The most bytes of a file that one request carries.
pub const CHUNK: usize = 1 << 20;
/// How long control holds back an answer in which nothing is new, in milliseconds: an agent's heartbeat.
pub const HEARTBEAT_MS: u64 = 5_000;
/// An agent that was silent for this long is shown as away, in milliseconds.
pub const SILENT_MS: u64 = 15_000;

/// Other names that people give an architecture, as labels: `aarch64` is `arm64` and an `arm`.
pub fn other_names(arch: &str) -> impl Iterator<Item = &'static str> {
    let names: &[&str] = match arch {
        "x86_64" => &["amd64"],
        "aarch64" => &["arm64", "arm"],
        _ => &[],
    };
    names.iter().copied()
}

/// Names one lease: the right of one agent to one try of one build. Numbers are never used again.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(transparent)]
pub struct LeaseId(pub u64);

impl std::fmt::Display for LeaseId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::str::FromStr for LeaseId {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// What an agent says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// [`AGENT_PROTOCOL`].
    pub protocol: u32,
    /// The version of its binary.
    pub version: String,
    /// Its labels, with those that follow from its machine.
    pub labels: BTreeSet<String>,
    /// How many builds it runs at once.
    pub executors: u32,
    /// Its machine's name.
    pub host: String,
    /// Its machine's architecture, such as `x86_64`.
    pub arch: String,
    /// Differs for each start of the agent: of two processes with one token only the newer is served.
    pub incarnation: u64,
    /// What it holds.
    pub holds: Vec<Held>,
    /// Whether it is about to end, so that nothing more should come.
    pub leaving: bool,
}

/// A lease that an agent holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Which.
    pub lease: LeaseId,
    /// Of which build.
    pub build: BuildId,
    /// Whether it was told to cancel the build.
    pub cancelled: bool,
    /// The requests of the build whose answers it has.
    #[serde(default)]
    pub answered: BTreeSet<u32>,
}

/// What control answers to a [`Report`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Orders {
    /// Builds to start.
    pub take: Vec<Assignment>,
    /// Builds to cancel.
    pub cancel: Vec<Cancel>,
    /// Answers to what builds ask ([`crate::request`]).
    #[serde(default)]
    pub answers: Vec<Answered>,
    /// Leases that are no more: their builds end at once and leave nothing.
    pub drop: Vec<LeaseId>,
    /// Why the agent is given nothing, where that is somebody's will.
    pub drained: bool,
}

impl Orders {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.take.is_empty()
            && self.cancel.is_empty()
            && self.answers.is_empty()
            && self.drop.is_empty()
    }
}

/// One build for an agent. Its folders are named as they are on the server; the agent puts its own in their place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignment {
    /// The lease.
    pub lease: LeaseId,
    /// The build.
    pub job: RunnerJob,
    /// What is secret of it: it crosses inside TLS and no disk holds it.
    pub secrets: RunnerSecrets,
    /// Whether the tree of a successful build is to be delivered, since a release is to be made of it.
    pub deliver_tree: bool,
}

/// Ends a build before its time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cancel {
    /// Whose.
    pub lease: LeaseId,
    /// Why, for the build's page.
    pub reason: String,
}

/// The answer to one request of a build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answered {
    /// Whose.
    pub lease: LeaseId,
    /// The request's number.
    pub number: u32,
    /// The answer's file, as it is.
    pub text: String,
}

/// Asks for a commit.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SourceRequest {
    /// Commits that the agent has, at most some dozens.
    pub have: Vec<String>,
}

/// The first line of the answer, as JSON; a git pack follows.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SourceHead {
    /// The repository's tags and what each names.
    pub tags: Vec<(String, String)>,
}

/// How much of a file control has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Received {
    /// In bytes, from the file's start.
    pub length: u64,
}

/// An agent as people see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Agent {
    /// Its name.
    pub name: String,
    /// When its token was made.
    #[schema(value_type = String)]
    pub created: Timestamp,
    /// Whether it is there.
    pub state: AgentState,
    /// Its labels: those of its token, and those it names itself.
    pub labels: BTreeSet<String>,
    /// How many builds it runs at once; 0 until it was there for the first time.
    pub executors: u32,
    /// The version of its binary, once it was there.
    pub version: Option<String>,
    /// Its machine's name, once it was there.
    pub host: Option<String>,
    /// When it last said something.
    #[schema(value_type = Option<String>)]
    pub seen: Option<Timestamp>,
    /// The builds that it runs.
    pub builds: Vec<BuildId>,
}

/// Whether an agent is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AgentState {
    /// It is connected and takes builds.
    Online,
    /// It is connected, and takes none since it was told to: what it runs it ends.
    Drained,
    /// It is not connected.
    Away,
}

/// Makes an agent's token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CreateAgent {
    /// The agent's name: letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// Labels that it has whatever it says itself.
    #[serde(default)]
    pub labels: BTreeSet<String>,
}

/// An agent's token, which is shown this once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NewAgent {
    /// The agent's name.
    pub name: String,
    /// The token.
    pub token: String,
    /// The address that agents connect to, where control listens for them.
    pub server: Option<String>,
    /// The SHA-256 of the certificate that they find there, in hex; the token carries it too.
    pub fingerprint: String,
}

/// Lets an agent take builds, or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SwitchAgent {
    /// Whether it takes builds.
    pub online: bool,
}
