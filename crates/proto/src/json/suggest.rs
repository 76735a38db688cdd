//! "Did you mean": the nearest of the names that would have been right.

/// Longest name that is compared, so that garbage costs nothing.
const MAX_NAME_BYTES: usize = 64;

/// The candidate that differs least from `name`, when it differs little enough to be meant: by case
/// and separators alone, or by one edit in three characters, three at most.
#[must_use]
pub fn nearest<I, S>(name: &str, candidates: I) -> Option<S>
where
    I: IntoIterator<Item = S>,
    S: AsRef<str>,
{
    if name.len() > MAX_NAME_BYTES {
        return None;
    }
    let wanted = folded(name);
    let limit = (wanted.len() / 3).clamp(1, 3);
    candidates
        .into_iter()
        .map(|candidate| (distance(&wanted, &folded(candidate.as_ref())), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

fn folded(name: &str) -> Vec<char> {
    name.chars()
        .filter(|character| !"-_. ".contains(*character))
        .map(|character| character.to_ascii_lowercase())
        .collect()
}

/// Edits (insert, remove, replace, swap neighbours) that turn one into the other.
fn distance(from: &[char], to: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=to.len()).collect();
    for (row, &left) in from.iter().enumerate() {
        let mut current = vec![row + 1];
        for (column, &right) in to.iter().enumerate() {
            let replaced = last[column] + usize::from(left != right);
            let mut best = replaced.min(last[column + 1] + 1).min(current[column] + 1);
            let is_swap = row > 0 && column > 0 && left == to[column - 1] && from[row - 1] == right;
            if is_swap {
                best = best.min(before[column - 1] + 1);
            }
            current.push(best);
        }
        before = std::mem::replace(&mut last, current);
    }
    last[to.len()]
}
