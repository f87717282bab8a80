//! 保存期限: what housekeeping takes away once a day (P-200…203). The original of an accepted document goes five years after
//! its acceptance or the decision it served, whichever is later, and never while a case of the person is open; the content of a
//! returned document goes when nobody handed it in again in time. Each leaves an entry of the log with the digest of what is
//! gone: signed with the log, it is the certificate.

use crate::submission::{RETENTION_YEARS, hex, years_after};
use crate::view::waits;
use crate::{Context, Error, Platform};
use kiban_domain::certification::CertificationProgress;
use kiban_domain::{Date, InsurerNumber, Kind, PersonKey, dates};
use kiban_store::{DueOriginal, Entry, Outcome, Pass, StoredRecord, Submission};
use std::sync::atomic::Ordering;

/// Rows looked at in one go.
const PAGE: i32 = 200;

impl Platform {
    /// Once a day: the first call of a day does it.
    pub(crate) async fn keep_retention(&self, context: &Context) -> Result<(), Error> {
        let today = context.today();
        if self.inner.retained_on.load(Ordering::Acquire) == dates::to_number(today) {
            return Ok(());
        }
        self.remove_originals(today, context).await?;
        self.remove_returned(context).await?;
        self.inner.retained_on.store(dates::to_number(today), Ordering::Release);
        Ok(())
    }

    async fn remove_originals(&self, today: Date, context: &Context) -> Result<(), Error> {
        let mut last: Option<DueOriginal> = None;
        let mut pass: Option<(InsurerNumber, Pass)> = None;
        loop {
            let due = self.store().due_originals(today, last.as_ref(), PAGE).await?;
            for original in &due {
                let insurer = original.person.insurer;
                let open = match pass.take().filter(|(begun, _)| *begun == insurer) {
                    Some(open) => open,
                    None => {
                        let entry = house_entry("retention.started", Outcome::Allowed, context);
                        let entry = Entry { insurer: Some(insurer.to_string()), ..entry };
                        (insurer, self.store().audit().begin_pass(entry).await?)
                    }
                };
                passed_over(self.take_away(original, today, &open.1, context).await)?;
                pass = Some(open);
            }
            match due.last() {
                Some(done) => last = Some(done.clone()),
                None => return Ok(()),
            }
        }
    }

    async fn take_away(
        &self,
        original: &DueOriginal,
        today: Date,
        pass: &Pass,
        context: &Context,
    ) -> Result<(), Error> {
        match self.may_go(original, today, pass, context).await? {
            true => self.remove_original(original, today, context).await,
            false => Ok(()),
        }
    }

    /// Nothing of the person is open, and the decision that the document served is as old as its acceptance must be (P-202).
    async fn may_go(&self, original: &DueOriginal, today: Date, pass: &Pass, context: &Context) -> Result<bool, Error> {
        let mut numbers = self.numbers_of(original.person).await?;
        if numbers.is_empty() {
            numbers.push(original.person);
        }
        for person in numbers {
            let documents = self.store().submissions_about(person).await?;
            if documents.iter().any(|document| waits(&document.state)) {
                return Ok(false);
            }
            for progress in self.applications(person, pass, context).await? {
                let decided = progress.result.as_ref().map(|result| result.decided_on);
                let is_open = decided.is_none() && progress.closing.is_none();
                let serves = original.kind == Kind::A2
                    && original.natural_key.starts_with(&dates::yyyymmdd(progress.applied_on));
                let is_young = decided.is_some_and(|day| today <= years_after(day, RETENTION_YEARS));
                if is_open || (serves && is_young) {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    async fn applications(
        &self,
        person: PersonKey,
        pass: &Pass,
        context: &Context,
    ) -> Result<Vec<CertificationProgress>, Error> {
        let unapplied = self.store().unapplied(person.insurer).await?;
        let records = pass.open(self.store().records(person, Kind::A5).await?);
        let known = StoredRecord::as_known(records, context.now, &unapplied);
        let read = |record: StoredRecord| serde_json::from_slice(&record.payload);
        known.into_iter().map(read).collect::<Result<_, _>>().map_err(|error| Error::Internal(error.to_string()))
    }

    async fn remove_original(&self, original: &DueOriginal, today: Date, context: &Context) -> Result<(), Error> {
        let kept = self.store().kept_original(original.person.insurer, &original.id).await?;
        let Some(kept) = kept else { return Ok(()) };
        let detail = serde_json::json!({
            "media": kept.media,
            "size": kept.bytes.len(),
            "sha256": sha256(&kept.bytes),
            "kept_until": original.purge_after,
            "record": original.natural_key,
        });
        let mut tx = self.store().begin().await?;
        // Another process was faster.
        if !tx.delete_original(original, today).await? {
            return Ok(());
        }
        let entry = house_entry("original.removed", Outcome::Done, context);
        let entry = about(entry, original.person, original.kind, &original.id);
        Ok(tx.commit(Entry { detail: Some(detail.to_string()), ..entry }).await?)
    }

    async fn remove_returned(&self, context: &Context) -> Result<(), Error> {
        let days = self.inner.config.returned_days;
        let before = context.now - jiff::SignedDuration::from_hours(24 * days);
        let mut last: Option<(InsurerNumber, String)> = None;
        loop {
            let old = self.store().old_returned(before, last.as_ref(), PAGE).await?;
            for (insurer, id) in &old {
                // One whose MAC fails is nobody's document; it stays for whoever looks into it.
                let removed = match self.store().submission(*insurer, id).await {
                    Ok(Some(document)) => self.remove_content(&document, days, context).await,
                    Ok(None) => Ok(()),
                    Err(error) => Err(error.into()),
                };
                passed_over(removed)?;
            }
            match old.into_iter().next_back() {
                Some(done) => last = Some(done),
                None => return Ok(()),
            }
        }
    }

    async fn remove_content(&self, document: &Submission, days: i64, context: &Context) -> Result<(), Error> {
        let digest = document.original.as_ref().map(|original| sha256(&original.bytes));
        let detail = serde_json::json!({ "sha256": digest, "returned_at": document.decided_at, "days": days });
        let mut tx = self.store().begin().await?;
        if !tx.drop_returned_content(document.person.insurer, &document.id).await? {
            return Ok(());
        }
        let entry = house_entry("returned.removed", Outcome::Done, context);
        let entry = about(entry, document.person, document.kind, &document.id);
        Ok(tx.commit(Entry { detail: Some(detail.to_string()), ..entry }).await?)
    }
}

/// What cannot be read stays, and keeps nothing else from going.
fn passed_over(done: Result<(), Error>) -> Result<(), Error> {
    match done {
        Err(Error::Internal(problem)) => {
            tracing::error!(%problem, "something past its time cannot be read and stays");
            Ok(())
        }
        done => done,
    }
}

fn house_entry(action: &str, outcome: Outcome, context: &Context) -> Entry {
    Entry::new(context.now, &context.request_id, "server", action, outcome)
}

fn about(entry: Entry, person: PersonKey, kind: Kind, id: &str) -> Entry {
    Entry {
        insurer: Some(person.insurer.to_string()),
        insured: Some(person.insured.to_string()),
        kind: Some(kind.code().to_owned()),
        natural_key: Some(id.to_owned()),
        ..entry
    }
}

fn sha256(bytes: &[u8]) -> String {
    hex(ring::digest::digest(&ring::digest::SHA256, bytes).as_ref())
}
