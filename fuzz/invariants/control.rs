//! The control dictionary: what is accepted is within its bounds and can be said again.

use cloakroom::session::control::Control;

/// The input's lines are `X-Session-Control` lines.
pub(crate) fn check(input: &[u8]) {
    let lines: Vec<&[u8]> = input.split(|&byte| byte == b'\n').collect();
    let parsed = Control::parse(lines.iter().copied());
    let joined = lines.join(&b", "[..]);
    assert_eq!(Control::parse([joined.as_slice()]), parsed, "several lines are one list");
    let Ok(control) = parsed else { return };
    for subject in control.subject.iter().chain(&control.revoke_subject) {
        assert!(subject.len() <= 256 && !subject.chars().any(char::is_control), "{subject:?}");
    }
    assert_ne!(control.revoke_subject.as_deref(), Some(""));
    // Words that are absent change nothing.
    let more =
        [joined.as_slice(), if joined.iter().all(|byte| b" \t".contains(byte)) { b"" } else { b", " }, b"clear=?0;x"]
            .concat();
    let again = Control::parse([more.as_slice()]).expect("a dictionary with one more member");
    assert_eq!(Control { clear: control.clear, ..again }, control);
}
