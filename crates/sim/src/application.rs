//! 要介護認定申請 with plausible dates (docs/requirements.md §15.5, §15.6): steps in parallel, a decision mostly within 30 days.

use crate::canary;
use crate::random::Random;
use jiff::{Span, civil::Date};
use kiban_domain::OfficeNumber;
use kiban_domain::certification::{ApplicationKind, CareLevel, CertificationProgress, CertificationResult, Closing};
use kiban_domain::dates::{Period, ServiceMonth};

/// The day `days` later, or earlier when negative.
pub fn plus(day: Date, days: i32) -> Date {
    day.saturating_add(Span::new().days(days))
}

/// 認定有効期間: ends at a month end; a start inside a month adds the rest of that month (docs/requirements.md §15.5).
pub fn valid_period(from: Date, months: i32) -> Option<Period> {
    let last = if from.day() == 1 { months - 1 } else { months };
    Period::new(from, Some(ServiceMonth::of(from).plus(last).last_day())).ok()
}

/// What an application is about.
#[derive(Debug, Clone, Copy)]
pub struct Asked {
    /// Whose it is.
    pub n: u32,
    /// 申請日
    pub applied_on: Date,
    /// 申請区分
    pub kind: ApplicationKind,
    /// The level that will be decided.
    pub level: CareLevel,
    /// First day of the validity.
    pub valid_from: Date,
    /// 有効月数
    pub months: u8,
    /// Hospital asked for the opinion.
    pub hospital: Option<OfficeNumber>,
}

/// The whole course of an application, whatever day it is today; [`until`] cuts it.
pub fn course(random: &mut Random, asked: Asked) -> CertificationProgress {
    let mut progress = CertificationProgress::apply(asked.applied_on, asked.kind);
    let board = if asked.kind == ApplicationKind::Transfer {
        plus(asked.applied_on, random.between(1, 4))
    } else {
        gather(random, asked, &mut progress)
    };
    let decided_on = plus(board, random.between(0, 1));
    let valid = (asked.level != CareLevel::NotEligible)
        .then(|| valid_period(asked.valid_from, i32::from(asked.months)))
        .flatten();
    progress.result = Some(CertificationResult {
        level: asked.level,
        decided_on,
        valid,
        months: valid.map(|_| asked.months),
        board_opinion: random.chance(300).then(|| board_opinion(asked.n)),
        reason: (asked.level == CareLevel::NotEligible).then(|| format!("自立 {}", canary::word("理由", asked.n))),
        notified_on: Some(plus(decided_on, random.between(0, 3))),
        card_issued_on: None,
    });
    if let Some(result) = progress.result.as_mut().filter(|result| result.valid.is_some()) {
        result.card_issued_on = result.notified_on;
    }
    progress
}

/// 認定審査会の意見 with the person's word.
pub fn board_opinion(n: u32) -> String {
    format!("状態の維持・改善のため、訪問看護の利用を検討されたい。{}", canary::word("審査会", n))
}

/// Survey and opinion in parallel, then the first judgement and the board; the day of the board.
fn gather(random: &mut Random, asked: Asked, progress: &mut CertificationProgress) -> Date {
    let applied_on = asked.applied_on;
    let requested = plus(applied_on, random.between(1, 2));
    let done = plus(requested, random.between(3, 8));
    let survey = plus(done, random.between(1, 2));
    let opinion_requested = plus(applied_on, random.between(0, 2));
    let is_slow = random.chance(100);
    let opinion = plus(opinion_requested, if is_slow { random.between(20, 30) } else { random.between(6, 14) });
    let judged = plus(survey.max(opinion), random.between(1, 2));
    let board = plus(judged, random.between(3, 7));
    progress.survey_requested_on = Some(requested);
    progress.survey_planned_on = Some(done);
    progress.survey_done_on = Some(done);
    progress.survey_received_on = Some(survey);
    progress.opinion_requested_on = Some(opinion_requested);
    progress.opinion_requested_from = asked.hospital;
    progress.opinion_urged_on = is_slow.then(|| plus(opinion_requested, 14));
    progress.opinion_received_on = Some(opinion);
    progress.first_judged_on = Some(judged);
    progress.board_planned_on = Some(board);
    progress.board_number = Some(format!("{:02}", asked.n % 8 + 1));
    progress.papers_sent_on = Some(plus(board, -2));
    progress.board_done_on = Some(board);
    if board > progress.due_on() && random.chance(800) {
        progress.delay_notified_on = Some(plus(progress.due_on(), random.between(-4, 0)));
        progress.delay_decided_on = progress.delay_notified_on.map(|day| plus(day, -1));
        progress.delay_expected = Period::new(plus(progress.due_on(), 1), Some(plus(progress.due_on(), 30))).ok();
        progress.delay_reason = Some(format!("主治医意見書の入手が遅れているため {}", canary::word("理由", asked.n)));
    }
    board
}

