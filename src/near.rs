//! Which existing name a wrong name was meant to be. Pure.
//!
//! A slip of the keyboard is evidence; a different member of a series (`zone-a` for `zone-b`,
//! `data-0` for `data-1`) is not, however near it is.

/// The only candidate that `wrong` is a misspelling of; none if there is none, or several, or
/// another one that is as few slips away without being a likely misspelling.
pub fn misspelled<'c>(
    wrong: &str,
    candidates: impl IntoIterator<Item = &'c str>,
) -> Option<&'c str> {
    let mut hits: Vec<&str> = candidates
        .into_iter()
        .filter(|c| is_close(wrong, c))
        .collect();
    hits.sort_unstable();
    hits.dedup();
    match hits.as_slice() {
        [only] if is_misspelling(wrong, only) => Some(only),
        _ => None,
    }
}

/// Whether one text is a likely misspelling of another: equal but for case and separators, or one
/// slip apart (two in texts of eight characters and more), and not another member of a series.
pub fn is_misspelling(wrong: &str, right: &str) -> bool {
    is_close(wrong, right) && (folded(wrong) == folded(right) || is_near_by_words(wrong, right))
}

/// Whether a text is a likely misspelling of a name to which something was added in front or behind, as
/// kustomize does: `web-cofnig` of `prod-web-config-5h2k9`.
pub fn is_misspelling_of_core(wrong: &str, right: &str) -> bool {
    let starts = right.match_indices('-').map(|(at, _)| at + 1);
    let starts: Vec<usize> = std::iter::once(0).chain(starts).collect();
    let ends = right.match_indices('-').map(|(at, _)| at);
    let ends: Vec<usize> = ends.chain(std::iter::once(right.len())).collect();
    right.len() <= 253
        && starts.iter().any(|start| {
            ends.iter()
                .filter_map(|end| right.get(*start..*end))
                .any(|core| is_misspelling(wrong, core))
        })
}

/// Near as a whole, whatever the words are.
fn is_close(wrong: &str, right: &str) -> bool {
    if wrong == right || wrong.len() > 253 || right.len() > 253 {
        return false;
    }
    if folded(wrong) == folded(right) {
        return true;
    }
    let shorter = wrong.chars().count().min(right.chars().count());
    let allowed = match shorter {
        0..4 => return false,
        4..8 => 1,
        _ => 2,
    };
    distance(wrong, right) <= allowed && !is_other_member(wrong, right)
}

/// Word by word the bound is that of the word: `orders-prod` and `orders-prd2` are two words of
/// four letters with two slips, which is another name. A shortened word (`conf`, `config`) is near.
fn is_near_by_words(a: &str, b: &str) -> bool {
    let split = |t: &str| -> Vec<String> {
        t.split(|c: char| !c.is_alphanumeric())
            .map(str::to_lowercase)
            .collect()
    };
    let (left, right) = (split(a), split(b));
    left.len() != right.len()
        || left.iter().zip(&right).all(|(x, y)| {
            let shorter = x.chars().count().min(y.chars().count());
            let shortened =
                shorter >= 3 && (x.starts_with(y.as_str()) || y.starts_with(x.as_str()));
            x == y || shortened || distance(x, y) <= if shorter < 6 { 1 } else { 2 }
        })
}

/// Edit distance with neighbouring swaps as one step (optimal string alignment).
pub fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    for (j, cell) in rows[0].iter_mut().enumerate() {
        *cell = j;
    }
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            let change = usize::from(a[i - 1] != b[j - 1]);
            let mut best = (rows[i - 1][j] + 1)
                .min(rows[i][j - 1] + 1)
                .min(rows[i - 1][j - 1] + change);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = best;
        }
    }
    rows[a.len()][b.len()]
}

fn folded(text: &str) -> String {
    text.chars()
        .filter(|c| !matches!(c, '-' | '_' | '.'))
        .flat_map(char::to_lowercase)
        .collect()
}

/// `zone-a`/`zone-b`, `v1`/`v2`, `data-0`/`data-10`: what differs is a number or a one-letter word.
fn is_other_member(a: &str, b: &str) -> bool {
    let (left, right) = (words(a), words(b));
    left.len() == right.len()
        && left.iter().zip(&right).any(|(x, y)| {
            x != y && (is_number(x) || is_number(y) || (x.len() == 1 && y.len() == 1))
        })
}

