//! Statuses as a label: those that are registered by their number, all others by their class, so that no application
//! makes up labels.

use http::StatusCode;

/// Registered ones that end a request.
const KNOWN: [u16; 59] = [
    101, 200, 201, 202, 203, 204, 205, 206, 207, 208, 226, 300, 301, 302, 303, 304, 305, 307, 308, 400, 401, 402, 403,
    404, 405, 406, 407, 408, 409, 410, 411, 412, 413, 414, 415, 416, 417, 418, 421, 422, 423, 424, 425, 426, 428, 429,
    431, 451, 500, 501, 502, 503, 504, 505, 506, 507, 508, 510, 511,
];
/// The first place is for what is no status at all, the next five for the classes.
const CLASSES: usize = 6;
/// How many places there are.
pub(super) const PLACES: usize = CLASSES + KNOWN.len();
/// Place by status.
const TABLE: [u8; 600] = table();

const fn table() -> [u8; 600] {
    let mut table = [0; 600];
    let mut status = 100;
    while status < 600 {
        table[status] = (status / 100) as u8;
        status += 1;
    }
    let mut known = 0;
    while known < KNOWN.len() {
        table[KNOWN[known] as usize] = (CLASSES + known) as u8;
        known += 1;
    }
    table
}

/// Where a status is counted.
pub(super) fn place(status: StatusCode) -> usize {
    TABLE.get(usize::from(status.as_u16())).copied().unwrap_or_default().into()
}

/// What is counted there.
pub(super) fn text(place: usize) -> String {
    match place.checked_sub(CLASSES).and_then(|known| KNOWN.get(known)) {
        Some(status) => status.to_string(),
        None if place == 0 => "other".to_owned(),
        None => format!("{place}xx"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_registered_is_told_by_number_and_the_rest_by_class() {
        let shown = |status: u16| text(place(StatusCode::from_u16(status).unwrap()));
        for (status, wanted) in [
            (101, "101"),
            (102, "1xx"),
            (200, "200"),
            (299, "2xx"),
            (304, "304"),
            (306, "3xx"),
            (404, "404"),
            (499, "4xx"),
            (511, "511"),
            (599, "5xx"),
            (600, "other"),
            (999, "other"),
        ] {
            assert_eq!(shown(status), wanted);
        }
    }

    #[test]
    fn no_two_places_are_told_alike() {
        let mut all: Vec<_> = (0..PLACES).map(text).collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), PLACES);
    }
}
