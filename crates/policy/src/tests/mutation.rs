//! Mutation check: every cell, every line of the side tables and every step of the decision is made wrong in turn, and
//! the golden table or the invariants must notice. A rule that can be changed unseen is a rule nobody tests.

use super::golden::golden;
use super::proof::broken;
use super::table;
use crate::decide::{Fault, Step, Steps};
use crate::facts::CLASSES;
use crate::office::{CarePlanningColumn, ServiceColumn};
use crate::table::{Audience, Mark, Row, SharingTable};

struct Battery {
    reviewed: String,
    tried: usize,
    unnoticed: Vec<String>,
}

impl Battery {
    fn new() -> Self {
        Self { reviewed: golden(table(), Steps::default()), tried: 0, unnoticed: Vec::new() }
    }

    fn notices(&mut self, name: String, mutant: &SharingTable, steps: Steps) {
        self.tried += 1;
        if golden(mutant, steps) == self.reviewed && broken(mutant, steps).is_none() {
            self.unnoticed.push(name);
        }
    }

    fn report(self, what: &str) {
        println!("{what}: {} mutants, {} unnoticed", self.tried, self.unnoticed.len());
        assert!(self.unnoticed.is_empty(), "{what} changed unseen: {:?}", self.unnoticed);
        assert!(self.tried > 0);
    }
}

#[test]
fn no_cell_can_be_changed_unseen() {
    let mut battery = Battery::new();
    for row in Row::ALL {
        for audience in Audience::ALL {
            for mark in Mark::ALL.into_iter().filter(|mark| *mark != table().cell(row, audience).mark) {
                let mut mutant = table().clone();
                mutant.cell_mut(row, audience).mark = mark;
                let name = format!("{} {} {}", row.code(), audience.name_ja(), mark.sign());
                battery.notices(name, &mutant, Steps::default());
            }
        }
    }
    assert_eq!(battery.tried, 16 * 7 * 3);
    battery.report("cells");
}

/// The decision itself must depend on each cell, not only the printed table.
#[test]
fn every_stored_cell_that_somebody_can_stand_in_changes_a_decision() {
    let decisions =
        |table: &SharingTable| golden(table, Steps::default()).split_once("\n== 閲覧\n").unwrap().1.to_owned();
    let reviewed = decisions(table());
    for row in Row::ALL {
        for audience in Audience::ALL {
            let mut mutant = table().clone();
            let cell = mutant.cell_mut(row, audience);
            cell.mark = if cell.mark == Mark::Blank { Mark::Shared } else { Mark::Blank };
            assert!(decisions(&mutant) != reviewed, "{} {}", row.code(), audience.name_ja());
        }
    }
}

#[test]
fn no_step_can_be_skipped_or_turned_round_unseen() {
    let mut battery = Battery::new();
    let mut by_invariants = 0;
    for step in Step::ALL {
        for fault in [Fault::Skipped, Fault::Inverted] {
            let steps = Steps { fault: Some((*step, fault)) };
            battery.notices(format!("{step:?} {fault:?}"), table(), steps);
            by_invariants += usize::from(broken(table(), steps).is_some());
        }
    }
    println!("of {} faulty steps the invariants alone notice {by_invariants}", battery.tried);
    battery.report("steps");
}

#[test]
fn no_line_of_the_side_tables_can_be_changed_unseen() {
    let mut battery = Battery::new();
    for (at, class) in CLASSES.into_iter().enumerate() {
        for column in [CarePlanningColumn::ByClass, CarePlanningColumn::ByPlanMaker, CarePlanningColumn::Never] {
            let mut mutant = table().clone();
            if mutant.classes_mut()[at].care_planning != column {
                mutant.classes_mut()[at].care_planning = column;
                battery.notices(format!("{class:?} {column:?}"), &mutant, Steps::default());
            }
        }
        let mut mutant = table().clone();
        mutant.classes_mut()[at].hospital ^= true;
        battery.notices(format!("{class:?} hospital column"), &mutant, Steps::default());
        for column in [ServiceColumn::Always, ServiceColumn::OwnOnly, ServiceColumn::Never] {
            let mut mutant = table().clone();
            if mutant.classes_mut()[at].service != column {
                mutant.classes_mut()[at].service = column;
                battery.notices(format!("{class:?} {column:?}"), &mutant, Steps::default());
            }
        }
    }
    for row in Row::ALL.into_iter().filter(|row| row.is_stored()) {
        let mut mutant = table().clone();
        *mutant.plan_maker_only_mut(row) ^= true;
        battery.notices(format!("{} 職種", row.code()), &mutant, Steps::default());
        for flag in 0..3 {
            let mut mutant = table().clone();
            let rule = mutant.disaster_mut(row);
            let flags = [&mut rule.offices, &mut rule.host, &mut rule.without_consent];
            flags.into_iter().skip(flag).take(1).for_each(|flag| *flag ^= true);
            battery.notices(format!("{} disaster {flag}", row.code()), &mutant, Steps::default());
        }
    }
    let mut lines = table().clone();
    for at in 0..lines.writers_mut().len() {
        let mut mutant = table().clone();
        let gone = mutant.writers_mut().remove(at);
        battery.notices(format!("writer {gone:?}"), &mutant, Steps::default());
    }
    for at in 0..lines.whereabouts_mut().len() {
        let mut mutant = table().clone();
        let gone = mutant.whereabouts_mut().remove(at);
        battery.notices(format!("whereabouts {} {}", gone.row.code(), gone.item), &mutant, Steps::default());
    }
    battery.report("lines of side tables");
}

#[test]
fn a_broken_table_is_an_error_that_names_its_line() {
    const GOOD: &str = include_str!("../../tables/2025-07.tsv");
    let broken = |from: &str, to: &str| {
        assert!(GOOD.contains(from), "{from}");
        let text: &'static str = Box::leak(GOOD.replacen(from, to, 1).into_boxed_str());
        SharingTable::parse_with_sharing(text).unwrap_err().to_string()
    };
    assert!(SharingTable::parse_with_sharing(GOOD).is_ok());
    assert!(broken("A1\t利用者\t–", "A1\t利用者\t×").contains("line 8"));
    assert!(broken("A1\t市区町村", "A1\t利用者").contains("line 9"));
    assert!(broken("A1\t利用者", "#").contains("a cell has no line"));
    assert!(broken("適用開始\t20250728", "適用開始\t20251301").contains("適用開始"));
    assert!(broken("種別\t立場", "立場\t種別").contains("header"));
    assert!(broken("A1\t利用者\t–\t", "A1\t利用者\t–").contains("columns instead of 7"));
}
