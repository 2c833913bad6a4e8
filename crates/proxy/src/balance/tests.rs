use std::time::Duration;

use launchway_model::instance::TargetAddress;

use super::*;

fn target(serial: u64) -> Arc<Target> {
    let instance = format!("shop.web.v1.{serial}").parse().unwrap();
    let address = TargetAddress::Tcp(([127, 0, 0, 1], 9).into());
    Arc::new(Target::new(instance, address, 1))
}

fn share_of_first(weights: [u16; 2]) -> f64 {
    let (a, b) = (target(1), target(2));
    let balanced = Balanced::new([(Arc::clone(&a), weights[0]), (b, weights[1])]);
    let chance = Chance::new(7);
    // Requests stay in flight, so that load decides as much as chance does.
    let mut held = Vec::new();
    let mut first = 0;
    for _ in 0..1000 {
        let picked = balanced.pick(&chance, &[]).unwrap();
        first += usize::from(Arc::ptr_eq(picked, &a));
        held.push(picked.begin().unwrap());
    }
    first as f64 / 1000.0
}

#[test]
fn requests_spread_by_weight() {
    assert!((share_of_first([1, 1]) - 0.5).abs() < 0.05);
    assert!((share_of_first([3, 1]) - 0.75).abs() < 0.05);
    assert_eq!(share_of_first([1, 0]), 1.0);
}

#[test]
fn a_target_that_is_down_or_tried_is_passed_over() {
    let (a, b) = (target(1), target(2));
    let balanced = Balanced::new([(Arc::clone(&a), 1), (Arc::clone(&b), 1)]);
    let chance = Chance::new(1);
    a.refused(Duration::from_secs(60));
    for _ in 0..50 {
        assert!(Arc::ptr_eq(balanced.pick(&chance, &[]).unwrap(), &b));
    }
    assert!(balanced.pick(&chance, &[Arc::clone(&b)]).is_none());
    a.reached();
    assert!(Arc::ptr_eq(
        balanced.pick(&chance, &[Arc::clone(&b)]).unwrap(),
        &a
    ));
}

#[test]
fn nothing_starts_on_a_retired_target() {
    let target = target(1);
    let held = target.begin().unwrap();
    target.retire();
    assert!(target.begin().is_none());
    assert_eq!(target.in_flight(), 1);
    drop(held);
    assert_eq!(target.in_flight(), 0);
    target.revive();
    assert!(target.begin().is_some());
}

#[test]
fn no_targets_is_no_pick() {
    let balanced = Balanced::new([]);
    assert!(balanced.pick(&Chance::new(1), &[]).is_none());
    assert!(balanced.last_resort(&Chance::new(1)).is_none());
}

#[test]
fn retries_run_out_and_are_earned_again() {
    let budget = RetryBudget::new();
    assert_eq!((0..1000).filter(|_| budget.spend()).count(), 100);
    for _ in 0..50 {
        budget.earn();
    }
    assert_eq!((0..1000).filter(|_| budget.spend()).count(), 10);
    for _ in 0..100_000 {
        budget.earn();
    }
    assert_eq!((0..1000).filter(|_| budget.spend()).count(), 100);
}
