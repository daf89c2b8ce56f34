//! Stored records: what can be read can be written, and is the same when it is read again.

use cloakroom::session::{
    document::Document,
    record::{Stamp, Stored},
};

/// The input is a value in the store.
pub(crate) fn check(input: &[u8]) {
    let Ok(stored) = Stored::decode(input) else { return };
    let written = stored.encode();
    assert_eq!(Stored::decode(&written).expect("what we wrote"), stored);
    assert_eq!(Stamp::of(&written).map(|stamp| stamp.is_live()), Some(matches!(stored, Stored::Live(_))));
    if let Stored::Live(record) = &stored {
        let data = Document::parse(&record.data).expect("the data of a record");
        assert_eq!(Document::parse(&data.to_text()).expect("its text").to_text(), data.to_text());
    }
}
