//! The protocol against the real git client: a server of this module's own functions, with builds that the test plays.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::routing::{get, post};
use launchway_model::BuildId;
use launchway_model::api::{DeployAccepted, Progress};
use launchway_model::build::{BuildResult, StageId};
use launchway_model::problem::Place;
use launchway_model::runner::LogSource;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::*;

/// What one build of the test does: its events, told one after the other.
type Story = Vec<Progress>;

/// A server with one repository, and a clone to push from.
struct Remote {
    folder: TempDir,
    address: SocketAddr,
    /// Branch and commit of every build that was asked for.
    asked: Arc<Mutex<Vec<(String, String)>>>,
}

fn green() -> Story {
    vec![
        Progress::StageStarted {
            stage: StageId(0),
            name: "Test".to_owned(),
        },
        Progress::Log {
            stage: StageId(0),
            millis: 0,
            source: LogSource::Out,
            text: "3 \u{1b}[32mpassed\u{1b}[0m\u{7}".to_owned(),
        },
        Progress::Released {
            release: launchway_model::ReleaseNumber(1),
            deploy: launchway_model::DeployId(1),
        },
        Progress::Finished {
            urls: vec!["http://shop.localhost:8080/".to_owned()],
            serving: Some(launchway_model::ReleaseNumber(1)),
            problem: None,
            millis: 1_200,
        },
    ]
}

fn red() -> Story {
    vec![
        Progress::Built {
            result: BuildResult::Failure,
            millis: 900,
        },
        Progress::Finished {
            urls: Vec::new(),
            serving: None,
            problem: Some(
                Problem::failed("stage `Test` failed")
                    .cause("`pytest` exited with code 1")
                    .at(Place {
                        file: "launchway.toml".to_owned(),
                        line: 3,
                        column: 1,
                        text: Some("run = \"pytest\"".to_owned()),
                    })
                    .output(vec!["E assert 1 == 2".to_owned()])
                    .hint("Run `pytest` yourself."),
            ),
            millis: 900,
        },
    ]
}

impl Remote {
    async fn new(stories: Vec<Story>) -> Self {
        let folder = TempDir::new().unwrap();
        let repository = folder.path().join("shop.git");
        git_in(folder.path(), &["init", "--bare", "--quiet", "shop.git"]).await;
        let stories = Arc::new(Mutex::new(VecDeque::from(stories)));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let router = serve(repository, stories, Arc::clone(&asked));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        git_in(folder.path(), &["init", "--quiet", "-b", "main", "work"]).await;
        let remote = Self {
            folder,
            address,
            asked,
        };
        let url = remote.url();
        remote.git(&["remote", "add", "launchway", &url]).await;
        remote
    }

    fn url(&self) -> String {
        format!("http://{}/git/shop.git", self.address)
    }

    fn work(&self) -> PathBuf {
        self.folder.path().join("work")
    }

