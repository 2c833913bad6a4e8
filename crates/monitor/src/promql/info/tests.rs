use super::*;

/// Values of the reference implementation.
#[test]
fn xxhash_of_known_texts() {
    assert_eq!(xxhash64(b""), 0xef46_db37_51d8_e999);
    assert_eq!(xxhash64(b"a"), 0xd24e_c4f1_a98c_6e5b);
    assert_eq!(xxhash64(b"abc"), 0x44bc_2cf5_ad77_0999);
    assert_eq!(
        xxhash64(b"Nobody inspects the spammish repetition"),
        0xfbce_a83c_8a37_8bf1
    );
}
