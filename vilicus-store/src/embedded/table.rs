//! The checks by id: a lookup is two steps, however many there are.
//!
//! Ids are given out one after another, so pages of them are nearly full; a page goes when its last check does.

use vilicus_core::CheckId;

use crate::embedded::truth::CheckEntry;

/// Ids a page.
const PAGE: usize = 512;

type Page = [Option<Box<CheckEntry>>; PAGE];

/// The checks by id.
#[derive(Debug, Default)]
pub(crate) struct CheckTable {
    pages: Vec<Option<Box<Page>>>,
}

impl CheckTable {
    /// The check of this id.
    pub(crate) fn get(&self, id: &CheckId) -> Option<&CheckEntry> {
        let (page, place) = place(*id);
        self.pages.get(page)?.as_ref()?.get(place)?.as_deref()
    }

    /// The check of this id, to change.
    pub(crate) fn get_mut(&mut self, id: &CheckId) -> Option<&mut CheckEntry> {
        let (page, place) = place(*id);
        self.pages.get_mut(page)?.as_mut()?.get_mut(place)?.as_deref_mut()
    }

    /// Whether there is a check of this id.
    pub(crate) fn contains_key(&self, id: &CheckId) -> bool {
        self.get(id).is_some()
    }

    /// Puts a check in, in the place of one that was there.
    pub(crate) fn insert(&mut self, id: CheckId, entry: Box<CheckEntry>) {
        let (page, place) = place(id);
        if self.pages.len() <= page {
            self.pages.resize_with(page + 1, || None);
        }
        let page = self.pages[page].get_or_insert_with(|| Box::new([const { None }; PAGE]));
        page[place] = Some(entry);
    }

    /// Takes a check out.
    pub(crate) fn remove(&mut self, id: &CheckId) -> Option<Box<CheckEntry>> {
        let (number, place) = place(*id);
        let page = self.pages.get_mut(number)?;
        let removed = page.as_mut()?.get_mut(place)?.take();
        if page.as_ref().is_some_and(|page| page.iter().all(Option::is_none)) {
            *page = None;
        }
        removed
    }

    /// All checks, by id.
    pub(crate) fn values(&self) -> impl Iterator<Item = &CheckEntry> {
        self.after(None)
    }

    /// All checks by id, to change.
    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut CheckEntry> {
        self.pages.iter_mut().flatten().flat_map(|page| page.iter_mut()).filter_map(Option::as_deref_mut)
    }

    /// The checks after this one, by id.
    pub(crate) fn after(&self, last: Option<CheckId>) -> impl Iterator<Item = &CheckEntry> {
        let (page, place) = last.map_or((0, 0), |last| {
            let (page, place) = place(last);
            (page, place + 1)
        });
        let rest = self.pages.get(page..).unwrap_or_default().iter();
        let entries = rest.flat_map(|page| page.iter().flat_map(|page| page.iter()));
        // The first page may not be there, and then counts as nothing.
        let skip = if self.pages.get(page).is_some_and(Option::is_some) { place } else { 0 };
        entries.skip(skip).filter_map(Option::as_deref)
    }
}

fn place(id: CheckId) -> (usize, usize) {
    // An id beyond the memory of any machine has no place, like one that was never given out.
    let id = usize::try_from(id.get()).unwrap_or(usize::MAX);
    (id / PAGE, id % PAGE)
}

#[cfg(feature = "conformance")]
#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::new_check;
    use crate::inventory::Check;
    use std::sync::Arc;
    use vilicus_core::AgentId;

    fn entry(id: u64) -> Box<CheckEntry> {
        let check = Check { id: CheckId::new(id).unwrap(), ..new_check(AgentId::new(1).unwrap(), "disk") };
        Box::new(CheckEntry::new(Arc::new(check), Arc::default()))
    }

    #[test]
    fn checks_are_found_and_listed_by_id() {
        let mut table = CheckTable::default();
        let id = |id| CheckId::new(id).unwrap();
        for number in [1, 511, 512, 3000, 2] {
            table.insert(id(number), entry(number));
        }
        let after = |table: &CheckTable, last| {
            table.after(last).map(|entry| entry.check.id.get()).collect::<Vec<_>>()
        };
        assert_eq!(after(&table, None), [1, 2, 511, 512, 3000]);
        assert_eq!(after(&table, Some(id(2))), [511, 512, 3000]);
        assert_eq!(after(&table, Some(id(600))), [3000]);
        assert_eq!(after(&table, Some(id(1500))), [3000], "a page that is not there");
        assert_eq!(after(&table, Some(id(3000))), Vec::<u64>::new());
        assert!(table.remove(&id(3000)).is_some() && table.remove(&id(3000)).is_none());
        assert!(table.remove(&id(u64::MAX)).is_none() && table.get(&id(1 << 40)).is_none());
        assert_eq!(after(&table, Some(id(512))), Vec::<u64>::new());
        assert!(table.contains_key(&id(511)) && !table.contains_key(&id(3000)));
    }
}
