use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use super::s3::{Facts, Page, authorization};
use super::*;

/// A home with a database, secrets, an app's files and what must not go into a backup.
fn home(folder: &Path) -> Home {
    let home = Home::new(folder);
    std::fs::create_dir_all(home.root().join("apps/shop/persist")).unwrap();
    std::fs::create_dir_all(home.root().join("apps/shop/cache")).unwrap();
    std::fs::create_dir_all(home.root().join("repos/shop.git")).unwrap();
    std::fs::create_dir_all(home.root().join("metrics/block-1")).unwrap();
    std::fs::create_dir_all(home.root().join("builds/1")).unwrap();
    std::fs::write(home.root().join("builds/1/log"), "long").unwrap();
    std::fs::write(home.root().join("apps/shop/cache/layer"), "made again").unwrap();
    std::fs::write(home.secrets_key(), [7; 32]).unwrap();
    std::fs::write(home.root().join("metrics/block-1/index"), [1; 70_000]).unwrap();
    std::fs::write(home.root().join("repos/shop.git/HEAD"), "ref: x").unwrap();
    std::fs::write(home.root().join("apps/shop/persist/note.txt"), "kept").unwrap();
    std::os::unix::fs::symlink("note.txt", home.root().join("apps/shop/persist/link")).unwrap();
    block_on(async {
        let store = launchway_store::Store::open(&home.database()).await?;
        store.close().await;
        Ok(())
    })
    .unwrap();
    std::fs::copy(
        home.database(),
        home.root().join("apps/shop/persist/app.db"),
    )
    .unwrap();
    home
}

fn folder_target(folder: &Path) -> Target {
    Target::Folder {
        path: folder.to_owned(),
    }
}

#[test]
fn a_backup_is_made_verified_and_restored_over_what_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let home = home(&folder.path().join("home"));
    let target = folder_target(&folder.path().join("elsewhere"));
    let passphrase = Passphrase::new("correct horse battery\n").unwrap();
    for sealed in [None, Some(&passphrase)] {
        let stored = create(&home, &target, sealed, What::default()).unwrap();
        assert_eq!(stored.sealed, sealed.is_some());
        let archive = target.fetch(&stored.name, folder.path()).unwrap();
        let manifest = verify(&archive, sealed, folder.path()).unwrap();
        let paths: Vec<String> = manifest
            .files
            .iter()
            .map(|file| file.path.display().to_string())
            .collect();
        assert_eq!(
            paths,
            [
                "launchway.db",
                "metrics/block-1/index",
                "repos/shop.git/HEAD",
                "secrets.key",
                "apps/shop/persist/app.db",
                "apps/shop/persist/note.txt"
            ]
        );
        assert!(manifest.files[0].sqlite && manifest.files[4].sqlite);
        // Over what has changed since.
        std::fs::write(home.root().join("apps/shop/persist/note.txt"), "spoilt").unwrap();
        let restored = restore(&archive, sealed, &home).unwrap();
        let note = |root: &Path| std::fs::read_to_string(root.join("apps/shop/persist/link"));
        assert_eq!(note(home.root()).unwrap(), "kept");
        assert_eq!(note(&restored.set_aside.unwrap()).unwrap(), "spoilt");
        // Into an empty home.
        let fresh = Home::new(folder.path().join(format!("fresh-{}", stored.sealed)));
        let restored = restore(&archive, sealed, &fresh).unwrap();
        assert_eq!(restored.set_aside, None);
        assert_eq!(std::fs::read(fresh.secrets_key()).unwrap(), [7; 32]);
        // Names are by the second.
        std::fs::remove_file(&archive).unwrap();
    }
    let left: Vec<_> = std::fs::read_dir(home.root().join("backups"))
        .unwrap()
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn damage_is_found_wherever_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let home = home(&folder.path().join("home"));
    let target = folder_target(&folder.path().join("elsewhere"));
    let passphrase = Passphrase::new("correct horse battery").unwrap();
    let stored = create(&home, &target, Some(&passphrase), What::default()).unwrap();
    let archive = target.fetch(&stored.name, folder.path()).unwrap();
    let whole = std::fs::read(&archive).unwrap();
    let other = Passphrase::new("another passphrase").unwrap();
    let wrong = verify(&archive, Some(&other), folder.path()).unwrap_err();
    assert!(wrong.causes[0].contains("passphrase"), "{wrong:?}");
    let none = verify(&archive, None, folder.path()).unwrap_err();
    assert!(none.hint.unwrap().contains("--passphrase-file"));
    for place in [200, whole.len() / 2, whole.len() - 3] {
        let mut damaged = whole.clone();
        damaged[place] ^= 1;
        std::fs::write(&archive, &damaged).unwrap();
        assert!(verify(&archive, Some(&passphrase), folder.path()).is_err());
    }
    for length in [0, 10, whole.len() / 2, whole.len() - 1] {
        std::fs::write(&archive, &whole[..length]).unwrap();
        assert!(verify(&archive, Some(&passphrase), folder.path()).is_err());
        assert!(restore(&archive, Some(&passphrase), &home).is_err());
        assert!(home.database().exists(), "a failed restore changes nothing");
    }
    std::fs::write(&archive, &whole).unwrap();
    verify(&archive, Some(&passphrase), folder.path()).unwrap();
}

