//! Which of several rows with one key holds (docs/decisions/0007). The answer depends on the rows and on when the city made
//! their packages, never on the order in which they arrived.
//!
//! Rows made before the latest deletion say nothing any more. Of those behind it the correction made last holds; without one
//! the new row made first, because a new row never changes a number that is taken (P-023, P-025). Rows made in the same second
//! are compared by a keyed digest of what they say, and a deletion comes after them.

use kiban_domain::Timestamp;
use kiban_formats::municipal::Change;
use std::cmp::Ordering;
use std::collections::HashMap;

/// A row as far as it takes to compare it with another one of its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    /// A correction or a deletion.
    pub(crate) corrected: bool,
    pub(crate) deleted: bool,
    /// Keyed digest of the content.
    pub(crate) digest: Vec<u8>,
}

impl Row {
    pub(crate) fn new(change: Change, digest: [u8; 32]) -> Self {
        let (corrected, deleted) = (change != Change::New, change == Change::Deleted);
        Self { corrected, deleted, digest: digest.to_vec() }
    }

    fn says_the_same(&self, other: &Self) -> bool {
        (self.deleted, &self.digest) == (other.deleted, &other.digest)
    }

    /// Of two rows of which none is a deletion: whether it holds over the other, whose package was made before, with or after its
    /// own.
    fn holds_over(&self, other: &Self, made: Ordering) -> bool {
        let by_content = made == Ordering::Equal && self.digest > other.digest;
        match (self.corrected, other.corrected) {
            (true, false) => true,
            (false, true) => false,
            (true, true) => made == Ordering::Less || by_content,
            (false, false) => made == Ordering::Greater || by_content,
        }
    }
}

/// The row that holds a key. When it was made is seen from the row being judged: before, with or after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Holder {
    pub(crate) row: Row,
    pub(crate) made: Ordering,
    /// When the latest deletion of the key was made.
    pub(crate) deleted: Option<Ordering>,
}

/// What becomes of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Nothing is there under its key.
    First,
    /// It says what is there.
    Same,
    /// It says what is there, and is the row to remember.
    Confirmed,
    /// A correction of what was there.
    Corrects,
    /// It takes the place of a new row that arrived before it and does not hold.
    Displaces,
    /// A row of a package made with or after its own holds.
    Superseded,
    /// A deletion from before the row that holds; it is to be remembered.
    Outlived,
    /// It is new, and its key is taken.
    Taken,
}

/// Packages of an insurer that were made with or after the one being judged.
#[derive(Debug, Default)]
pub(crate) struct Since(HashMap<i64, Ordering>);

impl Since {
    pub(crate) fn new(made_at: Timestamp, receipts: Vec<(i64, Timestamp)>) -> Self {
        Self(receipts.into_iter().map(|(number, made)| (number, made.cmp(&made_at))).collect())
    }

    /// Receipts of packages made after it.
    pub(crate) fn later(&self) -> impl Iterator<Item = i64> {
        self.0.iter().filter(|(_, made)| **made == Ordering::Greater).map(|(number, _)| *number)
    }

    /// When what a receipt brought was made, seen from the package being judged. What is of no package was there before.
    pub(crate) fn made(&self, revision: i64) -> Ordering {
        self.0.get(&revision).copied().unwrap_or(Ordering::Less)
    }
}

