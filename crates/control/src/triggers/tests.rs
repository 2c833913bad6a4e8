use super::*;

fn name(text: &str) -> AppName {
    text.parse().unwrap()
}

#[test]
fn settings_are_checked_and_filled_in() {
    let app = name("shop");
    let mut settings = TriggerSettings {
        remote: Some("https://gitlab.com/team/shop.git".into()),
        multibranch: true,
        poll: Some("H/5 * * * *".into()),
        ..TriggerSettings::default()
    };
    check(&app, &mut settings).unwrap();
    assert_eq!(settings.forge, Forge::Gitlab);
    let refused = |change: &dyn Fn(&mut TriggerSettings)| {
        let mut wrong = TriggerSettings {
            forge: Forge::Plain,
            ..settings.clone()
        };
        change(&mut wrong);
        check(&app, &mut wrong).unwrap_err().to_string()
    };
    assert!(refused(&|s| s.remote = None).contains("no remote"));
    assert!(refused(&|s| s.poll = Some("H/99 * * * *".into())).contains("`99` is not a step"));
    assert!(
        refused(&|s| s.api = Some("https://token@git.example.org".into()))
            .contains("not the address")
    );
    assert!(
        refused(&|s| {
            s.remote = Some("https://git.example.org/a/b".into());
            s.status_credential = Some("t".parse().unwrap());
        })
        .contains("no commit statuses")
    );
    assert!(
        refused(&|s| {
            s.multibranch = false;
            s.previews = vec!["PR-*".into()];
        })
        .contains("previews")
    );
    assert!(refused(&|s| s.include = vec![String::new()]).contains("patterns"));
}

#[test]
fn a_previews_name_is_a_host_and_its_branchs_alone() {
    let app = name("shop");
    assert_eq!(previews::name_of(&app, "PR-12").as_str(), "shop-pr-12");
    assert_eq!(previews::name_of(&app, "cart").as_str(), "shop-cart");
    let branches = [
        "feature/cart",
        "feature-cart",
        "Feature-Cart",
        "feature_cart",
        "x".repeat(200).as_str(),
        "ü",
        "-",
    ]
    .map(|branch| previews::name_of(&app, branch).to_string());
    let different: std::collections::BTreeSet<_> = branches.iter().collect();
    assert_eq!(different.len(), branches.len(), "{branches:?}");
}