    async fn git(&self, arguments: &[&str]) -> String {
        let output = git_in(&self.work(), arguments).await;
        assert!(
            output.status.success(),
            "git {arguments:?}: {}",
            said(&output)
        );
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Commits a file and gives the commit.
    async fn commit(&self, name: &str, content: &[u8]) -> String {
        std::fs::write(self.work().join(name), content).unwrap();
        self.git(&["add", name]).await;
        self.git(&["commit", "--quiet", "-m", name]).await;
        self.git(&["rev-parse", "HEAD"]).await
    }

    async fn push(&self, arguments: &[&str]) -> Output {
        let all: Vec<&str> = ["push", "launchway"]
            .into_iter()
            .chain(arguments.iter().copied())
            .collect();
        git_in(&self.work(), &all).await
    }

    /// All refs of the server's repository, ours too.
    async fn refs(&self) -> String {
        let output = git_in(
            &self.folder.path().join("shop.git"),
            &["for-each-ref", "--format=%(refname) %(objectname)"],
        )
        .await;
        String::from_utf8(output.stdout).unwrap()
    }
}

fn serve(
    repository: PathBuf,
    stories: Arc<Mutex<VecDeque<Story>>>,
    asked: Arc<Mutex<Vec<(String, String)>>>,
) -> Router {
    let (refs, fetched, pushed) = (repository.clone(), repository.clone(), repository);
    Router::new()
        .route(
            "/git/shop.git/info/refs",
            get(
                async move |Query(Service { service }): Query<Service>, headers: HeaderMap| {
                    if service.as_deref() == Some("git-receive-pack") {
                        let refs = receive::advertise(Some(&refs)).await.map_err(GitProblem)?;
                        return Ok(answer("git-receive-pack-advertisement", Body::from(refs)));
                    }
                    let version = protocol(&headers);
                    let mut body = Vec::new();
                    if version != Some("version=2") {
                        packet::text(&mut body, b"# service=git-upload-pack\n");
                        packet::flush(&mut body);
                    }
                    body.extend(
                        command::upload_refs(&refs, version)
                            .await
                            .map_err(GitProblem)?,
                    );
                    Ok::<_, GitProblem>(answer("git-upload-pack-advertisement", Body::from(body)))
                },
            ),
        )
        .route(
            "/git/shop.git/git-upload-pack",
            post(async move |request: Request| {
                let version = protocol(request.headers()).map(str::to_owned);
                let output =
                    command::upload(&fetched, version.as_deref(), body::read(request)).await?;
                let body = Body::from_stream(ReaderStream::new(output));
                Ok::<_, GitProblem>(answer("git-upload-pack-result", body))
            }),
        )
        .route(
            "/git/shop.git/git-receive-pack",
            post(async move |request: Request| {
                let Some(taken) = receive::commands(body::read(request)).await? else {
                    return Ok(answer("git-receive-pack-result", Body::empty()));
                };
                let push = taken.unpack(&pushed).await?;
                let (terminal, body) = terminal::open(push.side_band);
                let build = move |branch: String, commit: String| {
                    asked.lock().unwrap().push((branch, commit.clone()));
                    let story = stories.lock().unwrap().pop_front();
                    async move { play(story, commit) }
                };
                tokio::spawn(push.land(terminal, Some("main"), build, CancellationToken::new()));
                Ok::<_, GitProblem>(answer("git-receive-pack-result", body))
            }),
        )
}

fn play(
    story: Option<Story>,
    commit: String,
) -> Result<(DeployAccepted, mpsc::Receiver<Progress>), Problem> {
    let story = story.ok_or_else(|| Problem::unavailable("the test has no more builds"))?;
    let (sender, receiver) = mpsc::channel(64);
    for event in story {
        sender.try_send(event).unwrap();
    }
    let accepted = DeployAccepted {
        app: "shop".parse().unwrap(),
        build: BuildId(7),
        commit,
        subject: "a change".to_owned(),
    };
    Ok((accepted, receiver))
}

async fn git_in(folder: &Path, arguments: &[&str]) -> Output {
    git(folder)
        .env("GIT_AUTHOR_NAME", "Ada")
        .env("GIT_AUTHOR_EMAIL", "ada@example.org")
        .env("GIT_COMMITTER_NAME", "Ada")
        .env("GIT_COMMITTER_EMAIL", "ada@example.org")
        .args(arguments)
        .output()
        .await
        .unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test]
async fn a_green_push_moves_the_branch_and_shows_its_build() {
    let remote = Remote::new(vec![green()]).await;
    let commit = remote.commit("one.txt", b"one").await;
    let output = remote.push(&["main"]).await;
    let text = said(&output);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("remote: -----> Build #7 of shop"), "{text}");
    assert!(text.contains("remote: -----> Test"), "{text}");
    assert!(text.contains("remote:        3 passed"), "{text}");
    assert!(!text.contains('\u{7}'), "{text:?}");
    assert!(
        text.contains("v1 serves at http://shop.localhost:8080/ (1.2 s)"),
        "{text}"
    );
    assert_eq!(remote.refs().await, format!("refs/heads/main {commit}\n"));
    assert_eq!(*remote.asked.lock().unwrap(), [("main".to_owned(), commit)]);
}

#[tokio::test]
async fn a_red_push_is_refused_with_its_reason_and_moves_nothing() {
    let remote = Remote::new(vec![green(), red(), green()]).await;
    let first = remote.commit("one.txt", b"one").await;
    assert!(remote.push(&["main"]).await.status.success());
    let second = remote.commit("two.txt", b"two").await;
    let output = remote.push(&["main"]).await;
    let text = said(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(
        text.contains("! [remote rejected] main -> main (stage `Test` failed)"),
        "{text}"
    );
    for words in [
        "remote:   !    stage `Test` failed",
        "remote:        at launchway.toml:3:1",
        "remote:        `pytest` exited with code 1",
        "remote:        | E assert 1 == 2",
        "remote:        Run `pytest` yourself.",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert_eq!(remote.refs().await, format!("refs/heads/main {first}\n"));
    // What failed may be pushed again, now with luck.
    let output = remote.push(&["main"]).await;
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(remote.refs().await, format!("refs/heads/main {second}\n"));
}

#[tokio::test]
async fn a_large_push_comes_in_parts_and_arrives_whole() {
    let remote = Remote::new(vec![green()]).await;
    // Beyond git's post buffer of 1 MiB the client asks first and then sends in chunks; noise does not compress.
    let mut state = 1_u64;
    let noise: Vec<u8> = (0..3 << 20)
        .map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 56) as u8
        })
        .collect();
    let commit = remote.commit("noise", &noise).await;
    let output = remote.push(&["main"]).await;
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(remote.refs().await, format!("refs/heads/main {commit}\n"));
    let clone = git_in(
        remote.folder.path(),
        &["clone", "--quiet", &remote.url(), "copy"],
    )
    .await;
    assert!(clone.status.success(), "{}", said(&clone));
    let copied = std::fs::read(remote.folder.path().join("copy/noise")).unwrap();
    assert_eq!(copied, noise);
}

