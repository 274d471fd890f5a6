//! Prints lists: a table for people, or what a script reads.

use std::io::{self, Write as _};

use comfy_table::{ContentArrangement, Table, presets};
use serde_json::Value;

use crate::args::Output;
use crate::exit::Failure;

/// Rows under their headings.
pub(crate) struct Rows {
    pub(crate) headings: Vec<&'static str>,
    pub(crate) rows: Vec<Vec<String>>,
}

/// Prints objects; `names` and `rows` say them in words.
pub(crate) fn print(output: Output, objects: &[Value], names: &[String], rows: Rows) -> Result<(), Failure> {
    let text = match output {
        Output::Table => table(rows),
        Output::Json => json(objects)?,
        Output::Yaml => yaml(objects)?,
        Output::Csv => csv(&rows)?,
        Output::Name => names.iter().map(|name| format!("{name}\n")).collect(),
    };
    write(&text)
}

/// Writes to standard output; whoever reads it may stop reading.
pub(crate) fn write(text: &str) -> Result<(), Failure> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::because("cannot write to standard output", &error))
        }
        _ => Ok(()),
    }
}

/// Columns without lines between them, as wide as the terminal allows.
pub(crate) fn table(rows: Rows) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(rows.headings);
    for row in rows.rows {
        table.add_row(row);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let lines = table.lines().map(|line| format!("{}\n", line.trim_end()));
    lines.collect()
}

fn json(objects: &[Value]) -> Result<String, Failure> {
    let text = serde_json::to_string_pretty(objects);
    text.map(|text| text + "\n").map_err(|error| Failure::because("cannot write JSON", &error))
}

fn yaml(objects: &[Value]) -> Result<String, Failure> {
    serde_norway::to_string(objects).map_err(|error| Failure::because("cannot write YAML", &error))
}

fn csv(rows: &Rows) -> Result<String, Failure> {
    let failed = |error: &(dyn std::error::Error + 'static)| Failure::because("cannot write CSV", error);
    let mut writer = csv::Writer::from_writer(Vec::new());
    let lower = rows.headings.iter().map(|heading| heading.to_lowercase());
    writer.write_record(lower).map_err(|error| failed(&error))?;
    for row in &rows.rows {
        writer.write_record(row).map_err(|error| failed(&error))?;
    }
    let bytes = writer.into_inner().map_err(|error| failed(&error))?;
    String::from_utf8(bytes).map_err(|error| failed(&error))
}