#[test]
fn nothing_is_restored_under_a_running_control() {
    let folder = tempfile::tempdir().unwrap();
    let home = home(&folder.path().join("home"));
    let target = folder_target(&folder.path().join("elsewhere"));
    let stored = create(&home, &target, None, What::default()).unwrap();
    let archive = target.fetch(&stored.name, folder.path()).unwrap();
    let lock = std::fs::File::create(home.control_lock()).unwrap();
    lock.lock().unwrap();
    let refused = restore(&archive, None, &home).unwrap_err();
    assert!(refused.message.contains("runs in"), "{refused:?}");
}

#[test]
fn old_backups_go_and_other_files_stay() {
    let folder = tempfile::tempdir().unwrap();
    for day in 1..=5 {
        let name = format!("launchway-2026010{day}T030000Z.tar.zst");
        std::fs::write(folder.path().join(name), "x").unwrap();
    }
    std::fs::write(folder.path().join("holiday.jpg"), "x").unwrap();
    let target = folder_target(folder.path());
    let removed = prune(&target, 2).unwrap();
    assert_eq!(removed.len(), 3);
    let left = list(&target).unwrap();
    assert_eq!(left[0].name, "launchway-20260105T030000Z.tar.zst");
    assert_eq!(left.len(), 2);
    assert!(folder.path().join("holiday.jpg").exists());
}

/// The examples of Amazon's own page "Signature Calculations for the Authorization Header".
#[test]
fn signatures_are_those_of_the_published_examples() {
    let signed = |query: &str, path: &str, fields: &[(&str, &str)]| {
        let fields: Vec<(String, String)> = fields
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        authorization(&Facts {
            method: "GET",
            path,
            query,
            fields: &fields,
            payload: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            now: "20130524T000000Z",
            region: "us-east-1",
            access_key: "AKIAIOSFODNN7EXAMPLE",
            secret_key: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        })
    };
    let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let get = signed(
        "",
        "/test.txt",
        &[
            ("host", "examplebucket.s3.amazonaws.com"),
            ("range", "bytes=0-9"),
            ("x-amz-content-sha256", empty),
            ("x-amz-date", "20130524T000000Z"),
        ],
    );
    assert!(
        get.ends_with("f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"),
        "{get}"
    );
    let list = signed(
        "max-keys=2&prefix=J",
        "/",
        &[
            ("host", "examplebucket.s3.amazonaws.com"),
            ("x-amz-content-sha256", empty),
            ("x-amz-date", "20130524T000000Z"),
        ],
    );
    assert!(
        list.ends_with("34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"),
        "{list}"
    );
}

#[test]
fn a_list_is_read() {
    let page = Page::parse(
        "<?xml version=\"1.0\"?><ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">
         <Contents><Key>a&amp;b&#33;</Key><Size>12</Size></Contents>
         <IsTruncated>true</IsTruncated><NextContinuationToken>t1</NextContinuationToken></ListBucketResult>",
    )
    .unwrap();
    assert_eq!(page.objects, [("a&b!".to_owned(), 12)]);
    assert_eq!(page.next.as_deref(), Some("t1"));
    assert_eq!(Page::parse("<html>no</html>"), None);
    assert_eq!(Page::parse("<ListBucketResult><Contents>"), None);
}

