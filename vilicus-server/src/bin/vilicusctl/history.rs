//! `history` and `availability`: what a check was like.

use serde_json::Value;
use vilicus_server::clock::{Clock as _, SystemClock};

use crate::args::{AvailabilityArgs, HistoryArgs};
use crate::client::{Client, encoded};
use crate::exit::Failure;
use crate::plot;
use crate::print::{self, Rows};
use crate::words::text;

/// Shows results, the newest first.
pub(crate) async fn run(client: &Client, asked: &HistoryArgs) -> Result<(), Failure> {
    let since = SystemClock::new().now().before(asked.since).as_millis();
    let path = format!("/api/v1/check_history/?check={}&since={since}", encoded(&asked.check));
    if let Some(metric) = &asked.plot {
        let rollups = client.list(&format!("{path}&resolution=auto"), usize::MAX).await?;
        return print::write(&plot::draw(&rollups, metric.as_deref())?);
    }
    let results = client.list(&path, asked.limit).await?;
    let names: Vec<String> = results.iter().map(|result| text(&result["resource_uri"])).collect();
    let rows = results.iter().map(row).collect();
    let headings = vec!["TIME", "STATUS", "METRICS", "OUTPUT"];
    print::print(asked.output, &results, &names, Rows { headings, rows })
}

fn row(result: &Value) -> Vec<String> {
    let metrics = result["metrics"].as_array().into_iter().flatten();
    let metrics: Vec<String> = metrics
        .map(|metric| format!("{}={}{}", text(&metric["name"]), metric["value"], text(&metric["unit"])))
        .collect();
    vec![text(&result["timestamp"]), text(&result["status"]), metrics.join(" "), text(&result["output"])]
}

/// Shows how long a check was in each state.
pub(crate) async fn availability(client: &Client, asked: &AvailabilityArgs) -> Result<(), Failure> {
    let since = SystemClock::new().now().before(asked.since).as_millis();
    let (check, exclude) = (encoded(&asked.check), asked.exclude_downtime);
    let path = format!("/api/v1/availability/?check={check}&since={since}&exclude_downtime={exclude}");
    let told = client.get(&path).await?;
    let mut out = match told["availability_percent"].as_f64() {
        Some(percent) => format!("available {percent:.3} % of the time that is known\n"),
        None => "nothing is known of this time\n".to_owned(),
    };
    for (state, seconds) in told["seconds"].as_object().into_iter().flatten() {
        out += &format!("  {state:<13}{} s\n", seconds.as_f64().unwrap_or_default().round());
    }
    out += &format!("  in downtime  {} s\n", told["downtime_seconds"].as_f64().unwrap_or_default().round());
    print::write(&out)
}
