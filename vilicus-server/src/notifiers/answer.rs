//! What a service's answer means for the next message: delivered, again later, this one never, none at all.
//!
//! The HTTP status decides unless a kind knows better from the service's own words. *Source:* RFC 9110, section 15.
//! Errors name the service and quote its words, redacted; they never hold the URL, for that may hold a token.

use std::fmt;

use http::StatusCode;
use http::header::HeaderMap;
use serde_json::Value;
use vilicus_core::{Millis, NotifyError, Receipt, Timestamp};

use super::redaction::Redaction;
use super::retry_after::retry_after;
use super::service::Service;

/// What a service answered.
pub(super) struct Answer {
    service: Service,
    status: StatusCode,
    text: String,
    json: Value,
    wait: Option<Millis>,
    redaction: Redaction,
}

impl Answer {
    /// An answer that came at `now`.
    pub(super) fn new(
        service: Service,
        status: StatusCode,
        headers: &HeaderMap,
        body: &[u8],
        now: Timestamp,
    ) -> Self {
        let busy = matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
        Self {
            service,
            status,
            text: String::from_utf8_lossy(body).trim().to_owned(),
            json: serde_json::from_slice(body).unwrap_or_default(),
            wait: retry_after(headers, now).filter(|_| busy),
            redaction: Redaction::default(),
        }
    }

    /// The same answer; its words are shown without these secrets.
    pub(super) fn redacted_by(mut self, redaction: Redaction) -> Self {
        self.redaction = redaction;
        self
    }

    /// The same answer; its body asks to be left alone for so long. The longer wish counts.
    pub(super) fn waiting(mut self, span: Option<Millis>) -> Self {
        self.wait = self.wait.max(span);
        self
    }

    /// The HTTP status.
    pub(super) fn code(&self) -> u16 {
        self.status.as_u16()
    }

    /// The body as text.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// A value of the body, by JSON pointer.
    pub(super) fn at(&self, pointer: &str) -> Option<&Value> {
        self.json.pointer(pointer)
    }

    /// A text of the body, by JSON pointer; empty when there is none.
    pub(super) fn text_at(&self, pointer: &str) -> &str {
        self.at(pointer).and_then(Value::as_str).unwrap_or("")
    }

    /// What the status alone says; `words` are the service's own, for the error.
    ///
    /// # Errors
    /// The message was not taken.
    pub(super) fn judge(&self, words: &str) -> Result<Receipt, NotifyError> {
        match self.code() {
            // Some proxy or portal answered in its place.
            200..=299 if self.text.starts_with('<') => Err(self.unlike_it()),
            200..=299 => Ok(Receipt::new(self.said(""))),
            300..=399 => Err(NotifyError::channel(format!(
                "{}; redirects are not followed, {}",
                self.said(words),
                self.service.mend
            ))),
            408 | 425 | 429 | 500..=599 => Err(self.retry(words)),
            401 | 403 | 404 | 410 => Err(self.channel(words)),
            _ => Err(self.message(words)),
        }
    }

    /// Something answered, and not the service.
    pub(super) fn unlike_it(&self) -> NotifyError {
        NotifyError::retry(format!("{}, but not as {} does", self.said(""), self.service.name))
    }

    /// Try again, after the time that the service asks for.
    pub(super) fn retry(&self, words: &str) -> NotifyError {
        let error = NotifyError::retry(self.said(words));
        match self.wait {
            Some(span) => error.after(span),
            None => error,
        }
    }

    /// Nothing will pass before someone mends the channel.
    pub(super) fn channel(&self, words: &str) -> NotifyError {
        NotifyError::channel(format!("{}; {}", self.said(words), self.service.mend))
    }

    /// This message will never pass.
    pub(super) fn message(&self, words: &str) -> NotifyError {
        NotifyError::message(self.said(words))
    }

    fn said(&self, words: &str) -> String {
        let said = format!("{} answered {}", self.service.name, self.code());
        match self.redaction.shown(words) {
            words if words.is_empty() => said,
            words => format!("{said}: {words}"),
        }
    }
}

/// Without the body: it may repeat what was sent.
impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").field("status", &self.status).finish_non_exhaustive()
    }
}

/// An answer for tests of what a kind makes of it.
#[cfg(test)]
pub(super) fn answer(service: Service, status: u16, body: &str) -> Answer {
    let status = StatusCode::from_u16(status).unwrap();
    Answer::new(service, status, &HeaderMap::new(), body.as_bytes(), Timestamp::EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::header::RETRY_AFTER;
    use vilicus_core::notifier::NotifyFault::{self, Channel, Message, Retry};

    const SERVICE: Service = Service { name: "Chat", mend: "check the token" };

    #[test]
    fn each_status_says_what_to_do_next() {
        for (statuses, fault) in [
            (&[408, 425, 429, 500, 502, 503, 504, 507, 529][..], Retry),
            (&[301, 302, 307, 308, 401, 403, 404, 410], Channel),
            (&[400, 405, 409, 413, 415, 418, 422, 451], Message),
        ] {
            for status in statuses {
                let error = answer(SERVICE, *status, "").judge("no").unwrap_err();
                assert_eq!(error.fault(), fault, "{status}: {error}");
            }
        }
        for status in [200, 201, 202, 204] {
            let receipt = answer(SERVICE, status, "").judge("").unwrap();
            assert_eq!(receipt, Receipt::new(format!("Chat answered {status}")));
        }
    }

    #[test]
    fn a_page_in_place_of_an_answer_is_no_delivery() {
        let error = answer(SERVICE, 200, " <html>log in").judge("").unwrap_err();
        assert_eq!(
            (error.fault(), error.to_string().as_str()),
            (Retry, "Chat answered 200, but not as Chat does")
        );
    }

    #[test]
    fn the_longer_wish_to_be_left_alone_counts() {
        let headers = HeaderMap::from_iter([(RETRY_AFTER, "30".parse().unwrap())]);
        let of = |status: u16, asked: Option<u64>| {
            let status = StatusCode::from_u16(status).unwrap();
            let answer = Answer::new(SERVICE, status, &headers, b"", Timestamp::EPOCH);
            let error = answer.waiting(asked.map(Millis::from_secs)).judge("").unwrap_err();
            error.retry_after().map(|span| span.get() / 1000)
        };
        assert_eq!(of(429, None), Some(30));
        assert_eq!(of(503, Some(5)), Some(30));
        assert_eq!(of(429, Some(60)), Some(60));
        assert_eq!(of(500, None), None);
    }

    #[test]
    fn errors_quote_the_service_without_secrets() {
        let redaction = Redaction::default().with("canary");
        let answer =
            answer(SERVICE, 403, r#"{"error": {"message": "canary\n is wrong"}}"#).redacted_by(redaction);
        let error = answer.judge(answer.text_at("/error/message")).unwrap_err();
        assert_eq!(error.to_string(), "Chat answered 403: ***  is wrong; check the token");
        assert!(!format!("{answer:?} {error:?}").contains("canary"));
        assert_eq!(error.fault(), NotifyFault::Channel);
    }
}
