//! The unit of work: inputs in, effects and outcomes out. Judging is in `judging.rs`, configuration in `changes.rs`.

use std::cell::Cell;

use vilicus_core::{
    AgentId, ChannelId, CheckId, DowntimeId, EventId, InhibitionId, NotificationId, RouteId, TemplateId,
    Timestamp, TokenId,
};

use crate::embedded::effect::{self, Effect};
use crate::embedded::messages::{About, Address};
use crate::embedded::provisional::Given;
use crate::embedded::truth::Truth;
use crate::engine::EngineError;
use crate::error::Refusal;
use crate::query::HistoryRow;
use crate::store::{Input, Outcome};

/// Where a unit looks for results that left the memory.
pub(crate) type Archive<'a> = &'a dyn Fn(CheckId, Timestamp) -> Result<Option<HistoryRow>, EngineError>;

/// One commit at work.
pub(crate) struct Unit<'a> {
    pub(crate) truth: &'a mut Truth,
    /// The moment at which it is judged.
    pub(crate) now: Timestamp,
    /// The record that its effects go to.
    pub(crate) sequence: u64,
    /// The effects so far, encoded.
    pub(crate) payload: &'a mut Vec<u8>,
    archive: Archive<'a>,
    /// Results older than this are not kept.
    pub(crate) oldest: Timestamp,
    /// The ids that this commit gave to what it created.
    pub(crate) given: Given,
    /// Something could not be read or encoded: nothing of the record may be written.
    broken: Cell<bool>,
}

impl<'a> Unit<'a> {
    /// A commit at `now` whose effects go to the record `sequence`.
    pub(crate) fn new(
        truth: &'a mut Truth,
        now: Timestamp,
        sequence: u64,
        payload: &'a mut Vec<u8>,
        archive: Archive<'a>,
        oldest: Timestamp,
    ) -> Self {
        truth.now = now;
        Self {
            truth,
            now,
            sequence,
            payload,
            archive,
            oldest,
            given: Given::default(),
            broken: Cell::new(false),
        }
    }

    /// Whether something could not be read or encoded: nothing of the record may be written.
    pub(crate) fn is_broken(&self) -> bool {
        self.broken.get()
    }

    /// The result of this moment that left the memory, if there is one.
    pub(crate) fn archived(&self, check: CheckId, at: Timestamp) -> Option<HistoryRow> {
        (self.archive)(check, at).unwrap_or_else(|error| {
            tracing::error!(%error, "history cannot be read");
            self.broken.set(true);
            None
        })
    }
}

impl Unit<'_> {
    /// Carries out all inputs in order, or none when a change is refused: then says which.
    pub(crate) fn carry_out(&mut self, inputs: Vec<Input>) -> Result<Vec<Outcome>, (usize, Refusal)> {
        self.given = Given::default();
        let may_refuse = inputs.iter().any(can_be_refused);
        let before = self.payload.len();
        if may_refuse {
            self.truth.begin();
        }
        let mut outcomes = Vec::with_capacity(inputs.len());
        for (index, input) in inputs.into_iter().enumerate() {
            match self.carry_out_one(input) {
                Ok(outcome) => outcomes.push(outcome),
                Err(refusal) => {
                    self.truth.take_back();
                    self.payload.truncate(before);
                    return Err((index, refusal));
                }
            }
        }
        self.truth.keep();
        Ok(outcomes)
    }

    fn carry_out_one(&mut self, input: Input) -> Result<Outcome, Refusal> {
        match input {
            Input::Result { check, result } => return Ok(self.result(check, result)),
            Input::Reports(reports) => return Ok(Outcome::Reports(Box::new(self.reports(*reports)))),
            Input::Contact { agent } => self.contact(agent),
            Input::Checkin { agent } => self.checkin(*agent)?,
            Input::Delivered { checks } => self.note_delivered(checks),
            Input::Deadlines => self.deadlines(),
            Input::Change { change, by } => return self.change(change, &by),
            Input::RunNow { check } => {
                if !self.truth.checks.contains_key(&check) {
                    return Ok(Outcome::UnknownCheck);
                }
                self.emit(Effect::RunNow { check, at: self.now });
            }
            Input::Acknowledge { check, acknowledgement, tell } => {
                self.acknowledge(check, acknowledgement, tell)?;
            }
            Input::TakeBackAcknowledgement { check, by } => self.take_back_acknowledgement(check, by)?,
            Input::Ping { check, signal, rid, body } => {
                return Ok(self.ping(check, signal, rid.as_deref(), body));
            }
            Input::Delivery { notification, attempt, delivery } => {
                self.delivered(notification, attempt, delivery);
            }
            Input::Pause { channel, pause } => self.pause(channel, pause)?,
            Input::Tell { channel, item, group } => {
                if !self.truth.channels.contains_key(&channel) {
                    return Err(Refusal::NotFound { object: "channel", id: channel.get() });
                }
                let address = Address { channel, route: None, group, first_try: self.now };
                self.enqueue(address, About { check: None, agent: None }, *item, Vec::new());
            }
        }
        Ok(Outcome::Done)
    }

    /// Writes an effect down and carries it out.
    pub(crate) fn emit(&mut self, effect: Effect) {
        if let Err(error) = effect::write(self.payload, &effect) {
            tracing::error!(%error, "an effect cannot be encoded");
            self.broken.set(true);
        }
        self.truth.apply(self.sequence, effect);
    }

    pub(crate) fn next_event(&mut self) -> EventId {
        next(&mut self.truth.ids.event, EventId::new)
    }

    pub(crate) fn next_message(&mut self) -> NotificationId {
        next(&mut self.truth.ids.message, NotificationId::new)
    }

    pub(crate) fn next_agent(&mut self) -> AgentId {
        next(&mut self.truth.ids.agent, AgentId::new)
    }

    pub(crate) fn next_check(&mut self) -> CheckId {
        next(&mut self.truth.ids.check, CheckId::new)
    }

    pub(crate) fn next_channel(&mut self) -> ChannelId {
        next(&mut self.truth.ids.channel, ChannelId::new)
    }

    pub(crate) fn next_token(&mut self) -> TokenId {
        next(&mut self.truth.ids.token, TokenId::new)
    }

    pub(crate) fn next_route(&mut self) -> RouteId {
        next(&mut self.truth.ids.route, RouteId::new)
    }

    pub(crate) fn next_downtime(&mut self) -> DowntimeId {
        next(&mut self.truth.ids.downtime, DowntimeId::new)
    }

    pub(crate) fn next_inhibition(&mut self) -> InhibitionId {
        next(&mut self.truth.ids.inhibition, InhibitionId::new)
    }

    pub(crate) fn next_template(&mut self) -> TemplateId {
        next(&mut self.truth.ids.template, TemplateId::new)
    }

    pub(crate) fn next_version(&mut self) -> u64 {
        self.truth.ids.version = self.truth.ids.version.saturating_add(1);
        self.truth.ids.version
    }
}

fn can_be_refused(input: &Input) -> bool {
    !matches!(
        input,
        Input::Result { .. }
            | Input::Reports(_)
            | Input::Contact { .. }
            | Input::Delivered { .. }
            | Input::Deadlines
            | Input::RunNow { .. }
            | Input::Ping { .. }
            | Input::Delivery { .. }
    )
}

/// The next id. Numbers run out after centuries of a million a second; the last one is then given out again.
fn next<I>(last: &mut u64, make: impl Fn(u64) -> Option<I>) -> I
where
    I: From<std::num::NonZeroU64>,
{
    *last = last.saturating_add(1);
    make(*last).unwrap_or_else(|| I::from(std::num::NonZeroU64::MAX))
}
