//! What is kept only for a while goes: answers remembered for a repetition, old notices, messages between offices past their
//! time (P-201), opinions nobody wrote on for a while, log-ins that are over, counts of days before, uploads that were never ended,
//! and what has reached its last day (`retention`).

use crate::accounts::FORGOTTEN_AFTER;
use crate::passkey::QUESTION_MINUTES;
use crate::{Context, Error, Platform};
use kiban_domain::dates::day_in_japan;
use kiban_store::{Entry, Outcome};

/// Time after their end for which log-ins of people and the counts of a day are kept: clocks differ, and an attempt may cross midnight.
const KEPT_AFTER_END: jiff::SignedDuration = jiff::SignedDuration::from_hours(24);

impl Platform {
    /// Deletes what is past its time; leaves an entry when something was. Called at start and every hour.
    pub async fn keep_house(&self, context: &Context) -> Result<(), Error> {
        self.forget_abandoned_uploads(context).await?;
        self.forget_what_was_for_a_while(context).await?;
        self.warn_of_ending_certificates(context).await?;
        self.keep_retention(context).await
    }

    async fn forget_what_was_for_a_while(&self, context: &Context) -> Result<(), Error> {
        let config = &self.inner.config;
        let answers = context.now - jiff::SignedDuration::from_hours(config.answer_hours);
        let notices = context.now - jiff::SignedDuration::from_hours(24 * config.notice_days);
        let slips = context.now - jiff::SignedDuration::from_hours(24 * config.slip_days);
        let mut tx = self.store().begin().await?;
        let (answers, notices) = (tx.forget_answers(answers).await?, tx.delete_notices(notices).await?);
        let slips = tx.delete_slips(slips).await?;
        let drafts = context.now - jiff::SignedDuration::from_hours(24 * config.opinion_draft_days);
        let drafts = tx.forget_opinion_drafts(drafts).await?;
        let failures = tx.forget_login_failures(context.now - FORGOTTEN_AFTER).await?;
        // Nobody can go on with them, and nothing counts beyond its day.
        let portal_sessions = tx.forget_portal_sessions(context.now - KEPT_AFTER_END).await?;
        let over = context.now - jiff::SignedDuration::from_hours(24 * config.session_days);
        let sessions = tx.forget_sessions(over).await?;
        let counts = tx.forget_mismatches(day_in_japan(context.now - KEPT_AFTER_END)).await?;
        let questions = context.now - jiff::SignedDuration::from_mins(QUESTION_MINUTES);
        let questions = tx.forget_passkey_challenges(questions).await?;
        if answers + notices + slips + drafts + failures + portal_sessions + sessions + counts + questions == 0 {
            return Ok(());
        }
        let detail = serde_json::json!({
            "answers": answers,
            "notices": notices,
            "slips": slips,
            "opinion_drafts": drafts,
            "login_failures": failures,
            "portal_sessions": portal_sessions,
            "sessions": sessions,
            "counts": counts,
            "passkey_questions": questions,
        });
        let entry = Entry::new(context.now, &context.request_id, "server", "keep_house", Outcome::Done);
        Ok(tx.commit(Entry { detail: Some(detail.to_string()), ..entry }).await?)
    }
}
