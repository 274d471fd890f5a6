//! The checks of a slice, as a start reads them: a spec that was just read is known by its bytes, and not made again.

use std::sync::Arc;

use postcard::take_from_bytes;
use vilicus_core::{AgentId, CheckId, CheckState, Policy, Timestamp};

use crate::embedded::samples::SavedSamples;
use crate::embedded::truth::{CheckEntry, Last};
use crate::inventory::{Check, CheckSpec};

/// So many specs are known at a time: as many as the checks of one host have, mostly.
const KNOWN: usize = 32;

/// Specs that were read before, with their bytes; those that were met last come first.
#[derive(Debug, Default)]
pub(super) struct KnownSpecs {
    known: Vec<(Vec<u8>, Arc<CheckSpec>)>,
    /// What checks have until they come to the others.
    policy: Arc<Policy>,
}

impl KnownSpecs {
    /// Takes a spec off the bytes. No encoding is the beginning of another one: what begins with known bytes is that
    /// spec.
    fn take<'a>(&mut self, bytes: &'a [u8]) -> postcard::Result<(Arc<CheckSpec>, &'a [u8])> {
        let found = self.known.iter().position(|(known, _)| bytes.starts_with(known));
        if let Some(place) = found {
            self.known[..=place].rotate_right(1);
            let (known, spec) = &self.known[0];
            return Ok((Arc::clone(spec), &bytes[known.len()..]));
        }
        let (spec, rest) = take_from_bytes::<Arc<CheckSpec>>(bytes)?;
        self.known.truncate(KNOWN - 1);
        self.known.insert(0, (bytes[..bytes.len() - rest.len()].to_vec(), Arc::clone(&spec)));
        Ok((spec, rest))
    }
}

/// The checks of a slice: how many, and the fields of each, one after another.
#[expect(clippy::vec_box, reason = "each goes to the others as it is, without another piece of memory")]
pub(super) fn read(payload: &[u8], specs: &mut KnownSpecs) -> postcard::Result<Vec<Box<CheckEntry>>> {
    let (count, mut rest) = take_from_bytes::<usize>(payload)?;
    // Not as much room as the number says: it may be damaged.
    let mut checks = Vec::with_capacity(count.min(payload.len()));
    for _ in 0..count {
        let (check, after) = take_check(rest, specs)?;
        checks.push(check);
        rest = after;
    }
    Ok(checks)
}

fn take_check<'a>(bytes: &'a [u8], specs: &mut KnownSpecs) -> postcard::Result<(Box<CheckEntry>, &'a [u8])> {
    let ((id, agent, name), rest) = take_from_bytes::<(CheckId, AgentId, String)>(bytes)?;
    let (spec, rest) = specs.take(rest)?;
    let ((delivered_at, ping_key), rest) = take_from_bytes::<(Option<Timestamp>, Option<String>)>(rest)?;
    let check = Arc::new(Check { id, agent, name, spec, delivered_at, ping_key });
    let mut entry = Box::new(CheckEntry::new(check, Arc::clone(&specs.policy)));
    let (remembered, rest) = take_from_bytes::<(CheckState, Last, SavedSamples, Option<Timestamp>)>(rest)?;
    (entry.state, entry.last) = (remembered.0, remembered.1);
    (entry.samples, entry.run_now) = (remembered.2.into(), remembered.3);
    Ok((entry, rest))
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::embedded::checkpoint::{SavedCheck, encode, saved};

    /// A check of one of so many kinds; some reported, some have more to them than others.
    fn entry(id: u64, kind: u64) -> CheckEntry {
        let spec = CheckSpec::new("disk", json!({ "path": format!("/{}", "x".repeat(kind as usize)) }));
        let mut check = Check::new(AgentId::from(NonZeroU64::MIN), format!("disk-{id}"), spec);
        check.id = CheckId::new(id).unwrap();
        check.delivered_at = kind.is_multiple_of(2).then_some(Timestamp::EPOCH);
        check.ping_key = kind.is_multiple_of(3).then(|| "key".to_owned());
        let mut entry = CheckEntry::new(Arc::new(check), Arc::default());
        entry.state.attempt = id as u32;
        entry.run_now = id.is_multiple_of(2).then_some(Timestamp::MAX);
        entry
    }

    fn slice(kinds: &[u64]) -> (Vec<CheckEntry>, Vec<u8>) {
        let entries: Vec<CheckEntry> = (1..).zip(kinds).map(|(id, kind)| entry(id, *kind)).collect();
        let slice: Vec<SavedCheck> = entries.iter().map(saved).collect();
        (entries, encode(&slice).unwrap())
    }

    proptest! {
        /// More kinds than are known at a time, one longer than the other.
        #[test]
        fn checks_read_back_as_they_were(kinds in proptest::collection::vec(0..2 * KNOWN as u64, 0..100)) {
            let (entries, bytes) = slice(&kinds);
            let mut specs = KnownSpecs::default();
            for _ in 0..2 {
                let read = read(&bytes, &mut specs).unwrap();
                prop_assert_eq!(read.len(), entries.len());
                for (read, entry) in read.iter().zip(&entries) {
                    prop_assert_eq!(&read.check, &entry.check);
                    prop_assert_eq!((&read.state, read.run_now), (&entry.state, entry.run_now));
                    prop_assert_eq!((&read.last, &read.samples), (&entry.last, &entry.samples));
                }
            }
            prop_assert!(specs.known.len() <= KNOWN);
        }

        #[test]
        fn damaged_bytes_are_an_error_or_other_checks(cut in 0..500_usize, place in 0..500_usize, byte: u8) {
            let (_, mut bytes) = slice(&[1, 2, 1, 3]);
            let place = place % bytes.len();
            bytes[place] = byte;
            let _ = read(&bytes, &mut KnownSpecs::default());
            bytes.truncate(cut % bytes.len());
            let _ = read(&bytes, &mut KnownSpecs::default());
        }
    }

    #[test]
    fn checks_of_one_kind_share_what_was_read() {
        let (_, bytes) = slice(&[1, 2, 1]);
        let read = read(&bytes, &mut KnownSpecs::default()).unwrap();
        assert!(Arc::ptr_eq(&read[0].check.spec, &read[2].check.spec));
        assert_eq!(read[1].check.params.0, json!({ "path": "/xx" }));
    }
}
