//! An expression over labels is read or refused at a column of it, and reads again as it was written.
#![no_main]

use launchway_model::agent::LabelExpression;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    match text.parse::<LabelExpression>() {
        Ok(expression) => {
            let again: LabelExpression = expression.as_str().parse().expect("it was read before");
            assert_eq!(again, expression);
            let _ = expression.matches(&["linux".to_owned()].into());
            let _ = expression.needed();
        }
        Err(error) => assert!(error.column >= 1 && error.column <= text.chars().count() + 1),
    }
});
