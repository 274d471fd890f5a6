//! Drives a server: connections that each send a request, wait for its answer, and send the next.
//!
//! A few threads, each with a runtime of its own and its share of the connections, so nothing is handed from core to
//! core. All connect first, then all begin. What is answered in the warming up is not counted.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use tokio::time::sleep_until;

use crate::connection::{Connection, Server};
use crate::latency::Latencies;
use crate::pace::{Pace, counted_from};
use crate::{Failure, clock};

/// What goes over one connection.
pub trait Lane: Send + 'static {
    /// The next request.
    ///
    /// # Errors
    /// There can't be one; ends the run.
    fn next(&mut self) -> Result<Request<Full<Bytes>>, Failure>;

    /// What its answer means.
    ///
    /// # Errors
    /// It can't be written down; ends the run.
    fn answered(&mut self, answer: &Response<Bytes>) -> Result<Answered, Failure>;
}

/// What an answer means.
#[derive(Debug)]
pub enum Answered {
    /// So many results were taken.
    Taken(u64),
    /// None was, and why.
    Refused(String),
}

/// How a server is driven.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// How many threads send.
    pub threads: usize,
    /// Requests a second, of all connections together; without it each request follows an answer.
    pub rate: Option<f64>,
    /// What is not counted in the beginning.
    pub warm_up: Duration,
    /// When it ends.
    pub until: Until,
}

/// When a run ends.
#[derive(Debug, Clone, Copy)]
pub enum Until {
    /// So long after the warming up.
    For(Duration),
    /// After so many requests, without warming up.
    Requests(u64),
}

/// What came of it.
#[derive(Debug)]
pub struct Measured {
    /// How long was counted.
    pub took: Duration,
    /// How long answers took that were taken.
    pub latencies: Latencies,
    /// Results that were taken.
    pub results: u64,
    /// Requests that were refused.
    pub refused: u64,
    /// Connections that broke.
    pub broken: u64,
    /// What was answered to the first request that was not taken.
    pub trouble: Option<String>,
}

impl Measured {
    fn new() -> Result<Self, Failure> {
        let latencies = Latencies::new()?;
        Ok(Self { took: Duration::ZERO, latencies, results: 0, refused: 0, broken: 0, trouble: None })
    }

    fn add(&mut self, other: Self) -> Result<(), Failure> {
        self.latencies.add(&other.latencies)?;
        self.results += other.results;
        self.refused += other.refused;
        self.broken += other.broken;
        self.trouble = self.trouble.take().or(other.trouble);
        Ok(())
    }

    /// Everything was taken.
    ///
    /// # Errors
    /// Something was refused, or broke, or nothing was sent.
    pub fn untroubled(&self) -> Result<(), Failure> {
        match &self.trouble {
            Some(trouble) => Err(format!("not everything was taken: {trouble}").into()),
            None if self.results == 0 => Err("nothing was taken".into()),
            None => Ok(()),
        }
    }

    /// Results a second.
    #[must_use]
    pub fn per_second(&self) -> f64 {
        self.results as f64 / self.took.as_secs_f64()
    }
}

/// After something that was not taken, a connection waits so long.
const PAUSE: Duration = Duration::from_millis(10);

/// Drives a server over so many connections; `mark` is called when the counting begins, and when it ends.
///
/// # Errors
/// Nobody listens there. What happens after that is counted, not failed on: a server may be ended and started again
/// under load.
pub fn drive<L: Lane>(
    server: &Server,
    lanes: Vec<L>,
    plan: Plan,
    mut mark: impl FnMut() -> Result<(), Failure>,
) -> Result<Measured, Failure> {
    let total = lanes.len();
    let shares = shares(lanes, plan.threads.clamp(1, total.max(1)));
    let run = Arc::new(Run {
        server: server.clone(),
        plan,
        lanes: total,
        left: AtomicU64::new(if let Until::Requests(count) = plan.until { count } else { u64::MAX }),
        ready: Barrier::new(shares.len() + 1),
    });
    let workers: Vec<_> = shares
        .into_iter()
        .map(|share| {
            let run = Arc::clone(&run);
            thread::spawn(move || run.work(share))
        })
        .collect();
    run.ready.wait();
    thread::sleep(run.warm_up());
    mark()?;
    let start = clock::now();
    if let Until::For(span) = plan.until {
        thread::sleep(span);
        mark()?;
    }
    let mut measured = Measured::new()?;
    for worker in workers {
        measured.add(worker.join().map_err(|_| "a sender panicked")??)?;
    }
    measured.took = match plan.until {
        Until::For(span) => span,
        Until::Requests(_) => start.elapsed(),
    };
    if let Until::Requests(_) = plan.until {
        mark()?;
    }
    Ok(measured)
}

