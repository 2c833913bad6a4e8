use std::os::unix::fs::PermissionsExt;

use super::*;

fn vars() -> BTreeMap<String, String> {
    BTreeMap::from([("SECRET_KEY".to_owned(), "hush hush".to_owned())])
}

#[test]
fn what_was_sealed_is_unsealed_after_a_restart_and_is_not_in_the_clear() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secrets.key");
    let app: AppName = "shop".parse().unwrap();
    let sealed = Vault::open(&path).unwrap().seal(&app, 3, &vars()).unwrap();
    assert!(!sealed.windows(4).any(|window| window == b"hush"));
    assert_eq!(
        std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let again = Vault::open(&path).unwrap();
    assert_eq!(again.unseal(&app, 3, &sealed).unwrap(), vars());
    assert_ne!(
        again.seal(&app, 3, &vars()).unwrap(),
        sealed,
        "a nonce is never used twice"
    );
}

#[test]
fn a_value_of_another_app_version_or_key_or_a_damaged_one_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let vault = Vault::open(&folder.path().join("a.key")).unwrap();
    let other = Vault::open(&folder.path().join("b.key")).unwrap();
    let app: AppName = "shop".parse().unwrap();
    let mut sealed = vault.seal(&app, 1, &vars()).unwrap();
    assert!(vault.unseal(&"cart".parse().unwrap(), 1, &sealed).is_err());
    assert!(vault.unseal(&app, 2, &sealed).is_err());
    let problem = other.unseal(&app, 1, &sealed).unwrap_err();
    assert!(problem.hint.unwrap().contains("secrets.key"));
    *sealed.last_mut().unwrap() ^= 1;
    assert!(vault.unseal(&app, 1, &sealed).is_err());
    assert!(vault.unseal(&app, 1, b"short").is_err());
}
