//! A short run, as a part of every test run; `make chaos` runs for longer and by a seed.

use std::time::Duration;

use launchway_chaos::{Action, Plan, Victim, run};

#[test]
fn the_worst_of_each_kind_hurts_no_request() {
    let plan = Plan {
        seed: 1,
        lasting: Duration::from_secs(60),
        only: Some(vec![
            Action::Kill(Victim::Control),
            Action::Upgrade,
            Action::Kill(Victim::Proxy),
            Action::Deploy,
        ]),
    };
    let mut said = Vec::new();
    let outcome = run(&plan, &mut |line| said.push(line.to_owned()));
    assert!(
        outcome.failures.is_empty(),
        "{:#?}\n{said:#?}",
        outcome.failures
    );
    assert!(outcome.actions >= 2 && outcome.answered > 100, "{said:#?}");
}
