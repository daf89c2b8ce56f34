//! Listing `memory:`: map by map, and within a map in the order of the handles. Of each map that a page looks at, no more
//! is held in hand than the page still takes.

use super::{MAPS, Memory, locked};
use crate::{
    session::Handle,
    store::listing::{Cursor, Page},
};

impl Memory {
    pub(in crate::store) fn scan(&self, cursor: Option<&Cursor>, limit: usize) -> Page {
        let mut after = cursor.and_then(|cursor| cursor.handle());
        let (limit, now) = (limit.max(1), self.now());
        let mut page = Page::default();
        for index in after.map_or(0, |handle| self.index(&handle))..MAPS {
            let map = locked(&self.maps[index]);
            let begin = after.take();
            let mut handles: Vec<Handle> =
                map.alive(now).filter(|handle| begin.is_none_or(|begin| *handle > begin)).collect();
            let room = limit - page.entries.len();
            if handles.len() > room {
                handles.select_nth_unstable(room);
                handles.truncate(room);
            }
            handles.sort_unstable();
            let read = handles.into_iter().filter_map(|handle| Some((handle, map.read(&handle, now)?)));
            page.entries.extend(read);
            if page.entries.len() == limit {
                page.next = page.entries.last().map(|(handle, _)| Cursor::after(*handle));
                return page;
            }
        }
        page
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, time::Duration};

    use bytes::Bytes;

    use super::*;
    use crate::session::ticket::Locator;

    fn filled(count: u8) -> (Memory, BTreeSet<Handle>) {
        let memory = Memory::new(1_000);
        let handles: BTreeSet<_> = (0..count).map(|n| Locator::from_random([n; 16]).handle()).collect();
        for handle in &handles {
            let value = Bytes::from(format!("1L{:032x}={{}}", 7));
            memory.swap(handle, None, value, Duration::from_secs(10)).unwrap();
        }
        (memory, handles)
    }

    fn pages(memory: &Memory, limit: usize) -> Vec<Vec<Handle>> {
        let (mut pages, mut cursor) = (Vec::new(), None);
        loop {
            let page = memory.scan(cursor.as_ref(), limit);
            pages.push(page.entries.iter().map(|(handle, _)| *handle).collect());
            cursor = page.next;
            if cursor.is_none() {
                return pages;
            }
        }
    }

    #[test]
    fn pages_of_any_size_hold_every_session_once() {
        let (memory, handles) = filled(200);
        for limit in [0, 1, 3, 64, 199, 200, 201, usize::MAX] {
            let pages = pages(&memory, limit);
            let listed: Vec<_> = pages.concat();
            assert!(pages.iter().all(|page| page.len() <= limit.max(1)), "{limit}");
            assert_eq!(listed.len(), 200, "{limit}");
            assert_eq!(listed.into_iter().collect::<BTreeSet<_>>(), handles, "{limit}");
        }
        assert_eq!(pages(&Memory::new(1), 10), [[]]);
    }

    #[test]
    fn sessions_that_come_and_go_between_pages_neither_hide_nor_repeat_the_others() {
        let (memory, handles) = filled(100);
        let first = memory.scan(None, 50);
        let (gone, value) = first.entries.last().unwrap();
        memory.remove(gone, &crate::session::record::Stamp::of(&value.bytes).unwrap());
        for n in 100..200 {
            let value = Bytes::from(format!("1L{:032x}={{}}", 7));
            memory.swap(&Locator::from_random([n; 16]).handle(), None, value, Duration::from_secs(10)).unwrap();
        }
        let second = memory.scan(first.next.as_ref(), 1_000);
        let listed: Vec<_> = first.entries.iter().chain(&second.entries).map(|(handle, _)| *handle).collect();
        let distinct: BTreeSet<_> = listed.iter().copied().collect();
        assert_eq!(distinct.len(), listed.len());
        assert!(handles.is_subset(&distinct));
    }

    #[tokio::test(start_paused = true)]
    async fn what_has_expired_is_not_listed() {
        let (memory, _) = filled(10);
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(memory.scan(None, 100), Page::default());
    }
}
