use super::*;

#[test]
fn an_address_follows_the_proxy() {
    let (app, backend): (AppName, ProcessType) =
        ("shop".parse().unwrap(), "backend".parse().unwrap());
    let at = |listen: &str| url(Some(listen.parse().unwrap()), &app, &backend);
    assert_eq!(at("127.0.0.1:8080"), "http://127.0.0.1:8080/~shop/backend");
    assert_eq!(at("0.0.0.0:80"), "http://127.0.0.1/~shop/backend");
    assert_eq!(at("[::]:8080"), "http://127.0.0.1:8080/~shop/backend");
    assert_eq!(at("10.1.2.3:80"), "http://10.1.2.3/~shop/backend");
}

#[test]
fn known_servers_learn_their_port_unless_something_says_otherwise() {
    let learned = |command: &str, name: &str| {
        let mut env = BTreeMap::from([("UVICORN_PORT".to_owned(), "9".to_owned())]);
        own_port_variables(command, ("127.0.0.1", 7000), &mut env);
        env.get(name).cloned()
    };
    assert_eq!(
        learned("flask run", "FLASK_RUN_PORT").as_deref(),
        Some("7000")
    );
    assert_eq!(
        learned("venv/bin/flask --app x run", "FLASK_RUN_PORT").as_deref(),
        Some("7000")
    );
    assert_eq!(
        learned("python -m uvicorn a:b", "UVICORN_PORT").as_deref(),
        Some("9"),
        "a value that a person set stays"
    );
    assert_eq!(
        learned("gunicorn a:b", "GUNICORN_CMD_ARGS").as_deref(),
        Some("--bind=127.0.0.1:7000")
    );
    assert_eq!(learned("gunicorn -b :80 a:b", "GUNICORN_CMD_ARGS"), None);
    assert_eq!(learned("node server.js", "FLASK_RUN_PORT"), None);
}
