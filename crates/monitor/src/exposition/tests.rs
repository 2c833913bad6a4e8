use super::*;
use crate::labels::Labels;
use proptest::prelude::*;

fn labels(series: &str) -> Labels {
    let mut builder = LabelsBuilder::default();
    read_labels(series, &mut builder).unwrap();
    builder.build()
}

/// Every sample as `labels value @time # exemplar`, every other entry as it is debugged; at last the error.
fn shown(body: &str, open_metrics: bool) -> Vec<String> {
    let mut out = Vec::new();
    let mut parser = match Parser::new(body.as_bytes(), open_metrics) {
        Ok(parser) => parser,
        Err(error) => return vec![error.to_string()],
    };
    loop {
        match parser.next() {
            Ok(None) => return out,
            Err(error) => {
                out.push(error.to_string());
                return out;
            }
            Ok(Some(Entry::Sample(sample))) => {
                let mut line = format!("{} {}", labels(sample.series), sample.value);
                if let Some(time) = sample.timestamp {
                    line.push_str(&format!(" @{time}"));
                }
                if let Some(exemplar) = sample.exemplar {
                    line.push_str(&format!(
                        " # {} {} {:?}",
                        labels(exemplar.labels),
                        exemplar.value,
                        exemplar.timestamp
                    ));
                }
                out.push(line);
            }
            Ok(Some(entry)) => out.push(format!("{entry:?}")),
        }
    }
}

#[test]
fn text_is_read_as_prometheus_reads_it() {
    let body = "# HELP http_requests_total The total \\\\ of\\n requests.\n# TYPE http_requests_total counter\n\
        http_requests_total{method=\"post\",code=\"200\"} 1027 1395066363000\n\
        http_requests_total{ method = \"a\\\\b\\\"c\\nd\\e\" , } 3e0\n\n# a comment\n#bare\n\
        \t up\t1 \t\n no_labels {} -Inf\nx NaN\n{\"my.metric\",\"a.b\"=\"c\",d=\"e\"} 1.7560473e+07\n\
        w{a=\"line\nend\"} +Inf -5\nlast 0.1";
    assert_eq!(
        shown(body, false),
        [
            r#"Help("http_requests_total", "The total \\\\ of\\n requests.")"#,
            r#"Type("http_requests_total", Counter)"#,
            r#"http_requests_total{code="200", method="post"} 1027 @1395066363000"#,
            r#"http_requests_total{method="a\\b\"c\nd\\e"} 3"#,
            "up 1",
            "no_labels -inf",
            "x NaN",
            r#"{"my.metric", "a.b"="c", d="e"} 17560473"#,
            r#"w{a="line\nend"} inf @-5"#,
            "last 0.1",
        ]
    );
    assert_eq!(
        unescape_help("The total \\\\ of\\n \\\"requests\\\".", false),
        "The total \\ of\n \\\"requests\\\"."
    );
    assert_eq!(unescape_help("\\\"requests\\\".", true), "\"requests\".");
}

#[test]
fn open_metrics_is_read_with_exemplars_and_its_own_rules() {
    let body = "# TYPE foo histogram\n# UNIT foo_seconds seconds\n# HELP foo \"x\\\"\n\
        foo_bucket{le=\"0.1\"} 8 # {} 0.054\nfoo_bucket{le=\"1\"} 11 123.456 # {trace_id=\"a#b\"} 0.67 1520879607.789\n\
        foo_created 1520430000.123\nfoo_count 11\n# TYPE i info\n# EOF\n";
    assert_eq!(
        shown(body, true),
        [
            r#"Type("foo", Histogram)"#,
            r#"Unit("foo_seconds", "seconds")"#,
            r#"Help("foo", "\"x\\\"")"#,
            r#"foo_bucket{le="0.1"} 8 # {} 0.054 None"#,
            r#"foo_bucket{le="1"} 11 @123456 # {trace_id="a#b"} 0.67 Some(1520879607789)"#,
            "foo_created 1520430000.123",
            "foo_count 11",
            r#"Type("i", Info)"#,
        ]
    );
}

