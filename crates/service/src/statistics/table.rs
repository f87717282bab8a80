//! Tables of counts, and how they leave the municipality: in steps, so that neither the sums nor another table nor the same
//! table of another day tells of fewer people than one step (P-239, docs/statistics.md).

use serde::{Deserialize, Serialize};

/// One table. In an additive one the last row and the last column are the sums of the others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// Stable id.
    pub id: String,
    /// What it shows, in Japanese.
    pub name: String,
    /// What the rows are.
    pub row_label: String,
    /// Names of the columns.
    pub columns: Vec<String>,
    /// The rows.
    pub rows: Vec<TableRow>,
    /// Whether the cells are counts that add up to the sums.
    pub additive: bool,
}

/// A row of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableRow {
    /// Its name.
    pub name: String,
    /// One cell for each column; absent: suppressed, or there is nothing to compute it from.
    pub cells: Vec<Option<u64>>,
}

/// Name of sums.
const TOTAL: &str = "合計";

impl Table {
    /// A table of counts with its sums.
    pub(crate) fn of_counts(
        (id, name, row_label): (&str, &str, &str),
        columns: &[&str],
        rows: Vec<(String, Vec<u64>)>,
    ) -> Self {
        let mut sums = vec![0; columns.len() + 1];
        let mut all = Vec::with_capacity(rows.len() + 1);
        for (name, mut cells) in rows {
            cells.push(cells.iter().sum());
            sums.iter_mut().zip(&cells).for_each(|(sum, cell)| *sum += cell);
            all.push(TableRow { name, cells: cells.into_iter().map(Some).collect() });
        }
        all.push(TableRow { name: TOTAL.to_owned(), cells: sums.into_iter().map(Some).collect() });
        let columns = columns.iter().copied().chain([TOTAL]).map(str::to_owned).collect();
        let (id, name, row_label) = (id.to_owned(), name.to_owned(), row_label.to_owned());
        Self { id, name, row_label, columns, rows: all, additive: true }
    }

    /// A table whose first column is a number of cases and whose others describe them.
    pub(crate) fn of_measures(
        (id, name, row_label): (&str, &str, &str),
        columns: &[&str],
        rows: Vec<(String, Vec<Option<u64>>)>,
    ) -> Self {
        let rows = rows.into_iter().map(|(name, cells)| TableRow { name, cells }).collect();
        let (id, name, row_label) = (id.to_owned(), name.to_owned(), row_label.to_owned());
        let columns = columns.iter().copied().map(str::to_owned).collect();
        Self { id, name, row_label, columns, rows, additive: false }
    }

    /// The cell of a row, counted from 0, and a column.
    pub(crate) fn cell(&self, row: usize, column: usize) -> Option<u64> {
        *self.rows.get(row)?.cells.get(column)?
    }

    /// The table as it may leave the municipality: every count as the tens (of `step`) that are full, fewer than one step as
    /// nothing, zero too; sums of what is shown, so that they tell no more than their parts; days as full fives.
    #[must_use]
    pub fn for_outside(mut self, step: u64) -> Self {
        if self.additive {
            self.count_in_steps(step);
        } else {
            self.measure_in_steps(step);
        }
        if ROWS_FROM_DATA.contains(&self.id.as_str()) {
            // That there is a row at all would tell of somebody.
            self.rows.retain(|row| row.name == TOTAL || row.cells.iter().any(Option::is_some));
        }
        self
    }

    fn count_in_steps(&mut self, step: u64) {
        let mut sums = vec![0; self.columns.len()];
        let Some((totals, parts)) = self.rows.split_last_mut() else { return };
        for row in parts {
            let Some((total, cells)) = row.cells.split_last_mut() else { continue };
            cells.iter_mut().for_each(|cell| *cell = full_steps(*cell, step));
            *total = shown(cells.iter().flatten().sum());
            sums.iter_mut().zip(&row.cells).for_each(|(sum, cell)| *sum += cell.unwrap_or_default());
        }
        totals.cells = sums.into_iter().map(shown).collect();
    }

    /// The first column is the number of cases, the last one a part of them, those between are days.
    fn measure_in_steps(&mut self, step: u64) {
        for row in &mut self.rows {
            let Some((cases, rest)) = row.cells.split_first_mut() else { continue };
            *cases = full_steps(*cases, step);
            if cases.is_none() {
                rest.fill(None);
            } else if let Some((part, days)) = rest.split_last_mut() {
                *part = full_steps(*part, step);
                days.iter_mut().flatten().for_each(|days| *days -= *days % DAYS);
            }
        }
    }
}

/// Tables of which only the rows are there that somebody is counted in.
const ROWS_FROM_DATA: [&str; 10] = [
    "refusals",
    "looks",
    "change_by_area",
    "change_by_service",
    "adl_by_area",
    "adl_by_service",
    "nutrition_by_area",
    "nutrition_by_service",
    "oral_by_area",
    "oral_by_service",
];
/// Days leave the municipality in steps of so many.
const DAYS: u64 = 5;

