//! `replay`: what other thresholds would have sent, beside what was sent.

use reqwest::Method;
use serde_json::{Map, Value, json};
use vilicus_server::clock::{Clock as _, SystemClock};

use crate::args::{ReplayArgs, Resource};
use crate::client::Client;
use crate::exit::Failure;
use crate::get::path_of;
use crate::print;
use crate::words::text;

/// The most messages that are shown of each.
const SHOWN: usize = 20;

/// Judges again, and shows both.
pub(crate) async fn run(client: &Client, asked: &ReplayArgs) -> Result<(), Failure> {
    let check = client.get(&path_of(Resource::Checks, &asked.check)).await?;
    let mut policy = Map::new();
    if let Some(attempts) = asked.max_attempts {
        policy.insert("max_attempts".to_owned(), attempts.into());
    }
    let thresholds = thresholds(asked, &check["thresholds"])?;
    if thresholds != check["thresholds"] {
        policy.insert("thresholds".to_owned(), thresholds);
    }
    let since = SystemClock::new().now().before(asked.since).to_string();
    let body = json!({"check": check["resource_uri"], "since": since, "policy": policy});
    let told = client.ask(Method::POST, "/api/v1/replay/", Some(&body)).await?;
    print::write(&said(&told))
}

/// The check's thresholds with what is said put over them.
fn thresholds(asked: &ReplayArgs, own: &Value) -> Result<Value, Failure> {
    let mut thresholds = own.as_object().cloned().unwrap_or_default();
    for (field, said) in [("warning", &asked.warning), ("critical", &asked.critical)] {
        for said in said {
            let (metric, range) = metric_of(said, &thresholds)?;
            set(&mut thresholds, &metric, field, range.into());
        }
    }
    if let Some(span) = asked.span {
        let metrics: Vec<String> = thresholds.keys().cloned().collect();
        for metric in metrics {
            set(&mut thresholds, &metric, "for", span.to_string().into());
        }
    }
    Ok(thresholds.into())
}

fn set(thresholds: &mut Map<String, Value>, metric: &str, field: &str, value: Value) {
    let entry = thresholds.entry(metric).or_insert_with(|| json!({}));
    if let Value::Object(fields) = entry {
        fields.insert(field.to_owned(), value);
    }
}

/// `METRIC=RANGE`, or a range of the one metric that has thresholds.
fn metric_of(said: &str, thresholds: &Map<String, Value>) -> Result<(String, String), Failure> {
    if let Some((metric, range)) = said.rsplit_once('=') {
        return Ok((metric.to_owned(), range.to_owned()));
    }
    let metrics: Vec<&str> = thresholds.keys().map(String::as_str).collect();
    match metrics.as_slice() {
        [metric] => Ok(((*metric).to_owned(), said.to_owned())),
        [] => Err(Failure::new(format!("say of which metric: METRIC={said}"))),
        several => Err(Failure::new(format!("say of which metric: {}={said}", several.join("|")))),
    }
}

fn said(told: &Value) -> String {
    let mut out = format!("{} results judged again, since {}\n", told["results"], text(&told["since"]));
    for (list, seconds, words) in
        [("was_sent", "was_seconds", "was sent"), ("would_send", "would_seconds", "would be sent")]
    {
        let summary = &told["summary"];
        let bad = |state: &str| summary[seconds][state].as_f64().unwrap_or_default().round();
        out += &format!(
            "\n{words}: {} (warning for {} s, critical for {} s)\n",
            summary[list],
            bad("warning"),
            bad("critical")
        );
        let messages = told[list].as_array().map_or(&[][..], Vec::as_slice);
        for message in messages.iter().take(SHOWN) {
            let [at, event, status, output] =
                ["at", "event", "status", "output"].map(|name| text(&message[name]));
            out += &format!("  {at}  {event} {status}  {output}\n");
        }
        if messages.len() > SHOWN {
            out += &format!("  … and {} more\n", messages.len() - SHOWN);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    fn asked(arguments: &[&str]) -> ReplayArgs {
        let line = ["vilicusctl", "replay", "web-1/cpu"].iter().chain(arguments);
        match crate::args::Args::try_parse_from(line).unwrap().command {
            crate::args::Command::Replay(asked) => asked,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_said_is_put_over_the_thresholds_of_the_check() {
        let own = json!({"usage": {"warning": "80", "critical": "95", "for": null}});
        let judged = thresholds(&asked(&["--warning", "70", "--for", "5m"]), &own).unwrap();
        assert_eq!(judged, json!({"usage": {"warning": "70", "critical": "95", "for": "5m"}}));
        let judged = thresholds(&asked(&["--critical", "iowait=@10:20"]), &own).unwrap();
        assert_eq!(judged["iowait"], json!({"critical": "@10:20"}));
        assert_eq!(thresholds(&asked(&[]), &own).unwrap(), own);
    }

    #[test]
    fn a_range_without_its_metric_is_asked_back() {
        let two = json!({"a": {}, "b": {}});
        let failure = thresholds(&asked(&["--warning", "1"]), &two).unwrap_err();
        assert!(format!("{failure:?}").contains("a|b=1"), "{failure:?}");
    }
}
