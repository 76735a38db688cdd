//! What a benchmark prints and writes: tables, with the machine and the command beside them.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use time::OffsetDateTime;

use crate::machine::Machine;

/// Prints a line for people. A reader who has gone away is no reason to stop measuring.
pub fn say(line: &str) {
    let mut out = std::io::stdout();
    writeln!(out, "{line}").and_then(|()| out.flush()).ok();
}

/// A table with a caption. Its first column is text, the others are figures.
#[derive(Clone, Debug, Default)]
pub struct Table {
    caption: String,
    head: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table without rows.
    pub fn new<'a>(caption: impl Into<String>, head: impl IntoIterator<Item = &'a str>) -> Self {
        Self {
            caption: caption.into(),
            head: head.into_iter().map(str::to_owned).collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row; cells that it lacks are empty.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let mut cells: Vec<String> = cells.into_iter().collect();
        cells.resize(self.head.len(), String::new());
        self.rows.push(cells);
    }

    /// The table in Markdown, aligned, so that it reads the same in a terminal.
    #[must_use]
    pub fn render(&self) -> String {
        let all = || std::iter::once(&self.head).chain(&self.rows);
        let width = |column: usize| {
            let cells = all().map(|row| row[column].chars().count());
            cells.max().unwrap_or_default().max(3)
        };
        let widths: Vec<usize> = (0..self.head.len()).map(width).collect();
        let mut text = String::new();
        if !self.caption.is_empty() {
            text = format!("{}\n\n", self.caption);
        }
        for (index, row) in all().enumerate() {
            text.push('|');
            for (column, cell) in row.iter().enumerate() {
                let width = widths[column];
                // Writing to a text cannot fail.
                let _ = if column == 0 {
                    write!(text, " {cell:<width$} |")
                } else {
                    write!(text, " {cell:>width$} |")
                };
            }
            text.push('\n');
            if index == 0 {
                text.push_str(&rule(&widths));
            }
        }
        text
    }
}

/// The line below the head: text to the left, figures to the right.
fn rule(widths: &[usize]) -> String {
    let mut text = String::from("|");
    for (column, width) in widths.iter().enumerate() {
        let dashes = "-".repeat(*width);
        text.push_str(&if column == 0 {
            format!(" {dashes} |")
        } else {
            format!(" {dashes}:|")
        });
    }
    text.push('\n');
    text
}

/// One run of a benchmark.
#[derive(Debug)]
pub struct Report {
    name: &'static str,
    title: &'static str,
    machine: Machine,
    begun: OffsetDateTime,
    parts: Vec<String>,
}

impl Report {
    /// Begins a run of the benchmark that `./just <name>` starts; the machine is looked at now.
    #[must_use]
    pub fn begin(name: &'static str, title: &'static str) -> Self {
        let machine = Machine::look();
        say(&format!("{name}: {machine}"));
        Self {
            name,
            title,
            machine,
            begun: OffsetDateTime::now_utc(),
            parts: Vec::new(),
        }
    }

    /// Adds a paragraph: what was done, or how to read what follows.
    pub fn text(&mut self, text: &str) {
        self.parts.push(format!("{text}\n"));
    }

    /// Adds a table, and prints it at once.
    pub fn table(&mut self, table: &Table) {
        let text = table.render();
        say(&format!("\n{text}"));
        self.parts.push(text);
    }

    /// Writes the run to `docs/benchmarks/<name>.md`, in place of the run before. Only what an
    /// optimised program did at full length is worth keeping; anything else stays on the screen.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn keep(&self, is_full: bool) -> Result<()> {
        if cfg!(debug_assertions) || !is_full {
            say("not written to docs/benchmarks: that takes a full run of a release build");
            return Ok(());
        }
        let path = folder().join(format!("{}.md", self.name));
        fs::write(&path, self.render(&words()))
            .with_context(|| format!("cannot write {}", path.display()))?;
        say(&format!("written to docs/benchmarks/{}.md", self.name));
        Ok(())
    }

    /// The run as a document.
    fn render(&self, arguments: &str) -> String {
        let Self {
            name,
            title,
            machine,
            begun,
            ..
        } = self;
        let (date, hour, minute) = (begun.date(), begun.hour(), begun.minute());
        let head = format!(
            "# {title}\n\n- when: {date} {hour:02}:{minute:02} UTC\n\
             - command: `./just {name}{arguments}`\n- machine: {machine}\n"
        );
        format!("{head}\n{}", self.parts.join("\n"))
    }
}

/// What was typed behind the recipe's name, with a blank before each word.
fn words() -> String {
    std::env::args()
        .skip(1)
        .fold(String::new(), |text, word| text + " " + &word)
}

fn folder() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package).join("docs/benchmarks")
}

#[cfg(test)]
mod tests;
