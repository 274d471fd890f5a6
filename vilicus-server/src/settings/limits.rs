//! The limits that a source may set; their defaults and meaning are those of [`http::Limits`](crate::http::Limits).

use std::time::Duration;

use serde::Deserialize;
use vilicus_core::Millis;

use super::SettingsError;
use crate::http::Limits;

/// Writes the layer and how it is put into the limits from one table: key, type, and the place that it sets.
macro_rules! limits {
    ($($(#[$doc:meta])* $name:ident: $type:ty => $limits:ident, $value:ident: $place:expr, $converted:expr;)*) => {
        /// What one source says of the limits.
        #[derive(Debug, Clone, Default, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct LimitsLayer {
            $($(#[$doc])* pub $name: Option<$type>,)*
        }

        /// Puts the layers over the defaults.
        pub(super) fn resolve(strong: LimitsLayer, weak: LimitsLayer) -> Result<Limits, SettingsError> {
            let mut limits = Limits::default();
            $(if let Some($value) = strong.$name.or(weak.$name) {
                if $value == <$type>::default() {
                    return Err(SettingsError::ZeroLimit(stringify!($name)));
                }
                let $limits = &mut limits;
                $place = $converted;
            })*
            Ok(limits)
        }
    };
}

limits! {
    /// Bytes of a request's body, after decompression. 413.
    body_bytes: usize => l, v: l.body_bytes, v;
    /// Results of one batch. 422.
    batch_results: usize => l, v: l.batch_results, v;
    /// Bytes of a result's output and long output together; the rest is cut.
    output_bytes: usize => l, v: l.output_bytes, v;
    /// Metrics of one result. 422.
    metrics_per_result: usize => l, v: l.metrics, v;
    /// How far in the future a result may lie. Rejected.
    clock_skew: Millis => l, v: l.clock_skew, v;
    /// How long a request's header may take to arrive. The connection is closed.
    header_timeout: Millis => l, v: l.header_read, Duration::from(v);
    /// How long a request's body may take to arrive. 408.
    body_timeout: Millis => l, v: l.body_read, Duration::from(v);
    /// How long a connection may be idle. It is closed.
    idle_timeout: Millis => l, v: l.idle, Duration::from(v);
    /// Requests a second of one agent's token. 429.
    agent_requests_per_second: u32 => l, v: l.agent_requests.per_second, v;
    /// Requests at once of one agent's token. 429.
    agent_requests_burst: u32 => l, v: l.agent_requests.burst, v;
    /// Failed logins a second from one address. 429.
    failed_logins_per_second: u32 => l, v: l.failed_logins.per_second, v;
    /// Failed logins at once from one address. 429.
    failed_logins_burst: u32 => l, v: l.failed_logins.burst, v;
    /// Connections of one address; loopback and trusted proxies are not counted. The connection is closed.
    connections_per_address: usize => l, v: l.connections_per_address, v;
    /// All connections together; further ones wait.
    connections: usize => l, v: l.connections, v;
}
