//! Measures and reports: an agent to embed in a program, and what the stock `vilicus-agent` is made of.
//!
//! An agent runs checks, each at its own time, and hands their results on: to a server, to notifiers in the same
//! process, or just to a health view. It writes nothing to disk and is told everything else by the server.
//!
//! # A program that watches itself
//! ```
//! # async fn example(shutdown: impl Future<Output = ()>) -> Result<(), vilicus_agent::AgentError> {
//! # let jobs_waiting = || 3;
//! use vilicus_agent::Agent;
//!
//! let agent = Agent::builder().check_fn("queue", move || async move { jobs_waiting() < 100 }).build()?;
//! let health = agent.health(); // mount `health.response()` as /healthz, or use `.healthz(address)`
//! agent.run(shutdown).await
//! # }
//! ```
//!
//! # The same, beside every other host
//! ```
//! # async fn example(token: secrecy::SecretString) -> Result<(), Box<dyn std::error::Error>> {
//! use vilicus_agent::{Agent, HttpOptions, HttpTransport, OwnCheck};
//! use vilicus_core::{check, Millis};
//!
//! let server = HttpTransport::new("https://vilicus.example.org", &token, HttpOptions::default())?;
//! let queue = OwnCheck::new("queue", check::from_fn(|| async { true })).every(Millis::from_secs(10));
//! Agent::builder().transport(server).own_check(queue).build()?.run(std::future::pending()).await?;
//! # Ok(())
//! # }
//! ```
//!
//! | you want to | use |
//! |---|---|
//! | watch something in your program | [`AgentBuilder::check_fn`], [`OwnCheck`] |
//! | let the server configure checks | [`AgentBuilder::kinds`] with [`checks::stock_kinds`] |
//! | be told without a server | [`AgentBuilder::notifier`] |
//! | answer `/healthz` | [`HealthView`], [`AgentBuilder::healthz`] |
//! | report | [`HttpTransport`], [`InProcessTransport`], or a [`Transport`] of your own |
//! | get a token | [`enroll`] |
//!
//! # Features
//! `cli` (default) adds what the stock binary needs; embedders switch it off.

mod agent;
mod backoff;
mod buffer;
pub mod checks;
mod clock;
pub mod config;
mod due;
pub mod enroll;
mod error;
mod health;
mod healthz;
mod host;
mod local;
mod measure;
mod outlet;
mod own;
pub mod printable;
mod report;
mod run;
pub mod transport;

pub use agent::{Agent, AgentBuilder, DEFAULT_BUFFER, DEFAULT_CONCURRENCY};
pub use clock::{Clock, SystemClock};
pub use error::AgentError;
pub use health::{CheckHealth, HealthView, ServerContact};
pub use own::OwnCheck;
pub use run::run_once;
pub use transport::{HttpOptions, HttpTransport, InProcessTransport, Transport};
