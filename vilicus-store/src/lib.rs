//! The vilicus crate.
