//! Lines of answers that are for nobody but us, kept as bytes for whoever reads them: they never come into a map, from which
//! they would only have to be removed again.
//!
//! Kept is one line of exactly such a name, in any case; look-alikes go the way of all other lines, on which they are
//! removed. A head that has two of them, an empty one, or one too far off is for the map as a whole, so that all lines of
//! one name are in one place.

use http::HeaderName;
use httparse::Header;

/// So many names there are.
const NAMES: usize = 2;

/// The names of lines that are for us.
#[derive(Debug)]
pub struct ToUs([Box<str>; NAMES]);

impl ToUs {
    /// These.
    pub fn new(names: [&HeaderName; NAMES]) -> Self {
        Self(names.map(|name| name.as_str().into()))
    }

    fn find(&self, name: &str) -> Option<usize> {
        self.0.iter().position(|ours| name.len() == ours.len() && name.eq_ignore_ascii_case(ours))
    }
}

/// Where the values of lines are that are for us, by the order of their names. Nowhere is at 0, where no value is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Told([(u16, u16); NAMES]);

/// Whether a line is for us.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Tell {
    /// It is, and was kept.
    Done,
    /// It is not.
    Others,
    /// It is, and is not kept: its head is for the map.
    Unfit,
}

impl Told {
    /// Keeps a line that was parsed in this head, if it is for us.
    pub fn tell(&mut self, head: &[u8], line: &Header<'_>, names: &ToUs) -> Tell {
        let Some(at) = names.find(line.name) else { return Tell::Others };
        match (self.0[at], place(head, line.value)) {
            ((_, 0), Some(place)) => self.0[at] = place,
            _ => return Tell::Unfit,
        }
        Tell::Done
    }

    /// Whether there is any.
    pub fn is_any(&self) -> bool {
        self.0.iter().any(|&(_, end)| end > 0)
    }

    /// The values, in the head that they are of.
    pub fn values<'a>(&self, head: &'a [u8]) -> [Option<&'a [u8]>; NAMES] {
        self.0.map(|(start, end)| head.get(usize::from(start)..usize::from(end)).filter(|value| !value.is_empty()))
    }
}

/// Where a value is, if there is anything in it.
fn place(head: &[u8], value: &[u8]) -> Option<(u16, u16)> {
    let start = value.as_ptr().addr().wrapping_sub(head.as_ptr().addr());
    let end = start.checked_add(value.len()).filter(|end| start < *end && *end <= head.len())?;
    u16::try_from(start).ok().zip(u16::try_from(end).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> ToUs {
        ToUs::new([&HeaderName::from_static("x-session-update"), &HeaderName::from_static("x-session-control")])
    }

    /// What was told by the lines of a head, and what became of each.
    fn told(lines: &str) -> ([Option<String>; NAMES], Vec<Tell>) {
        let head = format!("HTTP/1.1 200 OK\r\n{lines}\r\nbody").into_bytes();
        let (mut places, mut told) = ([httparse::EMPTY_HEADER; 9], Told::default());
        let mut parsed = httparse::Response::new(&mut places);
        assert!(parsed.parse(&head).unwrap().is_complete());
        let became = parsed.headers.iter().map(|line| told.tell(&head, line, &names())).collect();
        let values = told.values(&head);
        assert_eq!(told.is_any(), values.iter().any(Option::is_some));
        (values.map(|value| value.map(|value| String::from_utf8(value.to_vec()).unwrap())), became)
    }

    #[test]
    fn a_line_of_our_name_is_kept_and_no_other() {
        use Tell::{Done, Others};
        let (update, control) = (|| Some("{\"a\":1}".to_owned()), || Some("rotate".to_owned()));
        for (lines, values, became) in [
            ("", [None, None], vec![]),
            ("X-Session-Update: {\"a\":1}\r\n", [update(), None], vec![Done]),
            ("x-session-CONTROL:rotate \t\r\nX: 1\r\n", [None, control()], vec![Done, Others]),
            (
                "X-Session-Control: \trotate\r\nX: 1\r\nx-session-update:{\"a\":1}\n",
                [update(), control()],
                vec![Done, Others, Done],
            ),
            ("X_Session_Update: 1\r\nX-Session_Control: 2\r\n", [None, None], vec![Others; 2]),
            ("X-Session: 1\r\nX-Session-Updates: 2\r\nX-Session-Updat: 3\r\n", [None, None], vec![Others; 3]),
        ] {
            assert_eq!(told(lines), (values, became), "{lines:?}");
        }
    }

    #[test]
    fn what_is_empty_comes_twice_or_is_too_far_off_is_not_kept() {
        use Tell::{Done, Others, Unfit};
        assert_eq!(told("X-Session-Update:\r\nX-Session-Control: \r\n").1, [Unfit; 2]);
        assert_eq!(told("X-Session-Update: 1\r\nX: 1\r\nX-Session-update: 1\r\n").1, [Done, Others, Unfit]);
        let far = |room: usize| told(&format!("X: {}\r\nX-Session-Update: 12\r\n", "x".repeat(room))).1[1];
        let before = "HTTP/1.1 200 OK\r\nX: \r\nX-Session-Update: 12".len();
        let most = usize::from(u16::MAX) - before;
        assert_eq!([far(most), far(most + 1)], [Done, Unfit]);
    }

    #[test]
    fn a_line_of_another_head_is_not_kept() {
        let text = b"X-Session-Update: 1\r\n\r\n".to_vec();
        let mut places = [httparse::EMPTY_HEADER; 1];
        let (_, parsed) = httparse::parse_headers(&text, &mut places).unwrap().unwrap();
        for head in [&b""[..], b"X-Session-Update: 1\r\n\r\n"] {
            assert_eq!(Told::default().tell(head, &parsed[0], &names()), Tell::Unfit);
        }
    }
}
