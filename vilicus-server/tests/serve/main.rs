//! The server as its users see it: the real binary, and the pages of a server in this process.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by a panic")]

mod binary;
mod browser;
mod commands;
mod declarative;
mod pages;
mod policy_tests;
mod process;
mod silence;