/// What becomes of a row under a key that another holds.
pub(crate) fn standing(row: &Row, holder: Option<&Holder>) -> Standing {
    let Some(Holder { row: there, made, deleted }) = holder else { return Standing::First };
    let says_the_same = row.says_the_same(there);
    let is_before_deletion = deleted.is_some_and(|deleted| deleted != Ordering::Less);
    let holds = match (row.deleted, there.deleted) {
        (false, _) if is_before_deletion => false,
        (false, true) => true,
        (false, false) => row.holds_over(there, *made),
        (true, true) => *made == Ordering::Less || *made == Ordering::Equal && row.digest > there.digest,
        (true, false) if *made == Ordering::Greater && !is_before_deletion => return Standing::Outlived,
        (true, false) => *made != Ordering::Greater,
    };
    match (holds, says_the_same) {
        (true, true) => Standing::Confirmed,
        (false, true) => Standing::Same,
        (true, false) if *made == Ordering::Less || row.deleted => Standing::Corrects,
        (true, false) => Standing::Displaces,
        (false, false) if *made == Ordering::Less && !is_before_deletion => Standing::Taken,
        (false, false) => Standing::Superseded,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A row and the second its package was made in.
    type Made = (Row, i64);

    /// The state of a key as the store keeps it, and the packages that can be read again.
    #[derive(Debug, Clone, Default, PartialEq)]
    struct Key {
        holder: Option<Made>,
        deletion: Option<i64>,
        arrived: Vec<Made>,
    }

    impl Key {
        fn arrives(&mut self, made: &Made) {
            self.arrived.push(made.clone());
            self.judge(made);
        }

        fn judge(&mut self, (row, second): &Made) {
            let holder = self.holder.as_ref().map(|(row, made)| {
                let deleted = self.deletion.map(|deletion| deletion.cmp(second));
                Holder { row: row.clone(), made: made.cmp(second), deleted }
            });
            match standing(row, holder.as_ref()) {
                Standing::Same | Standing::Superseded | Standing::Taken => return,
                Standing::Outlived => return self.deletion = Some(*second),
                Standing::First | Standing::Confirmed | Standing::Corrects | Standing::Displaces => {}
            }
            self.holder = Some((row.clone(), *second));
            if row.deleted {
                self.deletion = Some(*second);
                let later: Vec<_> = self.arrived.iter().filter(|(_, made)| made > second).cloned().collect();
                later.iter().for_each(|made| self.judge(made));
            }
        }
    }

    fn held(rows: &[Made]) -> (Option<Made>, Option<i64>) {
        let mut key = Key::default();
        rows.iter().for_each(|row| key.arrives(row));
        (key.holder, key.deletion)
    }

    /// What holds when every row arrives as soon as it is made, deletions of a second last: a new row under a free number, a
    /// correction, a deletion.
    fn held_in_order(rows: &[Made]) -> (bool, Vec<u8>) {
        let mut rows = rows.to_vec();
        rows.sort_by_key(|(row, second)| (*second, row.deleted, row.corrected));
        let mut held: Option<Row> = None;
        for (row, _) in rows {
            if row.corrected || held.as_ref().is_none_or(|held| held.deleted) {
                held = Some(row);
            }
        }
        held.map_or((true, Vec::new()), |row| (row.deleted, row.digest))
    }

    fn orders<T: Clone>(rows: &[T]) -> Vec<Vec<T>> {
        let Some((first, rest)) = rows.split_first() else { return vec![Vec::new()] };
        let mut all = Vec::new();
        for order in orders(rest) {
            for place in 0..=order.len() {
                let mut order = order.clone();
                order.insert(place, first.clone());
                all.push(order);
            }
        }
        all
    }

    /// Every set of up to four rows out of two contents, three changes and three seconds, in every order.
    #[test]
    fn what_holds_does_not_depend_on_the_order_of_arrival() {
        let mut every = Vec::new();
        for change in [Change::New, Change::Corrected, Change::Deleted] {
            for content in [1, 2] {
                every.extend([1, 2, 3].map(|second| (Row::new(change, [content; 32]), second)));
            }
        }
        let mut looked_at = 0;
        let n = every.len();
        for set in
            (0..n).flat_map(|a| (a..n).flat_map(move |b| (b..n).flat_map(move |c| (c..n).map(move |d| [a, b, c, d]))))
        {
            let rows = set.map(|place| every[place].clone());
            let expected = held(&rows);
            for order in orders(&rows) {
                assert_eq!(held(&order), expected, "{order:?}");
                looked_at += 1;
            }
            // In the order of making it is what a reader expects; rows of one second have no order.
            if rows.iter().all(|(row, second)| rows.iter().all(|(other, at)| second != at || row == other)) {
                let (row, _) = expected.0.unwrap();
                let (deleted, digest) = held_in_order(&rows);
                assert_eq!((row.deleted, row.deleted || row.digest == digest), (deleted, true), "{rows:?}");
            }
        }
        assert_eq!(looked_at, 5_985 * 24);
    }

    #[test]
    fn a_taken_number_is_changed_by_a_correction_alone() {
        let (new, other) = (Row::new(Change::New, [1; 32]), Row::new(Change::New, [2; 32]));
        let (corrected, deleted) = (Row::new(Change::Corrected, [3; 32]), Row::new(Change::Deleted, [1; 32]));
        let at = |row: &Row, there: &Row, made| {
            let deleted = there.deleted.then_some(made);
            standing(row, Some(&Holder { row: there.clone(), made, deleted }))
        };
        assert_eq!(standing(&new, None), Standing::First);
        assert_eq!(at(&other, &new, Ordering::Less), Standing::Taken);
        assert_eq!(at(&new, &new, Ordering::Less), Standing::Same);
        assert_eq!(at(&new, &new, Ordering::Greater), Standing::Confirmed);
        assert_eq!(at(&corrected, &new, Ordering::Less), Standing::Corrects);
        assert_eq!(at(&new, &deleted, Ordering::Less), Standing::Corrects, "a deleted number is free again");
        assert_eq!(at(&new, &deleted, Ordering::Greater), Standing::Superseded);
        assert_eq!(at(&deleted, &corrected, Ordering::Greater), Standing::Outlived);
        assert_eq!(at(&corrected, &deleted, Ordering::Less), Standing::Corrects);
        assert_eq!(at(&other, &new, Ordering::Greater), Standing::Displaces, "the one made first was there first");
        assert_eq!(at(&corrected, &other, Ordering::Greater), Standing::Displaces);
        assert_eq!(at(&new, &corrected, Ordering::Greater), Standing::Superseded);
    }
}
