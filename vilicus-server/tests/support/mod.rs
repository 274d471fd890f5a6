//! Remotes for tests: a web server that records, a stand-in for Pushover, a scripted SMTP peer, a real Postfix, a real
//! Alertmanager.
//!
//! All listen on a free loopback port and end when they are dropped.
#![allow(dead_code, unreachable_pub, missing_docs, reason = "each test uses what it needs of these")]

pub mod alertmanager;
pub mod certificate;
pub mod chat;
pub mod http_recorder;
pub mod notification;
pub mod on_call;
pub mod postfix;
pub mod pushover;
pub mod scripted_smtp;
