//! Judged in this process: an agent without a server still tells when its own checks fail.
//!
//! The judge and the telling contract are the core's, the same that a server uses; here they work from memory. What
//! is absent: history, routes, acknowledgements, and any memory over a restart. Who wants those runs a server.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tracing::{info, warn};
use vilicus_core::judge::telling::{self, Occasion, Surroundings, Tell};
use vilicus_core::judge::words::{self, Subject};
use vilicus_core::judge::{self, Input};
use vilicus_core::notifier::NotifyFault;
use vilicus_core::result::error_chain;
use vilicus_core::{
    ChannelId, CheckId, CheckResult, CheckState, Millis, Notification, Notifier, Policy, StateType, Timestamp,
};

use crate::backoff::{Backoff, asked_for};
use crate::clock::ServerClock;
use crate::own::OwnCheck;
use crate::printable::printable;

/// Messages that may wait for one notifier; more than that are dropped, and logged.
const MAX_WAITING: usize = 1_000;
/// The longest wait between two tries.
const LONGEST_WAIT: Millis = Millis::from_minutes(5);
/// How long a message is tried before it is given up.
const GIVE_UP_AFTER: Millis = Millis::from_hours(24);
/// How long one try may take.
const TRY_TIMEOUT: Duration = Duration::from_secs(60);

/// Judges the program's own checks.
#[derive(Debug)]
pub(crate) struct LocalJudge {
    agent: String,
    run: String,
    checks: BTreeMap<Arc<str>, Judged>,
    channels: Vec<(ChannelId, mpsc::Sender<Notification>)>,
    sent: u64,
    clock: ServerClock,
}

#[derive(Debug)]
struct Judged {
    id: CheckId,
    policy: Policy,
    state: CheckState,
}

/// Brings what the judge has to tell to one notifier, in order.
#[derive(Debug)]
pub(crate) struct Teller {
    notifier: Arc<dyn Notifier>,
    messages: mpsc::Receiver<Notification>,
    clock: ServerClock,
}

/// A judge of these checks, and the tellers of its messages.
pub(crate) fn judge_and_tellers(
    agent: &str,
    own: &[OwnCheck],
    notifiers: Vec<Arc<dyn Notifier>>,
    clock: &ServerClock,
) -> (LocalJudge, Vec<Teller>) {
    let mut channels = Vec::new();
    let mut tellers = Vec::new();
    for (number, notifier) in (1..).map_while(ChannelId::new).zip(notifiers) {
        let (sender, messages) = mpsc::channel(MAX_WAITING);
        channels.push((number, sender));
        tellers.push(Teller { notifier, messages, clock: clock.clone() });
    }
    let judged = |(id, own): (CheckId, &OwnCheck)| {
        (own.name.clone(), Judged { id, policy: own.policy.clone(), state: CheckState::default() })
    };
    let judge = LocalJudge {
        agent: agent.to_owned(),
        // Keys must differ between two runs of the program, and be the same at every try.
        run: uuid::Uuid::new_v4().simple().to_string(),
        checks: (1..).map_while(CheckId::new).zip(own).map(judged).collect(),
        channels,
        sent: 0,
        clock: clock.clone(),
    };
    (judge, tellers)
}

impl LocalJudge {
    /// Judges a result and passes on what is to be told. Returns when to look again, while nothing is confirmed.
    pub(crate) fn judge(&mut self, name: &str, result: &CheckResult) -> Option<Millis> {
        let now = self.clock.now();
        let at = result.timestamp.unwrap_or(now);
        let channels: Vec<ChannelId> = self.channels.iter().map(|(channel, _)| *channel).collect();
        let Judged { id, policy, state } = self.checks.get_mut(name)?;
        let problem_since = state.problem_since;
        let verdict = judge::judge(policy, state, Input::Result { result, timestamp: at }, now);
        let around = Surroundings::alone(*id, policy, &channels, now);
        let again = verdict.judged && verdict.status.is_problem();
        let tells = telling::look(&around, state, Occasion { fresh: true, again, traced: false }).tells;
        let mut result = result.clone();
        if let Some(reason) = &verdict.reason {
            result.output = if result.output.is_empty() {
                reason.clone()
            } else {
                format!("{} ({reason})", result.output)
            };
        }
        let retry = (state.state_type == StateType::Soft).then_some(policy.retry_interval);
        for tell in &tells {
            self.pass_on(name, tell, &result, problem_since, at, now);
        }
        retry
    }

