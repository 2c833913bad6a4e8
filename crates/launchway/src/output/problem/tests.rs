//! What people see of a problem.

use super::*;

#[test]
fn a_problem_in_a_file_shows_its_line_and_the_way_to_mend_it() {
    let problem = Problem::invalid("unknown key `tiemout`")
        .hint("Did you mean `timeout`?")
        .at(Place {
            file: "launchway.toml".to_owned(),
            line: 12,
            column: 3,
            text: Some("  tiemout = \"3m\"".to_owned()),
        });
    insta::assert_snapshot!(render(&problem, false), @r#"
      × unknown key `tiemout`
        ╭─[launchway.toml:12:3]
     12 │   tiemout = "3m"
        ·   ───┬───
        ·      ╰── here
        ╰────
      help: Did you mean `timeout`?
    "#);
}

#[test]
fn a_failed_deploy_shows_its_causes_and_the_last_output() {
    let problem = Problem::failed("release v3 never became healthy")
        .cause("GET /health answered 500")
        .cause("the app ended with exit code 1")
        .hint("Look at the lines below, mend the app and deploy again.")
        .output(vec![
            "Traceback (most recent call last):".to_owned(),
            "KeyError: 'DATABASE_URL'".to_owned(),
        ]);
    insta::assert_snapshot!(render(&problem, false), @"
      × release v3 never became healthy
      ├─▶ GET /health answered 500
      ╰─▶ the app ended with exit code 1
      help: Look at the lines below, mend the app and deploy again.
      the last output:
        │ Traceback (most recent call last):
        │ KeyError: 'DATABASE_URL'
    ");
}

#[test]
fn a_place_beyond_the_line_or_without_its_text_still_prints() {
    let mut place = Place {
        file: "Procfile".to_owned(),
        line: 1,
        column: 400,
        text: Some("wéb".to_owned()),
    };
    let text = render(
        &Problem::invalid("no process type `web`").at(place.clone()),
        false,
    );
    assert!(text.contains("Procfile:1"), "{text}");
    place.text = None;
    let text = render(&Problem::invalid("no process type `web`").at(place), false);
    assert!(text.contains("Procfile:1:400"), "{text}");
}
