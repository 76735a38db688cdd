//! The words of frames, conditions and fields, from words.txt beside this file.

use std::collections::BTreeSet;

use super::super::rust::literals;
use super::{AREAS, FRAMES, Key, Row, Rows, shown, sources};
use crate::finding::Finding;
use crate::repository::Repository;

const PATH: &str = "xtask/src/docs/reasons/words.txt";
const WORDS: &str = include_str!("words.txt");

/// Adds the words, and finds those that nothing says any more.
pub(super) fn add(repository: &Repository, rows: &mut Rows, findings: &mut Vec<Finding>) {
    let mut told = BTreeSet::new();
    for (index, line) in WORDS.lines().enumerate() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let added = parse(line).and_then(|word| word.add(repository, rows, &mut told));
        if let Err(message) = added {
            findings.push(Finding::error(PATH, index + 1, "reason", message));
        }
    }
}

/// A line of the file.
struct Word<'a> {
    area: &'static str,
    folder: &'a str,
    code: &'a str,
    word: &'a str,
    meaning: &'a str,
    advice: &'a str,
}

fn parse(line: &str) -> Result<Word<'_>, String> {
    let parts: Vec<&str> = line.split('|').map(str::trim).collect();
    let [area, folder, code, word, meaning, advice] = parts[..] else {
        return Err("must be table | folder | code | word | meaning | who does what".to_owned());
    };
    let mut areas = AREAS.iter().map(|(area, _)| *area).chain(FRAMES);
    let area = areas.find(|known| *known == area);
    Ok(Word {
        area: area.ok_or_else(|| "there is no such table".to_owned())?,
        folder,
        code,
        word,
        meaning,
        advice,
    })
}

impl Word<'_> {
    /// Adds the line; the first that tells something replaces what the sources say.
    fn add(
        &self,
        repository: &Repository,
        rows: &mut Rows,
        told: &mut BTreeSet<Key>,
    ) -> Result<(), String> {
        let paths = self.said_by(repository);
        if paths.is_empty() {
            let Self { folder, word, .. } = self;
            return Err(format!("nothing in {folder} says `{word}`: drop the line"));
        }
        let key = (self.area, self.word.to_owned(), self.code.to_owned());
        let is_first = told.insert(key.clone());
        let row: &mut Row = rows.entry(key).or_default();
        for (known, new) in [
            (&mut row.meanings, self.meaning),
            (&mut row.advice, self.advice),
        ] {
            if !new.is_empty() {
                if is_first {
                    known.clear();
                }
                known.push(new.to_owned());
            }
        }
        row.sources.extend(paths);
        Ok(())
    }

    /// The sources that say the word, as a text or by the name of a constant.
    fn said_by(&self, repository: &Repository) -> Vec<String> {
        let constant = format!("::{}", self.word);
        // Words of fields and frames come from everywhere, those of calls from their own area.
        let is_everywhere = self.area == "fields" || FRAMES.contains(&self.area);
        sources(repository)
            .filter(|(area, path, _)| {
                path.starts_with(self.folder) && (is_everywhere || *area == self.area)
            })
            .filter(|(_, _, text)| {
                let mut all = literals(text).into_iter();
                text.contains(&constant) || all.any(|literal| literal.value == self.word)
            })
            .map(|(_, path, _)| shown(path))
            .collect()
    }
}
