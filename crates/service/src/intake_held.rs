//! A package that a municipality looks at before it is applied: it is tried once when it came, kept sealed without a receipt beside what
//! was found, one of an insurer at a time, then applied or forgotten (P-130, P-161). One that holds a 個人番号 is not kept (P-039).

use crate::intake::ReportedProblem;
use crate::intake_work::Spool;
use crate::{Caller, Context, DryRun, Error, Platform, Received, Upload};
use kiban_domain::InsurerNumber;
use kiban_store::{Entry, Outcome, TRIAL, UploadFile};

impl Platform {
    /// Tries a package that came and holds it, with the number it is held under; none where its bytes must not be kept. One that was
    /// held before is forgotten.
    pub async fn hold_package(
        &self,
        mut upload: Upload,
        caller: &Caller,
        context: &Context,
    ) -> Result<(Option<String>, DryRun), Error> {
        let (insurer, id, files) = upload.whole().await?;
        let source = Spool::of(self.store(), insurer, &id, files);
        let entry = caller.entry(context, "import.dry_run", Outcome::Allowed);
        let tried = match self.dry_run(insurer, source, false, entry, context, &mut |_| {}).await {
            Ok(tried) => tried,
            Err(error) => {
                upload.forget().await?;
                return Err(error);
            }
        };
        if tried.report.problems.iter().any(ReportedProblem::forbids_keeping) {
            self.forget_held(caller, insurer, &id, context).await?;
            return Ok((None, tried));
        }
        let kept = serde_json::to_vec(&tried).map_err(|error| Error::Internal(error.to_string()))?;
        upload.hold(&id, &kept).await?;
        Ok((Some(id), tried))
    }

    /// What a held package of the caller's municipality would do, as it was found when it came. [`Error::Unknown`] once it was applied
    /// or forgotten.
    pub async fn held_package(&self, caller: &Caller, held: &str, context: &Context) -> Result<DryRun, Error> {
        let (insurer, _) = self.held_files(caller, held, context).await?;
        let kept = self.store().upload_piece(insurer, held, (TRIAL, 0)).await?;
        let tried: DryRun = serde_json::from_slice(&kept).map_err(|error| Error::Internal(error.to_string()))?;
        let entry = caller.entry(context, "import.trial", Outcome::Allowed);
        let (insurer, natural_key) = (Some(insurer.to_string()), Some(held.to_owned()));
        self.store().audit().append(Entry { insurer, natural_key, subjects: tried.subjects(), ..entry }).await?;
        Ok(tried)
    }

    /// Gives a held package its receipt: from now on it is worked on like any other.
    pub async fn apply_held_package(&self, caller: &Caller, held: &str, context: &Context) -> Result<Received, Error> {
        let (_, files) = self.held_files(caller, held, context).await?;
        self.begin_package(caller, context).await?.held(held, files).finish().await
    }

    /// Forgets a held package.
    pub async fn forget_held_package(&self, caller: &Caller, held: &str, context: &Context) -> Result<(), Error> {
        let (insurer, _) = self.held_files(caller, held, context).await?;
        self.forget_held(caller, insurer, held, context).await
    }

    async fn forget_held(
        &self,
        caller: &Caller,
        insurer: InsurerNumber,
        held: &str,
        context: &Context,
    ) -> Result<(), Error> {
        let mut tx = self.store().begin().await?;
        // One that got its receipt meanwhile is no longer held.
        tx.go_on_with_upload(insurer, held, context.now).await?;
        tx.drop_upload(insurer, held).await?;
        let entry = caller.entry(context, "import.dropped", Outcome::Done);
        let entry = Entry { insurer: Some(insurer.to_string()), natural_key: Some(held.to_owned()), ..entry };
        Ok(tx.commit(entry).await?)
    }

    /// The files of a held package of the caller's municipality.
    async fn held_files(
        &self,
        caller: &Caller,
        held: &str,
        context: &Context,
    ) -> Result<(InsurerNumber, Vec<UploadFile>), Error> {
        self.may_send_package(caller, context)?;
        let insurer = caller.municipality().ok_or(Error::Unknown)?;
        let files = self.store().upload_files(insurer, held).await?;
        // The files of a receipt stay under its number.
        if files.is_empty() || self.store().receipt(insurer, held).await?.is_some() {
            return Err(Error::Unknown);
        }
        Ok((insurer, files))
    }
}
