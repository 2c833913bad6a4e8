use super::*;
use crate::labels::Labels;

fn run(yaml: &str, start: &[(&str, &str)]) -> Result<Option<String>, Vec<String>> {
    let mut errors = Vec::new();
    let node = crate::yaml::parse(yaml).unwrap();
    let rules = rules(&node, &mut errors);
    if !errors.is_empty() {
        return Err(errors.iter().map(ToString::to_string).collect());
    }
    let mut labels = LabelsBuilder::from_labels(&Labels::from_pairs(start.iter().copied()));
    Ok(apply(&rules, &mut labels).then(|| labels.build().to_string()))
}

#[test]
fn each_action_does_what_prometheus_does() {
    let start = [
        ("a", "foo"),
        ("b", "bar"),
        ("c", "Baz"),
        ("__meta_x_y", "1"),
    ];
    let cases = [
        // From Prometheus' documentation of each action.
        (
            "[{source_labels: [a], regex: 'f(.*)', target_label: d, replacement: 'ch${1}-ch$1'}]",
            Some(r#"{__meta_x_y="1", a="foo", b="bar", c="Baz", d="choo-choo"}"#),
        ),
        (
            "[{source_labels: [a, b], regex: 'f(.*);(.*)r', target_label: a, replacement: 'b${1}${2}m'}]",
            Some(r#"{__meta_x_y="1", a="boobam", b="bar", c="Baz"}"#),
        ),
        (
            "[{source_labels: [a], regex: 'no', target_label: d, replacement: x}]",
            Some(r#"{__meta_x_y="1", a="foo", b="bar", c="Baz"}"#),
        ),
        (
            "[{source_labels: [a], target_label: b, regex: 'f.*', replacement: ''}]",
            Some(r#"{__meta_x_y="1", a="foo", c="Baz"}"#),
        ),
        ("[{source_labels: [a], regex: '.*o.*', action: drop}]", None),
        (
            "[{source_labels: [a], regex: 'o', action: drop}]",
            Some(r#"{__meta_x_y="1", a="foo", b="bar", c="Baz"}"#),
        ),
        (
            "[{source_labels: [a], regex: 'fo+', action: keep}]",
            Some(r#"{__meta_x_y="1", a="foo", b="bar", c="Baz"}"#),
        ),
        ("[{source_labels: [a], regex: 'x', action: keep}]", None),
        (
            "[{source_labels: [c], target_label: d, action: hashmod, modulus: 1000}]",
            Some(r#"{__meta_x_y="1", a="foo", b="bar", c="Baz", d="940"}"#),
        ),
        (
            "[{regex: '__meta_(x.*)', action: labelmap}]",
            Some(r#"{__meta_x_y="1", a="foo", b="bar", c="Baz", x_y="1"}"#),
        ),
        (
            "[{regex: '(b|__.*)', action: LabelDrop}]",
            Some(r#"{a="foo", c="Baz"}"#),
        ),
        (
            "[{regex: '(a|c)', action: labelkeep}]",
            Some(r#"{a="foo", c="Baz"}"#),
        ),
        (
            "[{source_labels: [c], target_label: c, action: lowercase}]",
            Some(r#"{__meta_x_y="1", a="foo", b="bar", c="baz"}"#),
        ),
        (
            "[{source_labels: [c], target_label: c, action: uppercase}]",
            Some(r#"{__meta_x_y="1", a="foo", b="bar", c="BAZ"}"#),
        ),
        (
            "[{source_labels: [a], target_label: b, action: keepequal}]",
            None,
        ),
        (
            "[{source_labels: [a], target_label: b, action: dropequal}]",
            Some(r#"{__meta_x_y="1", a="foo", b="bar", c="Baz"}"#),
        ),
        (
            "[{source_labels: [a], regex: '(.*)', target_label: '0$1', replacement: x}]",
            Some(r#"{__meta_x_y="1", a="foo", b="bar", c="Baz"}"#),
        ),
    ];
    for (yaml, expected) in cases {
        assert_eq!(run(yaml, &start).unwrap().as_deref(), expected, "{yaml}");
    }
}

#[test]
fn mistakes_name_their_place() {
    assert_eq!(
        run("- source_labels: [a]\n  regx: x\n- action: jump\n- regex: '('\n  target_label: a\n- action: hashmod\n  target_label: x\n", &[]).unwrap_err()[..2],
        [
            "2:3: \"regx\" is no field of a relabelling rule; it has source_labels, separator, regex, modulus, target_label, replacement, action",
            "1:3: relabel configuration for this action requires 'target_label' value",
        ]
    );
}
