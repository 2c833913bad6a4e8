use super::*;

fn line(text: &str) -> String {
    Ansi::default().line(text)
}

#[test]
fn markup_in_a_log_is_shown_and_never_obeyed() {
    assert_eq!(
        line("<img src=x onerror=alert(1)>"),
        "&lt;img src=x onerror=alert(1)&gt;"
    );
    assert_eq!(
        line("\u{1b}[31m<b>\u{1b}[0m\"'&"),
        "<span class=\"fg1\">&lt;b&gt;</span>&quot;&#39;&amp;"
    );
    // What stands in a sequence is dropped with it, also where it never ends.
    assert_eq!(
        line("a\u{1b}]8;;javascript:alert(1)\u{7}b\u{1b}]8;;\u{1b}\\c"),
        "abc"
    );
    assert_eq!(line("a\u{1b}]0;<script>"), "a");
    assert_eq!(line("a\u{1b}[31;<script>"), "acript&gt;");
}

#[test]
fn colours_and_weights_become_classes() {
    assert_eq!(
        line("\u{1b}[1;32mok\u{1b}[22m still\u{1b}[39m plain"),
        "<span class=\"ab fg2\">ok</span><span class=\"fg2\"> still</span> plain"
    );
    assert_eq!(line("\u{1b}[97;41mx"), "<span class=\"fg15 bg1\">x</span>");
    assert_eq!(line("\u{1b}[7mx"), "<span class=\"fgr bgr\">x</span>");
    assert_eq!(line("\u{1b}[mplain"), "plain");
}

#[test]
fn many_colours_are_mapped_to_the_sixteen() {
    assert_eq!(line("\u{1b}[38;5;196mx"), "<span class=\"fg9\">x</span>");
    assert_eq!(line("\u{1b}[38;5;2mx"), "<span class=\"fg2\">x</span>");
    assert_eq!(
        line("\u{1b}[38;2;0;0;230mx"),
        "<span class=\"fg4\">x</span>"
    );
    assert_eq!(line("\u{1b}[48;5;255mx"), "<span class=\"bg7\">x</span>");
    assert_eq!(line("\u{1b}[38;5;999mx"), "x");
    assert_eq!(line("\u{1b}[38mx"), "x");
}

#[test]
fn a_style_lasts_until_it_is_reset() {
    let mut ansi = Ansi::default();
    assert_eq!(ansi.line("\u{1b}[31mone"), "<span class=\"fg1\">one</span>");
    assert_eq!(ansi.line("two\u{1b}[0m"), "<span class=\"fg1\">two</span>");
    assert_eq!(ansi.line("three"), "three");
}

#[test]
fn a_progress_bar_shows_its_last_state() {
    assert_eq!(line("10 %\r50 %\r100 %\r"), "100 %");
    assert_eq!(line("\u{1b}[2K\u{1b}[1Gdone"), "done");
    assert_eq!(line("a\u{8}\u{0}b\u{202e}c"), "abc");
}

#[test]
fn stripping_leaves_the_words() {
    assert_eq!(strip("\u{1b}[1;32mok\u{1b}[0m <b>"), "ok <b>");
    assert_eq!(strip("1\r2\u{1b}]0;t\u{7}3"), "23");
}
