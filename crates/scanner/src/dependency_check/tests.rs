use super::*;

fn map(text: &str) -> Result<Arguments, ScanError> {
    from_text(text, Options::new("workspace", "db"), &|name| {
        (name == "HERE").then(|| "a folder".to_owned())
    })
}

#[test]
fn what_people_pass_is_understood() {
    let mapped = map(
        r#" --scan './src dir' --scan "**/*.lock" --format XML --format HTML --out reports
            --project "My shop" --noupdate --nvdApiKey SECRET-KEY --disableYarnAudit --disableNodeAudit --failOnCVSS 7 --suppression dc/suppress.xml --prettyPrint "#,
    )
    .unwrap();
    let options = &mapped.options;
    assert_eq!(
        options.paths,
        [PathBuf::from("./src dir"), PathBuf::from(".")]
    );
    assert_eq!(options.project.as_deref(), Some("My shop"));
    assert_eq!(options.policy.fail_on, Threshold::Score(7.0));
    assert_eq!(options.suppressions, [PathBuf::from("dc/suppress.xml")]);
    assert!(!mapped.update);
    let outputs: Vec<_> = options
        .outputs
        .iter()
        .map(|output| (output.format, output.path.clone().unwrap()))
        .collect();
    assert_eq!(
        outputs,
        [
            (
                Format::DependencyCheck,
                PathBuf::from("reports/dependency-check-report.xml")
            ),
            (
                Format::Html,
                PathBuf::from("reports/dependency-check-report.html")
            )
        ]
    );
    assert!(!mapped.notes.join(" ").contains("SECRET-KEY"));
    assert_eq!(mapped.notes.len(), 4);
}

#[test]
fn defaults_are_those_of_dependency_check() {
    let mapped = map("--scan=/app/").unwrap();
    assert_eq!(mapped.options.paths, [PathBuf::from("/app")]);
    assert_eq!(mapped.options.policy.fail_on, Threshold::Never);
    assert_eq!(
        mapped.options.outputs[0].path,
        Some(PathBuf::from("dependency-check-report.xml"))
    );
    assert!(mapped.update);
    assert_eq!(map("").unwrap().options.paths, [PathBuf::from("workspace")]);
    assert_eq!(
        map("-f XML -o out.xml").unwrap().options.outputs[0].path,
        Some(PathBuf::from("out.xml"))
    );
    assert_eq!(
        map(r"--exclude **\\test\\** --exclude=old/")
            .unwrap()
            .options
            .walk
            .exclude,
        ["**/test/**", "old/"]
    );
    assert_eq!(map("-f ALL").unwrap().options.outputs.len(), 5);
}

#[test]
fn variables_are_replaced_within_words() {
    let project = |text: &str| map(&format!("--project {text}")).unwrap().options.project;
    for (text, expected) in [
        ("x${HERE}y", "xa foldery"),
        ("$HERE/y", "a folder/y"),
        ("${HERE", "${HERE"),
        ("$", "$"),
        ("$$HERE", "$a folder"),
        ("${}$THERE", "${}$THERE"),
        ("ä$HERE", "äa folder"),
    ] {
        assert_eq!(project(text).as_deref(), Some(expected), "{text}");
    }
}

#[test]
fn what_is_not_understood_is_an_error() {
    for text in [
        "--failOnCVSS",
        "--failOnCVSS high",
        "--format PDF",
        "--frobnicate",
        "--scan 'x",
        "--purge",
        "--exclude a[",
    ] {
        assert!(map(text).is_err(), "{text}");
    }
}

proptest::proptest! {
    #[test]
    fn no_arguments_make_the_mapping_panic(text in "(--scan|--out|-f|--failOnCVSS|=|\\$|\\{|\\}|HERE|XML| |'|\"|\\\\|[a-z*/.]|\\PC){0,30}") {
        let _ = map(&text);
    }
}
