//! E1 住宅改修費利用情報: one work and what is left of the 20万円 of the dwelling, with both resets (docs/requirements.md
//! §15.10).

use crate::allowance::{Allowance, Allowed, Fresh, OverLimit, limit_yen};
use crate::certification::CareLevel;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// E1 住宅改修費利用情報: one work. The account the money goes to is not held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[doc(alias = "住宅改修")]
pub struct HomeModification {
    /// 住宅番号: the person's dwellings in the order of their first work. Back in an earlier dwelling, its number is used
    /// again, and so is what was left there.
    pub dwelling: u8,
    /// 改修した住宅の住所
    pub address: String,
    /// 住宅の所有者
    pub owner: Option<String>,
    /// 所有者との関係
    pub owner_relation: Option<String>,
    /// 改修の種類
    pub kinds: Vec<ModificationKind>,
    /// 改修の箇所・規模
    pub places: Option<String>,
    /// 施工業者
    pub provider_name: Option<String>,
    /// 理由書作成者
    pub reason_writer: Option<String>,
    /// 着工日の要介護状態区分: counts for the 3段階リセット.
    pub level: CareLevel,
    /// 事前申請日
    pub requested_on: Option<Date>,
    /// 承認日
    pub approved_on: Option<Date>,
    /// 承認番号
    pub approval_number: Option<String>,
    /// 着工日
    pub started_on: Date,
    /// 完成日
    pub completed_on: Option<Date>,
    /// 支給申請日
    pub claimed_on: Option<Date>,
    /// 支給決定日
    pub decided_on: Option<Date>,
    /// 改修費用総額, yen.
    pub cost: u32,
    /// 支給対象額, yen: counts against the limit.
    pub eligible: u32,
    /// 支給額, yen.
    pub paid: u32,
    /// 支払方法
    pub payment: PaymentMethod,
    /// 既支給対象額, yen: what had counted against the same limit before this work, works that are not recorded included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub already_eligible: Option<u32>,
    /// 利用者負担額, yen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copayment: Option<u32>,
}

choices! {
    /// 改修の種類.
    ModificationKind {
        Handrail "1" "手すりの取付け",
        StepRemoval "2" "段差の解消",
        FloorMaterial "3" "床又は通路面の材料の変更",
        Door "4" "引き戸等への扉の取替え",
        Toilet "5" "洋式便器等への便器の取替え",
        Incidental "6" "前各号に付帯して必要となる工事",
    }

    /// 支払方法.
    PaymentMethod {
        Reimbursement "1" "償還払い",
        ProxyReceipt "2" "受領委任払い",
    }
}

/// 介護の必要の程度の段階 of the 3段階リセット; 非該当 and 事業対象者 have none.
pub fn stage(level: CareLevel) -> Option<u8> {
    Some(match level {
        CareLevel::NotEligible | CareLevel::ProjectTarget => return None,
        CareLevel::Support1 => 1,
        CareLevel::Support2 | CareLevel::Care1 => 2,
        CareLevel::Care2 => 3,
        CareLevel::Care3 => 4,
        CareLevel::Care4 => 5,
        CareLevel::Care5 => 6,
    })
}

/// Stages by which the need must have risen.
const RESET_STAGES: u8 = 3;

/// What of a work counts against the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CountedWork {
    dwelling: u8,
    stage: Option<u8>,
    started_on: Date,
    eligible: u32,
    already: u32,
}

impl HomeModification {
    /// What of it counts.
    pub fn counted(&self) -> CountedWork {
        CountedWork {
            dwelling: self.dwelling,
            stage: stage(self.level),
            started_on: self.started_on,
            eligible: self.eligible,
            already: self.already_eligible.unwrap_or_default(),
        }
    }
}

/// The limit of one dwelling while it is used up.
#[derive(Clone)]
struct Used {
    since: Date,
    stage: Option<u8>,
    yen: u32,
    fresh: Fresh,
    /// Places of its works.
    of: Vec<usize>,
}

impl Used {
    fn resets_at(&self, stage: Option<u8>) -> bool {
        matches!((self.stage, stage), (Some(first), Some(now)) if now >= first + RESET_STAGES)
    }
}

/// Works walked through in the order in which they began.
#[derive(Default)]
struct Walked {
    /// The current limit of each dwelling.
    dwellings: BTreeMap<u8, Used>,
    /// The limit that the 3段階リセット closed, and its dwelling.
    closed: Option<(u8, Used)>,
}

