//! What can keep an agent from being made, or from running.

use std::net::SocketAddr;

/// An agent cannot be made, or cannot run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AgentError {
    /// A check of the program's own has a name that no check can have.
    #[error("'{name}' is not the name of a check: {problem}")]
    Name {
        /// The name, safe to print.
        name: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// Two checks of the program's own have the same name.
    #[error("two checks are named '{name}'; names are unique within an agent")]
    Duplicate {
        /// The name.
        name: String,
    },
    /// There is nothing to do: neither a check nor a server that could want one.
    #[error("the agent has neither checks of its own nor a server; give it one of them")]
    Idle,
    /// Nobody can ask for the health at this address.
    #[error("cannot listen on {address} for /healthz; is something else listening there?")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}
