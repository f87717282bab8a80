//! The end of months of the audit log that nobody has to keep: two operators approve it (P-203).

use crate::{Context, Error, Platform};
use kiban_domain::Organization;
use kiban_domain::office::StaffId;
use kiban_store::{Entry, Month, Outcome, PurgedMonth};

impl Platform {
    /// Months before `before` with their entries. With approvers they are deleted: two different accounts of the operator, both
    /// registered and active (`operator/chief`); anything else is refused and recorded. Without approvers nothing is deleted.
    pub async fn purge_audit(
        &self,
        before: Month,
        keep_years: u8,
        approvers: &[String],
        context: &Context,
    ) -> Result<Vec<PurgedMonth>, Error> {
        if approvers.is_empty() {
            return Ok(self.store().purge_audit(before, keep_years, context.now, None).await?);
        }
        let entry = Entry {
            organization: Some(Organization::Operator.to_string()),
            staff: Some(approvers.join(",")),
            ..Entry::new(context.now, &context.request_id, "cli", "audit.purge", Outcome::Done)
        };
        if let Err(why) = self.require_two_operators(approvers).await {
            self.store().audit().append(Entry { outcome: Outcome::Refused, ..entry }).await?;
            return Err(why);
        }
        Ok(self.store().purge_audit(before, keep_years, context.now, Some(&entry)).await?)
    }

    pub(crate) async fn require_two_operators(&self, approvers: &[String]) -> Result<(), Error> {
        let [first, second] = approvers else {
            return Err(Error::item("approve", "承認する運用者を2人、operator/アカウント名 で指定してください"));
        };
        if first == second {
            return Err(Error::item("approve", "承認する2人は別の人にしてください"));
        }
        for approver in approvers {
            let account = self.store().account(&StaffId(approver.clone())).await?;
            if !account.is_some_and(|account| account.active && account.organization == Organization::Operator) {
                let why = "は登録された有効な運用者のアカウントではありません。kiban operate account operator アカウント名 で登録してください";
                return Err(Error::item("approve", format!("{approver} {why}")));
            }
        }
        Ok(())
    }
}