#[test]
fn a_bucket_takes_lists_gives_and_removes_and_checks_signatures() {
    let store = FakeStore::start();
    let variable = |name: &str| match name {
        "AWS_ACCESS_KEY_ID" => Some("KEY".to_owned()),
        "AWS_SECRET_ACCESS_KEY" => Some(store.secret.to_owned()),
        _ => None,
    };
    let place = format!(
        "s3://bucket/at home?endpoint={}&region=eu-test-1",
        store.url
    );
    let target = Target::parse(&place, variable).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let home = home(&folder.path().join("home"));
    let stored = create(&home, &target, None, What::default()).unwrap();
    assert_eq!(list(&target).unwrap(), std::slice::from_ref(&stored));
    let fetched = target.fetch(&stored.name, folder.path()).unwrap();
    verify(&fetched, None, folder.path()).unwrap();
    // A wrong secret.
    let wrong = |name: &str| match name {
        "AWS_SECRET_ACCESS_KEY" => Some("wrong".to_owned()),
        name => variable(name),
    };
    let refused = list(&Target::parse(&place, wrong).unwrap()).unwrap_err();
    assert!(refused.message.contains("refuses our keys"), "{refused:?}");
    target.remove(&stored.name).unwrap();
    assert_eq!(list(&target).unwrap(), []);
    let gone = target.fetch(&stored.name, folder.path()).unwrap_err();
    assert!(gone.message.contains("there is no"), "{gone:?}");
    assert!(Target::parse("s3://bucket", |_| None).is_err());
}

/// A store that holds objects in memory, and refuses what is not signed with its secret or has another digest.
struct FakeStore {
    url: String,
    secret: &'static str,
}

impl FakeStore {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let secret = "a secret";
        let objects: Arc<Mutex<BTreeMap<String, Vec<u8>>>> = Arc::default();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (Ok(stream), objects) = (stream, objects.clone()) else {
                    continue;
                };
                std::thread::spawn(move || serve(stream, &objects, secret));
            }
        });
        Self { url, secret }
    }
}

fn serve(
    stream: std::net::TcpStream,
    objects: &Mutex<BTreeMap<String, Vec<u8>>>,
    secret: &'static str,
) {
    use sha2::Digest as _;
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        let mut words = line.split(' ');
        let (method, uri) = (
            words.next().unwrap().to_owned(),
            words.next().unwrap().to_owned(),
        );
        let mut fields = BTreeMap::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            let Some((name, value)) = line.trim_end().split_once(": ") else {
                break;
            };
            fields.insert(name.to_ascii_lowercase(), value.to_owned());
        }
        let length = fields
            .get("content-length")
            .map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        let (path, query) = uri.split_once('?').unwrap_or((&uri, ""));
        let authorized = fields.get("authorization").cloned().unwrap_or_default();
        let names = authorized
            .split("SignedHeaders=")
            .nth(1)
            .and_then(|rest| rest.split(',').next())
            .unwrap_or_default();
        let signed: Vec<(String, String)> = names
            .split(';')
            .map(|name| {
                (
                    name.to_owned(),
                    fields.get(name).cloned().unwrap_or_default(),
                )
            })
            .collect();
        let digest = archive::hex(&sha2::Sha256::digest(&body));
        let expected = authorization(&Facts {
            method: &method,
            path,
            query,
            fields: &signed,
            payload: &digest,
            now: fields.get("x-amz-date").map_or("", String::as_str),
            region: "eu-test-1",
            access_key: "KEY",
            secret_key: secret,
        });
        let mut objects = objects.lock().unwrap();
        let (status, answer) = if authorized != expected {
            ("403 Forbidden", b"SignatureDoesNotMatch".to_vec())
        } else {
            match method.as_str() {
                "PUT" => {
                    objects.insert(path.to_owned(), body);
                    ("200 OK", Vec::new())
                }
                "DELETE" => {
                    objects.remove(path);
                    ("204 No Content", Vec::new())
                }
                _ if query.contains("list-type=2") => {
                    let list: String = objects
                        .iter()
                        .map(|(path, body)| {
                            let key = path.strip_prefix("/bucket/").unwrap().replace("%20", " ");
                            format!(
                                "<Contents><Key>{key}</Key><Size>{}</Size></Contents>",
                                body.len()
                            )
                        })
                        .collect();
                    (
                        "200 OK",
                        format!("<ListBucketResult>{list}</ListBucketResult>").into_bytes(),
                    )
                }
                _ => match objects.get(path) {
                    Some(body) => ("200 OK", body.clone()),
                    None => ("404 Not Found", b"NoSuchKey".to_vec()),
                },
            }
        };
        drop(objects);
        let length = if status.starts_with("204") {
            String::new()
        } else {
            format!("content-length: {}\r\n", answer.len())
        };
        let stream = reader.get_mut();
        let written = write!(stream, "HTTP/1.1 {status}\r\n{length}\r\n")
            .and_then(|()| stream.write_all(&answer));
        if written.is_err() {
            return;
        }
    }
}