impl Walked {
    fn through(works: &[CountedWork], until: Date) -> Self {
        let mut sorted: Vec<usize> = (0..works.len()).filter(|at| works[*at].started_on <= until).collect();
        sorted.sort_by_key(|at| works[*at].started_on);
        let mut walked = Self::default();
        for at in sorted {
            let work = works[at];
            let fresh = if walked.dwellings.is_empty() { Fresh::First } else { Fresh::Moved };
            let begun = Used { since: work.started_on, stage: work.stage, yen: 0, fresh, of: Vec::new() };
            let used = walked.dwellings.entry(work.dwelling).or_insert_with(|| begun.clone());
            if walked.closed.is_none() && used.resets_at(work.stage) {
                let before = std::mem::replace(used, Used { fresh: Fresh::ThreeStages, ..begun });
                walked.closed = Some((work.dwelling, before));
            }
            // What the city says was used before counts also where those works are not recorded.
            used.yen = used.yen.max(work.already).saturating_add(work.eligible);
            used.of.push(at);
        }
        walked
    }
}

fn counted_in(dwelling: u8) -> String {
    format!("住宅 {dwelling}")
}

/// The limit that one of the works of a person counts against, if more than it allows was used.
pub fn over_limit(works: &[CountedWork], one: usize) -> Option<OverLimit> {
    let last = works.iter().map(|work| work.started_on).max()?;
    let limit = limit_yen(Allowed::HomeModification, last)?;
    let Walked { dwellings, closed } = Walked::through(works, last);
    let (dwelling, used) = dwellings.into_iter().chain(closed).find(|(_, used)| used.of.contains(&one))?;
    (used.yen > limit).then_some(OverLimit { counted_in: counted_in(dwelling), limit, used: used.yen, of: used.of })
}

