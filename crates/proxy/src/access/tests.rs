use super::*;

fn meta() -> Meta {
    Meta {
        host: "a.test".to_owned(),
        request_id: "id".to_owned(),
        parts: Parts {
            client: "192.0.2.1".to_owned(),
            method: "GET".to_owned(),
            target: "/x?\"y".to_owned(),
            protocol: "HTTP/1.1",
            agent: "a\u{1}\\\"b".to_owned(),
            referer: String::new(),
        },
        ..Meta::default()
    }
}

fn record(status: u16) -> Record {
    Record {
        status,
        bytes: 12,
        ..Record::default()
    }
}

#[test]
fn dates_are_those_of_the_calendar() {
    let at = |seconds, text: &str| {
        let civil = Civil::of(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        let got = format!(
            "{}-{:02}-{:02} {:02}:{:02}:{:02}",
            civil.year, civil.month, civil.day, civil.hour, civil.minute, civil.second
        );
        assert_eq!(got, text);
    };
    at(0, "1970-01-01 00:00:00");
    at(951_782_399, "2000-02-28 23:59:59");
    at(951_782_400, "2000-02-29 00:00:00");
    at(1_709_251_199, "2024-02-29 23:59:59");
    at(4_107_542_400, "2100-03-01 00:00:00");
    at(1_763_639_195, "2025-11-20 11:46:35");
}

#[test]
fn a_line_of_json_is_json_whatever_a_client_sends() {
    let mut out = Vec::new();
    let took = Duration::from_micros(1_234_567);
    json(
        &mut out,
        SystemTime::UNIX_EPOCH,
        took,
        &meta(),
        &record(200),
    );
    assert_eq!(out.last(), Some(&b'\n'));
    let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(value["target"], "/x?\"y");
    assert_eq!(value["agent"], "a\u{1}\\\"b");
    assert_eq!(value["status"], 200);
    assert_eq!(value["seconds"], 1.234567);
    assert_eq!(value["time"], "1970-01-01T00:00:00.000Z");
}

#[test]
fn the_combined_format_is_what_log_readers_know() {
    let mut out = Vec::new();
    combined(&mut out, SystemTime::UNIX_EPOCH, &meta(), &record(404));
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "192.0.2.1 - - [01/Jan/1970:00:00:00 +0000] \"GET /x?\\\"y HTTP/1.1\" 404 12 \"-\" \"a\\x01\\\\\\\"b\"\n"
    );
}

#[test]
fn a_sample_leaves_out_what_went_well_and_full_files_rotate() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log/access.log");
    let options = Options {
        path: path.clone(),
        format: LogFormat::Combined,
        sample: 10,
        rotate_bytes: 1,
        keep: 2,
    };
    for _ in 0..4 {
        let (log, thread) = AccessLog::start(options.clone(), 2).unwrap();
        for _ in 0..100 {
            log.note(0, &meta(), &record(200));
        }
        log.note(1, &meta(), &record(500));
        log.stop();
        thread.join().unwrap();
        assert_eq!(log.lost(), 0);
    }
    let lines = |name: &str| {
        std::fs::read_to_string(folder.path().join("log").join(name))
            .map(|text| text.lines().count())
    };
    // Each start writes two batches, and each batch fills a file.
    let counts = ["access.log", "access.log.1", "access.log.2"].map(|name| lines(name).unwrap());
    assert!(counts.contains(&10) && counts.contains(&1), "{counts:?}");
    assert!(lines("access.log.3").is_err());
}
