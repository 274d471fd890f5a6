//! The REST contract, asked through the router and over real sockets.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a helper that cannot go on fails its test")]

mod authorization;
mod configuration;
mod connection;
mod conversation;
mod enrolment;
mod full;
mod history;
mod hostile;
mod support;
