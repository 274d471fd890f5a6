//! What an engine promises.

use std::path::Path;
use std::thread;

use crate::conformance::fixture::Place;
use crate::engine::{Durability, Engine, Scan, Write};

/// All that can be seen without closing it.
pub(crate) fn in_one_life<E: Engine, G>(open: &dyn Fn() -> (E, G)) {
    let run = |behaviour: fn(&E)| {
        let (engine, _guard) = open();
        behaviour(&engine);
    };
    run(what_is_written_is_read);
    run(the_last_write_of_a_key_counts);
    run(a_write_may_remove);
    run(what_does_not_exist_is_empty);
    run(scans_are_in_the_order_of_keys);
    run(partitions_are_listed_and_dropped_whole);
    run(the_largest_value_fits);
    run(it_goes_on_after_reopening);
    run(readers_see_all_of_a_write_or_nothing);
}

/// All that is there again when it is opened again.
pub(crate) fn over_an_end<E: Engine>(open: &dyn Fn(&Path) -> E) {
    for durability in [Durability::Power, Durability::Process] {
        let place = Place::new();
        for round in 0..3_u8 {
            let engine = open(place.path());
            for earlier in 0..round {
                let value = engine.get("kept", &[earlier]).unwrap();
                assert_eq!(
                    value,
                    Some(vec![earlier; 100]),
                    "{durability:?}: what was written is there again"
                );
            }
            assert_eq!(engine.get("dropped", b"k").unwrap(), None, "a dropped partition stays dropped");
            engine.write("dropped", vec![put(b"k", b"v")], durability).unwrap();
            engine.drop_partition("dropped").unwrap();
            engine.write("kept", vec![(vec![round], Some(vec![round; 100]))], durability).unwrap();
        }
    }
}

fn put(key: &[u8], value: &[u8]) -> Write {
    (key.to_vec(), Some(value.to_vec()))
}

fn all(engine: &impl Engine, scan: Scan) -> Vec<u8> {
    engine.scan("p", &scan).unwrap().into_iter().map(|(key, _)| key[0]).collect()
}

fn what_is_written_is_read<E: Engine>(engine: &E) {
    engine.write("p", vec![put(b"a", b"1"), put(b"b", b"")], Durability::Power).unwrap();
    assert_eq!(engine.get("p", b"a").unwrap(), Some(b"1".to_vec()));
    assert_eq!(engine.get("p", b"b").unwrap(), Some(Vec::new()), "an empty value is a value");
    assert_eq!(engine.get("p", b"c").unwrap(), None);
    let key = [7; 64];
    engine.write("p", vec![put(&key, b"long")], Durability::Process).unwrap();
    assert_eq!(engine.get("p", &key).unwrap(), Some(b"long".to_vec()), "keys may be 64 bytes long");
}

fn the_last_write_of_a_key_counts<E: Engine>(engine: &E) {
    let writes = vec![put(b"a", b"1"), (b"a".to_vec(), None), put(b"a", b"2"), put(b"a", b"3")];
    engine.write("p", writes, Durability::Process).unwrap();
    assert_eq!(engine.get("p", b"a").unwrap(), Some(b"3".to_vec()), "writes are carried out in order");
}

fn a_write_may_remove<E: Engine>(engine: &E) {
    engine.write("p", vec![put(b"a", b"1"), put(b"b", b"2")], Durability::Process).unwrap();
    let writes = vec![(b"a".to_vec(), None), (b"absent".to_vec(), None)];
    engine.write("p", writes, Durability::Process).unwrap();
    assert_eq!(engine.get("p", b"a").unwrap(), None);
    assert_eq!(engine.get("p", b"b").unwrap(), Some(b"2".to_vec()));
}

fn what_does_not_exist_is_empty<E: Engine>(engine: &E) {
    assert_eq!(engine.get("nowhere", b"a").unwrap(), None);
    assert!(engine.scan("nowhere", &Scan { limit: 10, ..Scan::default() }).unwrap().is_empty());
    engine.drop_partition("nowhere").unwrap();
    assert!(engine.partitions().unwrap().is_empty(), "reading and dropping make no partition");
}