    fn pass_on(
        &mut self,
        name: &str,
        tell: &Tell,
        result: &CheckResult,
        problem_since: Option<Timestamp>,
        at: Timestamp,
        now: Timestamp,
    ) {
        let Some(Judged { policy, state, .. }) = self.checks.get(name) else { return };
        let subject = Subject {
            agent: &self.agent,
            check: name,
            subject: name,
            kind: "own",
            tags: &[],
            runbook_url: None,
            result: Some(result),
            problem_since,
        };
        let item = words::item(tell, subject, policy, state, at, now);
        self.sent += 1;
        let key = format!("{}-{}", self.run, self.sent);
        let message =
            Notification::about(key, item, "this program watches itself and you are told of its problems");
        let channel = self.channels.iter().find(|(channel, _)| *channel == tell.channel);
        if channel.is_some_and(|(_, messages)| messages.try_send(message).is_err()) {
            warn!(check = %printable(name), "a message was dropped: {MAX_WAITING} others wait for the notifier");
        }
    }
}

impl Teller {
    /// Delivers messages one after another until it is dropped, or nobody can send any more.
    pub(crate) async fn run(mut self) {
        while let Some(message) = self.messages.recv().await {
            self.deliver(&message).await;
        }
    }

    /// Tries until the message is taken, refused for good, or a day old.
    async fn deliver(&self, message: &Notification) {
        let (began, mut backoff) = (self.clock.elapsed(), Backoff::default());
        let title = message.title();
        while self.clock.span_since(began) < GIVE_UP_AFTER {
            let tried = tokio::time::timeout(TRY_TIMEOUT, self.notifier.notify(message)).await;
            let (reason, retry_after) = match tried {
                Ok(Ok(_)) => return info!(message = %printable(&title), "told"),
                Ok(Err(error)) if error.fault() == NotifyFault::Message => {
                    return warn!(message = %printable(&title), reason = %printable(&error_chain(&error)), "not told");
                }
                Ok(Err(error)) => (error_chain(&error), error.retry_after()),
                Err(_) => (format!("no answer within {} s", TRY_TIMEOUT.as_secs()), None),
            };
            let random = getrandom::u64().unwrap_or(u64::MAX);
            let wait = retry_after
                .map_or_else(|| backoff.next(LONGEST_WAIT, random), |span| asked_for(span, random));
            warn!(message = %printable(&title), reason = %printable(&reason), again_in = %wait, "not told yet");
            tokio::time::sleep(wait.into()).await;
        }
        warn!(message = %printable(&title), "not told: given up after a day");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::tests::HandClock;
    use std::sync::Mutex;
    use vilicus_core::check::from_fn;
    use vilicus_core::{NotifyError, Receipt, async_trait};

    /// Fails so often, and then writes titles down.
    #[derive(Debug, Default)]
    struct Recorder(Mutex<(u32, Vec<String>)>);

    #[async_trait]
    impl Notifier for Recorder {
        async fn notify(&self, notification: &Notification) -> Result<Receipt, NotifyError> {
            let mut state = self.0.lock().unwrap();
            if state.0 > 0 {
                state.0 -= 1;
                return Err(NotifyError::retry("busy"));
            }
            state.1.push(notification.title());
            Ok(Receipt::new("written"))
        }
    }

    fn results(statuses: &[CheckResult], failures: u32) -> (Vec<Option<Millis>>, Arc<Recorder>, Vec<Teller>) {
        let hand = HandClock::at(0, 0);
        let clock = ServerClock::new(hand.clone());
        let own = OwnCheck::new("queue", from_fn(|| async {}));
        let recorder = Arc::new(Recorder(Mutex::new((failures, Vec::new()))));
        let (mut judge, tellers) = judge_and_tellers("app", &[own], vec![recorder.clone()], &clock);
        let mut retries = Vec::new();
        for (minute, result) in (1..).zip(statuses) {
            hand.set(minute * 60_000, 0);
            let at = Timestamp::from_millis(minute * 60_000);
            retries.push(judge.judge("queue", &result.clone().at(at)));
        }
        (retries, recorder, tellers)
    }

    #[tokio::test(start_paused = true)]
    async fn a_confirmed_problem_and_its_recovery_are_told_once_each() {
        let bad = CheckResult::critical("stuck");
        let series = [bad.clone(), bad.clone(), bad.clone(), bad, CheckResult::ok("fine")];
        let (retries, recorder, tellers) = results(&series, 2);
        assert_eq!(
            retries.iter().map(Option::is_some).collect::<Vec<_>>(),
            [true, true, false, false, false]
        );
        for teller in tellers {
            teller.run().await;
        }
        let told = &recorder.0.lock().unwrap().1;
        assert_eq!(*told, ["[CRITICAL] app / queue: stuck", "[OK] app / queue: fine"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_blip_is_told_to_nobody() {
        let (_, recorder, tellers) = results(&[CheckResult::critical("x"), CheckResult::ok("y")], 0);
        for teller in tellers {
            teller.run().await;
        }
        assert!(recorder.0.lock().unwrap().1.is_empty());
    }
}
