//! Measurements, run by hand: `cargo test --release -p launchway-pipeline bench -- --ignored --nocapture`.

#![expect(clippy::print_stdout, reason = "measurements are printed for a person")]

use std::time::Instant;

use crate::site::Site;

#[test]
#[ignore = "a measurement, not a test"]
fn overhead() {
    let mut site = Site::toml("");
    let steps: Vec<String> = (0..1000).map(|_| "\"true\"".to_owned()).collect();
    for _ in 0..5 {
        let began = Instant::now();
        site.build().succeeded();
        println!("a build of nothing: {:?}", began.elapsed());
    }
    let mut site = Site::toml(&format!(
        "[[stage]]\nname = \"A\"\nrun = [{}]\n",
        steps.join(",")
    ));
    let began = Instant::now();
    site.build().succeeded();
    println!("1000 steps of `true`: {:?}", began.elapsed());
    let mut site = Site::toml(
        "[[stage]]\nname = \"A\"\nrun = \"head -c 1000000000 /dev/zero | tr '\\\\0' 'x' | fold -w 100\"\n[[stage]]\nname = \"B\"\nrun = \"grep VmHWM /proc/$PPID/status\"\n",
    );
    site.env
        .insert("API_TOKEN".to_owned(), "s3cr3t-T0ken/with+stuff".to_owned());
    site.env.insert(
        "DATABASE_PASSWORD".to_owned(),
        "another-one-of-these".to_owned(),
    );
    let began = Instant::now();
    let built = site.build().succeeded();
    println!("1 GB of log: {:?}, {:?}", began.elapsed(), built.log(1));
}

#[test]
#[ignore = "a measurement that installs packages from the network"]
fn flask() {
    let mut site = Site::new(&[
        ("requirements.txt", "flask==3.0.3\ngunicorn==22.0.0\n"),
        (
            "app.py",
            "from flask import Flask\n\napp = Flask(__name__)\n",
        ),
    ]);
    for round in 0..3 {
        site.commit(&[("round", &round.to_string())]);
        let began = Instant::now();
        let built = site.build().succeeded();
        println!(
            "round {round}: {:?}, {:?}",
            began.elapsed(),
            built.log(0).last()
        );
        let version = std::process::Command::new(built.tree(".venv/bin/gunicorn"))
            .arg("--version")
            .output()
            .unwrap();
        println!("{}", String::from_utf8_lossy(&version.stdout));
        assert!(version.status.success());
    }
}
