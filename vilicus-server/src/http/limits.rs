//! How much anyone may ask for: the numbers of the contract's table, each a setting.

use std::time::Duration;

use vilicus_core::Millis;

use super::bucket::Rate;

/// The limits of the server. What passes one is answered, never dropped in silence.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Limits {
    /// The bytes of a body, after decompression; 4 MiB.
    pub body_bytes: usize,
    /// The results of one batch; 10,000.
    pub batch_results: usize,
    /// The bytes of `output` and `long_output` of a result together; what is beyond is cut; 16 KiB.
    pub output_bytes: usize,
    /// The metrics of a result; 256.
    pub metrics: usize,
    /// How far in the future a result may lie: 5 min.
    pub clock_skew: Millis,
    /// The longest that the header of a request may take; 10 s.
    pub header_read: Duration,
    /// The longest that the body of a request may take; 30 s.
    pub body_read: Duration,
    /// The longest that a connection may be without any progress; 75 s.
    pub idle: Duration,
    /// The longest that a TLS handshake may take; 10 s.
    pub tls_handshake: Duration,
    /// The requests of one agent token; 5,000 a second, burst 10,000.
    pub agent_requests: Rate,
    /// The failed logins of one address (/64 for IPv6); 1 a second, burst 30. Never refuses a valid one.
    pub failed_logins: Rate,
    /// The connections of one address; 1,024. Loopback and trusted proxies have no limit of their own.
    pub connections_per_address: usize,
    /// All connections together; 16,384. Beyond it new ones wait to be accepted.
    pub connections: usize,
    /// The longest that `?wait=` holds an answer; 60 s.
    pub longest_wait: Millis,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 4 * 1024 * 1024,
            batch_results: 10_000,
            output_bytes: 16 * 1024,
            metrics: 256,
            clock_skew: Millis::from_minutes(5),
            header_read: Duration::from_secs(10),
            body_read: Duration::from_secs(30),
            idle: Duration::from_secs(75),
            tls_handshake: Duration::from_secs(10),
            agent_requests: Rate { per_second: 5_000, burst: 10_000 },
            failed_logins: Rate { per_second: 1, burst: 30 },
            connections_per_address: 1_024,
            connections: 16_384,
            longest_wait: Millis::from_secs(60),
        }
    }
}
