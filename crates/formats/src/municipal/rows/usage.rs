//! E1 住宅改修費利用情報 and E2 福祉用具購入費利用情報.

use super::{Builder, INSURANCE_BEGINS, Writable};
use crate::layout::Record;
use crate::municipal::MunicipalKind;
use kiban_domain::Date;
use kiban_domain::allowance::{Allowed, limit_yen};
use kiban_domain::certification::CareLevel;
use kiban_domain::equipment_purchase::{AgainReason, BathingAid, EquipmentItem, EquipmentPurchase};
use kiban_domain::home_modification::{HomeModification, ModificationKind, PaymentMethod};

impl Builder<'_> {
    pub(super) fn home_modification(&mut self) -> Option<HomeModification> {
        let dwelling = self.f.number("dwelling")?;
        if dwelling == 0 {
            self.fault("dwelling", "range", "住宅番号は 1 から始めてください");
        }
        let work = HomeModification {
            dwelling,
            address: self.f.text("address"),
            owner: self.f.opt_text("owner"),
            owner_relation: self.f.opt_text("owner_relation"),
            kinds: self.f.flags("kinds", ModificationKind::ALL),
            places: self.f.opt_text("places"),
            provider_name: self.f.opt_text("provider_name"),
            reason_writer: self.f.opt_text("reason_writer"),
            level: self.f.code("level", CareLevel::from_code)?,
            requested_on: self.f.date("requested_on"),
            approved_on: self.f.date("approved_on"),
            approval_number: self.f.opt_text("approval_number"),
            started_on: self.f.date("started_on")?,
            completed_on: self.f.date("completed_on"),
            claimed_on: self.f.date("claimed_on"),
            decided_on: self.f.date("decided_on"),
            cost: self.f.number("cost")?,
            eligible: self.f.number("eligible")?,
            paid: self.f.number("paid")?,
            payment: self.f.code("payment", PaymentMethod::from_code)?,
            already_eligible: self.f.number("already_eligible"),
            copayment: self.f.number("copayment"),
        };
        let approval = if work.approved_on.is_some() { "approved_on" } else { "requested_on" };
        if work.kinds.is_empty() {
            self.fault("kinds", "required", "改修の種類を一つ以上 o にしてください");
        }
        let started_on = Some(work.started_on);
        self.since(INSURANCE_BEGINS, work.started_on, "started_on");
        self.order(work.requested_on, "requested_on", work.approved_on, "approved_on");
        self.order(started_on, "started_on", work.completed_on, "completed_on");
        self.order(started_on, "started_on", work.claimed_on, "claimed_on");
        self.order(work.claimed_on, "claimed_on", work.decided_on, "decided_on");
        self.order(work.completed_on, "completed_on", work.decided_on, "decided_on");
        self.order(started_on, "started_on", work.decided_on, "decided_on");
        // 事前申請 and 承認 come first, unless there was no time for them (入院中 and the like).
        self.doubt(work.approved_on.or(work.requested_on), approval, started_on, "started_on");
        self.doubt(work.completed_on, "completed_on", work.claimed_on, "claimed_on");
        self.amounts(Allowed::HomeModification, work.started_on, [work.cost, work.eligible, work.paid]);
        let is_too_much = |copayment| work.paid.saturating_add(copayment) > work.cost;
        if self.faults.is_empty() && work.copayment.is_some_and(is_too_much) {
            self.fault("copayment", "range", "支給額と合わせて費用の額を超えています。金額を確認してください");
        }
        Some(work)
    }

    pub(super) fn equipment_purchase(&mut self) -> Option<EquipmentPurchase> {
        let purchase = EquipmentPurchase {
            item: self.f.code("item", EquipmentItem::from_code)?,
            bathing_aid: self.f.code("bathing_aid", BathingAid::from_code),
            product: self.f.text("product"),
            maker: self.f.opt_text("maker"),
            provider: self.f.office("provider"),
            provider_name: self.f.text("provider_name"),
            purchased_on: self.f.date("purchased_on")?,
            cost: self.f.number("cost")?,
            eligible: self.f.number("eligible")?,
            paid: self.f.number("paid")?,
            need: self.f.opt_text("need"),
            again: self.f.code("again", AgainReason::from_code),
            claimed_on: self.f.date("claimed_on"),
            decided_on: self.f.date("decided_on"),
            payment: self.f.code("payment", PaymentMethod::from_code)?,
            in_institution: self.yes_or_no("in_institution"),
            payment_receipt: self.yes_or_no("payment_receipt"),
            brochure: self.yes_or_no("brochure"),
        };
        match (purchase.item == EquipmentItem::Bathing, purchase.bathing_aid) {
            (true, None) => self.fault("bathing_aid", "required", "種目が 4（入浴補助用具）のときは必ず入れてください"),
            (false, Some(_)) => {
                self.fault("bathing_aid", "conflict", "種目が 4（入浴補助用具）でないときは空にしてください")
            }
            _ => {}
        }
        if purchase.item.available_from().is_some_and(|first| purchase.purchased_on < first) {
            let text = "この種目が対象になる前の日付です。種目と購入日を確認してください";
            self.fault("purchased_on", "date_order", text);
        }
        self.order(Some(purchase.purchased_on), "purchased_on", purchase.claimed_on, "claimed_on");
        self.order(purchase.claimed_on, "claimed_on", purchase.decided_on, "decided_on");
        self.order(Some(purchase.purchased_on), "purchased_on", purchase.decided_on, "decided_on");
        let amounts = [purchase.cost, purchase.eligible, purchase.paid];
        self.amounts(Allowed::EquipmentPurchase, purchase.purchased_on, amounts);
        Some(purchase)
    }

    /// 1 あり, 0 なし; nothing where it was not sent.
    fn yes_or_no(&mut self, key: &'static str) -> Option<bool> {
        self.f.code(key, |code| Some(code == "1").filter(|_| !code.is_empty()))
    }

    /// 支給額 ≤ 支給対象額 ≤ 費用 and the limit of the law.
    fn amounts(&mut self, allowed: Allowed, on: Date, [cost, eligible, paid]: [u32; 3]) {
        if eligible > cost {
            self.fault("eligible", "range", "費用の額より大きい額です。金額を確認してください");
        }
        if let Some(limit) = limit_yen(allowed, on).filter(|limit| eligible > *limit) {
            let text = format!("支給限度基準額 {limit} 円より大きい額です。支給対象額だけを入れてください");
            self.fault("eligible", "range", text);
        }
        if paid > eligible {
            self.fault("paid", "range", "支給対象額より大きい額です。金額を確認してください");
        }
    }
}

