//! Where log lines go, and how they look.

use std::fmt;
use std::io::{self, IsTerminal as _};

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::field::{MakeVisitor, VisitFmt, VisitOutput};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use vilicus_agent::config::{Config, LogFormat};
use vilicus_agent::printable::escaped;

use crate::Failure;
use crate::args::{Format, Shared};

/// Begins to log to standard error.
pub(crate) fn begin(shared: &Shared, config: &Config) -> Result<(), Failure> {
    let wanted = shared.log.clone().filter(|filter| !filter.is_empty()).or_else(|| config.log.clone());
    let filter: Targets = wanted.as_deref().unwrap_or("info").parse().map_err(|_| {
        Failure::Usage("--log is not a filter; give a level (error, warn, info, debug, trace)".to_owned())
    })?;
    let builder = tracing_subscriber::fmt().with_max_level(LevelFilter::TRACE).with_writer(io::stderr);
    let format = match (shared.log_format, config.log_format.unwrap_or_default()) {
        (Some(format), _) => format,
        (None, LogFormat::Json) => Format::Json,
        (None, LogFormat::Text) => Format::Text,
    };
    // A second subscriber in one process is a mistake of ours, and no reason not to run.
    let _ = match format {
        Format::Json => builder.json().flatten_event(true).finish().with(filter).try_init(),
        Format::Text => {
            builder.with_ansi(wants_colour()).fmt_fields(PlainFields).finish().with(filter).try_init()
        }
    };
    Ok(())
}

/// Colours only on a terminal, and never against `NO_COLOR`.
fn wants_colour() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Writes fields as `message name=value …`, every value with its control characters escaped.
#[derive(Debug, Clone, Copy)]
struct PlainFields;

impl<'a> MakeVisitor<Writer<'a>> for PlainFields {
    type Visitor = PlainVisitor<'a>;

    fn make_visitor(&self, writer: Writer<'a>) -> Self::Visitor {
        PlainVisitor { writer, is_first: true, result: Ok(()) }
    }
}

#[derive(Debug)]
struct PlainVisitor<'a> {
    writer: Writer<'a>,
    is_first: bool,
    result: fmt::Result,
}

impl Visit for PlainVisitor<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if self.result.is_err() {
            return;
        }
        let gap = if std::mem::take(&mut self.is_first) { "" } else { " " };
        let value = format!("{value:?}");
        let value = escaped(&value);
        self.result = match field.name() {
            "message" => write!(self.writer, "{gap}{value}"),
            name => write!(self.writer, "{gap}{name}={value}"),
        };
    }
}

impl VisitOutput<fmt::Result> for PlainVisitor<'_> {
    fn finish(self) -> fmt::Result {
        self.result
    }
}

impl VisitFmt for PlainVisitor<'_> {
    fn writer(&mut self) -> &mut dyn fmt::Write {
        &mut self.writer
    }
}
