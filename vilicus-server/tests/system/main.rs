//! The whole system, from outside: the real binaries on loopback, real sockets, processes that really die.
//!
//! Every test here knows only what a user knows: the REST contract, the command line, and what arrives in a mailbox.
//! Nothing reaches into the library. Each test starts a server of its own on a free port with a data directory of its
//! own, and ends what it started. Conditions are awaited with a deadline; nothing sleeps and hopes.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test says what is wrong by panicking")]

mod agent_down;
mod app;
mod authorization;
mod conversation;
mod crash;
mod dashboard;
mod documented;
mod edits;
mod harness;
mod hostile;
mod injection;
mod local_agent;
mod main_job;
mod phone;
mod plugins;
mod secrets;
mod server_away;
#[path = "../support/mod.rs"]
mod support;
mod vilicusctl;
