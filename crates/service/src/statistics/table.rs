//! Tables of counts, and what is taken out of them before they leave the municipality: small cells, and as many others as
//! are needed so that no small one can be computed from what is left (P-239, docs/statistics.md).

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

    /// The table without what would tell of fewer than `smallest` people or cases. Zero is no secret.
    #[must_use]
    pub fn without_small_cells(mut self, smallest: u64) -> Self {
        if !self.additive {
            self.hide_small_rows(smallest);
            return self;
        }
        let values: Vec<Vec<u64>> =
            self.rows.iter().map(|row| row.cells.iter().map(|cell| cell.unwrap_or_default()).collect()).collect();
        let hidden = Hiding::new(values, smallest).settle();
        for (row, hidden) in self.rows.iter_mut().zip(hidden) {
            for (cell, hidden) in row.cells.iter_mut().zip(hidden) {
                if hidden {
                    *cell = None;
                }
            }
        }
        self
    }

    /// Measures of few cases are about these few; so is a part of the cases when it, or the rest, is small.
    fn hide_small_rows(&mut self, smallest: u64) {
        let small = |count: u64| 0 < count && count < smallest;
        for row in &mut self.rows {
            let Some(Some(cases)) = row.cells.first().copied() else { continue };
            if small(cases) {
                row.cells.fill(None);
            } else if let Some(last) = row.cells.last_mut()
                && last.is_some_and(|part| small(part) || small(cases.saturating_sub(part)))
            {
                *last = None;
            }
        }
    }
}

/// Which cells of a table with sums are hidden. Every row and every column is an equation: the inner cells add up to the
/// last one. A hidden cell can be computed exactly when it is the only hidden one that links its row to its column (a
/// bridge between the equations), so every hidden cell must lie on a cycle of hidden cells.
struct Hiding {
    values: Vec<Vec<u64>>,
    hidden: Vec<Vec<bool>>,
    smallest: u64,
}

impl Hiding {
    fn new(values: Vec<Vec<u64>>, smallest: u64) -> Self {
        let hidden = values.iter().map(|row| row.iter().map(|v| 0 < *v && *v < smallest).collect()).collect();
        Self { values, hidden, smallest }
    }

    fn settle(mut self) -> Vec<Vec<bool>> {
        while self.widen_thin_sums() || self.close_a_cycle() {}
        self.hidden
    }

    fn last_row(&self) -> usize {
        self.values.len().saturating_sub(1)
    }

    fn last_column(&self) -> usize {
        self.values.first().map_or(0, Vec::len).saturating_sub(1)
    }

    /// A line whose sum is shown tells the sum of what it hides: that must not be small either.
    fn widen_thin_sums(&mut self) -> bool {
        let (rows, columns) = (self.last_row(), self.last_column());
        let of_rows = (0..=rows).map(|r| (0..=columns).map(|c| (r, c)).collect::<Vec<_>>());
        let of_columns = (0..=columns).map(|c| (0..=rows).map(|r| (r, c)).collect::<Vec<_>>());
        let lines: Vec<Vec<(usize, usize)>> = of_rows.chain(of_columns).collect();
        for line in lines {
            let Some(((total_row, total_column), inner)) = line.split_last().map(|(last, inner)| (*last, inner)) else {
                continue;
            };
            let is_hidden = |at: &&(usize, usize)| self.hidden[at.0][at.1];
            let sum: u64 = inner.iter().filter(is_hidden).map(|at| self.values[at.0][at.1]).sum();
            if self.hidden[total_row][total_column] || sum == 0 || sum >= self.smallest {
                continue;
            }
            let shown = inner.iter().filter(|at| !self.hidden[at.0][at.1] && self.values[at.0][at.1] > 0);
            let (row, column) =
                shown.min_by_key(|at| self.values[at.0][at.1]).copied().unwrap_or((total_row, total_column));
            self.hidden[row][column] = true;
            return true;
        }
        false
    }

    /// Puts the first hidden cell that is a bridge on a cycle of four, at the least cost.
    fn close_a_cycle(&mut self) -> bool {
        let (rows, columns) = (self.last_row(), self.last_column());
        for row in 0..=rows {
            for column in 0..=columns {
                if self.hidden[row][column]
                    && self.is_bridge(row, column)
                    && let Some(cells) = self.cheapest_cycle(row, column)
                {
                    cells.into_iter().for_each(|(r, c)| self.hidden[r][c] = true);
                    return true;
                }
            }
        }
        false
    }

    /// Whether no other way of hidden cells leads from the row of a cell to its column.
    fn is_bridge(&self, row: usize, column: usize) -> bool {
        let (rows, columns) = (self.last_row() + 1, self.last_column() + 1);
        let (mut seen_rows, mut seen_columns) = (vec![false; rows], vec![false; columns]);
        seen_rows[row] = true;
        let mut next = vec![row];
        while let Some(r) = next.pop() {
            for c in (0..columns).filter(|c| self.hidden[r][*c] && (r, *c) != (row, column)) {
                if c == column {
                    return false;
                }
                if std::mem::replace(&mut seen_columns[c], true) {
                    continue;
                }
                for other in (0..rows).filter(|other| self.hidden[*other][c]) {
                    if !std::mem::replace(&mut seen_rows[other], true) {
                        next.push(other);
                    }
                }
            }
        }
        true
    }