#[test]
fn an_error_names_its_line_and_what_was_expected() {
    let text = |body: &str| shown(body, false).pop().unwrap();
    let open = |body: &str| shown(body, true).pop().unwrap();
    let cases = [
        (
            text("a 1\nb{c=\"d\" 2\n"),
            "line 2, column 9: expected a comma or a closing brace, found \"2\"",
        ),
        (
            text("a 1\nb{c=d} 2\n"),
            "line 2, column 5: expected a label's value in double quotes, found \"d} 2\"",
        ),
        (
            text("a 1\n\n9a 2\n"),
            "line 3, column 1: expected a metric's name, found \"9a 2\"",
        ),
        (
            text("a\n"),
            "line 1, column 2: expected a value, found the end of the line",
        ),
        (
            text("a x\n"),
            "line 1, column 3: expected a value, found \"x\"",
        ),
        (
            text("a 0x1p3\n"),
            "line 1, column 3: expected a value, found \"0x1p3\"",
        ),
        (
            text("a 1e999\n"),
            "line 1, column 3: expected a value, found \"1e999\"",
        ),
        (
            text("a 1 2.5\n"),
            "line 1, column 5: expected a timestamp, found \"2.5\"",
        ),
        (
            text("a 1 2 3\n"),
            "line 1, column 6: expected the end of the line, found \" 3\"",
        ),
        (
            text("a{b=\"c} 1\n"),
            "line 1, column 5: a text in double quotes has no end",
        ),
        (
            text("{a=\"b\"} 1\n"),
            "line 1, column 1: expected a metric's name, found \"{a=\\\"b\\\"} 1\"",
        ),
        (
            text("# TYPE a strange\n"),
            "line 1, column 1: invalid metric type \"strange\"",
        ),
        (
            text("# TYPE 1-a gauge\n"),
            "line 1, column 1: expected a metric's name after # TYPE",
        ),
        (
            open("a 1\n"),
            "line 2, column 1: the body does not end with # EOF",
        ),
        (
            open("a 1\n# EOF\nb 2\n"),
            "line 3, column 1: expected nothing after # EOF",
        ),
        (
            open("a  1\n# EOF\n"),
            "line 1, column 3: expected a value, found \" 1\"",
        ),
        (
            open("# hello\n# EOF\n"),
            "line 1, column 1: expected # HELP, # TYPE, # UNIT or # EOF",
        ),
        (
            open("\n# EOF\n"),
            "line 1, column 1: expected a metric's name, found the end of the line",
        ),
        (
            open("# UNIT a seconds\n# EOF\n"),
            "line 1, column 1: unit seconds is not a suffix of the metric a",
        ),
    ];
    for (found, expected) in cases {
        assert_eq!(found, expected);
    }
    let error = Parser::new(b"a 1\nb\xff 2\n", false).unwrap_err();
    assert_eq!(
        error.to_string(),
        "line 2, column 2: expected UTF-8, found other bytes"
    );
    assert_eq!(
        read_labels("a{b=\"1\",b=\"2\"}", &mut LabelsBuilder::default()).unwrap_err(),
        "b"
    );
}

#[test]
fn formats_are_chosen_by_their_headers() {
    assert_eq!(
        Format::of_content_type("text/plain; version=0.0.4"),
        Some(Format::Text)
    );
    assert_eq!(Format::of_content_type("text/html"), None);
    for format in [Format::Text, Format::OpenMetrics, Format::Protobuf] {
        assert_eq!(Format::of_content_type(format.content_type()), Some(format));
    }
    let prometheus = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
    assert_eq!(Format::of_accept(prometheus), Format::OpenMetrics);
    assert_eq!(Format::of_accept("text/html, */*"), Format::Text);
    assert_eq!(
        Format::of_accept(
            "text/plain;q=0.2, application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.7"
        ),
        Format::Protobuf
    );
}

#[test]
fn protobuf_and_text_say_the_same() {
    let text = "# HELP c Counted\n# TYPE c counter\nc_total{a=\"b\"} 3 # {trace_id=\"t\"} 1 12.500\n\
        # TYPE g gauge\ng -1.5\ng{x=\"y\"} NaN 1600000000.000\n\
        # TYPE h histogram\nh_bucket{le=\"0.5\"} 1 # {trace_id=\"u\"} 0.25\nh_bucket{le=\"+Inf\"} 2\nh_sum 3.25\nh_count 2\n\
        # TYPE s summary\ns{quantile=\"0.5\"} 7\ns_sum 14\ns_count 2\n# EOF\n";
    let bytes = protobuf::from_text(text, true).unwrap();
    let decoded = protobuf::to_text(&bytes).unwrap();
    assert_eq!(decoded.warnings, Vec::<String>::new());
    let samples = |text: &str| -> Vec<String> {
        let mut all = shown(text, true);
        all.retain(|line| !line.starts_with("Help"));
        all
    };
    assert_eq!(samples(&decoded.text), samples(text));
    for end in 0..bytes.len() {
        let _ = protobuf::to_text(&bytes[..end]);
    }
}