#[tokio::test]
async fn history_can_be_rewritten_only_by_force() {
    let remote = Remote::new(vec![green(), green()]).await;
    remote.commit("one.txt", b"one").await;
    assert!(remote.push(&["main"]).await.status.success());
    remote
        .git(&["commit", "--quiet", "--amend", "-m", "anew"])
        .await;
    let rewritten = remote.git(&["rev-parse", "HEAD"]).await;
    assert!(!remote.push(&["main"]).await.status.success());
    let output = remote.push(&["--force", "main"]).await;
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(
        remote.refs().await,
        format!("refs/heads/main {rewritten}\n")
    );
}

#[tokio::test]
async fn a_push_that_races_another_is_told_to_fetch() {
    let remote = Remote::new(vec![green(), green()]).await;
    let first = remote.commit("one.txt", b"one").await;
    assert!(remote.push(&["main"]).await.status.success());
    let second = remote.commit("two.txt", b"two").await;
    // The client believes the branch to be elsewhere than it is, as after another's push in between.
    let line = format!("{second} {second} refs/heads/main\0report-status");
    let mut request = Vec::new();
    packet::text(&mut request, line.as_bytes());
    packet::flush(&mut request);
    let pack = pack_of(&remote, &format!("{second}\n^{first}\n")).await;
    request.extend(pack);
    let (_, body) = exchange(&remote, &request, None).await;
    assert!(body.contains("ng refs/heads/main fetch first"), "{body}");
    assert_eq!(remote.refs().await, format!("refs/heads/main {first}\n"));
}

#[tokio::test]
async fn other_branches_build_tags_are_kept_and_the_deployed_branch_stays() {
    let remote = Remote::new(vec![green(), green()]).await;
    let commit = remote.commit("one.txt", b"one").await;
    remote.git(&["tag", "v1.0"]).await;
    let output = remote
        .push(&["main", "main:refs/heads/feature/x", "v1.0"])
        .await;
    assert!(output.status.success(), "{}", said(&output));
    let branches: Vec<String> = remote
        .asked
        .lock()
        .unwrap()
        .iter()
        .map(|(branch, _)| branch.clone())
        .collect();
    assert_eq!(branches, ["main", "feature/x"]);
    assert_eq!(
        remote.refs().await,
        format!(
            "refs/heads/feature/x {commit}\nrefs/heads/main {commit}\nrefs/tags/v1.0 {commit}\n"
        )
    );
    let output = remote.push(&["--delete", "feature/x"]).await;
    assert!(output.status.success(), "{}", said(&output));
    let output = remote.push(&["--delete", "main"]).await;
    assert!(!output.status.success());
    assert!(
        said(&output).contains("this is the branch that is deployed"),
        "{}",
        said(&output)
    );
    let output = remote.push(&["main:refs/notes/x"]).await;
    assert!(
        said(&output).contains("only branches and tags can be pushed"),
        "{}",
        said(&output)
    );
    assert!(remote.refs().await.contains("refs/heads/main"));
    assert!(!remote.refs().await.contains("feature"));
}

#[tokio::test]
async fn a_branch_that_is_not_there_cannot_be_fetched_and_ours_are_hidden() {
    let remote = Remote::new(vec![green()]).await;
    let commit = remote.commit("one.txt", b"one").await;
    assert!(remote.push(&["main"]).await.status.success());
    let output = git_in(
        &remote.folder.path().join("shop.git"),
        &["update-ref", "refs/launchway/push/1/0", &commit],
    )
    .await;
    assert!(output.status.success());
    let listed = remote.git(&["ls-remote", "launchway"]).await;
    assert!(
        listed.contains("refs/heads/main") && !listed.contains("refs/launchway"),
        "{listed}"
    );
    for version in ["0", "2"] {
        let version = format!("protocol.version={version}");
        remote
            .git(&["-c", &version, "fetch", "launchway", "main"])
            .await;
        let output = git_in(
            &remote.work(),
            &["-c", &version, "fetch", "launchway", "nowhere"],
        )
        .await;
        assert!(
            said(&output).contains("couldn't find remote ref nowhere"),
            "{}",
            said(&output)
        );
    }
}

