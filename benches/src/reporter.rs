//! A connection over which some of the agents report, turn by turn: batches, or one result a request.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use http::header::HeaderValue;
use http::{Method, Request, Response};
use http_body_util::Full;

use crate::body::{Look, Writer};
use crate::connection::{Server, bearer, shown};
use crate::drive::{Answered, Lane};
use crate::fleet::Fleet;
use crate::ledger::Ledger;
use crate::{Failure, clock};

/// How results go over the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// One result is one request.
    Single,
    /// So many results are one request, as `{"objects": […]}`.
    Batch(usize),
}

impl Form {
    const fn size(self) -> usize {
        match self {
            Self::Single => 1,
            Self::Batch(size) => size,
        }
    }
}

/// Reports for its agents, turn by turn.
#[derive(Debug)]
pub struct Reporter {
    server: Server,
    turns: Vec<Turn>,
    next: usize,
    form: Form,
    writer: Writer,
    ledger: Option<Arc<Ledger>>,
    /// What the request that is on its way holds.
    sent: Sent,
}

/// One agent.
#[derive(Debug)]
struct Turn {
    /// Its place in the fleet.
    index: usize,
    credentials: HeaderValue,
    checks: Vec<u64>,
    first: usize,
    last_ms: i64,
}

#[derive(Debug, Default)]
struct Sent {
    at_ms: i64,
    index: usize,
    checks: Range<usize>,
}

/// Spreads a fleet over so many connections.
///
/// # Errors
/// A batch is larger than what an agent has, so that a check would stand in it twice.
pub fn reporters(
    server: &Server,
    fleet: &Fleet,
    connections: usize,
    form: Form,
    look: Look,
    ledger: Option<&Arc<Ledger>>,
) -> Result<Vec<Reporter>, Failure> {
    if let Some(small) = fleet.agents.iter().find(|member| member.checks.len() < form.size()) {
        let (has, batch) = (small.checks.len(), form.size());
        return Err(format!("an agent has {has} checks, too few for a batch of {batch}").into());
    }
    let lanes = connections.min(fleet.agents.len());
    let reporter = |lane: usize| {
        let members = fleet.agents.iter().enumerate().skip(lane).step_by(lanes);
        let turns = members.map(|(index, member)| {
            let credentials = bearer(&member.token)?;
            Ok(Turn { index, credentials, checks: member.checks.clone(), first: 0, last_ms: 0 })
        });
        Ok(Reporter {
            server: server.clone(),
            turns: turns.collect::<Result<_, Failure>>()?,
            next: 0,
            form,
            writer: Writer::new(look),
            ledger: ledger.cloned(),
            sent: Sent::default(),
        })
    };
    (0..lanes).map(reporter).collect()
}

impl Turn {
    /// The checks that are next, at a time that none of them has had.
    fn take(&mut self, size: usize) -> (Range<usize>, i64) {
        if self.first + size > self.checks.len() {
            self.first = 0;
        }
        if self.first == 0 {
            self.last_ms = clock::unix_ms().max(self.last_ms + 1);
        }
        let checks = self.first..self.first + size;
        self.first += size;
        (checks, self.last_ms)
    }
}

impl Lane for Reporter {
    fn next(&mut self) -> Result<Request<Full<Bytes>>, Failure> {
        let count = self.turns.len();
        let turn = &mut self.turns[self.next];
        self.next = (self.next + 1) % count;
        let (checks, at_ms) = turn.take(self.form.size());
        let body = match self.form {
            Form::Single => self.writer.one(turn.checks[checks.start], at_ms),
            Form::Batch(_) => self.writer.batch(&turn.checks[checks.clone()], at_ms),
        };
        let credentials = Some(&turn.credentials);
        self.sent = Sent { at_ms, index: turn.index, checks };
        self.server.request(Method::POST, "/api/v1/check_history/", credentials, body)
    }

    fn answered(&mut self, answer: &Response<Bytes>) -> Result<Answered, Failure> {
        let taken = match self.form {
            Form::Single if answer.status() == http::StatusCode::CREATED => Some(1),
            Form::Batch(size) if answer.status() == http::StatusCode::OK => {
                accepted(answer.body()).filter(|count| *count == size)
            }
            _ => None,
        };
        let Some(taken) = taken else {
            return Ok(Answered::Refused(shown(answer.status(), answer.body())));
        };
        if let Some(ledger) = &self.ledger {
            ledger.acknowledged(self.sent.at_ms, self.sent.index, &self.sent.checks)?;
        }
        Ok(Answered::Taken(taken as u64))
    }
}

/// How many results an answer says to have taken. It is short and regular, so it is not parsed whole.
fn accepted(body: &[u8]) -> Option<usize> {
    let text = std::str::from_utf8(body).ok()?;
    let (_, rest) = text.split_once("\"accepted\":")?;
    let rest = rest.trim_start();
    rest[..rest.find(|char: char| !char.is_ascii_digit())?].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_says_how_many_were_taken() {
        assert_eq!(accepted(br#"{"accepted":100,"duplicates":0}"#), Some(100));
        assert_eq!(accepted(br#"{"duplicates":0, "accepted": 7 }"#), Some(7));
        assert_eq!(accepted(br#"{"detail":"no"}"#), None);
    }

    #[test]
    fn no_check_is_named_twice_at_one_time() {
        let credentials = HeaderValue::from_static("x");
        let mut turn = Turn { index: 0, credentials, checks: (0..10).collect(), first: 0, last_ms: 0 };
        let mut seen = std::collections::HashSet::new();
        for _ in 0..1000 {
            let (checks, at_ms) = turn.take(4);
            for check in checks {
                assert!(seen.insert((check, at_ms)));
            }
        }
    }
}
