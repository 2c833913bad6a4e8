use super::*;

fn millis(backoff: &mut Backoff, ran: u64) -> u128 {
    backoff.after(Duration::from_secs(ran)).as_millis()
}

#[test]
fn doubles_from_a_tenth_of_a_second_to_five_minutes() {
    let mut backoff = Backoff::default();
    let pauses: Vec<u128> = (0..14).map(|_| millis(&mut backoff, 0)).collect();
    assert_eq!(pauses[..5], [100, 200, 400, 800, 1600]);
    assert_eq!(pauses[11], 204_800);
    assert_eq!(pauses[12..], [300_000, 300_000]);
}

#[test]
fn never_gives_up() {
    let mut backoff = Backoff::default();
    for _ in 0..100_000 {
        assert!(millis(&mut backoff, 0) <= 300_000);
    }
}

#[test]
fn ten_healthy_minutes_begin_anew() {
    let mut backoff = Backoff::default();
    for _ in 0..5 {
        millis(&mut backoff, 599);
    }
    assert_eq!(millis(&mut backoff, 599), 3200);
    assert_eq!(millis(&mut backoff, 600), 100);
    assert_eq!(millis(&mut backoff, 0), 200);
}