/// Splits at separators and where digits begin or end.
fn words(text: &str) -> Vec<String> {
    let mut out: Vec<String> = vec![String::new()];
    let mut last: Option<char> = None;
    for c in text.chars() {
        let separator = !c.is_alphanumeric();
        let turns = last.is_some_and(|l| l.is_ascii_digit() != c.is_ascii_digit());
        if separator || turns {
            out.push(String::new());
        }
        if !separator && let Some(word) = out.last_mut() {
            word.push(c);
        }
        last = (!separator).then_some(c);
    }
    out.retain(|w| !w.is_empty());
    out
}

fn is_number(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|b| b.is_ascii_digit())
}

/// Words that say nothing about whose volume or class a name means.
const GENERIC: &[&str] = &[
    "pvc",
    "claim",
    "pv",
    "data",
    "volume",
    "vol",
    "storage",
    "disk",
    "persistent",
    "my",
    "app",
    "the",
    "default",
    "new",
    "old",
];

/// Whether no word of a name says whose it is.
pub fn is_generic(name: &str) -> bool {
    words(name)
        .iter()
        .all(|w| w.len() < 2 || is_number(w) || GENERIC.contains(&w.as_str()))
}

/// Whether two names share a word that says whose they are, or one is the other with more words.
pub fn shares_a_word(a: &str, b: &str) -> bool {
    let (left, right) = (words(a), words(b));
    left.iter().any(|w| {
        w.len() > 1 && !is_number(w) && !GENERIC.contains(&w.as_str()) && right.contains(w)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_found() {
        for (wrong, right) in [
            ("databse", "database"),
            ("fast-sdd", "fast-ssd"),
            ("Standard", "standard"),
            ("node_type", "node-type"),
            ("chekcout-data", "checkout-data"),
        ] {
            assert!(is_misspelling(wrong, right), "{wrong} {right}");
        }
    }

    #[test]
    fn a_slip_of_what_something_was_added_to_is_found() {
        for (wrong, right, is_slip) in [
            ("web-cofnig", "prod-web-config", true),
            ("web-cofnig", "web-config-5h2k9m8t6f", true),
            ("web-cofnig", "prod-web-config-5h2k9m8t6f", true),
            ("web-config", "prod-web-config", false),
            ("web-defaults", "prod-web-config", false),
            ("cofnig", "", false),
        ] {
            assert_eq!(
                is_misspelling_of_core(wrong, right),
                is_slip,
                "{wrong} {right}"
            );
        }
    }

    #[test]
    fn a_second_name_that_is_close_makes_it_a_question() {
        assert_eq!(
            misspelled("orders-db-cred", ["orders-db-creds"]),
            Some("orders-db-creds")
        );
        let both = ["orders-db-creds", "orders-db-cert"];
        assert_eq!(misspelled("orders-db-cred", both), None);
    }

    #[test]
    fn another_member_of_a_series_or_another_word_is_no_slip() {
        for (wrong, right) in [
            ("zone-a", "zone-b"),
            ("europe-west1", "europe-west2"),
            ("data-web-0", "data-web-1"),
            ("arm64", "amd64"),
            ("ssd", "hdd"),
            ("linux", "windows"),
            ("same", "same"),
            ("gp2", "gp3"),
            ("orders-db-prod", "orders-db-prd2"),
        ] {
            assert!(!is_misspelling(wrong, right), "{wrong} {right}");
        }
    }

    #[test]
    fn two_that_fit_are_none() {
        assert_eq!(misspelled("cart-dat", ["cart-data", "cart-date"]), None);
        assert_eq!(
            misspelled("cart-dat", ["cart-data", "orders"]),
            Some("cart-data")
        );
        assert_eq!(
            misspelled("cart-dat", ["cart-data", "cart-data"]),
            Some("cart-data")
        );
    }

    #[test]
    fn generic_words_relate_nothing() {
        assert!(shares_a_word("orders-pvc", "orders-data-claim"));
        assert!(!shares_a_word("orders-pvc", "users-pvc"));
        assert!(!shares_a_word("data", "data-pvc"));
        assert!(is_generic("data-pvc-0") && !is_generic("backup-data"));
    }
}
