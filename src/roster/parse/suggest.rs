//! Did you mean: the word nearest to a mistyped one.

/// Longer words are not compared: nothing that a roster names is longer than a path.
const LENGTH_MAX: usize = 256;
/// How many candidates are looked at, so that a fault costs a bounded time.
const CANDIDATES_MAX: usize = 10_000;

/// The candidate that the fewest slips of a finger lead to; none when it is another word.
pub(super) fn nearest<T: AsRef<str>>(word: &str, candidates: impl IntoIterator<Item = T>) -> Option<T> {
    let reach = if word.len() < 4 { 1 } else { 2 };
    candidates
        .into_iter()
        .take(CANDIDATES_MAX)
        .filter(|candidate| word.len().abs_diff(candidate.as_ref().len()) <= reach)
        .map(|candidate| (distance(word, candidate.as_ref()), candidate))
        .filter(|(distance, _)| *distance <= reach)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// How many bytes are put in, left out, changed or swapped with their neighbour.
fn distance(a: &str, b: &str) -> usize {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len().max(b.len()) > LENGTH_MAX {
        return usize::MAX;
    }
    let mut rows = [(0..=b.len()).collect::<Vec<_>>(), vec![0; b.len() + 1], vec![0; b.len() + 1]];
    for i in 1..=a.len() {
        // rows: the one before the last, the last, this one.
        rows.rotate_right(1);
        let [this, last, older] = &mut rows;
        this[0] = i;
        for j in 1..=b.len() {
            let changed = usize::from(a[i - 1] != b[j - 1]);
            this[j] = (last[j - 1] + changed).min(last[j] + 1).min(this[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                this[j] = this[j].min(older[j - 2] + 1);
            }
        }
    }
    rows[0][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_a_finger_is_seen() {
        let keys = ["ingress", "egress", "name", "key"];
        assert_eq!(nearest("ingres", keys), Some("ingress"));
        assert_eq!(nearest("egres", keys), Some("egress"));
        assert_eq!(nearest("nmae", keys), Some("name"));
        assert_eq!(nearest("kye", keys), Some("key"));
        assert_eq!(nearest("colour", keys), None);
        assert_eq!(nearest(&"x".repeat(10_000), keys), None);
    }

    #[test]
    fn distance_counts_slips() {
        assert_eq!(distance("abc", "abc"), 0);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", "acb"), 1);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
