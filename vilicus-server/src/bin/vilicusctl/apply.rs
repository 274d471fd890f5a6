//! `apply` and `diff`: what files say becomes what is. Secrets that they name are read here, by this user.

use reqwest::Method;
use serde_json::Value;
use vilicus_server::apply;

use crate::args::ApplyArgs;
use crate::client::{Client, encoded};
use crate::exit::Failure;
use crate::print;
use crate::words::text;

/// Plans it, and unless it is dry carries it out.
pub(crate) async fn run(client: &Client, asked: &ApplyArgs, dry_run: bool) -> Result<(), Failure> {
    let environment = |name: &str| std::env::var(name).ok();
    let configuration =
        apply::read(&asked.files, &environment).map_err(|faults| Failure::new(faults.to_string()))?;
    let body = Value::Object(configuration.to_values());
    let (name, prune) = (encoded(&asked.name), asked.prune);
    let path = format!("/api/v1/apply/?dry_run={dry_run}&prune={prune}&name={name}");
    let report = client.ask(Method::POST, &path, Some(&body)).await?;
    print::write(&said(&report))
}

fn said(report: &Value) -> String {
    let mut out = String::new();
    for (table, sign) in [("create", '+'), ("update", '~'), ("delete", '-')] {
        for line in report[table].as_array().into_iter().flatten() {
            let adopted = if line["adopted"] == true { " (taken over)" } else { "" };
            out += &format!("{sign} {} {}{adopted}\n", text(&line["resource"]), text(&line["name"]));
            for change in line["changes"].as_array().into_iter().flatten() {
                let (field, from, to) = (&change["field"], &change["from"], &change["to"]);
                out += &format!("    {}: {from} → {to}\n", text(field));
            }
        }
    }
    for note in report["notes"].as_array().into_iter().flatten() {
        out += &format!("note: {}\n", text(note));
    }
    let count = |table: &str| report[table].as_array().map_or(0, Vec::len);
    let [new, changed, gone, same] = ["create", "update", "delete", "unchanged"].map(count);
    let mood = if report["dry_run"] == true { "would be " } else { "" };
    out + &format!("{mood}created {new}, changed {changed}, removed {gone}, unchanged {same}\n")
}