/// Deals numbered connections out to so many threads.
fn shares<L>(lanes: Vec<L>, threads: usize) -> Vec<Vec<(usize, L)>> {
    let mut shares: Vec<Vec<(usize, L)>> = (0..threads).map(|_| Vec::new()).collect();
    for (number, lane) in lanes.into_iter().enumerate() {
        shares[number % threads].push((number, lane));
    }
    shares
}

/// What all connections of a run share.
struct Run {
    server: Server,
    plan: Plan,
    lanes: usize,
    /// How many requests may still be sent.
    left: AtomicU64,
    ready: Barrier,
}

/// When counting begins and ends.
#[derive(Clone, Copy)]
struct Window {
    begin: Instant,
    from: Instant,
    to: Option<Instant>,
}

impl Window {
    fn holds(&self, at: Instant) -> bool {
        at >= self.from && self.to.is_none_or(|to| at < to)
    }

    fn is_over(&self, at: Instant) -> bool {
        self.to.is_some_and(|to| at >= to)
    }
}

impl Run {
    const fn warm_up(&self) -> Duration {
        match self.plan.until {
            Until::For(_) => self.plan.warm_up,
            Until::Requests(_) => Duration::ZERO,
        }
    }

    fn work<L: Lane>(self: &Arc<Self>, share: Vec<(usize, L)>) -> Result<Measured, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        // Whoever waits at the barrier must not wait for ever.
        let connected = runtime.map_err(Failure::from).and_then(|runtime| {
            let connections = runtime.block_on(self.connect(share))?;
            Ok((runtime, connections))
        });
        self.ready.wait();
        let (runtime, connections) = connected?;
        let begin = clock::now();
        let from = begin + self.warm_up();
        let to = if let Until::For(span) = self.plan.until { Some(from + span) } else { None };
        let window = Window { begin, from, to };
        runtime.block_on(async {
            let tasks: Vec<_> = connections
                .into_iter()
                .map(|(number, lane, connection)| {
                    tokio::spawn(Arc::clone(self).follow(number, lane, connection, window))
                })
                .collect();
            let mut measured = Measured::new()?;
            for task in tasks {
                measured.add(task.await??)?;
            }
            Ok(measured)
        })
    }

    async fn connect<L>(&self, share: Vec<(usize, L)>) -> Result<Vec<(usize, L, Connection)>, Failure> {
        let mut connected = Vec::with_capacity(share.len());
        for (number, lane) in share {
            connected.push((number, lane, self.server.connect().await?));
        }
        Ok(connected)
    }

    /// One connection, from the beginning to the end.
    async fn follow<L: Lane>(
        self: Arc<Self>,
        number: usize,
        mut lane: L,
        connection: Connection,
        window: Window,
    ) -> Result<Measured, Failure> {
        let mut measured = Measured::new()?;
        let mut pace = Pace::new(self.plan.rate, number, self.lanes, window.begin);
        let mut connection = Some(connection);
        let mut free = window.begin;
        while !window.is_over(free) && self.may_send() {
            let due = pace.take();
            if let Some(due) = due.filter(|due| *due > free) {
                sleep_until(due.into()).await;
            }
            let request = lane.next()?;
            let sent = clock::now();
            let answer = self.send(&mut connection, request).await;
            let from = counted_from(due, free, sent);
            free = clock::now();
            let took = free - from;
            let is_counted = window.holds(free);
            match answer {
                Ok(answer) => match lane.answered(&answer)? {
                    Answered::Taken(results) if is_counted => {
                        measured.results += results;
                        measured.latencies.record(took);
                    }
                    Answered::Taken(_) => {}
                    Answered::Refused(why) => {
                        measured.refused += 1;
                        measured.trouble.get_or_insert(why);
                        tokio::time::sleep(PAUSE).await;
                    }
                },
                Err(error) => {
                    measured.broken += 1;
                    measured.trouble.get_or_insert(error.to_string());
                    connection = None;
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
        Ok(measured)
    }

    /// Sends over the connection, or over a new one when it broke before.
    async fn send(
        &self,
        connection: &mut Option<Connection>,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Bytes>, Failure> {
        let connection = match connection {
            Some(connection) => connection,
            None => connection.insert(self.server.connect().await?),
        };
        connection.send(request).await
    }

    /// Takes one from what may still be sent.
    fn may_send(&self) -> bool {
        match self.plan.until {
            Until::For(_) => true,
            Until::Requests(_) => self
                .left
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1))
                .is_ok(),
        }
    }
}
