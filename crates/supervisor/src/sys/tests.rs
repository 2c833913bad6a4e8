use super::*;

#[test]
fn code_is_told_from_the_rest() {
    let mapping = |line| code_mapping(line);
    assert_eq!(
        mapping("5581000-5583000 r-xp 00002000 fe:00 1234                 /usr/bin/launchway"),
        Some(Some((0x558_1000, 0x2000)))
    );
    for other in [
        "5581000-5583000 rw-p 00002000 fe:00 1234                 /usr/bin/launchway",
        "7ffd1000-7ffd3000 r-xp 00000000 00:00 0                  [vdso]",
        "7f001000-7f003000 r--p 00000000 00:00 0",
    ] {
        assert_eq!(mapping(other), Some(None), "{other}");
    }
    assert_eq!(mapping("Anonymous:             0 kB"), None);
    assert_eq!(mapping("VmFlags: rd ex mr mw me"), None);
}

#[test]
fn a_program_goes_on_after_it_forgot() {
    for _ in 0..3 {
        forget_the_past();
        assert_eq!(
            format!("{:?}", "a b".split(' ').collect::<Vec<_>>()),
            "[\"a\", \"b\"]"
        );
    }
}
