//! Doubles that record, and suites that say whether an implementation keeps the contract of its trait.
//!
//! For the tests of those who write notifiers; the feature `conformance` switches it on. It needs no test
//! framework and no runtime: a suite is a function that panics.

pub mod notifier;
