//! The frame around everything of ours on disk: version, length, sequence, checksum.
//!
//! `docs/storage-format.md` describes it byte by byte. A payload that is larger than a value may be is cut into
//! parts, each with a frame of its own. Reading never panics, whatever the bytes are.

use std::cell::RefCell;

use zstd::bulk::Decompressor;

/// The version of every record that this program writes.
pub(crate) const VERSION: u8 = 1;
/// version 1, flags 1, part 2, parts 2, sequence 8, length of the payload before packing 4, checksum 4.
const HEADER: usize = 22;
/// The flags that say how the payload is packed.
const LZ4: u8 = 1;
const ZSTD: u8 = 2;
/// Of zstd's levels: 1 is the fastest, and what 3 gains beyond it is little.
const ZSTD_LEVEL: i32 = 1;
/// Payloads that are shorter gain nothing by packing.
const PACK_FROM: usize = 128;
/// The longest payload that is believed: more than any group or slice makes.
const MAX_PAYLOAD: usize = 1 << 30;

/// A record cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadRecord {
    /// The bytes were changed, or some of them are missing.
    #[error("a record is damaged")]
    Damaged,
    /// A later version of this program wrote it.
    #[error("a record has version {0}, and this program reads up to version {VERSION}; use a newer one")]
    Version(u8),
}

/// How a payload is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Packing {
    /// With LZ4: someone waits for the record.
    Quick,
    /// With zstd: it stays for long, or there is much of it.
    Tight,
}

impl Packing {
    /// The flag, and the packed payload; `None` when that would be no shorter.
    fn pack(self, payload: &[u8]) -> Option<(u8, Vec<u8>)> {
        if payload.len() < PACK_FROM {
            return None;
        }
        let (flag, packed) = match self {
            Self::Quick => (LZ4, lz4_flex::block::compress(payload)),
            Self::Tight => (ZSTD, zstd::bulk::compress(payload, ZSTD_LEVEL).ok()?),
        };
        (packed.len() < payload.len()).then_some((flag, packed))
    }
}

fn unpack(flags: u8, body: Vec<u8>, length: usize) -> Result<Vec<u8>, BadRecord> {
    match flags {
        0 => Ok(body),
        LZ4 => lz4_flex::block::decompress(&body, length).map_err(|_| BadRecord::Damaged),
        ZSTD => unpack_tight(&body, length).ok_or(BadRecord::Damaged),
        _ => Err(BadRecord::Damaged),
    }
}

fn unpack_tight(body: &[u8], length: usize) -> Option<Vec<u8>> {
    thread_local! {
        // Making one costs as much as reading a small block: 160 KiB to be cleared.
        static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
    }
    DECOMPRESSOR.with_borrow_mut(|kept| {
        let decompressor = match kept {
            Some(decompressor) => decompressor,
            None => kept.insert(Decompressor::new().ok()?),
        };
        decompressor.decompress(body, length).ok()
    })
}

/// The payload as framed parts, each at most `max_value` bytes long.
pub(crate) fn frame(sequence: u64, payload: &[u8], packing: Packing, max_value: usize) -> Vec<Vec<u8>> {
    let packed = packing.pack(payload);
    let (flags, body) = packed.as_ref().map_or((0, payload), |(flag, packed)| (*flag, packed.as_slice()));
    let room = max_value.saturating_sub(HEADER).max(1);
    let parts = body.len().div_ceil(room).max(1);
    let count = u16::try_from(parts).unwrap_or(u16::MAX);
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    (0..count)
        .map(|part| {
            let from = usize::from(part) * room;
            let slice = &body[from..body.len().min(from + room)];
            let mut bytes = Vec::with_capacity(HEADER + slice.len());
            bytes.extend_from_slice(&[VERSION, flags]);
            bytes.extend_from_slice(&part.to_le_bytes());
            bytes.extend_from_slice(&count.to_le_bytes());
            bytes.extend_from_slice(&sequence.to_le_bytes());
            bytes.extend_from_slice(&length.to_le_bytes());
            let checksum = checksum(&bytes, slice);
            bytes.extend_from_slice(&checksum.to_le_bytes());
            bytes.extend_from_slice(slice);
            bytes
        })
        .collect()
}

/// The largest payload that surely fits the parts of one record.
pub(crate) fn max_payload(max_value: usize) -> usize {
    // Packing is only used where it makes a payload shorter.
    max_value.saturating_sub(HEADER).max(1).saturating_mul(usize::from(u16::MAX)).min(MAX_PAYLOAD)
}

/// The parts of one record, put together in order.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    header: Option<Header>,
    count: u16,
    body: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