/// A count rounded down to full steps. Less than one is nothing, whether or not it is zero.
pub(crate) fn full_steps(count: Option<u64>, step: u64) -> Option<u64> {
    let step = step.max(1);
    shown(count? / step * step)
}

fn shown(count: u64) -> Option<u64> {
    (count > 0).then_some(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(rows: &[&[u64]]) -> Table {
        let columns: Vec<&str> = ["あ", "い", "う", "え", "お"][..rows[0].len()].to_vec();
        let rows = rows.iter().enumerate().map(|(i, cells)| (format!("{i}"), cells.to_vec())).collect();
        Table::of_counts(("t", "見本", "行"), &columns, rows)
    }

    fn shown(table: &Table) -> Vec<Vec<Option<u64>>> {
        table.rows.iter().map(|row| row.cells.clone()).collect()
    }

    #[test]
    fn sums_stand_in_the_last_row_and_column() {
        let all = |cells: &[u64]| cells.iter().copied().map(Some).collect::<Vec<_>>();
        assert_eq!(shown(&table(&[&[1, 2], &[3, 4]])), [all(&[1, 2, 3]), all(&[3, 4, 7]), all(&[4, 6, 10])]);
    }

    #[test]
    fn counts_leave_in_full_steps_and_sums_are_those_of_what_is_shown() {
        let few = table(&[&[3, 0, 27], &[10, 19, 20]]).for_outside(10);
        let cells = [
            vec![None, None, Some(20), Some(20)],
            vec![Some(10), Some(10), Some(20), Some(40)],
            vec![Some(10), Some(10), Some(40), Some(60)],
        ];
        assert_eq!(shown(&few), cells);
    }

    #[test]
    fn measures_of_few_cases_are_not_shown_and_days_are_rounded() {
        let columns = ["件数", "中央値", "30日以内"];
        let row = |n, median, within| ("x".to_owned(), vec![Some(n), Some(median), Some(within)]);
        let table =
            Table::of_measures(("m", "見本", "行"), &columns, vec![row(9, 20, 9), row(47, 24, 35), row(40, 4, 3)]);
        let cells = shown(&table.for_outside(10));
        assert_eq!(cells, [vec![None; 3], vec![Some(40), Some(20), Some(30)], vec![Some(40), Some(0), None]]);
    }

    #[test]
    fn a_row_that_is_there_only_because_of_somebody_is_left_out() {
        let rows = || vec![("北町".to_owned(), vec![1, 0]), ("南町".to_owned(), vec![12, 3])];
        let names = |id| {
            let table = Table::of_counts((id, "見本", "地域"), &["あ", "い"], rows()).for_outside(10);
            table.rows.into_iter().map(|row| row.name).collect::<Vec<_>>()
        };
        assert_eq!(names("change_by_area"), ["南町", "合計"]);
        assert_eq!(names("levels"), ["北町", "南町", "合計"], "a row that is always there tells nothing");
    }

    fn random_tables() -> impl Iterator<Item = Vec<Vec<u64>>> {
        let mut seed: u64 = 7;
        let mut random = move |most: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % most
        };
        (0..200).map(move |_| {
            let (rows, columns) = (1 + random(5) as usize, 1 + random(4) as usize);
            let most = [4, 15, 60][random(3) as usize];
            (0..rows).map(|_| (0..columns).map(|_| random(most)).collect()).collect()
        })
    }

    fn outside(cells: &[Vec<u64>]) -> Table {
        table(&cells.iter().map(Vec::as_slice).collect::<Vec<_>>()).for_outside(10)
    }

    /// Each count may be any of ten without a single figure of the table being another: nobody can tell which it is, not
    /// from sums, not from other cells, and not from the table of another day either.
    #[test]
    fn ten_counts_of_every_cell_give_the_same_table() {
        for cells in random_tables() {
            let whole = outside(&cells);
            for row in 0..cells.len() {
                for column in 0..cells[0].len() {
                    let mut other = cells.clone();
                    for count in (cells[row][column] / 10 * 10)..(cells[row][column] / 10 * 10 + 10) {
                        other[row][column] = count;
                        assert_eq!(outside(&other), whole, "{cells:?} {row} {column} {count}");
                    }
                }
            }
        }
    }

    /// What two days show of a cell, or of any sum, fits nineteen changes of each cell of it: those between -9 and +9 around
    /// the difference that is shown, itself a multiple of ten.
    #[test]
    fn the_difference_of_two_days_tells_no_change_of_fewer_than_ten() {
        let mut changes: std::collections::BTreeMap<_, std::collections::BTreeSet<i64>> = Default::default();
        for before in 0..60 {
            for after in 0..60 {
                let day = |count| outside(&[vec![count, 100]]);
                changes
                    .entry(format!("{:?}{:?}", day(before), day(after)))
                    .or_default()
                    .insert(after as i64 - before as i64);
            }
        }
        assert_eq!(changes.len(), 36);
        for possible in changes.values() {
            let (least, most) = (possible.first().unwrap(), possible.last().unwrap());
            assert_eq!((possible.len(), most - least), (19, 18), "{possible:?}");
            assert_eq!((least + 9) % 10, 0, "{possible:?}");
        }
    }
}