#[test]
fn a_native_histogram_is_refused_with_a_word() {
    use crate::wire::{put_bytes, put_double, put_integer, put_number};
    let (mut histogram, mut metric, mut family, mut body) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    put_integer(&mut histogram, 1, 4);
    put_double(&mut histogram, 2, 9.5);
    put_integer(&mut histogram, 5, 6);
    put_bytes(&mut metric, 7, &histogram);
    put_bytes(&mut family, 1, b"native");
    put_integer(&mut family, 3, 4);
    put_bytes(&mut family, 4, &metric);
    put_number(&mut body, family.len() as u64);
    body.extend(family);
    let decoded = protobuf::to_text(&body).unwrap();
    assert_eq!(
        shown(&decoded.text, true),
        [
            r#"Type("native", Histogram)"#,
            "native_sum 9.5",
            "native_count 4"
        ]
    );
    assert_eq!(
        decoded.warnings,
        ["native histogram native: only its count, sum and classic buckets are kept"]
    );
}

#[test]
fn the_writer_escapes_and_names_families_as_the_format_wants() {
    let mut writer = Writer::new(Format::OpenMetrics);
    writer.family("a_total", MetricKind::Counter, "Say \"hi\"\nthere");
    writer.sample_at("a_total", [("path", "C:\\x \"y\"\n")], 1e21, 1500);
    writer.exemplar([("id", "1")], 0.5, Some(-1));
    let text = writer.finish();
    assert_eq!(
        text,
        "# HELP a Say \\\"hi\\\"\\nthere\n# TYPE a counter\na_total{path=\"C:\\\\x \\\"y\\\"\\n\"} 1e21 1.500 # {id=\"1\"} 0.5 -0.001\n# EOF\n"
    );
    assert_eq!(shown(&text, true).len(), 3);
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(
        value in prop_oneof![any::<f64>(), any::<i32>().prop_map(f64::from), (0i64..1_000_000).prop_map(|n| n as f64 / 1000.0)],
        time in prop::option::of(-4_000_000_000_000i64..4_000_000_000_000),
        name in "[a-z_:][a-z0-9_:]{0,8}|[^\u{0}]{1,6}",
        pairs in prop::collection::btree_map("[a-z_][a-z0-9_]{0,4}|[^\u{0}_]{1,3}", "[^\u{0}]{1,6}|[\\\\\"\n,{}= #]{1,8}", 0..4),
        open in any::<bool>(),
    ) {
        let format = if open { Format::OpenMetrics } else { Format::Text };
        let mut writer = Writer::new(format);
        let list = pairs.iter().map(|(n, v)| (n.as_str(), v.as_str()));
        match time {
            Some(time) => writer.sample_at(&name, list.clone(), value, time),
            None => writer.sample(&name, list.clone(), value),
        }
        let text = writer.finish();
        let mut parser = Parser::new(text.as_bytes(), open).unwrap();
        let Some(Entry::Sample(sample)) = parser.next().unwrap() else { panic!("no sample in {text}") };
        let same = sample.value.to_bits() == value.to_bits() || (value.is_nan() && sample.value.is_nan());
        prop_assert!(same, "{} became {}", value, sample.value);
        prop_assert_eq!(sample.timestamp, time);
        let expected = Labels::from_pairs(list.chain([("__name__", name.as_str())]));
        prop_assert_eq!(labels(sample.series), expected);
        prop_assert_eq!(parser.next().unwrap(), None);
    }

    #[test]
    fn no_text_makes_it_panic(body in "([a-z]{1,2}|[{}\",= #\\\\\n\t]|1|é|# TYPE |# EOF|\\{a=\"){0,40}", open in any::<bool>()) {
        let Ok(mut parser) = Parser::new(body.as_bytes(), open) else { return Ok(()) };
        while let Ok(Some(entry)) = parser.next() {
            if let Entry::Sample(sample) = entry {
                let _ = read_labels(sample.series, &mut LabelsBuilder::default());
            }
        }
    }

    #[test]
    fn numbers_are_those_of_the_standard_library(text in "[-+]?[0-9]{0,18}(\\.[0-9]{0,12})?([eE][-+]?[0-9]{1,3})?") {
        let expected = text.parse::<f64>().ok().filter(|value| value.is_finite());
        prop_assert_eq!(parse_value(&text).map(f64::to_bits), expected.map(f64::to_bits));
    }
}