#[tokio::test]
async fn a_broken_pack_is_refused_and_leaves_nothing() {
    let remote = Remote::new(vec![green()]).await;
    let commit = remote.commit("one.txt", b"one").await;
    let none = "0".repeat(40);
    let mut request = Vec::new();
    let line = format!("{none} {commit} refs/heads/main\0report-status side-band-64k");
    packet::text(&mut request, line.as_bytes());
    packet::flush(&mut request);
    request.extend(b"PACK this is none");
    let (status, body) = exchange(&remote, &request, None).await;
    assert_eq!(status, 200);
    assert!(body.contains("ng refs/heads/main"), "{body}");
    assert_eq!(remote.refs().await, "");
    assert!(remote.asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_packed_request_is_unpacked() {
    use std::io::Write as _;
    let remote = Remote::new(vec![green()]).await;
    let commit = remote.commit("one.txt", b"one").await;
    let none = "0".repeat(40);
    let mut request = Vec::new();
    let line = format!("{none} {commit} refs/heads/main\0report-status");
    packet::text(&mut request, line.as_bytes());
    packet::flush(&mut request);
    request.extend(pack_of(&remote, &format!("{commit}\n")).await);
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(&request).unwrap();
    let (status, body) = exchange(&remote, &encoder.finish().unwrap(), Some("gzip")).await;
    assert_eq!(status, 200);
    assert!(
        body.contains("unpack ok") && body.contains("ok refs/heads/main"),
        "{body}"
    );
    // A body that is not what it says is an error, not a crash.
    let (status, _) = exchange(&remote, &request, Some("gzip")).await;
    assert_eq!(status, 400);
}

#[tokio::test]
async fn nonsense_is_refused() {
    for bytes in [
        &b"zzzz"[..],
        b"0003",
        b"0010hello",
        b"0009hello0000",
        b"ffff",
        b"",
    ] {
        let result = receive::commands(body::of(bytes, None)).await;
        assert!(result.is_err(), "{:?}", String::from_utf8_lossy(bytes));
    }
    let empty = receive::commands(body::of(b"0000", None)).await.unwrap();
    assert!(empty.is_none());
    let evil = format!("{0} {0} refs/../x y", "1".repeat(40));
    let mut request = Vec::new();
    packet::text(&mut request, evil.as_bytes());
    packet::flush(&mut request);
    assert!(receive::commands(body::of(&request, None)).await.is_err());
}

#[tokio::test]
async fn what_a_killed_push_left_is_swept_and_a_push_under_way_is_not() {
    let remote = Remote::new(vec![green(), green()]).await;
    let commit = remote.commit("one.txt", b"one").await;
    assert!(remote.push(&["main"]).await.status.success());
    let now = jiff::Timestamp::now().as_millisecond();
    let fresh = format!("refs/launchway/push/{now}-1-0/0");
    let old = format!("refs/launchway/push/{}-1-0/0", now - 90_000_000);
    let folder = remote.folder.path().join("shop.git");
    for name in [&fresh, &old] {
        assert!(
            git_in(&folder, &["update-ref", name, &commit])
                .await
                .status
                .success()
        );
    }
    remote.commit("two.txt", b"two").await;
    assert!(remote.push(&["main"]).await.status.success());
    let refs = remote.refs().await;
    assert!(refs.contains(&fresh) && !refs.contains(&old), "{refs}");
}

/// The objects of some commits as git packs them.
async fn pack_of(remote: &Remote, revisions: &str) -> Vec<u8> {
    use tokio::io::AsyncWriteExt as _;
    let mut child = git(&remote.work())
        .args(["pack-objects", "--revs", "--stdout", "--quiet"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(revisions.as_bytes()).await.unwrap();
    drop(input);
    child.wait_with_output().await.unwrap().stdout
}

/// Sends a request as it is, and gives status and body.
async fn exchange(remote: &Remote, body: &[u8], encoding: Option<&str>) -> (u16, String) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut connection = tokio::net::TcpStream::connect(remote.address)
        .await
        .unwrap();
    let encoding = encoding.map_or(String::new(), |name| {
        format!("content-encoding: {name}\r\n")
    });
    let head = format!(
        "POST /git/shop.git/git-receive-pack HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{encoding}content-length: {}\r\n\r\n",
        body.len()
    );
    connection.write_all(head.as_bytes()).await.unwrap();
    connection.write_all(body).await.unwrap();
    let mut answer = Vec::new();
    connection.read_to_end(&mut answer).await.unwrap();
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, body.to_owned())
}
