//! The REST contract, asked through the router and over real sockets.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a helper that cannot go on fails its test")]

mod acknowledge;
mod apply;
mod authorization;
mod availability;
mod configuration;
mod connection;
mod conversation;
mod downtime;
mod enrolment;
mod event_stream;
mod explain;
mod full;
mod history;
mod hostile;
mod ping;
mod preview;
mod replay;
mod route;
mod support;
mod templates;
mod user;
