//! Receives, judges through the store, tells, shows: the vilicus server as a library.
//!
//! ```no_run
//! # async fn example(shutdown: impl Future<Output = ()>) -> Result<(), Box<dyn std::error::Error>> {
//! use vilicus_server::{Clock as _, Server, SystemClock};
//! use vilicus_store::Options;
//!
//! let options = Options::new(SystemClock::new().now(), [0; 16]); // 16 random bytes, in earnest
//! let store = vilicus_store::url::open("sled:./vilicus-data", options)?;
//! let server = Server::builder().listen("127.0.0.1:8080".parse()?).store(store).local_agent(true).build().await?;
//! server.run(shutdown).await?;
//! # Ok(())
//! # }
//! ```
//!
//! One request's way through the crate: [`http`] accepts and limits the connection, [`api`] knows who calls and
//! what is asked, [`ingest`] carries results to the store, [`freshness`] turns silence into input, [`dispatcher`]
//! takes messages out of the outbox and hands them to [`notifiers`], [`dashboard`] shows what the store holds,
//! [`self_check`] watches the server itself.
//! [`server`] puts these together and stops them in order.
//!
//! | you want to | read |
//! |---|---|
//! | run a server in your program | [`Server::builder`], [`Settings`] |
//! | tell people in a way of your own | [`server::Builder::notifiers`], [`notifiers::stock_notifiers`] |
//! | let operators configure kinds of check of your own | [`server::Builder::kinds`] |
//! | simulate time | [`Clock`], [`clock::ManualClock`] |
//!
//! # Features
//! `cli` (default) adds what the stock binaries need; embedders switch it off.

pub mod api;
pub mod apply;
pub mod availability;
pub mod backup_file;
pub mod clock;
pub mod dashboard;
pub mod dispatcher;
pub mod error;
mod express;
pub mod freshness;
pub mod health;
pub mod http;
pub mod ingest;
pub mod local_agent;
pub mod metrics;
pub mod notifiers;
pub mod outbound;
pub mod policy_test;
#[cfg(feature = "cli")]
pub mod progress;
pub mod self_check;
pub mod server;
pub mod settings;
mod templates;
pub mod tokens;
mod users;

pub use clock::{Clock, SystemClock};
pub use error::ServerError;
pub use server::Server;
pub use settings::Settings;

#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
mod readme {}
