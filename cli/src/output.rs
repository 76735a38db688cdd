//! What people and programs read on standard output.

use std::io::Write as _;
use std::time::{Duration, SystemTime};

use baetyl_proto::cloud::v1::Document;
use baetyl_proto::document;
use baetyl_proto::json::{self, WriteOptions};
use prost_types::Timestamp;
use serde::Serialize;

use crate::args::Form;
use crate::failure::Failure;

mod machine;
mod summary;
mod table;

pub(crate) use machine::{machine_readiness, ready_machines};
pub(crate) use summary::{columns, name, row, word};
pub(crate) use table::Table;

/// Prints one line of data. A closed pipe ends the program quietly, as `head` expects.
pub(crate) fn line(text: &str) {
    let mut out = std::io::stdout().lock();
    if writeln!(out, "{text}").and_then(|()| out.flush()).is_err() {
        #[expect(clippy::exit, reason = "nobody reads any more")]
        std::process::exit(0);
    }
}

/// Says something to a person.
#[expect(clippy::print_stderr, reason = "talk goes to standard error")]
pub(crate) fn say(text: &str) {
    eprintln!("{text}");
}

/// Prints a value for programs.
pub(crate) fn value(form: Form, value: &impl Serialize) -> Result<(), Failure> {
    let text = match form {
        Form::Yaml => json::to_yaml(value).map_err(Failure::local)?,
        Form::Table | Form::Json | Form::Name => {
            serde_json::to_string_pretty(value).map_err(Failure::local)?
        }
    };
    line(text.trim_end());
    Ok(())
}

/// Prints a message of the contract for programs.
pub(crate) fn message<T: prost::Message>(
    form: Form,
    full_name: &str,
    message: &T,
) -> Result<(), Failure> {
    value(
        form,
        &json::to_json(full_name, message, WriteOptions::default()),
    )
}

/// Prints resources in the wanted form.
pub(crate) fn documents(
    form: Form,
    kind: crate::client::Kind,
    documents: &[Document],
    single: bool,
) -> Result<(), Failure> {
    let options = WriteOptions::default();
    match form {
        Form::Table => {
            let mut table = Table::new(columns(kind));
            for document in documents {
                table.add(row(document));
            }
            table.print();
        }
        Form::Name => {
            for document in documents {
                line(&format!("{}/{}", kind.word(), name(document)));
            }
        }
        Form::Yaml => line(document::to_yaml(documents, options).trim_end()),
        Form::Json if single && documents.len() == 1 => {
            value(form, &document::to_json(&documents[0], options))?;
        }
        Form::Json => {
            let all: Vec<_> = documents
                .iter()
                .map(|document| document::to_json(document, options))
                .collect();
            value(form, &all)?;
        }
    }
    Ok(())
}

/// A time as `2026-11-22 10:03:07 UTC`; empty when there is none.
pub(crate) fn time(time: Option<&Timestamp>) -> String {
    let text = time.map(Timestamp::to_string).unwrap_or_default();
    let text = text
        .split_once('.')
        .map_or(text.as_str(), |(whole, _)| whole);
    let text = text.trim_end_matches('Z').replace('T', " ");
    if text.is_empty() {
        text
    } else {
        format!("{text} UTC")
    }
}

/// How long ago a time was: `0s`, `12s`, `4m`, `3h`, `2d`; `–` when there is none.
pub(crate) fn age(time: Option<&Timestamp>) -> String {
    let Some(time) = time.and_then(|time| SystemTime::try_from(*time).ok()) else {
        return "–".to_owned();
    };
    let age = SystemTime::now().duration_since(time);
    short(age.unwrap_or(Duration::ZERO))
}

fn short(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7_200 => format!("{}m", seconds / 60),
        7_200..172_800 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// Bytes as `12 MiB`.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    let mut left = count;
    let mut unit = "B";
    for next in UNITS {
        if left < 1024 {
            break;
        }
        left /= 1024;
        unit = next;
    }
    format!("{left} {unit}")
}

/// `–` for nothing.
pub(crate) fn dash(text: &str) -> String {
    if text.is_empty() { "–" } else { text }.to_owned()
}

#[cfg(test)]
mod tests;
