use proptest::prelude::*;

use super::*;

#[test]
fn an_app_name_is_a_dns_label() {
    for good in ["a", "shop", "url-shortener", "a1"] {
        assert_eq!(good.parse::<AppName>().unwrap().as_str(), good);
    }
    for bad in [
        "",
        "1a",
        "-a",
        "a-",
        "Shop",
        "a_b",
        "a.b",
        "a/b",
        &"a".repeat(41),
    ] {
        assert!(bad.parse::<AppName>().is_err(), "{bad}");
    }
}

#[test]
fn any_text_has_a_nearest_app_name() {
    for (text, name) in [
        ("URL_Shortener.git", "url-shortener"),
        ("..", "app"),
        ("42-answers", "answers"),
        ("Café Bar", "caf-bar"),
        ("a--b__c", "a-b-c"),
    ] {
        assert_eq!(AppName::from_any(text).as_str(), name);
    }
}

#[test]
fn an_instance_id_reads_back() {
    let id: InstanceId = "shop.web.v12.7".parse().unwrap();
    assert_eq!(
        (
            id.app().as_str(),
            id.process().as_str(),
            id.release(),
            id.serial()
        ),
        ("shop", "web", ReleaseNumber(12), 7)
    );
    assert_eq!(id.to_string(), "shop.web.v12.7");
    for bad in [
        "shop.web.12.7",
        "shop.web.v12",
        "shop.web.v12.7.8",
        "shop..v1.1",
        "Shop.web.v1.1",
        "shop.web.vx.1",
    ] {
        assert!(bad.parse::<InstanceId>().is_err(), "{bad}");
    }
}

proptest! {
    #[test]
    fn from_any_is_always_valid(text in ".*") {
        let name = AppName::from_any(&text);
        prop_assert!(name.as_str().parse::<AppName>().is_ok());
    }

    #[test]
    fn parsing_an_instance_id_never_panics(text in ".*") {
        if let Ok(id) = text.parse::<InstanceId>() {
            prop_assert_eq!(id.to_string().parse::<InstanceId>().unwrap(), id);
        }
    }
}