    /// The three other corners of a rectangle that are not zero; sums are given up last.
    fn cheapest_cycle(&self, row: usize, column: usize) -> Option<[(usize, usize); 3]> {
        const SUM: u64 = 1 << 40;
        let (rows, columns) = (self.last_row(), self.last_column());
        let cost = |(r, c): (usize, usize)| match (self.hidden[r][c], r == rows || c == columns) {
            (true, _) => 0,
            (false, true) => SUM + self.values[r][c],
            (false, false) => self.values[r][c],
        };
        let mut best: Option<(u64, [(usize, usize); 3])> = None;
        for r in (0..=rows).filter(|r| *r != row && self.values[*r][column] > 0) {
            for c in (0..=columns).filter(|c| *c != column && self.values[row][*c] > 0 && self.values[r][*c] > 0) {
                let corners = [(row, c), (r, column), (r, c)];
                let whole = corners.into_iter().map(cost).sum();
                if best.as_ref().is_none_or(|(least, _)| whole < *least) {
                    best = Some((whole, corners));
                }
            }
        }
        best.map(|(_, corners)| corners)
    }
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
    fn a_table_of_large_cells_and_zeros_is_shown_whole() {
        let whole = table(&[&[10, 0, 30], &[40, 50, 0]]);
        assert_eq!(whole.clone().without_small_cells(10), whole);
    }

    #[test]
    fn one_small_cell_takes_three_others_with_it_so_that_nobody_computes_it() {
        let few = table(&[&[3, 100, 200], &[50, 60, 70], &[80, 90, 400]]).without_small_cells(10);
        let hidden: Vec<(usize, usize)> = (0..4)
            .flat_map(|r| (0..4).map(move |c| (r, c)))
            .filter(|(r, c)| few.rows[*r].cells[*c].is_none())
            .collect();
        assert_eq!(hidden, [(0, 0), (0, 1), (1, 0), (1, 1)]);
    }

    #[test]
    fn small_cells_whose_sum_would_tell_them_are_not_left_alone() {
        // 1 + 1 = 2 says both: a third cell of the row goes too.
        let few = table(&[&[1, 1, 500], &[300, 300, 300]]).without_small_cells(10);
        assert!(few.rows[0].cells[..3].iter().all(Option::is_none), "{few:?}");
    }

    #[test]
    fn measures_of_few_cases_are_not_shown() {
        let columns = ["件数", "中央値", "30日以内"];
        let row = |n, median, within| ("x".to_owned(), vec![Some(n), Some(median), Some(within)]);
        let table =
            Table::of_measures(("m", "見本", "行"), &columns, vec![row(9, 20, 9), row(40, 21, 35), row(40, 22, 12)]);
        let cells = shown(&table.without_small_cells(10));
        assert_eq!(cells, [vec![None; 3], vec![Some(40), Some(21), None], vec![Some(40), Some(22), Some(12)]]);
    }

    /// Of many tables none gives a hidden cell away: solved as equations, each stays undetermined.
    #[test]
    fn no_hidden_cell_follows_from_what_is_shown() {
        let mut seed: u64 = 7;
        let mut random = |most: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % most
        };
        for _ in 0..400 {
            let (rows, columns) = (1 + random(5) as usize, 1 + random(4) as usize);
            let most = [4, 15, 60][random(3) as usize];
            let cells: Vec<Vec<u64>> = (0..rows).map(|_| (0..columns).map(|_| random(most)).collect()).collect();
            let whole = table(&cells.iter().map(Vec::as_slice).collect::<Vec<_>>());
            let few = whole.clone().without_small_cells(10);
            for (row, original) in few.rows.iter().zip(&whole.rows) {
                for (cell, value) in row.cells.iter().zip(&original.cells) {
                    assert!(*cell == *value || cell.is_none());
                    assert!(cell.is_none_or(|value| value == 0 || value >= 10), "{few:?}");
                }
            }
            assert_eq!(determined(&few), Vec::<(usize, usize)>::new(), "{whole:?}\n{few:?}");
        }
    }

    /// Hidden cells that the equations of the table determine, by elimination modulo a prime.
    fn determined(table: &Table) -> Vec<(usize, usize)> {
        const P: i64 = 1_000_003;
        let (rows, columns) = (table.rows.len(), table.columns.len());
        let unknown: Vec<(usize, usize)> = (0..rows)
            .flat_map(|r| (0..columns).map(move |c| (r, c)))
            .filter(|(r, c)| table.rows[*r].cells[*c].is_none())
            .collect();
        let sign = |last: bool| if last { P - 1 } else { 1 };
        let mut equations: Vec<Vec<i64>> = Vec::new();
        for r in 0..rows {
            equations.push(unknown.iter().map(|at| if at.0 == r { sign(at.1 == columns - 1) } else { 0 }).collect());
        }
        for c in 0..columns {
            equations.push(unknown.iter().map(|at| if at.1 == c { sign(at.0 == rows - 1) } else { 0 }).collect());
        }
        let mut done = 0;
        for column in 0..unknown.len() {
            let Some(pivot) = (done..equations.len()).find(|i| equations[*i][column] != 0) else { continue };
            equations.swap(done, pivot);
            let mut factor = (1, equations[done][column], P - 2);
            while factor.2 > 0 {
                factor = (
                    if factor.2 % 2 == 1 { factor.0 * factor.1 % P } else { factor.0 },
                    factor.1 * factor.1 % P,
                    factor.2 / 2,
                );
            }
            let row: Vec<i64> = equations[done].iter().map(|x| x * factor.0 % P).collect();
            for (i, other) in equations.iter_mut().enumerate() {
                let times = other[column];
                if i != done && times != 0 {
                    other.iter_mut().zip(&row).for_each(|(x, y)| *x = (*x - times * y % P + P) % P);
                }
            }
            equations[done] = row;
            done += 1;
        }
        let alone = equations.iter().filter(|row| row.iter().filter(|x| **x != 0).count() == 1);
        alone.filter_map(|row| row.iter().position(|x| *x != 0)).map(|i| unknown[i]).collect()
    }
}
