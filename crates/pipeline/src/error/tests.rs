use super::*;

#[test]
fn places_count_lines_and_characters() {
    let text = "eins\näöü x\r\nend";
    let at = text.find('x').unwrap();
    let place = place_of("f", text, at);
    assert_eq!((place.line, place.column), (2, 5));
    assert_eq!(place.text.as_deref(), Some("äöü x"));
}

#[test]
fn an_offset_within_a_character_or_past_the_end_is_still_a_place() {
    let text = "ä";
    assert_eq!(place_of("f", text, 1).column, 1);
    assert_eq!(place_of("f", text, 99).column, 2);
    assert_eq!(place_of("f", "", 7).line, 1);
}
