//! What every test of the system needs: processes that end with the test, a REST client, and patience with a limit.

pub(crate) mod agent;
pub(crate) mod process;
pub(crate) mod raw;
pub(crate) mod rest;
pub(crate) mod server;
pub(crate) mod until;
pub(crate) mod watched;
pub(crate) mod webhook;

pub(crate) use agent::Agent;
pub(crate) use process::Process;
pub(crate) use rest::Rest;
pub(crate) use server::Server;
pub(crate) use until::until;
