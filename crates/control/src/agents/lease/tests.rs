use std::time::Duration;

use proptest::prelude::*;

use super::*;

const PATIENCE: Patience = Patience {
    held: Duration::from_secs(120),
    idle: Duration::from_secs(15),
};

#[test]
fn an_offer_that_nobody_took_goes_back_soon_and_a_held_build_is_waited_for() {
    let mut offered = Lease::Offered;
    offered.silent(Duration::from_secs(14), false, PATIENCE);
    assert_eq!(offered, Lease::Offered);
    offered.silent(Duration::from_secs(15), false, PATIENCE);
    assert_eq!(offered, Lease::Lost(Loss::NeverTaken));
    let mut held = Lease::Offered;
    held.reported(true);
    held.silent(Duration::from_secs(119), false, PATIENCE);
    assert_eq!(held, Lease::Held);
    held.silent(Duration::from_secs(120), false, PATIENCE);
    assert_eq!(held, Lease::Lost(Loss::Silent));
}

#[test]
fn a_cancelled_build_of_a_silent_agent_is_not_waited_for() {
    let mut held = Lease::Held;
    held.silent(Duration::from_secs(15), true, PATIENCE);
    assert_eq!(held, Lease::Lost(Loss::Silent));
}

#[test]
fn an_agent_that_was_offered_a_build_and_has_not_seen_it_yet_loses_nothing() {
    let mut lease = Lease::Offered;
    lease.reported(false);
    assert_eq!(lease, Lease::Offered);
    lease.reported(true);
    lease.reported(false);
    assert_eq!(lease, Lease::Lost(Loss::Forgotten));
}

#[derive(Debug, Clone, Copy)]
enum Happens {
    Reported(bool),
    Silent(u64, bool),
    Revoked,
}

fn happens() -> impl Strategy<Value = Happens> {
    prop_oneof![
        8 => any::<bool>().prop_map(Happens::Reported),
        8 => (0..200_u64, any::<bool>()).prop_map(|(silence, cancelled)| Happens::Silent(silence, cancelled)),
        1 => Just(Happens::Revoked),
    ]
}

proptest! {
    #[test]
    fn whatever_happens_a_lost_lease_stays_lost_and_none_is_lost_early(
        all in proptest::collection::vec(happens(), 0..40)
    ) {
        let mut lease = Lease::Offered;
        let mut taken = false;
        for one in all {
            let before = lease;
            match one {
                Happens::Reported(holds) => lease.reported(holds),
                Happens::Silent(silence, cancelled) => {
                    lease.silent(Duration::from_secs(silence), cancelled, PATIENCE);
                }
                Happens::Revoked => lease.revoked(),
            }
            if !before.is_live() {
                prop_assert_eq!(lease, before);
                continue;
            }
            taken |= lease == Lease::Held;
            if let Lease::Lost(loss) = lease {
                match (loss, one) {
                    (Loss::NeverTaken, Happens::Silent(silence, _)) => {
                        prop_assert!(!taken && silence >= 15);
                    }
                    (Loss::Silent, Happens::Silent(silence, cancelled)) => {
                        prop_assert!(taken && (silence >= 120 || cancelled && silence >= 15));
                    }
                    (Loss::Forgotten, Happens::Reported(false)) => prop_assert!(taken),
                    (Loss::Revoked, Happens::Revoked) => {}
                    other => prop_assert!(false, "{other:?}"),
                }
            }
        }
    }
}
