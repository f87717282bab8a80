//! Many rows in one statement, in a few fixed sizes so that each is prepared once.

use crate::StoreError;
use crate::engine::{Arg, RawTx};
use kiban_domain::{InsuredNumber, InsurerNumber, PersonKey};

/// Rows of one statement at most.
const MOST: usize = 64;

/// An INSERT of several rows at once, made from the INSERT of one.
pub(crate) struct ManyRows {
    width: usize,
    /// Largest first.
    sizes: Vec<(usize, String)>,
}

impl ManyRows {
    /// Of a statement `INSERT … VALUES ($1, …, $n) …` without another parameter behind the values.
    pub(crate) fn of(one: &str) -> Self {
        let (before, values) = one.split_once(" VALUES (").unwrap_or((one, ")"));
        let (row, after) = values.split_once(')').unwrap_or((values, ""));
        let width = row.matches('$').count();
        // Every small number has its own: what comes in a request is mostly one statement then.
        let sizes = [MOST, 48, 32, 24].into_iter().chain((1..=16).rev());
        let statement = |rows| (rows, format!("{before} VALUES {}{after}", placeholders(rows, width)));
        Self { width, sizes: sizes.map(statement).collect() }
    }

    /// Runs it over all values, row after row; how many rows were changed.
    pub(crate) async fn run(&'static self, tx: &mut RawTx, values: &[Arg<'_>]) -> Result<u64, StoreError> {
        let (mut left, mut changed) = (values, 0);
        while left.len() >= self.width {
            let rows = left.len() / self.width;
            let (size, sql) =
                self.sizes.iter().find(|(size, _)| *size <= rows).unwrap_or(&self.sizes[self.sizes.len() - 1]);
            let (now, later) = left.split_at(size * self.width);
            changed += tx.run(sql, now).await?;
            left = later;
        }
        Ok(changed)
    }
}

fn placeholders(rows: usize, width: usize) -> String {
    let row = |r: usize| (1..=width).map(|c| format!("${}", r * width + c)).collect::<Vec<_>>().join(", ");
    (0..rows).map(|r| format!("({})", row(r))).collect::<Vec<_>>().join(", ")
}

/// People for statements that name sixteen of one insurer: the places left over hold the last of them again.
pub(crate) fn sixteens(people: &[PersonKey]) -> impl Iterator<Item = (InsurerNumber, [InsuredNumber; 16])> {
    let groups = people.chunk_by(|a, b| a.insurer == b.insurer).flat_map(|group| group.chunks(16));
    groups.filter_map(|group| {
        let last = group.last()?;
        Some((last.insurer, std::array::from_fn(|place| group.get(place).unwrap_or(last).insured)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_numbers_its_values_row_by_row() {
        let one = "INSERT INTO t (a, b)\n VALUES ($1, $2) ON CONFLICT DO NOTHING";
        let many = ManyRows::of(one);
        let [.., (2, two), (1, again)] = many.sizes.as_slice() else { panic!("sizes") };
        assert_eq!(again, one);
        assert_eq!(two, "INSERT INTO t (a, b)\n VALUES ($1, $2), ($3, $4) ON CONFLICT DO NOTHING");
        assert_eq!(many.width, 2);
    }
}
