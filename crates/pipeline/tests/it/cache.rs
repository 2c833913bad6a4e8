//! The build cache, as builds see it.

use std::fs;

use launchway_model::build::BuildResult;

use crate::site::Site;

const TOML: &str = "[[stage]]\nname = \"Install\"\nrun = '''\necho x >> \"$LAUNCHWAY_CACHE/made\"\nmkdir -p deps\ncp lock deps/lock\nprintf '#!%s/deps/python\\n' \"$WORKSPACE\" > deps/tool\n'''\nmakes = [\"deps\"]\nfrom = [\"lock\"]\ntools = [\"cat version\"]\n[[stage]]\nname = \"Use\"\nrun = \"cat deps/lock deps/tool; grep -q $WORKSPACE deps/tool\"\n";

fn site() -> Site {
    Site::new(&[
        ("Procfile", "web: x\n"),
        ("lock", "1\n"),
        ("version", "v1\n"),
        ("launchway.toml", TOML),
    ])
}

fn made(site: &Site) -> usize {
    fs::read_to_string(site.path("cache/made"))
        .unwrap()
        .lines()
        .count()
}

#[test]
fn an_unchanged_lock_file_costs_no_install() {
    let mut site = site();
    site.build().succeeded();
    assert_eq!(made(&site), 1);
    site.commit(&[("other", "change")]);
    let built = site.build().succeeded();
    assert_eq!(made(&site), 1);
    assert!(
        built
            .log(0)
            .iter()
            .any(|line| line.starts_with("Taken from the cache: deps (2 files")),
        "{:?}",
        built.log(0)
    );
    assert_eq!(fs::read_to_string(built.tree("deps/lock")).unwrap(), "1\n");
    for (file, text, count) in [
        ("lock", "2\n", 2),
        ("version", "v2\n", 3),
        ("lock", "1\n", 4),
        ("version", "v1\n", 4),
    ] {
        site.commit(&[(file, text)]);
        site.build().succeeded();
        assert_eq!(made(&site), count, "{file} {text}");
    }
}

#[test]
fn a_layer_that_a_build_wrote_to_is_made_anew() {
    let mut site = site();
    let built = site.build().succeeded();
    fs::write(built.tree("deps/lock"), "spoilt").unwrap();
    site.commit(&[("other", "change")]);
    let built = site.build().succeeded();
    assert_eq!(made(&site), 2);
    assert_eq!(fs::read_to_string(built.tree("deps/lock")).unwrap(), "1\n");
    assert!(built.log(0).iter().any(|line| line.contains("was changed")));
}

#[test]
fn a_failed_install_is_not_kept() {
    let mut site = site();
    site.commit(&[(
        "launchway.toml",
        &TOML.replace("mkdir -p deps", "mkdir -p deps; test -e ok"),
    )]);
    assert_eq!(site.build().result(), BuildResult::Failure);
    site.commit(&[("ok", "")]);
    site.build().succeeded();
    assert_eq!(made(&site), 2);
}

#[test]
fn only_a_few_results_are_kept() {
    let mut site = site();
    for number in 0..7 {
        site.commit(&[("lock", &format!("{number}\n"))]);
        site.build().succeeded();
    }
    let layers = fs::read_dir(site.path("cache/layers/deps"))
        .unwrap()
        .flatten()
        .filter(|entry| entry.path().is_dir())
        .count();
    assert_eq!(layers, 4);
}