/// What the city knows of a course on a day: everything later is not yet there.
pub fn until(mut progress: CertificationProgress, today: Date) -> CertificationProgress {
    let known = |day: Option<Date>| day.filter(|day| *day <= today);
    progress.survey_requested_on = known(progress.survey_requested_on);
    // The day of the survey is agreed the day after it was asked for, mostly for a day to come.
    progress.survey_planned_on =
        progress.survey_planned_on.filter(|_| progress.survey_requested_on.is_some_and(|day| day < today));
    if progress.survey_requested_on.is_none() {
        progress.survey_commissioned_to = None;
    }
    progress.survey_done_on = known(progress.survey_done_on);
    progress.survey_received_on = known(progress.survey_received_on);
    progress.opinion_requested_on = known(progress.opinion_requested_on);
    if progress.opinion_requested_on.is_none() {
        progress.opinion_requested_from = None;
    }
    progress.opinion_urged_on = known(progress.opinion_urged_on);
    progress.opinion_received_on = known(progress.opinion_received_on);
    progress.first_judged_on = known(progress.first_judged_on);
    // The board is fixed the day after the first judgement, for a day to come.
    progress.board_planned_on =
        progress.board_planned_on.filter(|_| progress.first_judged_on.is_some_and(|day| day < today));
    if progress.board_planned_on.is_none() {
        progress.board_number = None;
    }
    progress.papers_sent_on = known(progress.papers_sent_on);
    progress.board_done_on = known(progress.board_done_on);
    progress.delay_decided_on = known(progress.delay_decided_on);
    progress.delay_notified_on = known(progress.delay_notified_on);
    if progress.delay_notified_on.is_none() {
        progress.delay_reason = None;
        progress.delay_expected = None;
    }
    progress.result = progress.result.filter(|result| result.decided_on <= today).map(|mut result| {
        result.notified_on = known(result.notified_on);
        result.card_issued_on = known(result.card_issued_on);
        result
    });
    progress
}

/// Ends an application on a day without a result; later steps did not happen.
pub fn close(progress: CertificationProgress, closing: Closing) -> CertificationProgress {
    let (Closing::Withdrawn(day) | Closing::Rejected(day) | Closing::Lapsed(day)) = closing;
    let mut progress = until(progress, day);
    progress.result = None;
    progress.closing = Some(closing);
    progress
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;
    use kiban_domain::certification::Step;
    use std::collections::HashSet;

    fn asked(applied_on: Date) -> Asked {
        Asked {
            n: 1,
            applied_on,
            kind: ApplicationKind::New,
            level: CareLevel::Care1,
            valid_from: applied_on,
            months: 6,
            hospital: None,
        }
    }

    #[test]
    fn a_period_ends_at_a_month_end() {
        let days = |from, months| valid_period(from, months).and_then(|period| period.to());
        assert_eq!(days(date(2026, 3, 1), 24), Some(date(2028, 2, 29)));
        assert_eq!(days(date(2026, 3, 15), 6), Some(date(2026, 9, 30)));
        assert_eq!(days(date(2026, 3, 1), 6), Some(date(2026, 8, 31)));
    }

    #[test]
    fn courses_keep_their_order_and_mostly_end_within_thirty_days() {
        let mut late = 0;
        for n in 0..1_000 {
            let progress = course(&mut Random::new(1, n, "course"), asked(date(2026, 10, 1)));
            assert!(progress.disorder().is_empty(), "{:?}", progress.disorder());
            late += u32::from(progress.result.as_ref().unwrap().decided_on > progress.due_on());
        }
        assert!((40..200).contains(&late), "{late} of 1000 late");
    }

    #[test]
    fn cut_at_every_day_a_course_passes_every_step() {
        let applied = date(2026, 10, 1);
        let mut steps = HashSet::new();
        for n in 0..60 {
            for day in 0..50 {
                let progress = until(course(&mut Random::new(1, n, "course"), asked(applied)), plus(applied, day));
                assert!(progress.disorder().is_empty());
                steps.insert(progress.step());
            }
        }
        steps.insert(
            close(course(&mut Random::new(1, 1, "course"), asked(applied)), Closing::Withdrawn(applied)).step(),
        );
        for step in [
            Step::Applied,
            Step::Gathering,
            Step::WaitingOpinion,
            Step::WaitingSurvey,
            Step::Complete,
            Step::FirstJudged,
            Step::BoardPlanned,
            Step::BoardDone,
            Step::Decided,
            Step::Notified,
            Step::Closed,
        ] {
            assert!(steps.contains(&step), "{step:?}");
        }
    }
}
