//! The `network` kind: bytes and errors a second of network interfaces, and whether one is up.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use vilicus_core::kind::MetricDescription;
use vilicus_core::{Check, CheckContext, CheckKind, CheckResult, Metric, ParamsError, Status, async_trait};

use super::glob::Glob;
use super::proc_file::{self, ProcError};
use super::since::{Since, Step};
use super::{cannot_tell, describe, metric_name, quantity, since};

/// What a `network` check looks at.
#[derive(Debug, Default, Deserialize, JsonSchema)]
pub struct NetworkParams {
    /// The interface, as `eth0`; without it all but loopback.
    interface: Option<String>,
    /// Interfaces to leave out when none is named; `*` matches anything, as in `veth*`.
    #[serde(default)]
    exclude: Vec<String>,
}

/// The `network` kind.
#[derive(Debug, Clone, Copy)]
pub struct NetworkKind;

impl CheckKind for NetworkKind {
    type Params = NetworkParams;

    fn name(&self) -> &'static str {
        "network"
    }

    fn description(&self) -> &'static str {
        "traffic and errors of network interfaces, and whether one is up"
    }

    fn metrics(&self) -> &'static [MetricDescription] {
        const {
            &[
                describe("in_bytes_per_second", "B", "received, a second"),
                describe("out_bytes_per_second", "B", "sent, a second"),
                describe("in_errors_per_second", "", "bad packets received, a second"),
                describe("out_errors_per_second", "", "packets that could not be sent, a second"),
            ]
        }
    }

    fn build(&self, params: NetworkParams) -> Result<Arc<dyn Check>, ParamsError> {
        if params.interface.as_deref() == Some("") {
            return Err(ParamsError::new("interface", "the name of the interface is empty"));
        }
        let exclude = params.exclude.iter().map(|pattern| Glob::new(pattern));
        let exclude = exclude.collect::<Result<_, _>>();
        let exclude = exclude.map_err(|error| ParamsError::new("exclude", error.to_string()))?;
        Ok(Arc::new(Network { interface: params.interface, exclude, since: Since::new() }))
    }
}

#[derive(Debug)]
struct Network {
    interface: Option<String>,
    exclude: Vec<Glob>,
    since: Since<Vec<Counters>>,
}

#[async_trait]
impl Check for Network {
    async fn run(&self, cx: &CheckContext) -> CheckResult {
        if let Some(problem) = self.interface.as_deref().and_then(link_problem) {
            return CheckResult::critical(problem);
        }
        match self.since.step(cx.timeout, || self.sample()).await {
            Ok(step) => self.report(&step),
            Err(error) => cannot_tell(&error),
        }
    }
}

impl Network {
    fn sample(&self) -> Result<Vec<Counters>, ProcError> {
        let mut all = parse(&proc_file::read("/proc/net/dev")?);
        all.retain(|counters| self.wants(&counters.interface));
        Ok(all)
    }

    fn wants(&self, interface: &str) -> bool {
        match &self.interface {
            Some(wanted) => interface == wanted,
            None => !is_loopback(interface) && !self.exclude.iter().any(|glob| glob.matches(interface)),
        }
    }

    fn report(&self, step: &Step<Vec<Counters>>) -> CheckResult {
        let mut result = CheckResult::default();
        let (mut received, mut sent) = (0.0, 0.0);
        for after in &step.after {
            // An interface that came up in between has no rate yet.
            let same = |before: &&Counters| before.interface == after.interface;
            let Some(before) = step.before.iter().find(same) else { continue };
            let rate =
                |counter: fn(&Counters) -> u64| since::rate(counter(before), counter(after), step.seconds);
            let rates =
                [rate(|c| c.in_bytes), rate(|c| c.out_bytes), rate(|c| c.in_errors), rate(|c| c.out_errors)];
            (received, sent) = (received + rates[0], sent + rates[1]);
            let thing = self.interface.is_none().then_some(after.interface.as_str());
            result.metrics.extend(metrics(rates, thing));
        }
        let rates = format!("in {}/s, out {}/s", quantity::bytes(received), quantity::bytes(sent));
        result.output = match (&self.interface, step.after.len()) {
            (Some(name), 0) => format!("interface {name} is missing"),
            (Some(name), _) => format!("{name} is up, {rates}"),
            (None, 1) => format!("1 interface, {rates}"),
            (None, count) => format!("{count} interfaces, {rates}"),
        };
        // A host without any interface but loopback has nothing to measure, which is no mistake.
        let alone = self.interface.is_none() && result.metrics.is_empty();
        let missing = self.interface.is_some() && step.after.is_empty();
        result.status = missing.then_some(Status::Critical).or(alone.then_some(Status::Ok));
        result
    }
}

fn metrics(rates: [f64; 4], thing: Option<&str>) -> [Metric; 4] {
    let [in_bytes, out_bytes, in_errors, out_errors] = rates;
    let errors = |name, rate| Metric::new(metric_name(name, thing), rate).bounds(Some(0.0), None);
    [
        Metric::bytes(metric_name("in_bytes_per_second", thing), in_bytes),
        Metric::bytes(metric_name("out_bytes_per_second", thing), out_bytes),
        errors("in_errors_per_second", in_errors),
        errors("out_errors_per_second", out_errors),
    ]
}

/// What has gone by since the interface was made.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Counters {
    interface: String,
    in_bytes: u64,
    in_errors: u64,
    out_bytes: u64,
    out_errors: u64,
}

