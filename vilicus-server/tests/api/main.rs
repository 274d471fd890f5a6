//! The REST contract, asked through the router and over real sockets.

mod authorization;
mod configuration;
mod connection;
mod conversation;
mod enrolment;
mod full;
mod history;
mod hostile;
mod support;