impl Writable for HomeModification {
    const KIND: MunicipalKind = MunicipalKind::HomeModification;

    fn fill(&self, r: &mut Record<'_>) {
        r.put("dwelling", self.dwelling)
            .put("address", &self.address)
            .opt("owner", self.owner.as_ref())
            .opt("owner_relation", self.owner_relation.as_ref())
            .flags("kinds", ModificationKind::ALL, &self.kinds)
            .opt("places", self.places.as_ref())
            .opt("provider_name", self.provider_name.as_ref())
            .opt("reason_writer", self.reason_writer.as_ref())
            .put("level", self.level.code())
            .date("requested_on", self.requested_on)
            .date("approved_on", self.approved_on)
            .opt("approval_number", self.approval_number.as_ref())
            .date("started_on", self.started_on)
            .date("completed_on", self.completed_on)
            .date("claimed_on", self.claimed_on)
            .date("decided_on", self.decided_on)
            .put("cost", self.cost)
            .put("eligible", self.eligible)
            .put("paid", self.paid)
            .put("payment", self.payment.code())
            .opt("already_eligible", self.already_eligible)
            .opt("copayment", self.copayment);
    }
}

impl Writable for EquipmentPurchase {
    const KIND: MunicipalKind = MunicipalKind::EquipmentPurchase;

    fn fill(&self, r: &mut Record<'_>) {
        r.put("item", self.item.code())
            .opt("bathing_aid", self.bathing_aid.map(BathingAid::code))
            .put("product", &self.product)
            .opt("maker", self.maker.as_ref())
            .opt("provider", self.provider)
            .put("provider_name", &self.provider_name)
            .date("purchased_on", self.purchased_on)
            .put("cost", self.cost)
            .put("eligible", self.eligible)
            .put("paid", self.paid)
            .opt("need", self.need.as_ref())
            .opt("again", self.again.map(AgainReason::code))
            .date("claimed_on", self.claimed_on)
            .date("decided_on", self.decided_on)
            .put("payment", self.payment.code())
            .opt("in_institution", self.in_institution.map(one_or_zero))
            .opt("payment_receipt", self.payment_receipt.map(one_or_zero))
            .opt("brochure", self.brochure.map(one_or_zero));
    }
}

/// 1 あり, 0 なし.
fn one_or_zero(is_there: bool) -> &'static str {
    if is_there { "1" } else { "0" }
}