struct Header {
    flags: u8,
    part: u16,
    parts: u16,
    sequence: u64,
    length: usize,
}

impl Parts {
    /// Takes the next part. Says whether the record is complete.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<bool, BadRecord> {
        let (header, slice) = read_header(bytes)?;
        let first = *self.header.get_or_insert(header);
        let belongs = header.part == self.count
            && (header.parts, header.sequence, header.length, header.flags)
                == (first.parts, first.sequence, first.length, first.flags);
        if !belongs {
            return Err(BadRecord::Damaged);
        }
        self.body.extend_from_slice(slice);
        self.count += 1;
        Ok(self.count == first.parts)
    }

    /// Sequence and payload.
    pub(crate) fn finish(self) -> Result<(u64, Vec<u8>), BadRecord> {
        let header = self.header.filter(|header| header.parts == self.count).ok_or(BadRecord::Damaged)?;
        let payload = unpack(header.flags, self.body, header.length)?;
        if payload.len() == header.length { Ok((header.sequence, payload)) } else { Err(BadRecord::Damaged) }
    }
}

fn read_header(bytes: &[u8]) -> Result<(Header, &[u8]), BadRecord> {
    let (head, slice) = bytes.split_at_checked(HEADER).ok_or(BadRecord::Damaged)?;
    let (head, sum) = head.split_at_checked(HEADER - 4).ok_or(BadRecord::Damaged)?;
    if sum != checksum(head, slice).to_le_bytes() {
        return Err(BadRecord::Damaged);
    }
    if head[0] != VERSION {
        return Err(BadRecord::Version(head[0]));
    }
    let header = Header {
        flags: head[1],
        part: u16::from_le_bytes([head[2], head[3]]),
        parts: u16::from_le_bytes([head[4], head[5]]),
        sequence: u64::from_le_bytes([
            head[6], head[7], head[8], head[9], head[10], head[11], head[12], head[13],
        ]),
        length: u32::from_le_bytes([head[14], head[15], head[16], head[17]]) as usize,
    };
    if header.length > MAX_PAYLOAD || header.part >= header.parts {
        return Err(BadRecord::Damaged);
    }
    Ok((header, slice))
}

fn checksum(head: &[u8], slice: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(head);
    hasher.update(slice);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read_one(bytes: &[u8]) -> Result<(u64, Vec<u8>), BadRecord> {
        join(&[bytes.to_vec()])
    }

    fn join(parts: &[Vec<u8>]) -> Result<(u64, Vec<u8>), BadRecord> {
        let mut joined = Parts::default();
        for part in parts {
            joined.push(part)?;
        }
        joined.finish()
    }

    #[test]
    fn records_of_a_later_version_say_so() {
        let mut bytes = frame(7, b"x", Packing::Quick, 100).remove(0);
        bytes[0] = 9;
        let sum = checksum(&bytes[..HEADER - 4], &bytes[HEADER..]);
        bytes[HEADER - 4..HEADER].copy_from_slice(&sum.to_le_bytes());
        assert_eq!(read_one(&bytes), Err(BadRecord::Version(9)));
    }

    #[test]
    fn parts_of_different_records_do_not_mix() {
        let payload: Vec<u8> = (0..200_u8).collect();
        let (one, other) = (frame(1, &payload, Packing::Quick, 60), frame(2, &payload, Packing::Quick, 60));
        let mixed: Vec<_> = one[..2].iter().chain(&other[2..]).cloned().collect();
        assert_eq!(join(&mixed), Err(BadRecord::Damaged));
        assert_eq!(join(&one[..one.len() - 1]), Err(BadRecord::Damaged));
        assert_eq!(join(&one), Ok((1, payload)));
    }

    proptest! {
        #[test]
        fn records_round_trip(sequence: u64, payload in proptest::collection::vec(any::<u8>(), 0..2000), repeat in 1..4_usize, tight: bool, max in 30..500_usize) {
            let payload = payload.repeat(repeat);
            let packing = if tight { Packing::Tight } else { Packing::Quick };
            let parts = frame(sequence, &payload, packing, max);
            prop_assert!(parts.iter().all(|part| part.len() <= max));
            prop_assert_eq!(join(&parts), Ok((sequence, payload)));
        }

        #[test]
        fn a_changed_byte_is_noticed(payload in proptest::collection::vec(any::<u8>(), 0..300), at: prop::sample::Index, change in 1..=255_u8) {
            let mut bytes = frame(3, &payload, Packing::Quick, 10_000).remove(0);
            let at = at.index(bytes.len());
            bytes[at] ^= change;
            prop_assert!(read_one(&bytes).is_err());
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(read_one(&bytes).is_err());
        }
    }
}
