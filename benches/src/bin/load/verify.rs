//! Looks whether everything that was acknowledged is in the server's history, and says what was sent.
#![expect(clippy::print_stdout, reason = "the verdict is what this program is for")]

use std::collections::HashMap;
use std::fs::File;
use std::io::BufReader;

use http::Method;
use serde_json::Value;
use vilicus_benches::Failure;
use vilicus_benches::body::{Look, Said};
use vilicus_benches::connection::{Api, Server};
use vilicus_benches::ledger::Acknowledged;
use vilicus_core::Timestamp;

use crate::args::VerifyArgs;

/// Connections that read at the same time.
const READERS: usize = 8;
/// How many of what is missing is named.
const NAMED: usize = 10;

pub(crate) fn verify(args: &VerifyArgs) -> Result<(), Failure> {
    let server = Server::new(&args.server.url, args.server.ca_file.as_deref())?;
    let file = File::open(&args.ledger).map_err(|error| format!("{}: {error}", args.ledger.display()))?;
    let Acknowledged { look, times } = Acknowledged::read(BufReader::new(file))?;
    let mut checks: Vec<(u64, Vec<i64>)> = times.into_iter().collect();
    checks.sort_unstable();
    let mut shares: Vec<Vec<(u64, Vec<i64>)>> = vec![Vec::new(); READERS];
    for (number, check) in checks.into_iter().step_by(usize::try_from(args.each)?).enumerate() {
        shares[number % READERS].push(check);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let found = runtime.block_on(async {
        let tasks = shares.into_iter().map(|share| {
            let (server, token) = (server.clone(), args.admin_token.clone());
            tokio::spawn(async move { read_all(&server, &token, look, share).await })
        });
        let mut found = Found::default();
        for task in tasks.collect::<Vec<_>>() {
            found.add(task.await??);
        }
        Ok::<_, Failure>(found)
    })?;
    found.tell()
}

/// What was found.
#[derive(Debug, Default)]
struct Found {
    kept: usize,
    lost: usize,
    differing: usize,
    named: Vec<String>,
}

impl Found {
    fn add(&mut self, other: Self) {
        self.kept += other.kept;
        self.lost += other.lost;
        self.differing += other.differing;
        self.named.extend(other.named);
    }

    fn tell(&self) -> Result<(), Failure> {
        println!("{} kept, {} lost, {} differing", self.kept, self.lost, self.differing);
        self.named.iter().take(NAMED).for_each(|line| println!("  {line}"));
        if self.lost + self.differing > 0 {
            return Err("what was acknowledged is not what is kept".into());
        }
        Ok(())
    }

    /// Compares what one check should have with what it has.
    fn compare(&mut self, check: u64, look: Look, times: &[i64], rows: &HashMap<i64, Value>) {
        for at_ms in times {
            match rows.get(at_ms) {
                None => {
                    self.lost += 1;
                    self.named.push(format!("lost: check {check} at {}", Timestamp::from_millis(*at_ms)));
                }
                Some(row) if is_as_sent(row, Said::of(check, *at_ms, look), look) => self.kept += 1,
                Some(row) => {
                    self.differing += 1;
                    self.named.push(format!("differing: check {check}: {row}"));
                }
            }
        }
    }
}

/// Whether a row says what was sent. The text of an OK result is kept only where it changed.
fn is_as_sent(row: &Value, said: Said, look: Look) -> bool {
    let status = if said.is_critical { "CRITICAL" } else { "OK" };
    let output = row["output"].as_str();
    row["reported_status"] == status
        && row["metrics"][0]["value"].as_f64() == Some(said.value())
        && (output == Some("") || output == Some(said.output(look.text).as_str()))
}

async fn read_all(
    server: &Server,
    token: &str,
    look: Look,
    share: Vec<(u64, Vec<i64>)>,
) -> Result<Found, Failure> {
    let mut api = Api::connect(server, token).await?;
    let mut found = Found::default();
    for (check, times) in share {
        let (Some(first), Some(last)) = (times.first(), times.last()) else { continue };
        let rows = history(&mut api, check, *first, *last).await?;
        found.compare(check, look, &times, &rows);
    }
    Ok(found)
}

/// All rows of a check from one time to another, page by page.
async fn history(api: &mut Api, check: u64, first: i64, last: i64) -> Result<HashMap<i64, Value>, Failure> {
    let (since, until) = (Timestamp::from_millis(first), Timestamp::from_millis(last + 1));
    let query = format!("check={check}&since={since}&until={until}&limit=1000");
    let mut next = Some(format!("/api/v1/check_history/?{query}"));
    let mut rows = HashMap::new();
    while let Some(path) = next {
        let mut page = api.ask(Method::GET, &path, None).await?;
        next = page["meta"]["next"].as_str().map(str::to_owned);
        let Value::Array(objects) = page["objects"].take() else { return Err("a page has no rows".into()) };
        for row in objects {
            let at: Timestamp = row["timestamp"].as_str().ok_or("a row has no time")?.parse()?;
            rows.insert(at.as_millis(), row);
        }
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use vilicus_benches::body::Text;

    use super::*;

    #[test]
    fn a_lost_and_a_differing_row_are_told_apart() {
        let look = Look { text: Text::Changing, failing: 0.0 };
        let row = |at_ms| {
            let said = Said::of(7, at_ms, look);
            let metrics = json!([{"value": said.value()}]);
            json!({"reported_status": "OK", "output": said.output(look.text), "metrics": metrics})
        };
        let mut other = row(3);
        other["reported_status"] = "CRITICAL".into();
        let rows = HashMap::from([(1, row(1)), (3, other)]);
        let mut found = Found::default();
        found.compare(7, look, &[1, 2, 3], &rows);
        assert_eq!((found.kept, found.lost, found.differing), (1, 1, 1));
        assert!(found.tell().is_err());
    }
}
