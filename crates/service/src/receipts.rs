//! What a municipality has sent, in a list: a package that was set aside stands first, with what to do (P-161).

use crate::{Caller, Context, Error, Platform};
use kiban_domain::{Date, InsurerNumber, Organization, Timestamp};
use kiban_policy::UseCase;
use kiban_store::{Outcome, Receipt, ReceiptCounts, ReceiptState};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Lines of the list, those set aside not counted.
const LATEST: i32 = 100;

/// Something the municipality sent, in one line; the whole result is asked for by its 受付番号.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReceiptLine {
    /// 受付番号
    pub receipt: String,
    /// `received`, `refused`, `applied` or `failed` (set aside).
    pub state: &'static str,
    /// The same in Japanese.
    pub state_name: &'static str,
    /// When it arrived.
    pub received_at: Timestamp,
    /// 基準日. Absent until its manifest was read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base_date: Option<Date>,
    /// Rows.
    pub counts: ReceiptCounts,
    /// The same by 種別. Empty while it is being checked.
    pub kinds: BTreeMap<String, ReceiptCounts>,
    /// What to do, in Japanese; empty when nothing is left to do.
    pub next: &'static str,
}

impl Platform {
    /// What the caller's municipality has sent: those set aside, then the latest hundred, newest first.
    pub async fn receipts(&self, caller: &Caller, context: &Context) -> Result<Vec<ReceiptLine>, Error> {
        let table = self.table_at(context.now)?;
        caller.require_way(UseCase::ImportPackage, table)?;
        let Some(insurer) = caller.municipality() else {
            self.store().audit().append(caller.entry(context, "receipts", Outcome::Refused)).await?;
            return Err(Error::rule(kiban_policy::Rule::NotWriter, table));
        };
        let sender = caller.organization;
        let mut listed = self.set_aside_of(insurer, sender).await?;
        let latest = self.store().receipts(insurer, sender, LATEST).await?;
        listed.extend(latest.into_iter().filter(|receipt| receipt.state != ReceiptState::Failed));
        self.store().audit().append(caller.entry(context, "receipts", Outcome::Allowed)).await?;
        listed.into_iter().map(line).collect()
    }

    async fn set_aside_of(&self, insurer: InsurerNumber, sender: Organization) -> Result<Vec<Receipt>, Error> {
        let mut aside = Vec::new();
        for number in self.store().receipts_set_aside(insurer).await? {
            aside.extend(self.store().receipt_numbered(insurer, number).await?.filter(|one| one.sender == sender));
        }
        aside.sort_by_key(|receipt| std::cmp::Reverse(receipt.number));
        Ok(aside)
    }
}

/// Of a kept result what the list tells.
#[derive(Deserialize)]
struct Kinds {
    #[serde(default)]
    kinds: BTreeMap<String, ReceiptCounts>,
}

fn line(receipt: Receipt) -> Result<ReceiptLine, Error> {
    let kept = receipt.result.as_deref().map(serde_json::from_slice::<Kinds>).transpose();
    let kinds = kept.map_err(|error| Error::Internal(error.to_string()))?.map(|kept| kept.kinds).unwrap_or_default();
    let (state_name, next) = match receipt.state {
        ReceiptState::Received => ("処理中", "処理が終わるのを待ってください"),
        ReceiptState::Refused => {
            ("取込不可", "結果の問題を直して、新しい作成日時で作り直してください。何も反映していません")
        }
        ReceiptState::Applied if receipt.counts.refused > 0 => {
            ("反映済", "不採用の行があります。結果の問題を直して、その行を送り直してください")
        }
        ReceiptState::Applied => ("反映済", ""),
        ReceiptState::Failed => (
            "後回し",
            "運用者に受付番号を伝えてください。まだ何も見えません。原因が直れば続きから反映します。送り直す必要はありません",
        ),
    };
    Ok(ReceiptLine {
        receipt: receipt.public_id,
        state: receipt.state.code(),
        state_name,
        received_at: receipt.received_at,
        base_date: receipt.base_date,
        counts: receipt.counts,
        kinds,
        next,
    })
}
