//! Receives, judges through the store, tells, shows: the vilicus server as a library.
//!
//! One request's way through the crate: [`http`] accepts and limits the connection, [`api`] knows who calls and
//! what is asked, [`ingest`] carries results to the store, [`freshness`] turns silence into input, [`dispatcher`]
//! takes messages out of the outbox and hands them to [`notifiers`], [`dashboard`] shows what the store holds.
//! [`server`] puts these together and stops them in order.

pub mod api;
pub mod clock;
pub mod dashboard;
pub mod dispatcher;
pub mod error;
pub mod freshness;
pub mod health;
pub mod http;
pub mod ingest;
pub mod local_agent;
pub mod metrics;
pub mod notifiers;
pub mod outbound;
pub mod server;
pub mod settings;
pub mod tokens;

pub use clock::{Clock, SystemClock};
pub use error::ServerError;
pub use server::Server;
pub use settings::Settings;