fn parse(text: &str) -> Vec<Counters> {
    text.lines().filter_map(parse_line).collect()
}

/// Reads `eth0: bytes packets errs drop fifo frame compressed multicast`, and the same eight for sending.
fn parse_line(line: &str) -> Option<Counters> {
    let (interface, numbers) = line.rsplit_once(':')?;
    let numbers: Vec<u64> = numbers.split_whitespace().map_while(|word| word.parse().ok()).collect();
    let at = |index: usize| numbers.get(index).copied();
    Some(Counters {
        interface: interface.trim().to_owned(),
        in_bytes: at(0)?,
        in_errors: at(2)?,
        out_bytes: at(8)?,
        out_errors: at(10)?,
    })
}

const FLAG_UP: u32 = 0x1;
const FLAG_LOOPBACK: u32 = 0x8;

/// Why the interface can't carry anything, if so.
fn link_problem(interface: &str) -> Option<String> {
    let Some(flags) = flags(interface) else {
        return Some(format!("interface {interface} is missing"));
    };
    if flags & FLAG_UP == 0 {
        return Some(format!("interface {interface} is down (switched off)"));
    }
    match attribute(interface, "operstate").as_deref() {
        Some("down" | "lowerlayerdown") => Some(format!("interface {interface} is down (no link)")),
        Some("notpresent") => Some(format!("interface {interface} is missing")),
        // Loopback and tunnels say 'unknown': they have no link that could be down.
        _ => None,
    }
}

fn is_loopback(interface: &str) -> bool {
    flags(interface).map_or(interface == "lo", |flags| flags & FLAG_LOOPBACK != 0)
}

fn flags(interface: &str) -> Option<u32> {
    u32::from_str_radix(attribute(interface, "flags")?.strip_prefix("0x")?, 16).ok()
}

/// What `/sys` says of an interface. A name with a `/` would be a path to somewhere else.
fn attribute(interface: &str, name: &str) -> Option<String> {
    if interface.contains('/') || interface.starts_with('.') {
        return None;
    }
    let text = std::fs::read_to_string(format!("/sys/class/net/{interface}/{name}")).ok()?;
    Some(text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::tests::context;
    use std::io::{Read, Write};

    fn check(interface: &str) -> Arc<dyn Check> {
        NetworkKind.build(NetworkParams { interface: Some(interface.to_owned()), exclude: vec![] }).unwrap()
    }

    #[tokio::test]
    async fn traffic_over_loopback_is_seen() {
        let check = check("lo");
        let transfer = || {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let mut sender = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let mut receiver = listener.accept().unwrap().0;
            let sending = std::thread::spawn(move || sender.write_all(&vec![0; 4_000_000]));
            let mut received = Vec::new();
            receiver.read_to_end(&mut received).unwrap();
            sending.join().unwrap().unwrap();
        };
        // The check is polled first, so its first sample is older than the transfer.
        let later = async { tokio::task::spawn_blocking(transfer).await.unwrap() };
        let cx = context(10);
        let (result, ()) = tokio::join!(check.run(&cx), later);
        assert!(result.metrics[0].value > 1_000_000.0, "{}", result.output);
        let names: Vec<_> = result.metrics.iter().map(|metric| metric.name.as_str()).collect();
        let known: Vec<_> = NetworkKind.metrics().iter().map(|metric| metric.name).collect();
        assert_eq!(names, known);
        assert!(result.output.starts_with("lo is up, in "), "{}", result.output);
        let again = check.run(&context(10)).await;
        assert_eq!(again.status, None);
    }

    #[test]
    fn rates_are_a_second_and_carry_the_interface_when_none_is_named() {
        let line = |bytes: u64, errors: u64| {
            parse(&format!("  br-0:1: {bytes} 1 {errors} 0 0 0 0 0 {bytes} 1 7 0 0 0 0 0\nx: 1 2\n"))
        };
        let all = Network { interface: None, exclude: vec![], since: Since::new() };
        let result = all.report(&Step { before: line(1000, 2), after: line(6000, 12), seconds: 10.0 });
        let values: Vec<_> =
            result.metrics.iter().map(|metric| (metric.name.as_str(), metric.value)).collect();
        let expected = [
            ("in_bytes_per_second:br-0:1", 500.0),
            ("out_bytes_per_second:br-0:1", 500.0),
            ("in_errors_per_second:br-0:1", 1.0),
            ("out_errors_per_second:br-0:1", 0.0),
        ];
        assert_eq!(values, expected);
    }

    #[tokio::test]
    async fn a_missing_interface_is_critical() {
        for name in ["nope0", "../../etc", "lo/statistics"] {
            let result = check(name).run(&context(10)).await;
            assert_eq!(result.status, Some(Status::Critical));
            assert_eq!(result.output, format!("interface {name} is missing"));
        }
    }

    #[test]
    fn counters_agree_with_another_reader_of_the_same_host() {
        let other = sysinfo::Networks::new_with_refreshed_list();
        let ours = parse(&proc_file::read("/proc/net/dev").unwrap());
        let count = ours.iter().filter(|counters| {
            let other =
                other.as_ref().unwrap().iter().find(|(name, _)| name.to_str() == Some(&counters.interface));
            other.is_some_and(|(_, other)| counters.in_bytes.abs_diff(other.total_received()) < 50_000_000)
        });
        assert_eq!(count.count(), ours.len());
    }
}