fn scans_are_in_the_order_of_keys<E: Engine>(engine: &E) {
    let writes = [5_u8, 1, 255, 3, 2].iter().map(|key| (vec![*key], Some(vec![*key])));
    engine.write("p", writes.collect(), Durability::Process).unwrap();
    let scan = |start: &[u8], end: Option<&[u8]>, reverse, limit| Scan {
        start: start.to_vec(),
        end: end.map(<[u8]>::to_vec),
        reverse,
        limit,
    };
    assert_eq!(all(engine, scan(&[], None, false, 10)), [1, 2, 3, 5, 255]);
    assert_eq!(all(engine, scan(&[], None, true, 2)), [255, 5], "the largest come first");
    assert_eq!(all(engine, scan(&[2], Some(&[5]), false, 10)), [2, 3], "the end is left out");
    assert_eq!(all(engine, scan(&[2], Some(&[5]), true, 1)), [3]);
    assert_eq!(all(engine, scan(&[2, 0], None, false, 1)), [3], "a longer key comes after its beginning");
    assert!(all(engine, scan(&[5], Some(&[2]), false, 10)).is_empty());
    assert!(all(engine, scan(&[], None, false, 0)).is_empty());
}

fn partitions_are_listed_and_dropped_whole<E: Engine>(engine: &E) {
    for name in ["b-2", "a.1", "b-10"] {
        engine.write(name, vec![put(b"k", name.as_bytes())], Durability::Process).unwrap();
    }
    assert_eq!(engine.partitions().unwrap(), ["a.1", "b-10", "b-2"], "sorted");
    engine.drop_partition("b-10").unwrap();
    assert_eq!(engine.partitions().unwrap(), ["a.1", "b-2"]);
    assert_eq!(engine.get("b-10", b"k").unwrap(), None);
    engine.write("b-10", vec![put(b"new", b"1")], Durability::Process).unwrap();
    assert_eq!(engine.get("b-10", b"k").unwrap(), None, "a partition that comes again is empty");
    assert_eq!(engine.get("a.1", b"k").unwrap(), Some(b"a.1".to_vec()), "the others stay");
    engine.close("a.1");
    assert_eq!(engine.get("a.1", b"k").unwrap(), Some(b"a.1".to_vec()), "one that was closed is read again");
    engine.close("a.1");
    engine.write("a.1", vec![put(b"l", b"2")], Durability::Process).unwrap();
    assert_eq!(engine.get("a.1", b"l").unwrap(), Some(b"2".to_vec()), "and written again");
    engine.close("nowhere");
    assert_eq!(engine.partitions().unwrap(), ["a.1", "b-10", "b-2"], "which makes none");
}

fn the_largest_value_fits<E: Engine>(engine: &E) {
    let value = vec![0xa5; engine.max_value()];
    assert!(value.len() >= 1024, "records need values of at least 1 KiB");
    let writes = (0..4).map(|key| (vec![key], Some(value.clone()))).collect();
    engine.write("p", writes, Durability::Process).unwrap();
    assert_eq!(engine.get("p", &[3]).unwrap(), Some(value));
}

fn it_goes_on_after_reopening<E: Engine>(engine: &E) {
    engine.write("p", vec![put(b"a", b"1")], Durability::Process).unwrap();
    engine.reopen().unwrap();
    assert_eq!(engine.get("p", b"a").unwrap(), Some(b"1".to_vec()));
    engine.write("p", vec![put(b"b", b"2")], Durability::Process).unwrap();
    assert_eq!(engine.get("p", b"b").unwrap(), Some(b"2".to_vec()));
}

fn readers_see_all_of_a_write_or_nothing<E: Engine>(engine: &E) {
    const ROUNDS: u8 = 100;
    thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0..ROUNDS {
                engine
                    .write(
                        "p",
                        (0..8).map(|key| (vec![key], Some(vec![round]))).collect(),
                        Durability::Process,
                    )
                    .unwrap();
            }
        });
        scope.spawn(|| {
            let mut newest = 0;
            while newest + 1 < ROUNDS {
                // One key after another: a later look never shows an older write.
                for key in 0..8 {
                    if let Some(value) = engine.get("p", &[key]).unwrap() {
                        assert!(value[0] >= newest, "a write became visible in part");
                        newest = newest.max(value[0]);
                    }
                }
            }
        });
    });
}
