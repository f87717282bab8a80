//! Mutation check: every cell, every line of the side tables and every step of the decision is made wrong in turn, and
//! the golden table or the invariants must notice. A rule that can be changed unseen is a rule nobody tests.
//!
//! The printed golden table shows every cell, so that it always differs. The second half therefore asks the rules of
//! `rules` alone, which look at answers; what they cannot notice makes no difference to anybody and is named with why.

use super::golden::golden;
use super::proof::broken;
use super::rules::{
    is_creators_half, is_hospital_column, law, writers, wrong_cell, wrong_job, wrong_own_plan, wrong_service_type,
    wrong_taker, wrong_way, wrong_writer,
};
use super::table;
use crate::consent::When;
use crate::decide::{Fault, Step, Steps};
use crate::facts::CLASSES;
use crate::office::{CarePlanningColumn, ServiceColumn};
use crate::register::{Means, Writer};
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
    let mut by_rules = 0;
    for step in Step::ALL {
        for fault in [Fault::Skipped, Fault::Inverted] {
            let steps = Steps { fault: Some((*step, fault)) };
            battery.tried += 1;
            if wrong_answer(steps) {
                by_rules += 1;
            } else if broken(table(), steps).is_none() {
                battery.unnoticed.push(format!("{step:?} {fault:?}"));
            }
        }
    }
    println!("of {} faulty steps the plain rules alone notice {by_rules}", battery.tried);
    battery.report("steps");
}

fn wrong_answer(steps: Steps) -> bool {
    [wrong_cell, wrong_job, wrong_own_plan, wrong_taker].iter().any(|wrong| wrong(table(), steps).is_some())
}

/// ◎→○, ★→○, ○→◎ and every other change: somebody is answered differently.
#[test]
fn every_change_of_a_mark_gives_somebody_a_wrong_answer() {
    for row in Row::ALL {
        for audience in Audience::ALL {
            for mark in Mark::ALL.into_iter().filter(|mark| *mark != law(row, audience)) {
                let mut mutant = table().clone();
                mutant.cell_mut(row, audience).mark = mark;
                // Claims are not stored, whatever a mark says. A hospital with care services, the only one to see the
                // rates, also stands in the column of the services, which shows them without consent.
                let same_claims = !row.is_stored() && mark != Mark::Blank && law(row, audience) != Mark::Blank;
                let rates = matches!(row, Row::A3b | Row::A3c) && is_hospital_column(audience);
                let makes_no_difference = same_claims || rates && mark == Mark::OnConsent;
                let name = format!("{} {} {}", row.code(), audience.name_ja(), mark.sign());
                assert_eq!(wrong_cell(&mutant, Steps::default()).is_none(), makes_no_difference, "{name}");
            }
        }
    }
}

#[test]
fn every_change_of_own_documents_only_gives_somebody_a_wrong_answer() {
    for row in Row::ALL {
        for audience in Audience::ALL {
            let mut mutant = table().clone();
            mutant.cell_mut(row, audience).own_only ^= true;
            // Nothing is shown, or ★ in the creator's half, which holds own documents only.
            let mark = law(row, audience);
            let own_anyway = mark == Mark::Creator && is_creators_half(audience);
            let makes_no_difference = mark == Mark::Blank || !row.is_stored() || own_anyway;
            let name = format!("{} {}", row.code(), audience.name_ja());
            assert_eq!(wrong_cell(&mutant, Steps::default()).is_none(), makes_no_difference, "{name}");
        }
    }
}

#[test]
fn every_change_of_a_writer_or_of_its_means_is_a_wrong_answer() {
    for row in Row::ALL {
        for writer in writers() {
            let now = table().means(row, writer);
            for means in [None, Some(Means::Screen), Some(Means::File), Some(Means::Both)] {
                let mut mutant = table().clone();
                mutant.writers_mut().retain(|(r, w, _)| (*r, *w) != (row, writer));
                mutant.writers_mut().extend(means.map(|means| (row, writer, means)));
                assert_eq!(wrong_writer(&mutant).is_none(), means == now, "{} {writer:?} {means:?}", row.code());
            }
        }
    }
}

#[test]
fn every_change_of_who_may_take_consent_is_a_wrong_answer() {
    for at in 0..table().clone().takers_mut().len() {
        let try_line = |change: &dyn Fn(&mut SharingTable)| {
            let mut mutant = table().clone();
            change(&mut mutant);
            wrong_taker(&mutant, Steps::default()).is_some()
        };
        let line = table().clone().takers_mut()[at].clone();
        for when in [When::Always, When::UntilRenewal, When::Never] {
            let noticed = try_line(&|mutant| mutant.takers_mut()[at].when = when);
            assert_eq!(noticed, when != line.when, "{:?} {when:?}", line.who);
        }
        // Whoever may never take it is refused before the 職種 is asked, as if not named; a city has no 職種.
        let never = line.when == When::Never;
        let noticed = try_line(&|mutant| mutant.takers_mut()[at].care_manager_only ^= true);
        assert_eq!(noticed, !never && line.who != Writer::Municipality, "{:?} 職種", line.who);
        let noticed = try_line(&|mutant| mutant.takers_mut().retain(|taker| taker.who != line.who));
        assert_eq!(noticed, !never, "{:?} removed", line.who);
    }
}

#[test]
fn every_change_of_a_way_in_is_a_wrong_answer() {
    for at in 0..table().clone().ways_mut().len() {
        for way in 0..4 {
            let mut mutant = table().clone();
            mutant.ways_mut()[at].open[way] ^= true;
            assert!(wrong_way(&mutant).is_some(), "{} {way}", mutant.ways_mut()[at].code);
        }
        let mut mutant = table().clone();
        let gone = mutant.ways_mut().remove(at);
        // What is open to nobody is as if not named.
        assert_eq!(wrong_way(&mutant).is_some(), gone.open.contains(&true), "{} removed", gone.code);
    }
}

#[test]
fn every_change_of_a_service_type_is_a_wrong_answer() {
    for at in 0..table().service_types.len() {
        let line = &table().service_types[at];
        for class in CLASSES.into_iter().filter(|class| *class != line.class) {
            let mut mutant = table().clone();
            mutant.service_types[at].class = class;
            assert!(wrong_service_type(&mutant).is_some(), "{} {class:?}", line.code);
        }
        let mut mutant = table().clone();
        mutant.service_types[at].makes_plans ^= true;
        assert!(wrong_service_type(&mutant).is_some(), "{} ※1", line.code);
        let mut mutant = table().clone();
        mutant.service_types.remove(at);
        assert!(wrong_service_type(&mutant).is_some(), "{} removed", line.code);
    }
}

#[test]
fn every_change_of_a_job_rule_is_a_wrong_answer() {
    for row in Row::ALL.into_iter().filter(|row| row.is_stored()) {
        let mut mutant = table().clone();
        *mutant.plan_maker_only_mut(row) ^= true;
        // A4 never comes through the 居宅 column.
        assert_eq!(wrong_job(&mutant, Steps::default()).is_none(), row == Row::A4, "{}", row.code());
    }
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
