//! To a server in the same process: the request goes to its handler as it is, and no socket is opened.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use secrecy::SecretString;

use super::rest::{Carrier, CarrierError, RestTransport, TokenError};

type Answering = Pin<Box<dyn Future<Output = Response<Bytes>> + Send>>;

/// Hands requests to a handler in this process.
pub struct InProcessCarrier {
    handler: Box<dyn Fn(Request<Bytes>) -> Answering + Send + Sync>,
}

impl fmt::Debug for InProcessCarrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InProcessCarrier").finish_non_exhaustive()
    }
}

#[async_trait]
impl Carrier for InProcessCarrier {
    async fn carry(&self, request: Request<Bytes>) -> Result<Response<Bytes>, CarrierError> {
        Ok((self.handler)(request).await)
    }

    fn server(&self) -> &str {
        "this process"
    }
}

/// The agent's conversation with a server in the same process: everything but the socket is as with HTTP.
pub type InProcessTransport = RestTransport<InProcessCarrier>;

impl InProcessTransport {
    /// Speaks with the server that `handler` answers for.
    ///
    /// # Errors
    /// The token holds a character that no header may hold.
    pub fn new<H, F>(handler: H, token: &SecretString) -> Result<Self, TokenError>
    where
        H: Fn(Request<Bytes>) -> F + Send + Sync + 'static,
        F: Future<Output = Response<Bytes>> + Send + 'static,
    {
        Self::over(InProcessCarrier { handler: Box::new(move |request| Box::pin(handler(request))) }, token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::{Transport as _, TransportError};

    #[tokio::test]
    async fn requests_reach_the_handler_with_the_token() {
        let transport = InProcessTransport::new(
            |request: Request<Bytes>| async move {
                assert_eq!(request.headers()["authorization"], "Bearer a-token");
                assert_eq!(request.uri().path(), "/api/v1/agent/");
                let body = r#"{"objects": [{"id": 3, "name": "web-1", "check_interval_ms": 5000}]}"#;
                Response::new(Bytes::from_static(body.as_bytes()))
            },
            &"a-token".into(),
        )
        .unwrap();
        let agent = transport.agent().await.unwrap().value;
        assert_eq!((agent.id.get(), agent.name.as_str(), agent.check_interval.get()), (3, "web-1", 5000));
        assert!(!format!("{transport:?}").contains("a-token"));
    }

    #[tokio::test]
    async fn an_answer_that_is_not_ours_is_a_protocol_error() {
        let hello = |_| async { Response::new(Bytes::from_static(b"<html>hello</html>")) };
        let transport = InProcessTransport::new(hello, &"t".into()).unwrap();
        assert!(matches!(transport.agent().await, Err(TransportError::Protocol { .. })));
    }

    #[tokio::test]
    async fn a_token_that_sees_many_agents_is_none_of_this_host() {
        let two = |_| async {
            let agent = r#"{"id": 3, "name": "web-1", "check_interval_ms": 5000}"#;
            Response::new(Bytes::from(format!(r#"{{"objects": [{agent}, {agent}]}}"#)))
        };
        let transport = InProcessTransport::new(two, &"an-operator's".into()).unwrap();
        assert!(matches!(transport.agent().await, Err(TransportError::NotOfAnAgent { agents: 2 })));
    }

    #[test]
    fn a_token_with_a_line_break_is_refused_unseen() {
        let handler = |_| async { Response::new(Bytes::new()) };
        let error = InProcessTransport::new(handler, &"secret\nhost: x".into()).unwrap_err();
        assert!(!error.to_string().contains("secret"));
    }
}