/// What is left for this dwelling on a day, from all works of the person in any order. `level` is the level of that day, if
/// it is known: a rise by three stages since the first work of the current limit brings a new one, once per person.
pub fn remaining(works: &[HomeModification], dwelling: u8, level: Option<CareLevel>, on: Date) -> Option<Allowance> {
    let limit = limit_yen(Allowed::HomeModification, on)?;
    let counted: Vec<CountedWork> = works.iter().map(HomeModification::counted).collect();
    let Walked { dwellings, closed } = Walked::through(&counted, on);
    let reset_used = closed.is_some();
    let untouched = |fresh| Allowance {
        limit,
        used: 0,
        remaining: limit,
        counted_in: counted_in(dwelling),
        since: None,
        fresh,
        resets_from: None,
    };
    let Some(used) = dwellings.get(&dwelling) else {
        return Some(untouched(if dwellings.is_empty() { Fresh::First } else { Fresh::Moved }));
    };
    if !reset_used && used.resets_at(level.and_then(stage)) {
        return Some(untouched(Fresh::ThreeStages));
    }
    let resets_from = if reset_used { None } else { CareLevel::ALL.into_iter().find(|l| used.resets_at(stage(*l))) };
    Some(Allowance {
        limit,
        used: used.yen,
        remaining: limit.saturating_sub(used.yen),
        counted_in: counted_in(dwelling),
        since: Some(used.since),
        fresh: used.fresh,
        resets_from,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    fn work(dwelling: u8, level: CareLevel, started_on: Date, eligible: u32) -> HomeModification {
        HomeModification {
            dwelling,
            address: "架空県見本市例町1-1".into(),
            owner: None,
            owner_relation: None,
            kinds: vec![ModificationKind::Handrail],
            places: None,
            provider_name: None,
            reason_writer: None,
            level,
            requested_on: None,
            approved_on: None,
            approval_number: None,
            started_on,
            completed_on: None,
            claimed_on: None,
            decided_on: None,
            cost: eligible,
            eligible,
            paid: eligible / 10 * 9,
            payment: PaymentMethod::Reimbursement,
            already_eligible: None,
            copayment: None,
        }
    }

    const ON: Date = date(2026, 11, 22);

    fn left(works: &[HomeModification], dwelling: u8, level: CareLevel) -> (u32, Fresh) {
        let allowance = remaining(works, dwelling, Some(level), ON).unwrap();
        assert_eq!(allowance.limit - allowance.used, allowance.remaining);
        (allowance.remaining, allowance.fresh)
    }

    #[test]
    fn works_in_one_dwelling_share_200_000_yen() {
        assert_eq!(left(&[], 1, CareLevel::Care1), (200_000, Fresh::First));
        let works =
            [work(1, CareLevel::Care1, date(2026, 3, 1), 30_000), work(1, CareLevel::Care1, date(2024, 5, 1), 120_000)];
        assert_eq!(left(&works, 1, CareLevel::Care1), (50_000, Fresh::First));
        assert_eq!(remaining(&works, 1, None, ON).unwrap().since, Some(date(2024, 5, 1)));
        assert_eq!(
            remaining(&works, 1, None, date(2025, 1, 1)).unwrap().remaining,
            80_000,
            "the later work is not yet"
        );
    }

    #[test]
    fn a_move_brings_a_new_limit_and_moving_back_the_old_balance() {
        let mut works = vec![work(1, CareLevel::Care1, date(2024, 5, 1), 150_000)];
        assert_eq!(left(&works, 2, CareLevel::Care1), (200_000, Fresh::Moved));
        works.push(work(2, CareLevel::Care1, date(2025, 5, 1), 60_000));
        assert_eq!(left(&works, 2, CareLevel::Care1), (140_000, Fresh::Moved));
        assert_eq!(left(&works, 1, CareLevel::Care1), (50_000, Fresh::First));
    }

    #[test]
    fn a_rise_by_three_stages_brings_a_new_limit() {
        // 要支援２ and 要介護１ are one stage: 要介護４ is three above them, 要介護３ two.
        for first in [CareLevel::Support2, CareLevel::Care1] {
            let works = [work(1, first, date(2024, 5, 1), 200_000)];
            assert_eq!(left(&works, 1, CareLevel::Care3), (0, Fresh::First));
            assert_eq!(left(&works, 1, CareLevel::Care4), (200_000, Fresh::ThreeStages));
            assert_eq!(remaining(&works, 1, None, ON).unwrap().resets_from, Some(CareLevel::Care4));
        }
        let works = [work(1, CareLevel::Care3, date(2024, 5, 1), 200_000)];
        assert_eq!(remaining(&works, 1, None, ON).unwrap().resets_from, None, "no level is three stages above");
    }

    #[test]
    fn the_stage_of_the_first_work_counts_not_that_of_later_ones() {
        let works = [
            work(1, CareLevel::Support1, date(2023, 5, 1), 100_000),
            work(1, CareLevel::Care2, date(2024, 5, 1), 100_000),
        ];
        assert_eq!(left(&works, 1, CareLevel::Care3), (200_000, Fresh::ThreeStages));
    }

    #[test]
    fn the_rise_counts_once_per_person_and_a_move_after_it_starts_afresh() {
        let works = vec![
            work(1, CareLevel::Support1, date(2022, 5, 1), 200_000),
            work(1, CareLevel::Care3, date(2024, 5, 1), 80_000),
        ];
        assert_eq!(left(&works, 1, CareLevel::Care5), (120_000, Fresh::ThreeStages));
        assert_eq!(remaining(&works, 1, None, ON).unwrap().resets_from, None);
        assert_eq!(left(&works, 2, CareLevel::Care5), (200_000, Fresh::Moved));
    }

    #[test]
    fn what_was_used_before_counts_also_where_its_works_are_not_recorded() {
        let mut works = vec![work(1, CareLevel::Care1, date(2024, 5, 1), 30_000)];
        works[0].already_eligible = Some(100_000);
        assert_eq!(left(&works, 1, CareLevel::Care1), (70_000, Fresh::First));
        // Recorded works are not counted twice.
        works.push(work(1, CareLevel::Care1, date(2025, 5, 1), 20_000));
        works[1].already_eligible = Some(130_000);
        assert_eq!(left(&works, 1, CareLevel::Care1), (50_000, Fresh::First));
    }

    #[test]
    fn works_beyond_a_limit_are_found_with_all_that_count_against_it() {
        let counted = |works: &[HomeModification]| works.iter().map(HomeModification::counted).collect::<Vec<_>>();
        let mut works = vec![
            work(1, CareLevel::Support1, date(2022, 5, 1), 150_000),
            work(1, CareLevel::Support1, date(2023, 5, 1), 50_000),
            work(2, CareLevel::Support1, date(2023, 6, 1), 150_000),
            work(1, CareLevel::Care3, date(2024, 5, 1), 150_000),
        ];
        let all = counted(&works);
        assert!((0..4).all(|at| over_limit(&all, at).is_none()), "a move and the three stages bring new limits");
        works[1].eligible = 60_000;
        let over = over_limit(&counted(&works), 0).unwrap();
        assert_eq!((over.counted_in.as_str(), over.limit, over.used), ("住宅 1", 200_000, 210_000));
        assert_eq!(over.of, [0, 1]);
        assert_eq!(over_limit(&counted(&works), 3), None, "that limit began anew");
        works[1].eligible = 50_000;
        works[1].already_eligible = Some(160_000);
        assert_eq!(over_limit(&counted(&works), 1).unwrap().used, 210_000);
    }

    #[test]
    fn levels_without_a_stage_never_reset() {
        let works = [work(1, CareLevel::Support1, date(2024, 5, 1), 200_000)];
        assert_eq!(left(&works, 1, CareLevel::ProjectTarget), (0, Fresh::First));
        assert_eq!(stage(CareLevel::NotEligible), None);
    }
}
