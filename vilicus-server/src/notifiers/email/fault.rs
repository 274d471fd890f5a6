//! What to do about an SMTP error: try again, give the mail up, or pause the channel.
//!
//! 4xx and broken connections pass; 5xx is for good, and the step says whether it concerns this mail or every one.
//! *Source:* RFC 5321, sections 4.2.1 and 4.3.2; RFC 4954, section 6, for the codes of a login.

use std::error::Error as _;
use std::fmt;
use std::io;

use lettre::transport::smtp::Error;
use vilicus_core::NotifyError;

use crate::notifiers::wording::foreign;
use crate::outbound::{cause, insecure};

/// The refusal of a server, in its own words.
pub(super) struct Reply {
    pub(super) code: u16,
    words: String,
}

impl Reply {
    /// The server's refusal, if it is one that failed and not the connection.
    pub(super) fn of(error: &Error) -> Option<Self> {
        let code = error.status()?.into();
        let words = error.source().map(|words| foreign(&words.to_string())).unwrap_or_default();
        Some(Self { code, words })
    }

    /// Whether the server says that another try may help.
    pub(super) fn is_passing(&self) -> bool {
        self.code < 500
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code, self.words)
    }
}

/// An error at a step that every mail takes: `step` was refused, so the next mail would be, too.
pub(super) fn of_channel(step: &str, error: &Error) -> NotifyError {
    match Reply::of(error) {
        Some(reply) if reply.is_passing() => {
            NotifyError::retry(format!("the mail server put off {step}: {reply}"))
        }
        Some(reply) => NotifyError::channel(format!("the mail server refused {step}: {reply}")),
        None => of_connection(error),
    }
}

/// An error after the recipients were taken: the server refuses this mail.
pub(super) fn of_message(error: &Error) -> NotifyError {
    match Reply::of(error) {
        Some(reply) if reply.is_passing() => {
            NotifyError::retry(format!("the mail server put off the mail: {reply}"))
        }
        Some(reply) if reply.code == 530 => {
            NotifyError::channel(format!("the mail server asks for a login: {reply}"))
        }
        Some(reply) => NotifyError::message(format!("the mail server refused the mail: {reply}")),
        None => of_connection(error),
    }
}

/// An error of the login. Only the code is told: a server's words could repeat what it was sent.
pub(super) fn of_login(error: &Error) -> NotifyError {
    match Reply::of(error) {
        Some(reply) if reply.is_passing() => {
            NotifyError::retry(format!("the mail server put off the login ({})", reply.code))
        }
        Some(reply) => NotifyError::channel(format!(
            "the mail server refused the login ({}); check the user and the password",
            reply.code
        )),
        None if error.is_client() => {
            NotifyError::channel("the mail server offers no login that can be used (PLAIN or LOGIN)")
        }
        None => of_connection(error),
    }
}

/// An error before the server said a word.
pub(super) fn of_io(error: &io::Error) -> NotifyError {
    of_broken(error, error)
}

fn of_connection(error: &Error) -> NotifyError {
    if error.is_response() {
        return NotifyError::retry("the mail server's answer is not SMTP, or it ended early");
    }
    match cause::<io::Error>(error) {
        Some(io) => of_broken(error, io),
        None => NotifyError::retry("the connection to the mail server failed"),
    }
}

fn of_broken(error: &(dyn std::error::Error + 'static), io: &io::Error) -> NotifyError {
    match cause::<rustls::Error>(error) {
        Some(tls) => insecure("the mail server", tls),
        None => NotifyError::retry(format!("the connection to the mail server failed: {}", io.kind())),
    }
}
