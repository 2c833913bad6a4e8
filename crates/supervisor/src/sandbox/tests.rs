use super::*;

#[test]
fn abilities_are_said_in_words() {
    let abilities = abilities();
    assert_eq!(
        abilities.can_mount(),
        abilities.mounts == Namespaces::Root || abilities.mounts == Namespaces::User
    );
    let words = abilities.words();
    assert_eq!(words.len(), 4);
    assert!(
        words.iter().all(|sentence| sentence.ends_with('.')),
        "{words:?}"
    );
}
